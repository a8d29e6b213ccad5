"""Movies of planes from phase to results: read, normalise, predict, and hand over to the sinks, batch by batch."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    group: Sequence[Series],
    statistics: normalize.Statistics,
    workspace: Workspace,
    *,
    predictor: Callable[[], Predictor],
    progress: Callable[[int], object],
) -> list[SeriesResult]:
    """Stain and smooth some series of one position together: all of them at one frame, then at the next.

    Frames that an earlier run has predicted are read back and sent down the same way, so that filters and metrics see
    the whole movie; only what is not on disk is written.

    Parameters
    ----------
    plan
        The run.
    group
        The series, of one position and the same frames; see ``plane_groups``.
    statistics
        What to normalise the phase by.
    workspace
        Where to write.
    predictor
        Gives the network; called only if a frame is to be predicted.
    progress
        Told the number of frames that went through.
    """
    sinks = [Sink(plan, series, workspace) for series in group]
    frames = group[0].frames
    stops = [frames.start + sink.predicted for sink in sinks]  # of the frames that are on disk
    batch_size = predictor().batch_size if min(stops) < frames.stop else AHEAD

    def load(batch: range) -> list[_Item]:
        return [load_one(*divmod(place, len(group))) for place in batch]

    def load_one(number: int, member: int) -> _Item:
        series = group[member]
        return _Item(
            member=member,
            known=sinks[member].read_raw(number) if number < stops[member] else None,
            phase=_phase(series, number, statistics),
            truth=_truth(series, number) if series.truth else None,
        )

    def take(batch: list[_Item], stained: list[Frame]) -> int:
        for member, sink in enumerate(sinks):
            own = [(item, frame) for item, frame in zip(batch, stained, strict=True) if item.member == member]
            truth = [item.truth for item, _ in own if item.truth is not None]
            sink.take([frame for _, frame in own], truth)
        for sink in sinks:
            sink.settle()
        return len(batch)

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as finisher:
        finishing: deque[Future[int]] = deque()
        places = range(frames.start * len(group), frames.stop * len(group))
        for batch in _ahead(reader, load, _batches(places, batch_size)):
            finishing.append(finisher.submit(take, batch, _stained(batch, predictor, plan)))
            while len(finishing) > AHEAD:
                progress(finishing.popleft().result())
        while finishing:
            progress(finishing.popleft().result())
    return [sink.finish(statistics) for sink in sinks]


@dataclass(frozen=True)
class _Item:
    """A frame of one member of a group, by its place in the group; with its prediction if that is on disk."""

    member: int
    known: Frame | None
    phase: Frame
    truth: Frame | None


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


def _stained(batch: list[_Item], predictor: Callable[[], Predictor], plan: Plan) -> list[Frame]:
    """Give the raw predictions of a batch, with their phase."""
    known = [item.known for item in batch if item.known is not None]
    if len(known) < len(batch):  # whole batches, so that a resumed run computes what it would have
        predicted = _predict([item.phase for item in batch], predictor, plan)
        known = [frame if item.known is None else item.known for item, frame in zip(batch, predicted, strict=True)]
    return [replace(frame, phase=item.phase.data[0]) for item, frame in zip(batch, known, strict=True)]


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


def _batches(places: range, size: int) -> Iterator[range]:
    """Cut places, frame after frame and in each the members of a group, into batches on a fixed grid.

    A resumed run then computes what it would have computed.
    """
    for start in range(places.start - places.start % size, places.stop, size):
        yield range(max(start, places.start), min(start + size, places.stop))


def _ahead(pool: ThreadPoolExecutor, function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Map a function over items in another thread, a few items ahead of the consumer."""
    futures: deque[Future[_R]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) > AHEAD:
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()
