"""Options of a run, and the checks that need nothing but the options.

No store is opened and no network is loaded here, so that a mistyped argument is reported at once.
"""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from image_translation import data
from image_translation.errors import UsageError
from image_translation.extras import require_extra
from image_translation.files import require_directory
from image_translation.frame import check_frame_range
from image_translation.normalize import Method, Over, Source
from image_translation.omezarr.blank_frames import NAN, Blank
from image_translation.sources.movie_metadata import MovieMetadata
from image_translation.staining.methods import DEFAULT_METHODS, METHODS, SMOOTHING, options_of, version_of
from image_translation.temporal.filter import TemporalFilter

LOCAL = "local:"
SCHEDULER = re.compile(rf"{LOCAL}0*[1-9][0-9]{{0,3}}|[a-z]+://[^/\s]+/?\S*")
Version = Literal["0.4", "0.5"]
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
class SmoothOptions(Inference, MovieMetadata):
    """Options of staining and smoothing; see ``image-translation smooth --help``.

    Attributes
    ----------
    checkpoint, movie
        Paths, or names that `data.resolve` knows.
    output
        Output directory.
    positions, skip
        Names or glob patterns of the positions to include (all when empty) and of those to exclude.
    channel
        Name of the input channel, or names in the order of the network's inputs; None chooses those that the network
        was trained with, or the obvious one.
    output_channels
        Names of the channels that the network predicts; empty for what the checkpoint says.
    z
        ``middle``, ``all``, an index, or ``START:STOP``; None is the middle plane, and all planes for a network that
        takes stacks.
    z_pad
        Extend stacks by reflection in z, so that all of their planes can be predicted.
    z_reversed
        Show the planes to a network that takes stacks from the last to the first.
    resample
        Bring the phase to the pixels that the network was trained with, and the prediction back.
    frames
        First frame, and the one after the last; None stands for the start or the end of the movie.
    methods
        Results to write, out of ``METHODS``.
    leave_out
        Leave out methods that need more valid frames than the movie has, instead of refusing it; but not those whose
        own options are set.
    window
        Window of the moving average, in frames.
    savgol_window, savgol_polyorder
        Window, in frames, and polynomial order of the Savitzky-Golay filter.
    median_window
        Window of the temporal median, in frames.
    motion_window
        Window of the motion filter, in frames.
    causal_lag
        Number of later frames that the causal motion filter waits for.
    register
        Take the jitter of the stage out of the movie first.
    normalization
        ``median_iqr``, ``mean_std``, ``percentiles`` or ``none``; None uses what the checkpoint says.
    head_pool
        Whether the network's head pools, where the checkpoint does not say it; None uses what is known.
    statistics
        Where the statistics to normalise by come from: ``auto``, ``stored`` or ``estimated``, see
        ``omezarr.statistics.field_statistics``.
    statistics_over
        What they are pooled over: ``fov``, ``timepoint`` or ``dataset``; None uses what the checkpoint says, else
        ``fov``.
    statistics_window
        With ``timepoint``, number of neighbouring frames whose medians are taken, odd.
    device, precision, batch_size, tta, backend, cache
        How the network is run; see ``predictor.Predictor``.
    ome_zarr
        OME-Zarr version of the results; None is that of the movie.
    blank
        Pixels of invalid frames in the results; see ``omezarr.blank_frames``.
    channel_suffix
        What is appended to the names of the channels in the results.
    scheduler
        Where the positions are processed: ``local:N``, N processes on this machine, or the address of a Dask scheduler;
        None is this process.
    overwrite
        Replace results that were made with other options.
    axes, interval, pixel_size
        What a TIFF movie does not say; see ``movie_metadata.MovieMetadata``.
    """

    checkpoint: str
    movie: str
    output: Path
    positions: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    channel: str | tuple[str, ...] | None = None
    output_channels: tuple[str, ...] = ()
    z: str | None = None
    z_pad: bool = False
    z_reversed: bool = False
    resample: bool = False
    frames: tuple[int | None, int | None] = (None, None)
    methods: tuple[str, ...] = DEFAULT_METHODS
    leave_out: bool = False
    window: int = 2
    savgol_window: int = 11
    savgol_polyorder: int = 3
    median_window: int = 5
    motion_window: int = 7
    causal_lag: int = 1
    register: bool = False
    normalization: Method | None = None
    head_pool: bool | None = None
    statistics: Source = "auto"
    statistics_over: Over | None = None
    statistics_window: int = 1
    ome_zarr: Version | None = None
    blank: Blank = NAN
    channel_suffix: str = ""
    scheduler: str | None = None
    overwrite: bool = False

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the input channels; empty if none are given."""
        return (self.channel,) if isinstance(self.channel, str) else self.channel or ()

    @property
    def inference(self) -> Inference:
        """How the network is run."""
        return Inference(**{field.name: getattr(self, field.name) for field in fields(Inference)})

    def filters(self) -> dict[str, TemporalFilter]:
        """Return a new filter for every method but ``raw``, which needs none."""
        return {m: SMOOTHING[m].make(**self._parameters_of(m)) for m in self.methods if m in SMOOTHING}

    def method_parameters(self) -> dict[str, dict[str, int]]:
        """Return, for each method, the parameters and the version that decide its pixels beside the raw prediction."""
        return {method: self._parameters_of(method) | version_of(method) for method in self.methods}

    def may_leave_out(self, method: str) -> bool:
        """Return whether a method was asked for neither by name nor by one of its options."""
        defaults = {field.name: field.default for field in fields(self)}
        return self.leave_out and all(
            getattr(self, option) == defaults[option] for option in options_of(method).values()
        )

    def _parameters_of(self, method: str) -> dict[str, int]:
        return {name: getattr(self, option) for name, option in options_of(method).items()}

    def check(self) -> None:
        """Raise a ``UsageError`` if the options alone show that the run cannot be done."""
        self.check_values()
        self._check_scheduler()
        data.locate(self.checkpoint, kind="checkpoint")
        self._check_output(data.locate(self.movie, kind="movie").resolve())

    def check_values(self) -> None:
        """Raise a ``UsageError`` if a value is not allowed, whatever checkpoint, movie and output are."""
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown or not self.methods:
            raise UsageError(
                f"--methods {' '.join(self.methods)}: allowed are {', '.join(METHODS)}, at least one of them"
            )
        self.filters()
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"--batch-size {self.batch_size}: must be 1 or more")
        check_frame_range(self.frames)
        if self.statistics_window < 1 or self.statistics_window % 2 == 0:
            raise UsageError(f"--statistics-window {self.statistics_window}: must be odd, 1 or more")
        if self.statistics_over:
            self.check_statistics_window(self.statistics_over)
        self.check_metadata()
        if not self.channel_suffix.isprintable():
            raise UsageError(f"--channel-suffix {self.channel_suffix!r:.100}: must be text that can be printed")

    def check_statistics_window(self, over: Over) -> None:
        """Raise a ``UsageError`` if statistics over something have no window."""
        if self.statistics_window > 1 and over != "timepoint":
            raise UsageError(
                f"--statistics-window {self.statistics_window}: needs --statistics-over timepoint, not {over}"
            )

    def _check_scheduler(self) -> None:
        if self.scheduler is None:
            return
        if not SCHEDULER.fullmatch(self.scheduler):
            raise UsageError(
                f"--scheduler {self.scheduler}: must be local:N, N processes on this machine, or the address of a Dask "
                "scheduler such as tcp://10.0.0.5:8786"
            )
        require_extra(f"--scheduler {self.scheduler}", "cluster")

    def _check_output(self, movie: Path) -> None:
        require_directory(self.output)
        output = self.output.resolve()
        for directory in (output, *output.parents):
            if directory == movie or any((directory / name).exists() for name in ZARR_METADATA):
                raise UsageError(f"-o {self.output}: lies inside the movie {directory}; movies are never written into")
        for name in (*(f"{method}.ome.zarr" for method in METHODS), "figures", ".partial"):
            if output / name in (movie, *movie.parents):
                raise UsageError(f"-o {self.output}: would replace the movie {movie}; choose another directory")


def make_filter(method: str, **parameters: int) -> TemporalFilter:
    """Return a new filter by the name of its method, with the defaults of `SmoothOptions`.

    Raises
    ------
    UsageError
        If the method or a parameter is unknown, or has a value that is not allowed.
    """
    if method not in SMOOTHING:
        raise UsageError(f"there is no method {method!r}; choose one of {', '.join(SMOOTHING)}")
    known = options_of(method)
    if unknown := [name for name in parameters if name not in known]:
        raise UsageError(f"{method} has no parameter {unknown[0]!r}; it has {', '.join(known)}")
    defaults = {field.name: field.default for field in fields(SmoothOptions)}
    return SMOOTHING[method].make(**{name: defaults[option] for name, option in known.items()} | parameters)
