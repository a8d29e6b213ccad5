"""Lightning callbacks: progress bar, training history with figures, checkpoints and early stopping."""

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from matplotlib.figure import Figure
from tqdm import tqdm

from image_translation.errors import DataError
from image_translation.files import write_atomically
from image_translation.training.lightning_module import HELD_OUT_LOSS, LOSS, PEARSON, RATE, StainingModule
from image_translation.training.output_directory import BEST, CURVES, EXAMPLES, HISTORY, LAST


class StepProgressBar(Callback):  # type: ignore[misc]  # Lightning is not checked
    """One progress bar over all steps, with the latest validation scores."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._bar: Any = None

    def on_train_start(self, trainer: Trainer, _network: LightningModule) -> None:
        """Open the bar at the step that the training starts from."""
        hidden = None if trainer.is_global_zero else True
        done = trainer.global_step
        self._bar = tqdm(
            total=self._steps, initial=done, unit="step", disable=hidden, dynamic_ncols=True, desc="training"
        )

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Advance the bar by a step."""
        self._bar.update(trainer.global_step - self._bar.n)

    def on_train_epoch_end(self, trainer: Trainer, _network: LightningModule) -> None:
        """Show the latest validation scores."""
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(PEARSON)}
        self._bar.set_postfix({name.removeprefix(f"{PEARSON}/"): f"{value:.3f}" for name, value in scores.items()})

    def teardown(self, *_: object, **__: object) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class HistoryRecorder(Callback):  # type: ignore[misc]
    """Training history, one row per round, which is kept in checkpoints and written as a table and figures.

    Parameters
    ----------
    directory
        Directory of ``history.csv``, ``curves.png`` and ``examples.png``.
    source, target
        Names of the channels.

    Attributes
    ----------
    rows
        One row per round: ``step``, ``seconds``, ``loss/train``, ``loss/validation``, ``pearson/CHANNEL``, ``rate``.
    """

    state_key = "Record"  # the key in checkpoints, also of earlier versions

    def __init__(self, directory: Path, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        self._directory, self._source, self._target = directory, source, target
        self._start_time = 0.0
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the state to store in a checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the history from a checkpoint."""
        self.rows = list(state["rows"])

    def on_train_start(self, *_: object) -> None:
        """Start the timer, continuing from the restored history."""
        self._start_time = time.monotonic() - (self.rows[-1]["seconds"] if self.rows else 0.0)

    def on_train_epoch_end(self, trainer: Trainer, network: LightningModule) -> None:
        """Add a row, and write the table and the figures."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        names = (f"{LOSS}_epoch", HELD_OUT_LOSS, *(f"{PEARSON}/{name}" for name in self._target))
        row = {"step": float(trainer.global_step), "seconds": time.monotonic() - self._start_time}
        row |= {name.removesuffix("_epoch"): metrics.get(name, math.nan) for name in names}
        if not math.isfinite(row[LOSS]):
            raise DataError(
                f"the loss is {row[LOSS]} at step {trainer.global_step}: the learning rate is too high; "
                "use a lower --rate"
            )
        row[RATE] = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append(row)
        if trainer.is_global_zero and isinstance(network, StainingModule):
            self._write(trainer, network)

    def _write(self, trainer: Trainer, network: StainingModule) -> None:
        from image_translation.figures.training import example_figure, learning_curve_figure

        history = self._directory / HISTORY
        with write_atomically(history) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        examples = [{side: images.numpy() for side, images in example.items()} for example in network.examples]
        figures = {
            CURVES: learning_curve_figure(self.rows),
            EXAMPLES: example_figure(examples, self._source, self._target),
        }
        for name, figure in figures.items():
            _save(figure, self._directory / name)
        if trainer.logger:
            trainer.logger.experiment.add_figure("examples", figures[EXAMPLES], trainer.global_step, close=False)


class _Checkpoints(ModelCheckpoint):  # type: ignore[misc]  # Lightning is not checked
    """Saves checkpoints whose state has the names of files and not their paths: checkpoints are published."""

    @property
    def state_key(self) -> str:
        """Key of the state in a checkpoint: that of Lightning's class, which earlier versions used."""
        key: str = super().state_key
        return key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = super().state_dict()
        return self._with_paths(state, lambda path: Path(path).name) | {"dirpath": ""}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Also of an earlier version, whose state has paths: the training may have been moved.
        directory = str(self.dirpath)
        here = self._with_paths(state_dict, lambda path: str(Path(directory, Path(path).name)) if path else path)
        super().load_state_dict(here | {"dirpath": directory})

    @staticmethod
    def _with_paths(state: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
        paths = {key: change(state[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        return state | paths | {"best_k_models": {change(path): k for path, k in state["best_k_models"].items()}}


def checkpoint_callbacks(directory: Path, patience: int | None) -> list[Callback]:
    """Return the callbacks that save the best weights, save the state to resume from, and stop early if requested."""
    shared: dict[str, Any] = {"dirpath": directory, "save_on_train_epoch_end": True, "enable_version_counter": False}
    callbacks: list[Callback] = [
        _Checkpoints(filename=Path(BEST).stem, monitor=HELD_OUT_LOSS, save_weights_only=True, **shared),
        _Checkpoints(filename=Path(LAST).stem, **shared),
    ]
    if patience is not None:
        callbacks.insert(0, EarlyStopping(HELD_OUT_LOSS, patience=patience, check_on_train_epoch_end=True))
    return callbacks


def _save(figure: Figure, path: Path) -> None:
    with write_atomically(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=150)
