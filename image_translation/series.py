"""One movie of planes from phase to results: read, normalise, predict, filter, score, write, frame by frame."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.evaluate import RAW, TRUTH, Evaluator
from image_translation.frame import Frame
from image_translation.journal import Journal
from image_translation.output import PlaneStack, image_path
from image_translation.plan import Plan, Series
from image_translation.predict import Predictor
from image_translation.rows import Row

AHEAD = 2  # batches that are read before, and finished behind, the one in the network
SAMPLED_FRAMES = 32
DISPLAYED = (0.5, 99.8)  # percentiles between which a channel is displayed

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class SeriesResult:
    """What is known of a series when all its frames are written.

    Attributes
    ----------
    name, position
        Names of the series and of its position.
    rows
        Metrics.
    invalid
        Numbers of the frames that hold no image.
    statistics
        What the phase was normalised by.
    windows
        Display window of each channel of the raw prediction.
    """

    name: str
    position: str
    rows: list[Row]
    invalid: list[int]
    statistics: normalize.Statistics
    windows: list[dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Turn the result into plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Turn the values that ``to_json`` gave back into a result."""
        rows = [Row(**row) for row in values["rows"]]
        return cls(**{**values, "rows": rows, "statistics": normalize.Statistics(**values["statistics"])})


@dataclass(frozen=True)
class Workspace:
    """Where the results of a run grow.

    Attributes
    ----------
    stores
        Where the store of each method lies.
    growing
        Methods whose stores are being written; the others are complete.
    journal
        Where the progress is kept.
    """

    stores: Mapping[str, Path]
    growing: frozenset[str]
    journal: Journal


def field_statistics(planes: Sequence[Series], method: normalize.Method) -> normalize.Statistics:
    """Find what to normalise a field of view by: the store's own statistics, else an estimate from its frames.

    Parameters
    ----------
    planes
        The series of one position: they are normalised alike.
    method
        Method of normalisation.
    """
    position, channel = planes[0].position, planes[0].channel
    stored = normalize.from_metadata(position.attributes, position.channels[channel], method)
    if stored is not None:
        return stored
    count = position.shape[0]
    spread = np.unique(np.linspace(0, count - 1, min(count, SAMPLED_FRAMES)).round().astype(int)).tolist()

    def samples(times: Iterable[int]) -> Iterator[NDArray[np.float64]]:
        for t in times:
            for series in planes:
                image = position.read(t, channel, series.z)
                if normalize.is_valid(image):
                    yield normalize.grid_sample(image)

    # All of the few frames looked at may have been dropped, where the movie has others.
    found = list(samples(spread)) or list(islice(samples(range(count)), SAMPLED_FRAMES))
    return normalize.estimate(found, method)


def stain(
    plan: Plan,
    series: Series,
    statistics: normalize.Statistics,
    workspace: Workspace,
    *,
    predictor: Callable[[], Predictor],
    progress: Callable[[int], object],
) -> SeriesResult:
    """Stain and smooth one series.

    Frames that an earlier run has predicted are read back and sent down the same way, so that filters and metrics see
    the whole movie; only what is not on disk is written.

    Parameters
    ----------
    plan, series
        What to do.
    statistics
        What to normalise the phase by.
    workspace
        Where to write.
    predictor
        Gives the network; called only if a frame is to be predicted.
    progress
        Told the number of frames that went through.
    """
    sink = _Sink(plan, series, workspace)
    stop = series.frames.start + sink.predicted  # of the frames that are on disk
    batch_size = predictor().batch_size if stop < series.frames.stop else AHEAD

    def load(batch: range) -> _Batch:
        return _Batch(
            known=[sink.read_raw(number) for number in batch if number < stop],
            phase=[_phase(series, number, statistics) for number in batch] if batch.stop > stop else [],
            truth=[_truth(series, number) for number in batch if series.truth],
        )

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as finisher:
        finishing: deque[Future[int]] = deque()
        for batch in _ahead(reader, load, _batches(series.frames, batch_size)):
            fresh = _predict(batch.phase, predictor, plan) if batch.phase else []
            finishing.append(finisher.submit(sink.take, batch.known + fresh[len(batch.known) :], batch.truth))
            while len(finishing) > AHEAD:
                progress(finishing.popleft().result())
        while finishing:
            progress(finishing.popleft().result())
    return sink.finish(statistics)


@dataclass(frozen=True)
class _Batch:
    """Frames that go through the network together, or through the rest if their prediction is known.

    The batches lie on a fixed grid of frame numbers, so that a resumed run computes what it would have computed.
    """

    known: list[Frame]
    phase: list[Frame]
    truth: list[Frame]


