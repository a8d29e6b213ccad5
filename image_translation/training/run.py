"""Train a network to translate channels into others, and keep checkpoints that every command can use.

The networks are VisCy's `VSUNet` (Liu et al., "Robust virtual staining of landmark organelles with Cytoland", Nature
Machine Intelligence 7, 901-915, 2025); the loop is Lightning's.
"""

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from image_translation import data
from image_translation.errors import UsageError
from image_translation.network.checkpoint import StateDict
from image_translation.network.devices import keep_freed_memory, resolve_device, resolve_precision
from image_translation.network.loading import METADATA_FORMAT, read_spec
from image_translation.normalize import Method
from image_translation.omezarr.store import open_store
from image_translation.training.output_directory import BEST, LOGS, alone, halve, note_fields, take_over
from image_translation.training.fields import Choice, find_fields
from image_translation.training.lightning_module import StainingNetwork
from image_translation.training.log import Bar, Record, checkpoints
from image_translation.training.options import DEFAULT_NORMALIZATION, SIZES, TrainOptions
from image_translation.training.patches import SimulatedData, StoreData

_LIBRARIES = ("image-translation", "viscy", "monai", "torch", "lightning", "numpy", "scipy")
_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
_GRADIENT_NORM = 1.0
_EXPECTED = (
    "does not have many workers",  # a laptop's cores are left to the network, unless workers are asked for
    "exists and is not empty",
    "variance of predictions",  # a correlation that is not defined counts as none
    "Grad strides",
    "LeafSpec",
    "isinstance.treespec",
)
"""Warnings of the libraries that are no one's concern here."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """What a training left.

    Attributes
    ----------
    best
        Checkpoint of the round in which what is held out fared best.
    history
        One row a round: ``step``, ``seconds``, ``loss/train``, ``loss/validation``, ``pearson/CHANNEL``, ``rate``.
    leading
        Whether this is the process that speaks for all, where there are several.
    """

    best: Path
    history: list[dict[str, float]]
    leading: bool = True


def train(options: TrainOptions) -> Training:
    """Train a network, or go on with the training that an equal request began.

    Parameters
    ----------
    options
        What to do; their own ``check`` has passed.

    Returns
    -------
    Training
        The best checkpoint, and how it came about.

    Raises
    ------
    UsageError
        The options do not fit the data, the device or the checkpoint to begin from; or the output directory holds a
        training of other options.
    DataError
        The data or the checkpoint cannot be read.
    """
    device = resolve_device(options.device)
    resolve_precision(options.precision, device)
    if options.normalization is None:
        options = replace(options, normalization=_normalization(options))
    folder = options.output
    with alone(folder):
        resumed = take_over(options)
        if rank_zero_only.rank:
            logging.getLogger("image_translation").setLevel(logging.ERROR)
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            module, told = _data(options, resumed=resumed is not None)
            network = _network(options, told)
            if device.type == "cpu":
                keep_freed_memory()
            record = Record(folder, options.source, options.target)
            with _quiet_libraries():
                _fit(_trainer(options, device, record), network, module, resumed, options)
        if rank_zero_only.rank == 0 and options.half:
            halve(folder / BEST)
    return Training(folder / BEST, record.rows, leading=not rank_zero_only.rank)


def _data(options: TrainOptions, *, resumed: bool) -> tuple[LightningDataModule, dict[str, Any]]:
    """Return the data, and what a checkpoint says of them."""
    told: dict[str, Any] = {
        "format": METADATA_FORMAT,
        "normalization": options.normalization,
        "input_channels": list(options.source),
        "output_channels": list(options.target),
        "training": options.request() | {"versions": {name: version(name) for name in _LIBRARIES}},
    }
    direction = f"{' and '.join(options.source)} to {' and '.join(options.target)}"
    if options.simulated:
        told |= {
            "normalization": DEFAULT_NORMALIZATION,
            "pixel_size_um": None,
            "description": (
                f"Demonstration, trained on simulated cells only, no model for science: {direction}; stains: typical "
                "is 1 and empty ground 0; phase: radians, as seen by steady optics."
            ),
        }
        return SimulatedData(options), told
    store = open_store(data.resolve(options.data, kind="movie"))
    fields = find_fields(
        store,
        Choice(
            options.source, options.target, options.positions, options.validation, options.z,
            options.normalization or DEFAULT_NORMALIZATION, options.patch, options.seed,
        ),
    )  # fmt: skip
    note_fields(options.output, fields, resumed=resumed)
    _log.info("%d images to train on, %d held out", len(fields.train), len(fields.held_out))
    outputs = {name: {"mean": found.center, "std": found.scale} for name, found in fields.outputs.items()}
    told |= {
        "pixel_size_um": fields.pixel_size,
        "description": f"{direction}, trained on {store.path.name}; unit: one standard deviation of the training data.",
        "output_statistics": outputs,
        "data_sha256": fields.sha256,
    }
    return StoreData(fields, options), told


def _network(options: TrainOptions, told: Mapping[str, Any]) -> StainingNetwork:
    config: dict[str, Any] = SIZES[options.size] | {
        "in_channels": len(options.source),
        "out_channels": len(options.target),
        "stem_kernel_size": [1, 2, 2],
        "in_stack_depth": 1,
    }
    state: StateDict | None = None
    if options.initial:
        config, state = _initial(options)
    network = StainingNetwork(
        config,
        loss=options.loss,
        rate=options.rate,
        steps=options.rounds * options.steps_per_round,
        targets=options.target,
        told=told,
    )
    if state is not None:
        network.model.load_state_dict({name: weight.float() for name, weight in state.items()})
    return network


def _normalization(options: TrainOptions) -> Method:
    """Return what the checkpoint to begin from was trained with, else mean and standard deviation."""
    known = read_spec(data.resolve_checkpoint(options.initial))[0].normalization if options.initial else None
    return known or DEFAULT_NORMALIZATION


def _initial(options: TrainOptions) -> tuple[dict[str, Any], StateDict]:
    """Read the network to begin from."""
    spec, state = read_spec(data.resolve_checkpoint(str(options.initial)))
    spec.require_in_channels(len(options.source))
    if spec.architecture.out_channels != len(options.target):
        raise UsageError(
            f"--from {options.initial}: predicts {spec.architecture.out_channels} channels "
            f"({', '.join(spec.output_channels)}), and --target names {len(options.target)}"
        )
    return asdict(spec.architecture), state


def _trainer(options: TrainOptions, device: torch.device, record: Record) -> Trainer:
    steps = options.rounds * options.steps_per_round
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=[device.index] if device.index is not None else options.devices,
        # VisCy's network has weights for training with masks, which no gradient reaches here
        strategy="ddp_find_unused_parameters_true" if options.devices > 1 else "auto",
        precision=_PRECISIONS[options.precision],
        max_epochs=options.rounds,
        gradient_clip_val=_GRADIENT_NORM,
        logger=TensorBoardLogger(options.output, name=None, version=LOGS),
        callbacks=[Bar(steps), record, *checkpoints(options.output, options.patience)],
        log_every_n_steps=max(1, min(50, options.steps_per_round)),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the draws know of the devices
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _fit(
    trainer: Trainer, network: StainingNetwork, module: LightningDataModule, resumed: Path | None, options: TrainOptions
) -> None:
    try:
        trainer.fit(network, module, ckpt_path=resumed)
    except torch.OutOfMemoryError as error:
        raise UsageError(
            f"--batch-size {options.batch_size} --patch {options.patch}: does not fit into the device's memory; use "
            "smaller ones, or --precision bf16"
        ) from error
    except SystemExit as error:  # how Lightning ends when it is interrupted
        raise KeyboardInterrupt from error


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep Lightning's advertisements off the screen, and its output out of the results."""
    libraries = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [library.level for library in libraries]
    for library in libraries:
        library.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.filterwarnings("ignore", message=f".*({'|'.join(_EXPECTED)})")
            yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.setLevel(level)
