"""Motion-compensated temporal filter: robust mean over a window of frames along the trajectories of the material.

Averaging each pixel over time blurs what moves. This filter follows the material in the phase images and averages the
predictions along its trajectories. For each frame:

1. Estimate the optical flow between consecutive phase images, forward and backward (`optical_flow`).
2. Average each flow with those before and after it, where the velocity persists, and chain the flows from the frame to
   its neighbours (`trajectories`).
3. Warp the predictions of the neighbours onto the frame, which itself is never displaced.
4. Average them (`robust_mean`), with a Gaussian weight in time, a confidence from the forward-backward and photometric
   errors along the trajectory, and rejection of outliers.
5. Keep the average where neighbours before and after the frame agree (`fusion`).

Where the flow is inconsistent (a division, a cell that enters or detaches) or the neighbours disagree, the frame's own
prediction remains.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.temporal import optical_flow
from image_translation.temporal.filter import check_order, invalid_frame
from image_translation.temporal.fusion import Sides, fuse, relative_error, sum_sides
from image_translation.temporal.threads import parallel
from image_translation.temporal.trajectories import FlowSource, PhaseFlow, Trajectories

Image = NDArray[np.float32]

TIME_SIGMA = 2.0
"""Standard deviation of the Gaussian weights in time, in frames."""

_ERROR_SIGMA = 1.0  # pixels; flow errors above it lower the confidence


class MotionFilter:
    """Motion-compensated robust mean over a window of frames.

    At both ends of a movie, and in a short one, there are fewer neighbours. Frames need their `phase`. The module
    describes the algorithm.

    Parameters
    ----------
    name
        Name of the method.
    before, after
        Number of frames before and after that are averaged.
    lookahead
        Number of later frames that may be used, for which the filter waits. By default all that are useful: one more
        than `after`, since velocities are averaged over adjacent intervals.
    source
        Source of the flow; by default it is estimated from the phase.

    Raises
    ------
    UsageError
        If `before` is below 1, `after` is negative, or `lookahead` is less than `after`.
    """

    delay = 0.0
    min_frames = 1

    def __init__(
        self,
        name: str = "motion",
        before: int = 3,
        after: int = 3,
        *,
        lookahead: int | None = None,
        source: FlowSource | None = None,
    ) -> None:
        if before < 1 or after < 0:
            raise UsageError(f"{name}: {before} frames before and {after} after: must be at least 1 and 0")
        self.name = name
        self._before, self._after = before, after
        self._lookahead = after + 1 if lookahead is None else lookahead
        if self._lookahead < after:
            raise UsageError(f"{name}: a lookahead of {lookahead} frames does not reach the {after} frames after")
        self._trajectories = Trajectories(source or PhaseFlow())
        self._pending: list[Frame] = []
        self._pushed = range(0)  # indices of the frames pushed so far

    def length(self, n_frames: int) -> int:
        """Return the number of output frames, which is `n_frames`."""
        return n_frames

    def images_held(self, n_channels: int) -> int:
        """Return the largest number of single-channel images (Y, X), float32, in memory."""
        window = self._before + self._lookahead + 2
        flows = 10 * window  # forward and backward: as estimated (2 images each), and refined with uncertainty (3 each)
        warped = (3 * n_channels + 11) * (self._before + self._after + 1)  # with their paths, confidences and weights
        return (n_channels + 1) * window + flows + warped + 8 * n_channels

    def push(self, frame: Frame) -> list[Frame]:
        """Add the next frame, with its phase, and return the output frames that are complete.

        See `TemporalFilter.push`; raises a `ValueError` also for a valid frame without phase.
        """
        if not self._pushed:
            self._pushed = range(frame.index, frame.index)
        check_order(frame, self._pushed.stop)
        if frame.valid:
            self._trajectories.append(frame)
        self._pending.append(frame)
        self._pushed = range(self._pushed.start, frame.index + 1)
        if len(self._pending) <= self._lookahead:
            return []
        results = [self._smooth(self._pending.pop(0))]
        self._trajectories.discard_before(results[0].index - self._before)
        return results

    def flush(self) -> list[Frame]:
        """End the movie, return the remaining output frames, and reset the filter."""
        results = [self._smooth(frame) for frame in self._pending]
        self._pending, self._pushed = [], range(0)
        self._trajectories.clear()
        return results

    def _smooth(self, frame: Frame) -> Frame:
        if not frame.valid:
            return invalid_frame(frame)
        around = self._warp_neighbours(frame)
        if around.two_sided:
            return Frame(frame.index, np.stack(parallel(around.fuse, around.images)))
        # Neighbours on one side cannot be checked against each other: those of the adjacent frame are.
        for adjacent, points in around.positions[:1]:
            if (checked := self._warp_neighbours(adjacent)).two_sided:
                errors = parallel(checked.error, checked.images, [points] * len(checked.images))
                return Frame(frame.index, np.stack(parallel(around.fuse, around.images, errors)))
        return Frame(frame.index, frame.data.copy())

    def _warp_neighbours(self, frame: Frame) -> "_Neighbours":
        shape = frame.data.shape[1], frame.data.shape[2]
        start = optical_flow.pixel_grid(shape)
        window = range(frame.index - self._before, frame.index + self._after + 1)
        paths = self._trajectories.follow(frame.index, window, start)
        images = np.empty((len(frame.data), 1 + len(paths), *shape), np.float32)
        confidence = np.empty(images.shape[1:], np.float32)
        images[:, 0], confidence[0] = frame.data, 1

        def warp(number: int, other: Frame, path: NDArray[np.float32]) -> NDArray[np.float32]:
            points = start + path[..., :2]
            for channel, warped in zip(other.data, images[:, number], strict=True):
                warped[:] = optical_flow.warp(channel, points)
            np.exp(np.float32(-0.5 / _ERROR_SIGMA**2) * path[..., 2], out=confidence[number])
            confidence[number] *= optical_flow.inside(points, shape)
            return points

        others = [other for other, _ in paths]
        points = parallel(warp, range(1, 1 + len(paths)), others, [path for _, path in paths])
        offsets = np.array([0, *(other.index - frame.index for other in others)])
        return _Neighbours(images, confidence, offsets, list(zip(others, points, strict=True)))


@dataclass(frozen=True, eq=False)
class _Neighbours:
    """A frame and its neighbours, warped onto it.

    Attributes
    ----------
    images
        The frame and its neighbours, (C, K, Y, X) float32.
    confidence
        Confidence in each pixel, (K, Y, X) float32, 0 to 1; that of the frame is 1.
    offsets
        Index of each image relative to the frame, (K,) int; the first is 0.
    positions
        For each neighbour, the positions (x, y) in it of the material of the frame, (Y, X, 2) float32.
    """

    images: Image
    confidence: Image
    offsets: NDArray[np.intp]
    positions: list[tuple[Frame, NDArray[np.float32]]]

    @property
    def two_sided(self) -> bool:
        return bool((self.offsets < 0).any() and (self.offsets > 0).any())

    def fuse(self, images: Image, error: Image | None = None) -> Image:
        """Fuse the images (K, Y, X) of one channel; the error (Y, X) of the neighbours is by default their own."""
        sides = self._sides(images)
        return fuse(sides, relative_error(sides) if error is None else error)

    def error(self, images: Image, points: NDArray[np.float32]) -> Image:
        """Return the relative error of the neighbours at points (Y, X, 2) of the frame, for one channel."""
        return optical_flow.sample(relative_error(self._sides(images)), points)

    def _sides(self, images: Image) -> Sides:
        weights = np.exp(-0.5 * np.square(self.offsets / TIME_SIGMA)).astype(np.float32)
        return sum_sides(images, self.offsets, weights, self.confidence)


def centred(window: int = 7) -> MotionFilter:
    """Return the motion filter with a centred window.

    Parameters
    ----------
    window
        Number of frames, odd.

    Raises
    ------
    UsageError
        If the window is even or below 3.
    """
    if window < 3 or window % 2 == 0:
        raise UsageError(f"--motion-window {window}: must be an odd number of frames, 3 or more")
    return MotionFilter("motion", window // 2, window // 2)


def causal(lag: int = 1) -> MotionFilter:
    """Return a motion filter with a fixed lag, for use during acquisition.

    Parameters
    ----------
    lag
        Number of later frames that are used, 0 or more.

    Raises
    ------
    UsageError
        If the lag is negative.
    """
    if lag < 0:
        raise UsageError(f"--causal-lag {lag}: must be 0 or more")
    return MotionFilter("causal", after=lag, lookahead=lag)
