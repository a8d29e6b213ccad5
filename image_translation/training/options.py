"""What a training is asked for, and what its arguments alone show to be wrong."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from image_translation import data
from image_translation.errors import UsageError
from image_translation.normalize import METHODS, Method

SIMULATED = "simulated"
"""Stands, in place of a store, for fields that are simulated while the network is trained."""

SIMULATED_SIDE = 256
"""Side of a simulated field, in pixels."""

DEFAULT_NORMALIZATION: Method = "mean_std"
STRIDE = 16
SMALLEST_FOR_MS_SSIM = 176  # pixels: five scales of windows of 11

Size = Literal["small", "full"]
Augmentation = Literal["none", "weak", "strong"]
SIZES: dict[Size, dict[str, Any]] = {
    "small": {"encoder_blocks": [1, 1, 2, 1], "dims": [32, 64, 128, 256], "decoder_conv_blocks": 1},
    "full": {"encoder_blocks": [3, 3, 9, 3], "dims": [96, 192, 384, 768], "decoder_conv_blocks": 2},
}
"""Networks to begin from: one of a million weights that a laptop can train, and the size of VSCyto2D."""


@dataclass(frozen=True)
class TrainOptions:
    """Arguments of a training; see ``image-translation train --help``.

    Attributes
    ----------
    data
        OME-Zarr store, or a name that `data.resolve` knows, or ``simulated``.
    source, target
        Names of the channels to predict from, and of those to predict.
    output
        Directory for checkpoints, curves and logs.
    positions
        Names or glob patterns of the positions to train on; all when empty.
    validation
        Names or glob patterns of the positions that are held out; a fifth of all when empty.
    z
        ``middle``, ``all``, or an index.
    normalization
        Of the source, over its field of view; None takes that of `initial`, else mean and standard deviation.
    size
        Of a network that begins from random weights.
    initial
        Checkpoint to begin from, in its size; None begins from random weights.
    steps
        Optimiser steps, rounded up to whole rounds.
    round_steps
        Steps between two looks at what was held out, each of which may be resumed from; None takes a twentieth.
    batch_size
        Patches of a step, on each device.
    patch
        Side of a patch, in pixels.
    rate
        Highest learning rate; it is reached after a warm-up of a twentieth of the steps, and falls along a cosine.
    loss
        Weights of L1, L2 and MS-DSSIM.
    augmentation
        How much patches are turned, dimmed, blurred and soiled.
    patience
        Rounds without progress after which to stop; None never does.
    seed
        Of weights, patches and augmentations.
    device, devices, precision, workers
        Kind and number of devices, arithmetic of the network, and processes that read.
    half
        Store the weights of the best checkpoint in half precision.
    overwrite
        Replace a training of other options.
    """

    data: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    output: Path
    positions: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    z: str = "middle"
    normalization: Method | None = None
    size: Size = "small"
    initial: str | None = None
    steps: int = 4000
    round_steps: int | None = None
    batch_size: int = 4
    patch: int = 192
    rate: float = 1e-3
    loss: tuple[float, float, float] = (0.5, 0.0, 0.5)
    augmentation: Augmentation = "strong"
    patience: int | None = None
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    workers: int | None = None
    half: bool = False
    overwrite: bool = False

    @property
    def steps_per_round(self) -> int:
        """Number of steps from one validation to the next."""
        return min(self.steps, self.round_steps or -(-self.steps // 20))

    @property
    def rounds(self) -> int:
        """Number of validations of the whole training."""
        return -(-self.steps // self.steps_per_round)

    @property
    def simulated(self) -> bool:
        """Whether the fields are simulated."""
        return self.data == SIMULATED

    def request(self) -> dict[str, Any]:
        """Tell what decides the weights, as plain JSON values."""
        return {
            "data": self.data if self.simulated else str(data.locate(self.data).resolve()),
            "source": list(self.source),
            "target": list(self.target),
            "positions": list(self.positions),
            "validation": list(self.validation),
            "z": self.z,
            "normalization": self.normalization,
            "size": None if self.initial else self.size,
            "initial": self.initial,
            "steps": self.rounds * self.steps_per_round,
            "round_steps": self.steps_per_round,
            "batch_size": self.batch_size,
            "patch": self.patch,
            "rate": self.rate,
            "loss": list(self.loss),
            "augmentation": self.augmentation,
            "patience": self.patience,
            "seed": self.seed,
            "devices": self.devices,
            "precision": self.precision,
        }

    def check(self) -> None:
        """Raise a ``UsageError`` if the arguments alone show that the training cannot be done."""
        self._check_channels()
        self._check_numbers()
        for name, value, allowed in (
            ("--normalization", self.normalization, METHODS),
            ("--size", self.size, tuple(SIZES)),
            ("--augmentation", self.augmentation, get_args(Augmentation)),
        ):
            if value is not None and value not in allowed:
                raise UsageError(f"{name} {value}: must be one of {', '.join(allowed)}")
        if self.initial:
            data.locate(self.initial, kind="checkpoint")
        if not self.simulated:
            data.locate(self.data, kind="movie")
        elif self.positions or self.validation:
            raise UsageError(f"--position and --validation: the data {SIMULATED} have no positions; leave them out")
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"-o {self.output}: is a file; give a directory, which is made where there is none")

    def _check_channels(self) -> None:
        for flag, names in (("--source", self.source), ("--target", self.target)):
            if not names or len(set(names)) < len(names):
                raise UsageError(f"{flag} {' '.join(names)}: give the name of one or more channels, each once")
        both = sorted({*self.source} & {*self.target})
        if both:
            raise UsageError(f"--target {both[0]}: is a source, too; what is predicted cannot be what it is seen from")
        if not self.simulated:
            return
        from image_translation.simulation.spec import CHANNELS

        phase, stains = CHANNELS[:1], CHANNELS[1:]
        sides = ((self.source, self.target), (self.target, self.source))
        if not any(left == phase and {*right} <= {*stains} for left, right in sides):
            raise UsageError(
                f"--source {' '.join(self.source)} --target {' '.join(self.target)}: {SIMULATED} fields have "
                f"{phase[0]} on one side, and {' and '.join(stains)} on the other"
            )

    def _check_numbers(self) -> None:
        counts = {
            "--steps": self.steps,
            "--round": self.steps_per_round,
            "--batch-size": self.batch_size,
            "--devices": self.devices,
            "--patience": 1 if self.patience is None else self.patience,
        }
        for flag, count in counts.items():
            if count < 1:
                raise UsageError(f"{flag} {count}: must be 1 or more")
        if self.seed < 0 or (self.workers or 0) < 0:
            raise UsageError("--seed and --workers must be 0 or more")
        if self.patch < STRIDE or self.patch % STRIDE:
            raise UsageError(f"--patch {self.patch}: must be a multiple of {STRIDE} pixels")
        if self.simulated and self.patch > SIMULATED_SIDE:
            raise UsageError(f"--patch {self.patch}: {SIMULATED} fields are {SIMULATED_SIDE} pixels wide")
        if not 0 < self.rate < 1:
            raise UsageError(f"--rate {self.rate:g}: must lie between 0 and 1, for instance 0.001")
        if min(self.loss) < 0 or not any(self.loss):
            raise UsageError(
                f"--loss {' '.join(map('{:g}'.format, self.loss))}: weights of L1, L2 and MS-DSSIM "
                "must not be negative, and one of them must be above 0"
            )
        if self.loss[2] and self.patch < SMALLEST_FOR_MS_SSIM:
            raise UsageError(
                f"--patch {self.patch}: MS-DSSIM looks at five scales and needs patches of {SMALLEST_FOR_MS_SSIM} "
                "pixels; use larger ones, or leave it out with --loss 0.5 0.5 0"
            )
