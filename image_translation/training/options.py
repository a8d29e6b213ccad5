"""Options of a training, and the checks that need nothing but the options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from image_translation import data
from image_translation.errors import UsageError
from image_translation.extras import require_extra
from image_translation.files import require_directory
from image_translation.normalize import METHODS, Method
from image_translation.sources.movie_metadata import MovieMetadata

SIMULATED = "simulated"
"""Takes the place of a store: fields are simulated during training."""

INITIAL_SHA256 = "initial_sha256"
"""Key in the request of a training."""

SIMULATED_SIZE = 256
"""Height and width of a simulated field, in pixels."""

DEFAULT_NORMALIZATION: Method = "mean_std"
STRIDE, STACK_STRIDE = 16, 32
"""Patches must be multiples of this number of pixels: the stride of the networks of `SIZES`, and of `STACK_SIZES`."""

_MIN_PATCH_MS_DSSIM = 176  # pixels: five scales with windows of 11 pixels

Size = Literal["small", "full"]
Augmentation = Literal["none", "weak", "strong"]
SIZES: dict[Size, dict[str, Any]] = {
    "small": {"encoder_blocks": [1, 1, 2, 1], "dims": [32, 64, 128, 256], "decoder_conv_blocks": 1},
    "full": {"encoder_blocks": [3, 3, 9, 3], "dims": [96, 192, 384, 768], "decoder_conv_blocks": 2},
}
"""Architectures that start from random weights: a million weights for laptops, and the size of VSCyto2D."""

STACK_SIZES: dict[Size, dict[str, Any]] = {
    "small": {"backbone": "convnextv2_atto", "decoder_conv_blocks": 1, "head_expansion_ratio": 2},
    "full": {"backbone": "convnextv2_tiny", "decoder_conv_blocks": 2, "head_expansion_ratio": 4},
}
"""The same for stacks: four million weights, and the size of the published `UNeXt2` of VSCyto3D."""


@dataclass(frozen=True)
class TrainOptions(MovieMetadata):
    """Options of a training; see ``image-translation train --help``.

    Attributes
    ----------
    data
        Path of an OME-Zarr store or of TIFF files, a name that `data.resolve` knows, or ``simulated``.
    source, target
        Names of the channels to predict from, and of the channels to predict.
    output
        Directory for checkpoints, curves and logs.
    positions
        Names or glob patterns of the positions to train on; all when empty.
    validation
        Names or glob patterns of the positions to hold out for validation; a fifth of all when empty.
    stack
        Number of adjacent planes of a stack, which the network takes and predicts; None for single planes.
    z
        Planes to train on: ``middle``, ``all``, an index or a range, as in `selection.select_planes`; with `stack`, all
        stacks among these planes, or the one around a single plane. None is the middle plane, and all stacks.
    normalization
        Normalisation method of the sources; None takes that of `initial`, else mean and standard deviation.
    size
        Size of a network that starts from random weights.
    initial
        Checkpoint to start from, which also determines the size; None starts from random weights.
    head_pool
        Whether the head of `initial` pools, where the checkpoint does not say it; None uses what is known.
    steps
        Number of optimiser steps, rounded up to complete rounds.
    round_steps
        Steps between two validations, each of which writes a checkpoint to resume from; None takes a twentieth.
    batch_size
        Patches per step, on each device.
    patch
        Height and width of a patch, in pixels.
    rate
        Highest learning rate: linear warm-up over a twentieth of the steps, then cosine decay to 0.
    loss
        Weights of L1, L2 and MS-DSSIM.
    augmentation
        Strength of the augmentation of patches.
    patience
        Stop after this number of rounds without improvement; None never stops early.
    seed
        Seed of initial weights, patches and augmentation.
    device, devices, precision, workers
        Device, number of devices, precision of the network, and number of data loading processes.
    half
        Store the best weights in half precision.
    overwrite
        Replace a training with other options.
    axes, interval, pixel_size
        What TIFF files do not say; see ``movie_metadata.MovieMetadata``.
    """

    data: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    output: Path
    positions: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    stack: int | None = None
    z: str | None = None
    normalization: Method | None = None
    size: Size = "small"
    initial: str | None = None
    head_pool: bool | None = None
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
        """Number of steps between two validations."""
        return min(self.steps, -(-self.steps // 20) if self.round_steps is None else self.round_steps)

    @property
    def rounds(self) -> int:
        """Total number of rounds, each of which ends with a validation."""
        return -(-self.steps // self.steps_per_round)

    @property
    def depth(self) -> int:
        """Number of planes that the network takes."""
        return self.stack or 1

    @property
    def stride(self) -> int:
        """Height and width of patches must be multiples of this number of pixels."""
        return STACK_STRIDE if self.stack else STRIDE

    @property
    def planes(self) -> str:
        """The planes to train on, as in `selection.select_planes`."""
        return self.z or ("all" if self.stack else "middle")

    @property
    def simulated(self) -> bool:
        """Whether the fields are simulated."""
        return self.data == SIMULATED

    def request(self) -> dict[str, Any]:
        """Return all options that determine the weights, as JSON values: files by name, because this is published."""
        return {
            "data": self.data if self.simulated else data.locate(self.data).resolve().name,
            "source": list(self.source),
            "target": list(self.target),
            "positions": list(self.positions),
            "validation": list(self.validation),
            "z": self.planes,
            # Only where it is given: requests of earlier versions stay equal.
            **({} if self.stack is None else {"stack": self.stack}),
            "normalization": self.normalization,
            "size": None if self.initial else self.size,
            **self._initial_request(),
            **({} if self.head_pool is None else {"head_pool": self.head_pool}),
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
            **self.metadata.to_json(),
        }

    def _initial_request(self) -> dict[str, str | None]:
        path = Path(self.initial or "")
        if not (self.initial and path.is_file()):
            return {"initial": self.initial}  # none, or a name of the registry
        from image_translation.network.checkpoint import sha256

        return {"initial": path.name, INITIAL_SHA256: sha256(path)}

    def check(self) -> None:
        """Raise a ``UsageError`` if the options alone show that the training cannot be done."""
        self._check_channels()
        self._check_numbers()
        self.check_metadata()
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
            raise UsageError(f"--position and --validation: {SIMULATED} data have no positions; leave them out")
        elif self.metadata.to_json():
            raise UsageError(
                f"--{next(iter(self.metadata.to_json())).replace('_', '-')}: is for TIFF files, not {SIMULATED} data"
            )
        require_directory(self.output)
        require_extra("train", "train")

    def _check_channels(self) -> None:
        for flag, names in (("--source", self.source), ("--target", self.target)):
            if not names or len(set(names)) < len(names):
                raise UsageError(f"{flag} {' '.join(names)}: give one or more channels, each once")
        both = sorted({*self.source} & {*self.target})
        if both:
            raise UsageError(f"--target {both[0]}: is also a source; sources and targets must differ")
        if not self.simulated:
            return
        from image_translation.simulation.spec import CHANNELS

        phase, stains = CHANNELS[:1], CHANNELS[1:]
        sides = ((self.source, self.target), (self.target, self.source))
        if not any(left == phase and {*right} <= {*stains} for left, right in sides):
            raise UsageError(
                f"--source {' '.join(self.source)} --target {' '.join(self.target)}: {SIMULATED} fields need "
                f"{phase[0]} on one side, and {' and '.join(stains)} on the other"
            )

    def _check_numbers(self) -> None:
        counts = {
            "--steps": self.steps,
            "--round": 1 if self.round_steps is None else self.round_steps,
            "--batch-size": self.batch_size,
            "--devices": self.devices,
            "--patience": 1 if self.patience is None else self.patience,
        }
        for flag, count in counts.items():
            if count < 1:
                raise UsageError(f"{flag} {count}: must be 1 or more")
        if self.seed < 0 or (self.workers or 0) < 0:
            raise UsageError("--seed and --workers must be 0 or more")
        if self.stack is not None and self.stack < 2:
            raise UsageError(f"--stack {self.stack}: must be 2 planes or more; leave it out for single planes")
        if self.patch < self.stride or self.patch % self.stride:
            whose = " with --stack" if self.stack else ""
            raise UsageError(f"--patch {self.patch}: must be a multiple of {self.stride} pixels{whose}")
        if self.simulated and self.patch > SIMULATED_SIZE:
            raise UsageError(f"--patch {self.patch}: {SIMULATED} fields have only {SIMULATED_SIZE} pixels")
        if not 0 < self.rate < 1:
            raise UsageError(f"--rate {self.rate:g}: must lie between 0 and 1, for instance 0.001")
        if min(self.loss) < 0 or not any(self.loss):
            raise UsageError(
                f"--loss {' '.join(map('{:g}'.format, self.loss))}: weights of L1, L2 and MS-DSSIM "
                "must not be negative, and one of them must be above 0"
            )
        least = -(-_MIN_PATCH_MS_DSSIM // self.stride) * self.stride
        if self.loss[2] and self.patch < least:
            raise UsageError(
                f"--patch {self.patch}: MS-DSSIM has five scales and needs patches of at least {least} pixels; "
                "use larger patches, or omit it with --loss 0.5 0.5 0"
            )
