"""What a run is asked for, and what its arguments alone show to be wrong.

Checked here is all that needs no store, no network and no torch, so that a slip of the keyboard is answered at once.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from image_translation import data
from image_translation.errors import UsageError
from image_translation.frame import require_frames
from image_translation.metrics.rows import RAW
from image_translation.normalize import Method
from image_translation.staining.methods import DEFAULT_METHODS, METHODS, PARAMETERS
from image_translation.temporal.filter import TemporalFilter
from image_translation.temporal.linear import SavitzkyGolay, moving_average
from image_translation.temporal.median import MedianFilter
from image_translation.temporal.motion_filter import causal, centred

LOCAL = "local:"
SCHEDULER = re.compile(rf"{LOCAL}0*[1-9][0-9]{{0,3}}|[a-z]+://[^/\s]+/?\S*")
ZARR_METADATA = (".zgroup", ".zattrs", ".zarray", "zarr.json")


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How the network is run; see ``predictor.Predictor``."""

    device: str = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    batch_size: int | None = None
    tta: bool = False
    backend: Literal["eager", "compile"] = "eager"
    cache: bool = True


@dataclass(frozen=True)
class SmoothOptions(Inference):
    """Arguments of the main job; see ``image-translation smooth --help``.

    Attributes
    ----------
    checkpoint, movie
        Paths, or names that `data.resolve` knows.
    output
        Directory for the results.
    positions, skip
        Names or glob patterns, of what to take (all positions when empty) and of what to leave out of it.
    channel
        Name of the label-free channel; None chooses the obvious one.
    z
        ``middle``, ``all``, or an index.
    frames
        Numbers of the first frame and of the one after the last; None stands for the movie's own.
    methods
        Which results to write, out of ``METHODS``.
    window
        Width of the moving average, in frames.
    savgol_window, savgol_polyorder
        Width, in frames, and polynomial order of the Savitzky-Golay filter.
    median_window
        Width of the temporal median, in frames.
    motion_window
        Width of the motion filter, in frames.
    causal_lag
        Number of frames that the causal motion filter waits for.
    keep_shake
        Let the motion filters leave in what shakes the whole image.
    normalization
        ``median_iqr``, ``mean_std`` or ``none``; None takes what the checkpoint says.
    device, precision, batch_size, tta, backend, cache
        How the network is run; see ``predictor.Predictor``.
    scheduler
        Where the positions are stained: ``local:N``, N processes on this machine, or the address of a Dask scheduler;
        None is this process.
    overwrite
        Replace results of other options.
    """

    checkpoint: str
    movie: str
    output: Path
    positions: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    channel: str | None = None
    z: str = "middle"
    frames: tuple[int | None, int | None] = (None, None)
    methods: tuple[str, ...] = DEFAULT_METHODS
    window: int = 2
    savgol_window: int = 11
    savgol_polyorder: int = 3
    median_window: int = 5
    motion_window: int = 7
    causal_lag: int = 1
    keep_shake: bool = False
    normalization: Method | None = None
    scheduler: str | None = None
    overwrite: bool = False

    @property
    def inference(self) -> Inference:
        """How the network is run."""
        return Inference(**{field.name: getattr(self, field.name) for field in fields(Inference)})

    def filters(self) -> dict[str, TemporalFilter]:
        """Make a fresh filter for every method but ``raw``, which needs none."""
        makers: dict[str, Callable[[], TemporalFilter]] = {
            "window": partial(moving_average, self.window),
            "savgol": partial(SavitzkyGolay, self.savgol_window, self.savgol_polyorder),
            "median": partial(MedianFilter, self.median_window),
            "motion": partial(centred, self.motion_window, keep_shake=self.keep_shake),
            "causal": partial(causal, self.causal_lag, keep_shake=self.keep_shake),
        }
        return {method: makers[method]() for method in self.methods if method != RAW}

    def method_parameters(self) -> dict[str, dict[str, int]]:
        """Tell what decides the pixels of each method's results, beside the raw prediction."""
        return {
            method: {name: getattr(self, option) for name, option in PARAMETERS[method].items()}
            for method in self.methods
        }

    def check(self) -> None:
        """Raise a ``UsageError`` if the arguments alone show that the run cannot be done."""
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown or not self.methods:
            raise UsageError(
                f"--methods {' '.join(self.methods)}: allowed are {', '.join(METHODS)}, at least one of them"
            )
        self.filters()
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"--batch-size {self.batch_size}: must be 1 or more")
        require_frames(self.frames)
        if self.scheduler is not None and not SCHEDULER.fullmatch(self.scheduler):
            raise UsageError(
                f"--scheduler {self.scheduler}: must be local:N, N processes on this machine, or the address of a Dask "
                "scheduler such as tcp://10.0.0.5:8786"
            )
        if self.scheduler is not None and find_spec("distributed") is None:
            raise UsageError(
                f"--scheduler {self.scheduler}: needs Dask, which is not installed: uv sync --extra cluster, or "
                "pip install 'image-translation[cluster]'"
            )
        data.locate(self.checkpoint, kind="checkpoint")
        self._check_output(data.locate(self.movie, kind="movie").resolve())

    def _check_output(self, movie: Path) -> None:
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"-o {self.output}: is a file; give a directory, which is made where there is none")
        output = self.output.resolve()
        for folder in (output, *output.parents):
            if folder == movie or any((folder / name).exists() for name in ZARR_METADATA):
                raise UsageError(f"-o {self.output}: lies inside the store {folder}; stores are never written into")
        for name in (*(f"{method}.ome.zarr" for method in METHODS), "figures", ".partial"):
            if output / name in (movie, *movie.parents):
                raise UsageError(f"-o {self.output}: would replace the movie {movie}; choose another directory")
