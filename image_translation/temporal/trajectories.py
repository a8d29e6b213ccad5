"""Trajectories of the material of a movie: the flow between consecutive valid frames, refined and chained.

Each pair of consecutive valid frames has a forward and a backward flow. Before use, a flow is split into the common
motion of the image (its median, which may be jitter) and the rest, and the rest is averaged with that of the pairs
before and after, along the trajectories. Its uncertainty is the forward-backward error plus the photometric error.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from image_translation.frame import Frame
from image_translation.temporal import optical_flow
from image_translation.temporal.optical_flow import Flow
from image_translation.temporal.threads import parallel

_MIN_CONSISTENT_FRACTION = 0.6  # of the textured pixels; below it, the flow between two frames is not used
_NO_CONFIDENCE = 1e6  # uncertainty in squared pixels, for which the weight is zero


@dataclass(frozen=True, eq=False)
class FlowPair:
    """Flow between a frame and the next valid one, in both directions.

    Attributes
    ----------
    forward, backward
        Flow from the first frame to the second, and from the second to the first, (Y, X, 2) float32, in pixels.
    forward_error, backward_error
        Photometric error along each flow, (Y, X) float32; see `optical_flow.photometric_error`.
    """

    forward: Flow
    backward: Flow
    forward_error: NDArray[np.float32]
    backward_error: NDArray[np.float32]


class FlowSource(Protocol):
    """Source of the flow between consecutive valid frames of a movie."""

    def push(self, frame: Frame) -> tuple[NDArray[np.bool_], FlowPair | None]:
        """Add the next valid frame; return its mask of textured pixels, (Y, X), and the flow from the previous frame.

        The first frame has no flow.
        """

    def reset(self) -> None:
        """Forget the previous frame, before another movie."""


class PhaseFlow:
    """Optical flow estimated from the phase of the frames."""

    def __init__(self) -> None:
        self._estimator = optical_flow.FlowEstimator()
        self._previous: NDArray[np.uint8] | None = None

    def push(self, frame: Frame) -> tuple[NDArray[np.bool_], FlowPair | None]:
        """Add the next valid frame, with its phase; see `FlowSource.push`."""
        if frame.phase is None:
            raise ValueError(f"frame {frame.index} has no phase; the motion filters estimate the flow from it")
        before, (after, textured) = self._previous, self._estimator.prepare(frame.phase)
        self._previous = after
        if before is None:
            return textured, None
        forward, backward = self._estimator.estimate(before, after), self._estimator.estimate(after, before)

        def error(source: NDArray[np.uint8], target: NDArray[np.uint8], flow: Flow) -> NDArray[np.float32]:
            return optical_flow.excess(optical_flow.photometric_error(source, target, flow), textured)

        errors = parallel(error, (before, after), (after, before), (forward, backward))
        return textured, FlowPair(forward, backward, *errors)

    def reset(self) -> None:
        """Forget the previous frame."""
        self._previous = None


@dataclass(eq=False)
class _TrackedFrame:
    """Valid frame with its mask of textured pixels, (Y, X) bool."""

    frame: Frame
    textured: NDArray[np.bool_]


@dataclass(eq=False)
class _Direction:
    """Motion between two consecutive valid frames, in one direction.

    Attributes
    ----------
    measured, photometric_error
        Flow as estimated, (Y, X, 2) float32, and its error, (Y, X) float32.
    common
        Median flow (dx, dy), in pixels, which may be jitter and not persist.
    relative
        Flow relative to it, (Y, X, 2) float32.
    refined
        Refined flow and its uncertainty in squared pixels, (Y, X, 3) float32.
    """

    measured: Flow
    photometric_error: NDArray[np.float32]
    common: NDArray[np.float32]
    relative: Flow
    refined: NDArray[np.float32] = field(init=False)


@dataclass(eq=False)
class _Interval:
    """Motion between two consecutive valid frames.

    Attributes
    ----------
    forward, backward
        The motion from the first frame to the second, and from the second to the first.
    reliable
        Whether the frames are adjacent in time and the flow is consistent.
    discontinuous
        Whether the flow is inconsistent in most of the image, as after a jump of the stage.
    error
        Median squared forward-backward error of the textured pixels, in squared pixels.
    refined
        Whether the refined flow of both directions is up to date.
    """

    forward: _Direction
    backward: _Direction
    reliable: bool
    discontinuous: bool
    error: float
    refined: bool = False

    def set_refined(self, forward: Flow, backward: Flow) -> None:
        """Store the refined flows, with their uncertainty."""

        def with_uncertainty(flow: Flow, reverse: Flow, photometric_error: NDArray[np.float32]) -> NDArray[np.float32]:
            uncertainty = optical_flow.forward_backward_error(flow, reverse) + photometric_error
            if self.discontinuous:
                uncertainty[:] = _NO_CONFIDENCE
            return np.dstack([flow, uncertainty])

        errors = self.forward.photometric_error, self.backward.photometric_error
        refined = parallel(with_uncertainty, (forward, backward), (backward, forward), errors)
        self.forward.refined, self.backward.refined = refined
        self.refined = True


class Trajectories:
    """Trajectories of the material over a sliding window of valid frames.

    Parameters
    ----------
    source
        Source of the flow between consecutive valid frames.
    """

    def __init__(self, source: FlowSource) -> None:
        self._source = source
        self._frames: list[_TrackedFrame] = []
        self._intervals: list[_Interval] = []  # number i lies between frames i and i + 1

    def append(self, frame: Frame) -> None:
        """Add the next valid frame, with its phase."""
        textured, measured = self._source.push(frame)
        tracked = _TrackedFrame(frame, textured)
        if measured is not None:
            self._append_interval(self._frames[-1], tracked, measured)
        self._frames.append(tracked)

    def discard_before(self, oldest: int) -> None:
        """Discard the frames whose index is below `oldest`, except the last frame."""
        while len(self._frames) > 1 and self._frames[0].frame.index < oldest:
            del self._frames[0], self._intervals[0]

    def clear(self) -> None:
        """Discard all frames."""
        self._frames, self._intervals = [], []
        self._source.reset()

    def follow(self, index: int, window: range, start: NDArray[np.float32]) -> list[tuple[Frame, NDArray[np.float32]]]:
        """Follow the material of a frame to the other frames of a window.

        Parameters
        ----------
        index
            Index of the frame.
        window
            Indices of the frames to which the material is followed.
        start
            Positions (x, y) in the frame, (Y, X, 2) float32.

        Returns
        -------
        list of (Frame, ndarray)
            Each other valid frame of the window, the later ones first and the nearest ones first, and the flow from
            `start` to it with the accumulated uncertainty, (Y, X, 3) float32.
        """
        centre = next(number for number, tracked in enumerate(self._frames) if tracked.frame.index == index)
        later = [tracked.frame for tracked in self._frames[centre + 1 :] if tracked.frame.index in window]
        earlier = [tracked.frame for tracked in reversed(self._frames[:centre]) if tracked.frame.index in window]
        forward = [self._refined(centre + step).forward.refined for step in range(len(later))]
        backward = [self._refined(centre - 1 - step).backward.refined for step in range(len(earlier))]
        paths = parallel(optical_flow.chain_flows, (forward, backward), (start, start))
        return [
            pair
            for frames, path in zip((later, earlier), paths, strict=True)
            for pair in zip(frames, path, strict=True)
        ]

    def _append_interval(self, before: _TrackedFrame, after: _TrackedFrame, measured: FlowPair) -> None:
        flows, photometric = (measured.forward, measured.backward), (measured.forward_error, measured.backward_error)
        forward, backward = parallel(_direction, flows, photometric, (before.textured, after.textured))
        errors = optical_flow.forward_backward_error(measured.forward, measured.backward)[before.textured]
        error = float(np.median(errors)) if len(errors) else 0.0
        discontinuous = len(errors) > 0 and float((errors < 1).mean()) < _MIN_CONSISTENT_FRACTION
        adjacent = after.frame.index == before.frame.index + 1
        reliable = adjacent and not discontinuous
        self._intervals.append(_Interval(forward, backward, reliable, discontinuous, error))
        if len(self._intervals) > 1:
            self._intervals[-2].refined = False  # the new interval adds information about it

    def _refined(self, number: int) -> _Interval:
        """Average the flow of an interval with those of the intervals before and after, along the trajectories."""
        interval = self._intervals[number]
        if interval.refined:
            return interval
        # Flow of the other intervals, and the displacement of the material to the frame that it starts from.
        forward, backward = [], []
        if interval.reliable and number > 0 and (other := self._intervals[number - 1]).reliable:
            forward.append((other.forward.relative, other.backward.measured))
            backward.append((other.backward.relative, interval.backward.measured))
        if interval.reliable and number + 1 < len(self._intervals) and (other := self._intervals[number + 1]).reliable:
            forward.append((other.forward.relative, interval.forward.measured))
            backward.append((other.backward.relative, other.forward.measured))

        def refine(direction: _Direction, others: list[tuple[Flow, Flow]]) -> Flow:
            along = [optical_flow.sample(flow, grid + displacement) for flow, displacement in others]
            return optical_flow.average_velocities([direction.relative, *along], interval.error) + direction.common

        grid = optical_flow.pixel_grid(interval.forward.measured.shape[:2])
        interval.set_refined(*parallel(refine, (interval.forward, interval.backward), (forward, backward)))
        return interval


def _direction(measured: Flow, photometric_error: NDArray[np.float32], textured: NDArray[np.bool_]) -> _Direction:
    values = measured[textured]
    common = np.median(values, axis=0) if len(values) else np.zeros(2, np.float32)
    return _Direction(measured, photometric_error, common, measured - common)