class _Sink:
    """Where raw predictions go: filters, metrics, and stores."""

    def __init__(self, plan: Plan, series: Series, workspace: Workspace) -> None:
        self._series = series
        self._journal = workspace.journal
        self._filters = plan.options.filters()
        delays = {method: temporal_filter.delay for method, temporal_filter in self._filters.items()}
        channels = plan.spec.output_channels
        self._evaluator = Evaluator(series.position.name, channels, delays, truth=bool(series.truth))
        self._rows: list[Row] = []
        self._windows = _DisplayWindows(len(series.frames))
        self._invalid: list[int] = []
        name = series.position.name
        self._stacks = {
            method: PlaneStack(
                image_path(store, name), plan.images(method)[name], series.plane, write=method in workspace.growing
            )
            for method, store in workspace.stores.items()
        }
        self._done = {method: self._journal.done(series.name, method) for method in workspace.growing}
        self._writing: list[tuple[str, int, Callable[[], None]]] = []

    @property
    def predicted(self) -> int:
        """Number of frames whose raw prediction is on disk."""
        return self._done.get(RAW, len(self._series.frames))

    def read_raw(self, number: int) -> Frame:
        """Read back the raw prediction of a frame of the movie."""
        return _prediction(number, self._stacks[RAW].read(number - self._series.frames.start))

    def take(self, frames: list[Frame], truth: list[Frame]) -> int:
        """Send raw predictions through the filters, score and write what comes out; return the number of frames."""
        for frame in truth:
            self._rows += self._evaluator.add(TRUTH, frame)
        for frame in frames:
            self._windows.add(frame)
            if not frame.valid:
                self._invalid.append(frame.index)
            self._put(RAW, [frame])
            for method, temporal_filter in self._filters.items():
                self._put(method, temporal_filter.push(frame))
        self._settle()
        return len(frames)

    def finish(self, statistics: normalize.Statistics) -> SeriesResult:
        """Let the last frames out of the filters, and sum up."""
        for method, temporal_filter in self._filters.items():
            self._put(method, temporal_filter.flush())
        self._settle()
        rows = self._rows + self._evaluator.finish()
        return SeriesResult(
            self._series.name, self._series.position.name, rows, self._invalid, statistics, self._windows.windows()
        )

    def _put(self, method: str, frames: list[Frame]) -> None:
        for frame in frames:
            self._rows += self._evaluator.add(method, frame)
            number = frame.index - self._series.frames.start
            if number >= self._done.get(method, len(self._series.frames)):
                self._writing.append((method, number, self._stacks[method].write(number, frame.data)))

    def _settle(self) -> None:
        """Wait until everything is on disk, and note it."""
        for method, number, wait in self._writing:
            wait()
            self._done[method] = number + 1
        if self._writing:
            self._journal.mark(self._series.name, self._done)
        self._writing.clear()


class _DisplayWindows:
    """Range in which each channel is to be displayed, from a sample of the raw predictions."""

    def __init__(self, n_frames: int) -> None:
        self._every = -(-n_frames // SAMPLED_FRAMES)
        self._seen = 0
        self._samples: list[NDArray[np.float64]] = []
        self._extremes: list[NDArray[np.float32]] = []

    def add(self, frame: Frame) -> None:
        self._seen += 1
        if frame.valid and (not self._samples or self._seen % self._every == 0):
            self._samples.append(np.stack([normalize.grid_sample(plane) for plane in frame.data]))
            self._extremes.append(np.stack([frame.data.min(axis=(1, 2)), frame.data.max(axis=(1, 2))]))

    def windows(self) -> list[dict[str, float]]:
        samples = np.concatenate(self._samples, axis=1)
        low, high = np.min(self._extremes, axis=0)[0], np.max(self._extremes, axis=0)[1]
        start, end = np.percentile(samples, DISPLAYED, axis=1)
        return [
            {"min": float(low[c]), "max": float(high[c]), "start": float(start[c]), "end": float(end[c])}
            for c in range(len(low))
        ]


def _phase(series: Series, number: int, statistics: normalize.Statistics) -> Frame:
    image = series.position.read(number, series.channel, series.z)
    valid = normalize.is_valid(image)
    # An invalid frame keeps its shape and nothing else: it is never shown to the network.
    data = normalize.apply(image, statistics) if valid else np.zeros(image.shape, np.float32)
    return Frame(number, data[np.newaxis], valid)


def _truth(series: Series, number: int) -> Frame:
    planes = [series.position.read(number, channel, series.z) for channel in series.truth]
    image = np.stack(planes).astype(np.float32)
    return Frame(number, image, normalize.is_valid(image))


def _predict(phase: list[Frame], predictor: Callable[[], Predictor], plan: Plan) -> list[Frame]:
    images = [frame.data for frame in phase if frame.valid]
    predictions = iter(predictor().predict(images) if images else [])
    shape = (len(plan.spec.output_channels), *phase[0].data.shape[1:])
    nothing = np.full(shape, np.nan, np.float32)
    return [_prediction(frame.index, next(predictions) if frame.valid else nothing) for frame in phase]


def _prediction(number: int, data: NDArray[np.float32]) -> Frame:
    return Frame(number, data, bool(np.isfinite(data).all()))


def _batches(frames: range, size: int) -> Iterator[range]:
    for start in range(frames.start - frames.start % size, frames.stop, size):
        yield range(max(start, frames.start), min(start + size, frames.stop))


def _ahead(pool: ThreadPoolExecutor, function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Map a function over items in another thread, a few items ahead of the consumer."""
    futures: deque[Future[_R]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) > AHEAD:
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()
