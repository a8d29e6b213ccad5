"""Stain a movie, and smooth it over time: frame by frame as an iterator, or as a whole."""

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from image_translation.api.movies import ArrayDescription, open_movie, select_position
from image_translation.api.networks import Network, as_network
from image_translation.api.parameter_names import parameter_names
from image_translation.api.stained_movie import StainedMovie
from image_translation.api.volumes import Volumes
from image_translation.errors import UsageError, listing
from image_translation.frame import Frame
from image_translation.metrics.rows import RAW
from image_translation.normalize import Method
from image_translation.omezarr.frame_statistics import FrameStatistics
from image_translation.omezarr.statistics import DisplayWindows
from image_translation.staining.options import SmoothOptions
from image_translation.staining.phase_statistics import find_dataset_statistics, find_statistics, further_statistics
from image_translation.staining.plan import Plan, make_plan
from image_translation.staining.run import warn_of_results
from image_translation.staining.stream import Prediction, predict
from image_translation.staining.writer import SeriesResult

OF_NETWORK = ("device", "precision", "batch_size", "tta", "backend", "head_pool")
"""Options that decide how a network is loaded; see `load_network`."""
FURTHER = (
    "frames", "output_channels", "z_pad", "z_reversed", "resample", "window", "savgol_window", "savgol_polyorder",
    "median_window", "motion_window", "causal_lag", "statistics", "statistics_over", "statistics_window", "ome_zarr",
    "blank", "channel_suffix",
)  # fmt: skip
"""Fields of ``SmoothOptions`` that may be given beside those that are named."""


@dataclass(frozen=True, slots=True, eq=False)
class StainedFrame:
    """One plane of one frame of a result.

    Attributes
    ----------
    method
        ``raw``, or the name of the temporal filter.
    index
        Number of the frame in the result, from 0.
    plane
        Number of the plane in the result, from 0.
    data
        Image (C, Y, X), float32; NaN if it is invalid.
    valid
        Whether the frame could be stained.
    """

    method: str
    index: int
    plane: int
    data: NDArray[np.float32]
    valid: bool


