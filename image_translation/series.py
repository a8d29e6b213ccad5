"""One movie of planes from phase to results: read, normalise, predict, and hand over to the sink, batch by batch."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.frame import Frame
from image_translation.plan import Plan, Series
from image_translation.predict import Predictor
from image_translation.sink import SeriesResult, Sink, Workspace, prediction

AHEAD = 2  # batches that are read before, and finished behind, the one in the network

_T = TypeVar("_T")
_R = TypeVar("_R")


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
    sink = Sink(plan, series, workspace)
    stop = series.frames.start + sink.predicted  # of the frames that are on disk
    batch_size = predictor().batch_size if stop < series.frames.stop else AHEAD

    def load(batch: range) -> _Batch:
        return _Batch(
            known=[sink.read_raw(number) for number in batch if number < stop],
            phase=[_phase(series, number, statistics) for number in batch],
            truth=[_truth(series, number) for number in batch if series.truth],
        )

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as finisher:
        finishing: deque[Future[int]] = deque()
        for batch in _ahead(reader, load, _batches(series.frames, batch_size)):
            frames = batch.known
            if len(frames) < len(batch.phase):  # whole batches, so that a resumed run computes what it would have
                frames = frames + _predict(batch.phase, predictor, plan)[len(frames) :]
            frames = [replace(frame, phase=phase.data[0]) for frame, phase in zip(frames, batch.phase, strict=True)]
            finishing.append(finisher.submit(sink.take, frames, batch.truth))
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
    return [
        prediction(frame.index, next(predictions)) if frame.valid else Frame(frame.index, _nothing(shape), valid=False)
        for frame in phase
    ]


def _nothing(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.full(shape, np.nan, np.float32)


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
