"""What a training tells while it runs: one progress bar, curves, examples, and the two checkpoints."""

import csv
import math
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from matplotlib.figure import Figure
from tqdm import tqdm

from image_translation.errors import DataError
from image_translation.training.output_directory import BEST, CURVES, EXAMPLES, HISTORY, LAST
from image_translation.training.lightning_module import HELD_OUT_LOSS, LOSS, PEARSON, RATE, StainingNetwork


class Bar(Callback):  # type: ignore[misc]  # Lightning is not checked
    """One bar over all steps, with the last scores."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._bar: Any = None

    def on_train_start(self, trainer: Trainer, _network: LightningModule) -> None:
        """Open the bar where the training goes on."""
        hidden = None if trainer.is_global_zero else True
        done = trainer.global_step
        self._bar = tqdm(
            total=self._steps, initial=done, unit="step", disable=hidden, dynamic_ncols=True, desc="training"
        )

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Count a step."""
        self._bar.update(trainer.global_step - self._bar.n)

    def on_train_epoch_end(self, trainer: Trainer, _network: LightningModule) -> None:
        """Show how what is held out fares."""
        found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(PEARSON)}
        self._bar.set_postfix({name.removeprefix(f"{PEARSON}/"): f"{value:.3f}" for name, value in found.items()})

    def teardown(self, *_: object, **__: object) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class Record(Callback):  # type: ignore[misc]
    """The history of a training, one row a round, kept in its checkpoints; with its figures.

    Parameters
    ----------
    folder
        Where ``history.csv``, ``curves.png`` and ``examples.png`` go.
    source, target
        Names of the channels.
    """

    def __init__(self, folder: Path, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        self._folder, self._source, self._target = folder, source, target
        self._began = 0.0
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the history that a checkpoint kept."""
        self.rows = list(state["rows"])

    def on_train_start(self, *_: object) -> None:
        """Start the clock."""
        self._began = time.monotonic() - (self.rows[-1]["seconds"] if self.rows else 0.0)

    def on_train_epoch_end(self, trainer: Trainer, network: LightningModule) -> None:
        """Add a row, and draw."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        names = (f"{LOSS}_epoch", HELD_OUT_LOSS, *(f"{PEARSON}/{name}" for name in self._target))
        row = {"step": float(trainer.global_step), "seconds": time.monotonic() - self._began}
        row |= {name.removesuffix("_epoch"): metrics.get(name, math.nan) for name in names}
        if not math.isfinite(row[LOSS]):
            raise DataError(
                f"the loss is {row[LOSS]} at step {trainer.global_step}: the learning rate is too high for these data; "
                "use a lower --rate"
            )
        row[RATE] = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append(row)
        if trainer.is_global_zero and isinstance(network, StainingNetwork):
            self._write(trainer, network)

    def _write(self, trainer: Trainer, network: StainingNetwork) -> None:
        from image_translation.figures.training import plot_curves, plot_examples

        unfinished = self._folder / f".{HISTORY}"
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        unfinished.replace(self._folder / HISTORY)
        examples = [{side: images.numpy() for side, images in example.items()} for example in network.examples]
        figures = {CURVES: plot_curves(self.rows), EXAMPLES: plot_examples(examples, self._source, self._target)}
        for name, figure in figures.items():
            _save(figure, self._folder / name)
        if trainer.logger:
            trainer.logger.experiment.add_figure("examples", figures[EXAMPLES], trainer.global_step, close=False)


def checkpoints(folder: Path, patience: int | None) -> list[Callback]:
    """Return what keeps the best weights, what keeps all that is needed to go on, and what may stop early."""
    shared: dict[str, Any] = {"dirpath": folder, "save_on_train_epoch_end": True, "enable_version_counter": False}
    kept: list[Callback] = [
        ModelCheckpoint(filename=Path(BEST).stem, monitor=HELD_OUT_LOSS, save_weights_only=True, **shared),
        ModelCheckpoint(filename=Path(LAST).stem, **shared),
    ]
    if patience is not None:
        kept.insert(0, EarlyStopping(HELD_OUT_LOSS, patience=patience, check_on_train_epoch_end=True))
    return kept


def _save(figure: Figure, path: Path) -> None:
    unfinished = path.with_name(f".{path.name}")
    figure.savefig(unfinished, format="png", dpi=150)
    unfinished.replace(path)