class StainedFrames(Iterator[StainedFrame]):
    """The frames of a movie, stained and smoothed when they are asked for.

    Smoothed frames come as soon as the filter has seen the frames that it needs, which is some frames after raw.
    Frames are read a little ahead. To cancel, stop iterating, and `close`, or use it in a ``with`` block.

    Attributes
    ----------
    channels
        Names of the predicted channels.
    methods
        Names of the results: ``raw``, and the temporal filters.
    shape
        Number of frames, channels, planes, rows and columns of the raw result: T, C, Z, Y, X.
    """

    def __init__(self, plan: Plan, network: Network) -> None:
        self.channels = plan.spec.output_channels
        self.methods = tuple(dict.fromkeys((RAW, *plan.options.methods)))
        self.shape = plan.images(RAW)[plan.series[0].position.name].shape
        self.plan = plan
        self._network = network
        self._records = [_Record(len(series.frames)) for series in plan.series]
        self._statistics: tuple[FrameStatistics, ...] = ()
        self._frames = self._run()

    def __next__(self) -> StainedFrame:
        """Return the next frame."""
        with parameter_names():
            return next(self._frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop: nothing more is read or computed."""
        self._frames.close()

    @property
    def statistics(self) -> tuple[FrameStatistics, ...]:
        """Statistics that each input channel is normalised by; empty before the first frame."""
        return self._statistics

    def results(self) -> list[SeriesResult]:
        """Return what was noted of each plane, once all frames have come."""
        overall = self._statistics[0].overall
        return [
            SeriesResult(
                series.name, series.position.name, [], record.invalid, overall,
                record.windows.windows(len(self.channels)), record.blank, record.incomplete, record.pixels,
            )
            for series, record in zip(self.plan.series, self._records, strict=True)
        ]  # fmt: skip

    def phase(self, frame: int, plane: int) -> NDArray[np.float32] | None:
        """Return the normalised phase of a raw frame that has just come, (Y, X) float32; None if it is invalid."""
        latest = self._records[plane].latest
        return latest.raw.phase if latest and latest.phase.valid and latest.phase.index == self._first + frame else None

    @property
    def _first(self) -> int:
        return self.plan.series[0].frames.start

    def _run(self) -> Generator[StainedFrame, None, None]:
        plan = self.plan
        statistics = find_statistics(plan, find_dataset_statistics(plan, {}), lambda _: None)
        self._statistics = (statistics, *further_statistics(plan))
        filters = [plan.options.filters() for _ in plan.series]
        if plan.window:
            known = Volumes(plan, self._statistics, self._network).plane
            batches = predict(plan, plan.series, self._statistics, predictor=None, known=known)
        else:
            batches = predict(plan, plan.series, self._statistics, predictor=self._network.predictor)
        for batch in batches:
            for one in batch:
                self._records[one.member].add(one)
                yield self._frame(RAW, one.member, one.raw)
                for method, temporal_filter in filters[one.member].items():
                    for frame in temporal_filter.push(one.raw):
                        yield self._frame(method, one.member, frame)
        for member, own in enumerate(filters):
            for method, temporal_filter in own.items():
                for frame in temporal_filter.flush():
                    yield self._frame(method, member, frame)

    def _frame(self, method: str, member: int, frame: Frame) -> StainedFrame:
        plane = self.plan.series[member].plane
        return StainedFrame(method, frame.index - self._first, plane, frame.data, frame.valid)


class Collection:
    """The frames of a stream that have come so far, in arrays.

    Attributes
    ----------
    results
        Stain by method, (T, C, Z, Y, X) float32; NaN where no frame has come.
    done, total
        Number of raw planes that have come, and of all.
    """

    def __init__(self, frames: StainedFrames) -> None:
        self._frames = frames
        name = frames.plan.series[0].position.name
        shapes = {method: frames.plan.images(method)[name].shape for method in frames.methods}
        self.results = {method: np.full(shape, np.nan, np.float32) for method, shape in shapes.items()}
        t, _, z, y, x = frames.shape
        self._phase = np.full((t, z, y, x), np.nan, np.float32)
        self.done, self.total = 0, t * z

    def add(self, frame: StainedFrame) -> bool:
        """Add the frame that has just come; return whether it is a raw one."""
        self.results[frame.method][frame.index, :, frame.plane] = frame.data
        if frame.method != RAW:
            return False
        phase = self._frames.phase(frame.index, frame.plane)
        if phase is not None:
            self._phase[frame.index, frame.plane] = phase
        self.done += 1
        return True

    def movie(self) -> StainedMovie:
        """Return the stained movie; before the end of the stream, of what has come so far."""
        found = self._frames.results()
        if self.done == self.total:
            warn_of_results(self._frames.plan, found)
        return StainedMovie(self._frames.plan, self.results, self._phase, found, self._frames.statistics)


@parameter_names()
def stain_frames(
    movie: Any,
    checkpoint: str | os.PathLike[str] | Network,
    *,
    channel: str | Sequence[str] | None = None,
    normalization: Method | None = None,
    smooth: str | Sequence[str] | None = "motion",
    position: str | None = None,
    z: str | int | None = None,
    axes: str | None = None,
    channels: Sequence[str] = (),
    pixel_size: float | Sequence[float] | None = None,
    interval: float | None = None,
    **options: Any,
) -> StainedFrames:
    """Stain a movie and smooth it over time, lazily: an iterator over the frames of all results.

    Everything is checked before the first frame. Memory holds the frames of the filters' windows. The parameters are
    those of `stain`.

    Returns
    -------
    StainedFrames
        Iterator of `StainedFrame`.

    Raises
    ------
    UsageError
        If an option does not fit the movie or the checkpoint.
    DataError
        If the movie or the checkpoint cannot be read; also while iterating.
    """
    _require_known(options)
    description = ArrayDescription(axes=axes, channels=channels, pixel_size=pixel_size, interval=interval)
    name, store = open_movie(movie, description)
    network = as_network(checkpoint, **{key: options[key] for key in OF_NETWORK if key in options})
    methods = (smooth,) if isinstance(smooth, str) else tuple(smooth or ())
    chosen = SmoothOptions(
        checkpoint=network.spec.path.name,
        movie=name,
        output=Path(),
        positions=(select_position(store, position).name,),
        channel=channel if isinstance(channel, str) else tuple(channel) if channel else None,
        z=None if z is None else str(z),
        methods=tuple(dict.fromkeys((RAW, *methods))),
        normalization=normalization,
        head_pool=options.get("head_pool"),
        **vars(description.metadata),
        **{field.name: getattr(network.inference, field.name) for field in fields(network.inference)},
        **{key: value for key, value in options.items() if key not in OF_NETWORK},
    )
    chosen.check_values()
    plan = make_plan(chosen, store=store, network=(network.spec, network.weights))
    return StainedFrames(plan, network)


def stain(
    movie: Any,
    checkpoint: str | os.PathLike[str] | Network,
    *,
    channel: str | Sequence[str] | None = None,
    normalization: Method | None = None,
    smooth: str | Sequence[str] | None = "motion",
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> StainedMovie:
    """Stain a movie and smooth it over time.

    The pixels are those of ``image-translation smooth``. Results are in memory; `stain_frames` gives the frames of
    movies that are too long for it one by one.

    Parameters
    ----------
    movie
        NumPy, dask, zarr or xarray array, of integers or floating-point numbers: (T, Y, X), (T, C, Y, X) or (T, C, Z,
        Y, X), or with the axes named; or the path of an OME-Zarr store, a TIFF file, a folder or a pattern of TIFF
        files, or a name such as ``demo_movie``.
    checkpoint
        Path, a name such as ``demo_ckpt``, or a network from `load_network`, which is not loaded again.
    channel
        Name of the input channel, or names in the order of the network's inputs; None chooses those of the training,
        ``Phase3D``, or the only one.
    normalization
        ``median_iqr``, ``mean_std``, ``percentiles`` or ``none``; None is what the checkpoint says.
    smooth
        Temporal filter, or several: ``motion`` (recommended), ``savgol``, ``window``, ``median``, ``causal``; None for
        the raw prediction only.
    progress
        Called with the number of planes of frames that are stained, and their total number, after each; an exception
        that it raises stops the work.
    **options
        ``position``: name of the position of a plate. ``z``: plane, range ``"10:30"``, ``"middle"`` or ``"all"``.
        ``axes``, ``channels``, ``pixel_size`` (micrometres), ``interval`` (seconds): what an array or a TIFF file does
        not say, see `ArrayDescription`. ``device``, ``precision``, ``batch_size``, ``tta``, ``backend``,
        ``head_pool``: see `load_network`. ``frames``, ``window``, ``savgol_window``, ``savgol_polyorder``,
        ``median_window``, ``motion_window``, ``causal_lag``, ``output_channels``, ``z_pad``, ``z_reversed``,
        ``resample``, ``statistics``, ``statistics_over``, ``statistics_window``, and, for `StainedMovie.save`,
        ``ome_zarr``, ``blank``, ``channel_suffix``: as of ``image-translation smooth``.

    Returns
    -------
    StainedMovie
        Raw and smoothed stains.

    Raises
    ------
    UsageError
        If an option does not fit the movie or the checkpoint.
    DataError
        If the movie or the checkpoint cannot be read.
    """
    with stain_frames(
        movie, checkpoint, channel=channel, normalization=normalization, smooth=smooth, **options
    ) as frames:
        collection = Collection(frames)
        for frame in frames:
            if collection.add(frame) and progress:
                progress(collection.done, collection.total)
    return collection.movie()


class _Record:
    """What is noted of a plane while its frames go by, for display windows and provenance."""

    def __init__(self, n_frames: int) -> None:
        self.windows = DisplayWindows(n_frames)
        self.invalid: list[int] = []
        self.blank: list[int] = []
        self.incomplete: list[int] = []
        self.pixels: list[str] = []
        self.latest: Prediction | None = None

    def add(self, one: Prediction) -> None:
        """Add the next frame."""
        self.latest = one
        self.windows.add(one.raw)
        self.pixels.append(one.pixels)
        if not one.raw.valid:
            self.invalid.append(one.raw.index)
        if not one.phase.valid:
            self.blank.append(one.phase.index)
        elif not one.complete:
            self.incomplete.append(one.phase.index)


def _require_known(options: Mapping[str, Any]) -> None:
    known = (*OF_NETWORK, *FURTHER)
    unknown = [name for name in options if name not in known]
    if unknown:
        raise UsageError(f"unknown options {listing(unknown)}; allowed are {', '.join(sorted(known))}")
