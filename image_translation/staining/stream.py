"""The way of a frame: read, normalised, predicted in a batch, and handed to the writer of its series.

`predict` reads ahead in a thread and runs the network in the calling one; `stain` filters, scores and writes what comes
of it in a third.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import DataError
from image_translation.frame import Frame
from image_translation.network.predictor import Predictor
from image_translation.network.resampling import Resampling
from image_translation.omezarr.chunk_files import count_missing
from image_translation.omezarr.frame_statistics import FrameStatistics
from image_translation.omezarr.registered import RegisteredPosition
from image_translation.staining.fingerprints import EarlierPrediction, of_pixels, pixels_of
from image_translation.staining.plan import Plan
from image_translation.staining.series import Series, file_fingerprint
from image_translation.staining.writer import SeriesResult, SeriesWriter, Workspace, prediction

AHEAD = 2  # batches that are read ahead of the one in the network, and that may wait for the writer

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Prediction:
    """A frame of one series with its raw prediction.

    Attributes
    ----------
    member
        Index of the series in its group.
    raw
        Raw prediction (C, Y, X), with the phase that it was made from; invalid, and NaN, if the phase is.
    phase
        Normalised input (C, Y, X).
    truth
        True stains (C, Y, X), in the order of the prediction, if the movie has them.
    pixels
        Fingerprint of the pixels that were read.
    complete
        Whether all chunks were there.
    """

    member: int
    raw: Frame
    phase: Frame
    truth: Frame | None
    pixels: str
    complete: bool


def stain(
    plan: Plan,
    group: Sequence[Series],
    statistics: Sequence[FrameStatistics],
    workspace: Workspace,
    *,
    earlier: EarlierPrediction | None = None,
    predictor: Callable[[], Predictor],
    on_frames: Callable[[int], object],
) -> list[SeriesResult]:
    """Stain and smooth some series of one position together, frame by frame.

    Frames that an earlier run has predicted are read back and take the same way, so that filters and metrics see
    the whole movie; only what is not on disk is written.

    Parameters
    ----------
    plan
        The run.
    group
        Series of one position with the same frames; see ``plane_groups``.
    statistics
        Statistics to normalise each input channel by.
    workspace
        Where to write.
    earlier
        Prediction of some of the frames by an earlier run, which are not predicted again.
    predictor
        Returns the network; called only if a frame is to be predicted.
    on_frames
        Called with the number of frames that were processed.
    """
    writers = [SeriesWriter(plan, series, workspace) for series in group]
    frames = group[0].frames
    stops = [frames.start + writer.predicted for writer in writers]  # of the predictions on disk
    available = earlier.frames if earlier else frozenset[int]()
    unfinished = any(number not in available for number in range(min(stops), frames.stop))

    def known(member: int, number: int) -> Frame | None:
        if number < stops[member]:
            return writers[member].read_raw(number)
        if earlier and number in available:
            return prediction(number, earlier.read(number, group[member].plane))
        return None

    def write(batch: list[Prediction]) -> int:
        for member, writer in enumerate(writers):
            own = [one for one in batch if one.member == member]
            for one in own:
                writer.note(one.phase, one.pixels, complete=one.complete)
            writer.add([one.raw for one in own], [one.truth for one in own if one.truth is not None])
        for writer in writers:
            writer.settle()
        return len(batch)

    with ThreadPoolExecutor(1) as writing_thread:
        writing: deque[Future[int]] = deque()
        for batch in predict(plan, group, statistics, predictor=predictor if unfinished else None, known=known):
            writing.append(writing_thread.submit(write, batch))
            while len(writing) > AHEAD:
                on_frames(writing.popleft().result())
        while writing:
            on_frames(writing.popleft().result())
    return [writer.finish(statistics[0].overall) for writer in writers]


def predict(
    plan: Plan,
    group: Sequence[Series],
    statistics: Sequence[FrameStatistics],
    *,
    predictor: Callable[[], Predictor] | None,
    known: Callable[[int, int], Frame | None] = lambda *_: None,
) -> Iterator[list[Prediction]]:
    """Predict the frames of some series of one position, in batches; they are read ahead in another thread.

    Parameters
    ----------
    plan
        The run.
    group
        Series of one position with the same frames.
    statistics
        Statistics to normalise each input channel by.
    predictor
        Returns the network; None if all frames are known.
    known
        Returns the prediction of a frame by the index of its series in the group and its number, or None if it is to be
        predicted; called in the order of the frames.

    Yields
    ------
    list of Prediction
        Those of the next frame or frames, ordered by frame and then by series.
    """
    frames, grid = group[0].frames, plan.grid(group[0].position)
    shape = (len(group[0].inputs), *grid.network_shape[1:])
    batch_size = predictor().batch_size(shape) if predictor else AHEAD
    in_flight = predictor().in_flight if predictor else 0

    def load(batch: range) -> list[_Item]:
        return [load_one(*divmod(place, len(group))) for place in batch]

    def load_one(number: int, member: int) -> _Item:
        series, position = group[member], group[member].position
        own = known(member, number)
        planes = [position.read(number, channel, series.z) for channel in series.channels]
        inputs, truth = np.stack(planes[: len(series.inputs)]), planes[len(series.inputs) :]
        is_registered = isinstance(position, RegisteredPosition)
        frame = _phase(inputs, number, statistics)
        return _Item(
            member=member,
            known=own,
            phase=frame,
            seen=grid.to_network(frame.data) if frame.valid and predictor else None,
            truth=_truth(truth, number) if truth else None,
            pixels=pixels_of(position, series.channels, number, series.z) if is_registered else of_pixels(planes),
            complete=_is_complete(plan, series, number),
        )

    places = range(frames.start * len(group), frames.stop * len(group))
    with ThreadPoolExecutor(1) as reader:
        started: deque[Callable[[], list[Prediction]]] = deque()
        for batch in ahead(reader, load, _batches(places, batch_size), AHEAD):
            started.append(_start(batch, predictor, plan, grid))
            while len(started) > in_flight:
                yield started.popleft()()
        while started:
            yield started.popleft()()


@dataclass(frozen=True)
class _Item:
    """A frame of one series, by its index in the group; with its prediction if that is on disk.

    The network sees it in other pixels if it is resampled, and not at all if it is invalid.
    """

    member: int
    known: Frame | None
    phase: Frame
    seen: NDArray[np.float32] | None
    truth: Frame | None
    pixels: str
    complete: bool


def _is_complete(plan: Plan, series: Series, number: int) -> bool:
    """Return whether all chunks of a frame are there; ``DataError`` if some are gone since the plan was made."""
    files = series.files(number)
    require_all_chunks(plan, series, number, [*files, *series.files_of_truth(number)])
    return not count_missing(files)


def require_all_chunks(plan: Plan, series: Series, number: int, files: Sequence[Path]) -> None:
    """Raise a ``DataError`` if files of chunks of a frame are gone since the plan was made."""
    name = series.position.name
    if not count_missing(files):
        return
    if file_fingerprint(plan.groups[name], number) != plan.files[name][number - series.frames.start]:
        raise DataError(
            f"frame {number} of {series.position.path} has changed while it was read, and chunk files are missing; is "
            "its disk or network share still connected? Repeat the command once it is"
        )


def normalized(image: NDArray[Any], number: int, statistics: Sequence[FrameStatistics]) -> NDArray[np.float32]:
    """Normalise the input channels (C, Y, X) of a frame, each by its own statistics."""
    channels = zip(image, statistics, strict=True)
    return np.stack([normalize.apply(channel, own.of(number)) for channel, own in channels])


def _phase(image: NDArray[Any], number: int, statistics: Sequence[FrameStatistics]) -> Frame:
    valid = normalize.is_valid(image)
    # Of an invalid frame only the shape is kept: it is never fed to the network.
    data = normalized(image, number, statistics) if valid else np.zeros(image.shape, np.float32)
    return Frame(number, data, valid)


def _truth(planes: Sequence[NDArray[Any]], number: int) -> Frame:
    image = np.stack(planes).astype(np.float32)
    return Frame(number, image, normalize.is_valid(image))


def _start(
    batch: list[_Item], predictor: Callable[[], Predictor] | None, plan: Plan, grid: Resampling
) -> Callable[[], list[Prediction]]:
    """Start to predict a batch; the function that is returned waits for its raw predictions."""
    # Always whole batches, so that a resumed run computes the same numbers.
    images = [item.seen for item in batch if item.seen is not None]
    unknown = any(item.known is None for item in batch)
    predicted = predictor().start(images) if predictor and images and unknown else None
    shape = (len(plan.spec.output_channels), *batch[0].phase.data.shape[1:])

    def finish() -> list[Prediction]:
        images = iter(predicted() if predicted else [])
        results = []
        for item in batch:
            number, valid = item.phase.index, item.phase.valid
            image = next(images, None) if valid else None
            if item.known is not None:
                frame = item.known
            elif image is None:
                frame = Frame(number, np.full(shape, np.nan, np.float32), valid=False)
            else:
                frame = prediction(number, grid.to_movie(image))
            raw = replace(frame, phase=item.phase.data[0])
            results.append(Prediction(item.member, raw, item.phase, item.truth, item.pixels, item.complete))
        return results

    return finish


def _batches(places: range, size: int) -> Iterator[range]:
    """Split the images, ordered by frame and then by series, into batches on a fixed grid.

    A resumed run then computes the same batches.
    """
    for start in range(places.start - places.start % size, places.stop, size):
        yield range(max(start, places.start), min(start + size, places.stop))


def ahead(pool: ThreadPoolExecutor, function: Callable[[_T], _R], items: Iterable[_T], count: int) -> Iterator[_R]:
    """Map a function over items in another thread, some items ahead of the consumer."""
    futures: deque[Future[_R]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) > count:
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()
