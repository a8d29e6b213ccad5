"""The raw prediction of a movie by a network that takes stacks: volume by volume, before the planes are smoothed.

Each volume is predicted once, plane by plane, and written. The filters then see one plane over time, as they do in
movies of single planes, and read it back. Memory holds the planes of a batch of windows, never a volume.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import DataError
from image_translation.metrics.rows import RAW
from image_translation.network.predictor import Predictor
from image_translation.network.resampling import PlaneCollector, Resampling, interpolate
from image_translation.network.sliding_window import Pending, StackPrediction
from image_translation.omezarr.frame_statistics import FrameStatistics
from image_translation.omezarr.output import image_path
from image_translation.omezarr.plane_stack import PlaneStack
from image_translation.staining.fingerprints import EarlierPrediction
from image_translation.staining.plan import Plan
from image_translation.staining.stream import AHEAD, ahead, normalized, require_all_chunks
from image_translation.staining.writer import Workspace


def stack_frames(plan: Plan) -> int:
    """Return how many planes of frames `predict_stacks` predicts for a position; 0 if the network takes no stacks."""
    return sum(len(series.frames) for series in plan.series) if plan.window else 0


def predict_stacks(
    plan: Plan,
    statistics: Sequence[FrameStatistics],
    workspace: Workspace,
    *,
    earlier: EarlierPrediction | None = None,
    predictor: Callable[[], Predictor],
    on_frames: Callable[[int], object],
) -> None:
    """Predict the volumes of a position that are not on disk yet, and write them.

    A plane is NaN where all windows that hold it hold an invalid plane.

    Parameters
    ----------
    plan
        The part of the plan that concerns the position.
    statistics
        Statistics to normalise each input channel by.
    workspace
        Where to write.
    earlier
        Prediction of some of the frames by an earlier run, which are not predicted again.
    predictor
        Returns the network; called only if a frame is to be predicted.
    on_frames
        Called with the number of planes of frames that were written.

    Raises
    ------
    DataError
        If a plane cannot be read or written, chunks are lost while they are read, or the network gives no finite image.
    """
    output = _RawVolumes(plan, workspace)
    on_frames(output.first * len(plan.series))
    frames = plan.series[0].frames
    numbers = range(frames.start + output.first, frames.stop)
    any_seen = False
    # In the order of the frames: the progress is the number of leading frames on disk.
    for kept, run in groupby(numbers, lambda number: earlier is not None and number in earlier.frames):
        if earlier is None or not kept:
            any_seen |= predict_volumes(plan, list(run), statistics, output, predictor=predictor, on_frames=on_frames)
            continue
        for number in run:
            for series in plan.series:
                output.write(number, series.z, earlier.read(number, series.plane))
                on_frames(1)
    output.finish()
    if any_seen and not output.first and not output.any_valid:
        depth = plan.spec.architecture.in_stack_depth
        raise DataError(
            f"the network gave no finite image of {plan.series[0].position.path}: check its planes for extreme values, "
            f"and whether enough consecutive ones are valid, for it takes stacks of {depth}; "
            "--normalization, --precision, and the checkpoint"
        )


class VolumeOutput(Protocol):
    """Where predicted volumes go."""

    def write_pending(self, number: int, z: int, pending: Pending | None) -> None:
        """Take a plane of a frame, by its index in the movie: what waits for it; None if it is NaN."""

    def forget(self) -> None:
        """Forget everything that was taken."""


def predict_volumes(
    plan: Plan,
    numbers: Sequence[int],
    statistics: Sequence[FrameStatistics],
    output: VolumeOutput,
    *,
    predictor: Callable[[], Predictor],
    on_frames: Callable[[int], object],
) -> bool:
    """Predict some volumes: one thread reads planes ahead, the calling one runs the network, and one writes.

    Parameters
    ----------
    plan
        The part of the plan that concerns the position.
    numbers
        Numbers of the frames.
    statistics
        Statistics to normalise each input channel by.
    output
        Takes the planes, in another thread.
    predictor
        Returns the network.
    on_frames
        Called with the number of planes of frames that the output has taken.

    Returns
    -------
    bool
        Whether a plane was valid.
    """
    window, first = plan.window, plan.series[0]
    assert window is not None  # noqa: S101 - the caller has looked
    planes, grid = [series.z for series in plan.series], plan.grid(first.position)
    depth, *size = grid.network_shape  # of what the network sees, as sources and wanted are
    needed = grid.needed(planes)
    sources, wanted = window.sources(needed, depth), window.wanted(needed, depth)
    blank: set[tuple[int, int]] = set()

    @lru_cache(2)  # the two that a plane of the network is interpolated from
    def load_plane(number: int, z: int) -> NDArray[np.float32] | None:
        image = first.read_inputs(number, z)
        files = [path for channel in first.inputs for path in first.position.chunk_files(number, channel, z)]
        require_all_chunks(plan, first, number, files)
        if not normalize.is_valid(image):
            blank.add((number, z))
            return None
        return grid.to_network(normalized(image, number, statistics))

    def load(place: tuple[int, int]) -> tuple[int, NDArray[np.float32] | None]:
        number, source = place
        loaded = [(load_plane(number, z), weight) for z, weight in grid.sources(source)]
        valid = [(plane, weight) for plane, weight in loaded if plane is not None]
        return number, interpolate(valid) if len(valid) == len(loaded) else None

    def hand_over(number: int, complete: Iterable[tuple[int, Pending | None]], in_writer: int) -> None:
        for place, pending in complete:
            for z, parts in collector.push(wanted[place], pending) if place in wanted else ():
                writing.append(writer.submit(output.write_pending, number, z, _to_movie(grid, parts)))
        while len(writing) > in_writer:
            writing.popleft().result()
            on_frames(1)

    places = [(number, z) for number in numbers for z in sources]
    batch_size = predictor().batch_size((len(first.inputs), window.in_depth, *size))
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        writing: deque[Future[None]] = deque()
        loaded = ahead(reader, load, places, batch_size + AHEAD)
        for number, volume in groupby(loaded, itemgetter(0)):
            prediction, place = StackPrediction(predictor(), window, batch_size), 0
            collector = PlaneCollector[Pending | None](grid, planes)
            for _, plane in volume:
                complete = prediction.push(plane)
                hand_over(number, enumerate(complete, place), batch_size + AHEAD)
                place += len(complete)
            hand_over(number, enumerate(prediction.finish(), place), batch_size + AHEAD)
        hand_over(0, (), 0)
    for number, z in sorted(blank):
        if normalize.is_valid(first.read_inputs(number, z)):
            output.forget()
            raise DataError(
                f"plane {z} of frame {number} of {first.position.path} was blank when it was read, and has pixels now; "
                "is its disk or network share connected all the time? Repeat the command to stain this position anew"
            )
    return len(blank) < len(numbers) * len(grid.seen(sources))


def _to_movie(grid: Resampling, parts: Sequence[tuple[Pending | None, float]]) -> Pending | None:
    """Return what waits for the predicted planes and makes a plane of the movie of them; None if one is None."""
    pending = [(one, weight) for one, weight in parts if one is not None]
    if len(pending) < len(parts):
        return None
    return lambda: grid.to_movie(interpolate([(one(), weight) for one, weight in pending]))


class _RawVolumes:
    """Raw volumes of one position on disk, and how far they are.

    Parameters
    ----------
    plan
        The part of the plan that concerns the position.
    workspace
        Where to write.

    Attributes
    ----------
    first
        Number of leading frames all of whose planes are on disk.
    any_valid
        Whether a plane that was written is finite.
    """

    def __init__(self, plan: Plan, workspace: Workspace) -> None:
        image = plan.images(RAW)[plan.series[0].position.name]
        path = image_path(workspace.stores[RAW], plan.series[0].position.name)
        self._shape = (image.shape[1], *image.shape[3:])
        self._progress = workspace.progress
        self._methods = workspace.unfinished
        self._names = {series.z: series.name for series in plan.series}
        self._start = plan.series[0].frames.start
        self._stacks = {series.z: PlaneStack(path, image, series.plane, write=True) for series in plan.series}
        self._done = {z: self._progress.done(name, RAW) for z, name in self._names.items()}
        self._unsettled: deque[int] = deque()  # planes that are being written
        self._written = 0
        self.first = min(self._done.values())
        self.any_valid = False

    def write_pending(self, number: int, z: int, pending: Pending | None) -> None:
        """Wait for a predicted plane and write it; NaN if there is none."""
        self.write(number, z, np.full(self._shape, np.nan, np.float32) if pending is None else pending())

    def write(self, number: int, z: int, data: NDArray[np.float32]) -> None:
        """Start to write a plane (C, Y, X) of a frame."""
        self.any_valid = self.any_valid or bool(np.isfinite(data).all())
        place = number - self._start
        if place >= self._done[z]:
            self._stacks[z].write(place, data)
        self._unsettled.append(z)
        self._written += 1
        if self._written % len(self._stacks) == 0:  # the last plane of a volume
            self.finish()
        while len(self._unsettled) > AHEAD:
            self._settle(self._unsettled.popleft())

    def finish(self) -> None:
        """Wait until all planes are on disk, and record the progress."""
        while self._unsettled:
            self._settle(self._unsettled.popleft())
        self._progress.mark({name: {RAW: self._done[z]} for z, name in self._names.items()})

    def forget(self) -> None:
        """Forget the progress: everything is to be predicted again."""
        for method in self._methods:
            self._progress.forget(method)

    def _settle(self, z: int) -> None:
        self._done[z] = max(self._done[z], self._stacks[z].wait())
