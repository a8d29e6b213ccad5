"""Motion-compensated temporal filter: robust mean over a window of frames along the trajectories of the material.

Averaging each pixel over time blurs what moves. This filter follows the material in the phase images and averages the
predictions along its trajectories. For each frame:

1. Estimate the optical flow between consecutive phase images, forward and backward (`optical_flow`).
2. Average each flow with those before and after it, where the velocity persists, and chain the flows from the frame to
   its neighbours (`trajectories`).
3. Estimate the global jitter of the frame and shift the frame by it, unless it is to be kept (`jitter`).
4. Warp the predictions of the neighbours onto the frame.
5. Average them (`robust_mean`), with a Gaussian weight in time, a confidence from the forward-backward and photometric
   errors along the trajectory, and rejection of outliers.

Where the flow is inconsistent (a division, a cell that enters or detaches), the frame's own prediction remains.
"""

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.temporal import jitter, optical_flow
from image_translation.temporal.filter import check_order, invalid_frame
from image_translation.temporal.robust_mean import robust_mean
from image_translation.temporal.trajectories import FlowSource, PhaseFlow, Trajectories

TIME_SIGMA = 2.0
"""Standard deviation of the Gaussian weights in time, in frames."""

_ERROR_SIGMA = 1.0  # pixels; flow errors above it lower the confidence


class MotionFilter:
    """Motion-compensated robust mean over a window of frames, with correction of global jitter.

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
        than `after`, and enough to estimate the jitter.
    keep_shake
        Do not correct the global jitter of the image.
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
        keep_shake: bool = False,
        source: FlowSource | None = None,
    ) -> None:
        if before < 1 or after < 0:
            raise UsageError(f"{name}: {before} frames before and {after} after: must be at least 1 and 0")
        self.name = name
        self._before, self._after = before, after
        self._lookahead = max(after + 1, jitter.HALF_WINDOW) if lookahead is None else lookahead
        if self._lookahead < after:
            raise UsageError(f"{name}: a lookahead of {lookahead} frames does not reach the {after} frames after")
        self._keep_shake = keep_shake
        self._trajectories = Trajectories(source or PhaseFlow())
        self._pending: list[Frame] = []
        self._pushed = range(0)  # indices of the frames pushed so far

    def length(self, n_frames: int) -> int:
        """Return the number of output frames, which is `n_frames`."""
        return n_frames

    def images_held(self, n_channels: int) -> int:
        """Return the largest number of single-channel images (Y, X), float32, in memory."""
        window = max(self._before, jitter.HALF_WINDOW) + self._lookahead + 1
        flows = 10 * window  # forward and backward: as estimated (2 images each), and refined with uncertainty (3 each)
        return (n_channels + 1) * window + flows + (n_channels + 4) * (self._before + self._after + 1)

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
        self._trajectories.discard_before(results[0].index + 1 - max(self._before, jitter.HALF_WINDOW))
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
        shape = frame.data.shape[1], frame.data.shape[2]
        offset = self._jitter(frame.index)
        start = optical_flow.pixel_grid(shape) + offset
        images = [_warp_channels(frame.data, start) if offset.any() else frame.data]
        weights, confidence = [1.0], [np.ones(shape, np.float32)]
        window = range(frame.index - self._before, frame.index + self._after + 1)
        for other, path in self._trajectories.follow(frame.index, window, start):
            points = start + path[..., :2]
            images.append(_warp_channels(other.data, points))
            weights.append(np.exp(-0.5 * ((other.index - frame.index) / TIME_SIGMA) ** 2))
            confidence.append(np.exp(-0.5 / _ERROR_SIGMA**2 * path[..., 2]) * optical_flow.inside(points, shape))
        stacked = np.array(weights, np.float32), np.stack(confidence)
        channels = zip(*images, strict=True)
        return Frame(frame.index, np.stack([robust_mean(np.stack(channel), *stacked) for channel in channels]))

    def _jitter(self, index: int) -> NDArray[np.float32]:
        """Return the displacement (dx, dy) of a frame to be corrected, in pixels."""
        if self._keep_shake:
            return np.zeros(2, np.float32)
        first, last = index - jitter.HALF_WINDOW, index + jitter.HALF_WINDOW
        window = range(max(first, self._pushed.start), min(last + 1, self._pushed.stop))
        return jitter.displacement(self._trajectories.accelerations(window), index - window.start)


def centred(window: int = 7, *, keep_shake: bool = False) -> MotionFilter:
    """Return the motion filter with a centred window.

    Parameters
    ----------
    window
        Number of frames, odd.
    keep_shake
        See `MotionFilter`.

    Raises
    ------
    UsageError
        If the window is even or below 3.
    """
    if window < 3 or window % 2 == 0:
        raise UsageError(f"--motion-window {window}: must be an odd number of frames, 3 or more")
    return MotionFilter("motion", window // 2, window // 2, keep_shake=keep_shake)


def causal(lag: int = 1, *, keep_shake: bool = False) -> MotionFilter:
    """Return a motion filter with a fixed lag, for use during acquisition.

    Parameters
    ----------
    lag
        Number of later frames that are used, 0 or more.
    keep_shake
        See `MotionFilter`.

    Raises
    ------
    UsageError
        If the lag is negative.
    """
    if lag < 0:
        raise UsageError(f"--causal-lag {lag}: must be 0 or more")
    return MotionFilter("causal", after=lag, lookahead=lag, keep_shake=keep_shake)


def _warp_channels(data: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([optical_flow.warp(channel, points) for channel in data])
