"""Train a network according to a plan, or resume a training.

The networks are VisCy's `VSUNet` (Liu et al., "Robust virtual staining of landmark organelles with Cytoland", Nature
Machine Intelligence 7, 901-915, 2025); the training loop is Lightning's.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from image_translation.errors import UsageError
from image_translation.network.devices import keep_freed_memory
from image_translation.training.callbacks import HistoryRecorder, StepProgressBar, checkpoint_callbacks
from image_translation.training.lightning_module import StainingModule
from image_translation.training.output_directory import BEST, LOGS, convert_to_half, lock, prepare
from image_translation.training.patches import SimulatedDataModule, StoreDataModule
from image_translation.training.plan import TrainingPlan

_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
_MAX_GRADIENT_NORM = 1.0
_EXPECTED_WARNINGS = (
    "does not have many workers",  # the cores of a laptop are for the network, unless workers are requested
    "exists and is not empty",
    "variance of predictions",  # an undefined correlation counts as 0
    "too large for 2.5D SSIM",  # of stacks of more than 15 planes
    "Grad strides",
    "LeafSpec",
    "isinstance.treespec",
)
"""Warnings of libraries that are not shown."""


@dataclass(frozen=True)
class Training:
    """Result of a training.

    Attributes
    ----------
    best
        Checkpoint of the round with the lowest validation loss.
    history
        One row per round: ``step``, ``seconds``, ``loss/train``, ``loss/validation``, ``pearson/CHANNEL``, ``rate``.
    is_main_process
        False in all but one of the processes of a training on several devices.
    """

    best: Path
    history: list[dict[str, float]]
    is_main_process: bool = True


def train(plan: TrainingPlan) -> Training:
    """Train a network, or resume the training that an equal request started.

    Raises
    ------
    UsageError
        If another training uses the output directory, or a batch does not fit into the memory of the device.
    DataError
        If the data cannot be read, the loss is not finite, or the output directory cannot be written to.
    """
    options = plan.options
    with lock(options.output):
        resumable = prepare(options, plan.fields)
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            patches = StoreDataModule(plan.fields, options) if plan.fields else SimulatedDataModule(options)
            module = _staining_module(plan)
            if plan.device.type == "cpu":
                keep_freed_memory()
            recorder = HistoryRecorder(options.output, options.source, options.target)
            with _quiet_libraries():
                _fit(plan, _trainer(plan, recorder), module, patches, resumable)
        if rank_zero_only.rank == 0 and options.half:
            convert_to_half(options.output / BEST)
    return Training(options.output / BEST, recorder.rows, is_main_process=not rank_zero_only.rank)


def _staining_module(plan: TrainingPlan) -> StainingModule:
    options = plan.options
    module = StainingModule(
        plan.architecture,
        dict(plan.model_config),
        loss=options.loss,
        rate=options.rate,
        steps=options.rounds * options.steps_per_round,
        targets=options.target,
        metadata=plan.metadata,
    )
    if plan.weights is not None:
        module.model.load_state_dict({name: weight.float() for name, weight in plan.weights.items()})
    return module


def _trainer(plan: TrainingPlan, recorder: HistoryRecorder) -> Trainer:
    options, device = plan.options, plan.device
    steps = options.rounds * options.steps_per_round
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=[device.index] if device.index is not None else options.devices,
        # VisCy's network has weights for masked pre-training, which get no gradient here
        strategy="ddp_find_unused_parameters_true" if options.devices > 1 else "auto",
        precision=_PRECISIONS[options.precision],
        max_epochs=options.rounds,
        gradient_clip_val=_MAX_GRADIENT_NORM,
        logger=TensorBoardLogger(options.output, name=None, version=LOGS),
        callbacks=[StepProgressBar(steps), recorder, *checkpoint_callbacks(options.output, options.patience)],
        log_every_n_steps=max(1, min(50, options.steps_per_round)),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # `patches.PatchSampler` divides the patches among the devices
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _fit(
    plan: TrainingPlan, trainer: Trainer, module: StainingModule, patches: LightningDataModule, resumable: Path | None
) -> None:
    try:
        trainer.fit(module, patches, ckpt_path=resumable)
    except torch.OutOfMemoryError as error:
        raise UsageError(
            f"--batch-size {plan.options.batch_size} --patch {plan.options.patch}: does not fit into the memory of the "
            "device; use smaller values, or --precision bf16"
        ) from error
    except SystemExit as error:  # raised by Lightning after an interrupt
        raise KeyboardInterrupt from error


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Suppress Lightning's hints and expected warnings, and redirect its output from stdout to stderr."""
    libraries = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [library.level for library in libraries]
    for library in libraries:
        library.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.filterwarnings("ignore", message=f".*({'|'.join(_EXPECTED_WARNINGS)})")
            yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.setLevel(level)
