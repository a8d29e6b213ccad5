"""A mean over time in the frame of the material: what a window of frames shows of it, carried to where it is now.

Averaging a pixel over time blurs what moves. Here the phase tells where the material of each frame lies in its
neighbours, and the predictions are averaged along these paths. Where the phase cannot be followed (a division, an
entry, a cell that detaches) or the neighbours disagree, the frame's own prediction stands.
"""

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.temporal import jitter, optical_flow
from image_translation.temporal.robust_mean import robust_mean
from image_translation.temporal.trajectories import FlowSource, MotionTrack, PhaseFlow

TIME = 2.0  # frames, standard deviation of the weights in time
_MISMATCH = 1.0  # pixels, within which the flow there and the flow back agree


class MotionFilter:
    """Robust mean over a window of frames along the paths of the material, with the shake of the whole image taken out.

    Flows between adjacent frames are estimated on the phase, averaged with those before and after along their path
    where the velocity lasts, and chained over the window. A neighbour counts the less, the further it is away in
    time (Gaussian), the less the flows there and back agree, and the more it deviates from the median of the window.
    What shakes the whole image to and fro (see `shake`) is no motion of cells: each frame is moved to where it
    would be without. At the ends of a movie, and in a short one, there are fewer neighbours.

    Frames need their `phase`. Pushed frames are held by reference and never written to.

    Parameters
    ----------
    name
        Name of the method.
    before, after
        Number of neighbours on either side that are averaged.
    lookahead
        Number of frames after the one in question that may be looked at; that many are waited for. By default as
        many as help: one more than `after`, and enough for the shake.
    keep_shake
        Leave the shake of the whole image in.
    source
        Gives the flow; by default it is estimated from the phase.

    Raises
    ------
    UsageError
        If no neighbour comes before, or `after` exceeds `lookahead`.
    """

    delay = 0.0
    minimum = 1

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
        self._lookahead = max(after + 1, jitter.WINDOW) if lookahead is None else lookahead
        if self._lookahead < after:
            raise UsageError(f"{name}: a lookahead of {lookahead} frames does not reach the {after} frames after")
        self._keep_shake = keep_shake
        self._track = MotionTrack(source or PhaseFlow())
        self._pending: list[Frame] = []
        self._came = range(0)  # numbers of the frames of the movie that have come

    def length(self, n_frames: int) -> int:
        """Return the number of output frames of a movie of `n_frames` frames: the same."""
        return n_frames

    def planes(self, n_channels: int) -> int:
        """Return how many images of one channel (Y, X), float32, are in memory at a time."""
        window = max(self._before, jitter.WINDOW) + self._lookahead + 1
        flows = 10 * window  # there and back, as estimated, and as used with the mismatch
        return (n_channels + 1) * window + flows + (n_channels + 4) * (self._before + self._after + 1)

    def push(self, frame: Frame) -> list[Frame]:
        """Take the next frame, and return the output frames that became ready.

        Parameters
        ----------
        frame
            Frame of shape (C, Y, X), float32, with its phase. The first one begins the movie, whatever its index;
            an invalid one is never looked at.

        Returns
        -------
        list[Frame]
            Frames of shape (C, Y, X), float32, in order. Invalid frames stay invalid and are all NaN.

        Raises
        ------
        ValueError
            If the frame is not the one that follows the last, or a valid one has no phase.
        """
        if not self._came:
            self._came = range(frame.index, frame.index)
        if frame.index != self._came.stop:
            raise ValueError(
                f"frame {frame.index} came where frame {self._came.stop} was due: frames must come in order"
            )
        if frame.valid:
            self._track.append(frame)
        self._pending.append(frame)
        self._came = range(self._came.start, frame.index + 1)
        if len(self._pending) <= self._lookahead:
            return []
        results = [self._smooth(self._pending.pop(0))]
        self._track.release(results[0].index + 1 - max(self._before, jitter.WINDOW))
        return results

    def flush(self) -> list[Frame]:
        """End the movie: return the output frames that are left, as `push` does. Another movie may follow."""
        results = [self._smooth(frame) for frame in self._pending]
        self._pending, self._came = [], range(0)
        self._track.clear()
        return results

    def _smooth(self, frame: Frame) -> Frame:
        if not frame.valid:
            return Frame(frame.index, np.full(frame.data.shape, np.nan, np.float32), valid=False)
        shape = frame.data.shape[1], frame.data.shape[2]
        offset = self._displacement(frame.index)
        start = optical_flow.grid(shape) + offset
        images = [_read(frame.data, start) if offset.any() else frame.data]
        weights, trust = [1.0], [np.ones(shape, np.float32)]
        window = range(frame.index - self._before, frame.index + self._after + 1)
        for other, path in self._track.paths(frame.index, window, start):
            places = start + path[..., :2]
            images.append(_read(other.data, places))
            weights.append(np.exp(-0.5 * ((other.index - frame.index) / TIME) ** 2))
            trust.append(np.exp(-0.5 / _MISMATCH**2 * path[..., 2]) * optical_flow.inside(places, shape))
        known = np.array(weights, np.float32), np.stack(trust)
        channels = zip(*images, strict=True)
        return Frame(frame.index, np.stack([robust_mean(np.stack(channel), *known) for channel in channels]))

    def _displacement(self, index: int) -> NDArray[np.float32]:
        if self._keep_shake:
            return np.zeros(2, np.float32)
        first, last = index - jitter.WINDOW, index + jitter.WINDOW
        window = range(max(first, self._came.start), min(last + 1, self._came.stop))
        return jitter.displacement(self._track.accelerations(window), index - window.start)


def centred(window: int = 7, *, keep_shake: bool = False) -> MotionFilter:
    """Return the motion filter over a centred window.

    Parameters
    ----------
    window
        Number of frames, odd.
    keep_shake
        See `MotionFilter`.

    Raises
    ------
    UsageError
        If there is no such window.
    """
    if window < 3 or window % 2 == 0:
        raise UsageError(f"--motion-window {window}: must be an odd number of frames, 3 or more")
    return MotionFilter("motion", window // 2, window // 2, keep_shake=keep_shake)


def causal(lag: int = 1, *, keep_shake: bool = False) -> MotionFilter:
    """Return a motion filter for use during acquisition, which answers a fixed number of frames later.

    Parameters
    ----------
    lag
        Number of frames that are waited for, 0 or more.
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


def _read(data: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([optical_flow.warp(channel, places) for channel in data])
