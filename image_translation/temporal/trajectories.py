"""The valid frames of a movie that are held, and the motion between each and the next."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from image_translation.frame import Frame
from image_translation.temporal import jitter, optical_flow

_AGREEING = 0.6  # share of the textured pixels whose flows there and back lead within a pixel of the start
_BROKEN = 1e6  # squared pixels; no weight is left


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion between a frame and the next valid one.

    Attributes
    ----------
    there, back
        Flow from the one to the other, and back, (Y, X, 2) float32.
    unlike_there, unlike_back
        How unlike the two frames are along these flows, (Y, X) float32; see `optical_flow.unlikeness`.
    """

    there: optical_flow.Flow
    back: optical_flow.Flow
    unlike_there: NDArray[np.float32]
    unlike_back: NDArray[np.float32]


class FlowSource(Protocol):
    """Where the motion in a movie comes from."""

    def follow(self, frame: Frame) -> tuple[NDArray[np.bool_], Motion | None]:
        """Take the next valid frame; return its pixels with texture, (Y, X), and the motion from the last to it.

        There is no motion to the first frame.
        """

    def clear(self) -> None:
        """Forget the last frame: another movie begins."""


class PhaseFlow:
    """Motion that is estimated from the phase of the frames."""

    def __init__(self) -> None:
        self._estimator = optical_flow.FlowEstimator()
        self._last: NDArray[np.uint8] | None = None

    def follow(self, frame: Frame) -> tuple[NDArray[np.bool_], Motion | None]:
        """Take the next valid frame, with its phase."""
        if frame.phase is None:
            raise ValueError(f"frame {frame.index} has no phase, which tells a motion filter where things move")
        before, (after, textured) = self._last, self._estimator.prepare(frame.phase)
        self._last = after
        if before is None:
            return textured, None
        there, back = self._estimator.flow(before, after), self._estimator.flow(after, before)
        unlike = optical_flow.unlikeness(before, after, there), optical_flow.unlikeness(after, before, back)
        return textured, Motion(there, back, *unlike)

    def clear(self) -> None:
        """Forget the last frame."""
        self._last = None


@dataclass(eq=False)
class _Node:
    """A valid frame, the pixels with texture, (Y, X) bool, and what acceleration they have in common."""

    frame: Frame
    textured: NDArray[np.bool_]
    acceleration: NDArray[np.float64] | None = None


@dataclass(eq=False)
class _Link:
    """Motion from a valid frame to the next one, and what all material has in common of it.

    `forward` and `backward` are the flows that are to be used, with the doubts about them in squared pixels, (Y, X, 3).
    """

    measured: Motion
    drift_there: NDArray[np.float32]
    drift_back: NDArray[np.float32]
    steady: bool  # between frames that follow each other, and most of the material can be followed
    broken: bool
    settled: bool = False
    forward: NDArray[np.float32] = field(init=False)
    backward: NDArray[np.float32] = field(init=False)

    def settle(self, there: optical_flow.Flow, back: optical_flow.Flow) -> None:
        """Take the flows that are to be used, and note where they are in doubt."""
        doubt_there = optical_flow.mismatch(there, back) + self.measured.unlike_there
        doubt_back = optical_flow.mismatch(back, there) + self.measured.unlike_back
        if self.broken:
            doubt_there[:], doubt_back[:] = _BROKEN, _BROKEN
        self.forward = np.dstack([there, doubt_there])
        self.backward = np.dstack([back, doubt_back])
        self.settled = True

    @property
    def own_there(self) -> optical_flow.Flow:
        """Flow there without what all material has in common, which may be shake and not last."""
        return self.measured.there - self.drift_there

    @property
    def own_back(self) -> optical_flow.Flow:
        """Flow back without what all material has in common."""
        return self.measured.back - self.drift_back


class MotionTrack:
    """Some consecutive frames of a movie, and the paths of their material.

    Parameters
    ----------
    source
        Gives the flow between adjacent frames.
    """

    def __init__(self, source: FlowSource) -> None:
        self._source = source
        self._nodes: list[_Node] = []
        self._links: list[_Link] = []  # between each node and the next

    def append(self, frame: Frame) -> None:
        """Take the next valid frame, with its phase."""
        textured, measured = self._source.follow(frame)
        node = _Node(frame, textured)
        if measured is not None:
            self._link(self._nodes[-1], node, measured)
        self._nodes.append(node)

    def release(self, oldest: int) -> None:
        """Let go of the frames before a number, but for the last frame."""
        while len(self._nodes) > 1 and self._nodes[0].frame.index < oldest:
            del self._nodes[0], self._links[0]

    def clear(self) -> None:
        """Let go of all frames."""
        self._nodes, self._links = [], []
        self._source.clear()

    def accelerations(self, window: range) -> list[NDArray[np.float64] | None]:
        """Return the common acceleration (dx, dy) of each frame of a window, None where it is not known."""
        known = {node.frame.index: node.acceleration for node in self._nodes}
        return [known.get(index) for index in window]

    def paths(
        self, index: int, window: range, start: NDArray[np.float32]
    ) -> Iterator[tuple[Frame, NDArray[np.float32]]]:
        """Follow the material of a frame.

        Parameters
        ----------
        index
            Number of the frame.
        window
            Numbers of the frames that it is followed to.
        start
            Places (x, y) in the frame, (Y, X, 2) float32.

        Yields
        ------
        frame
            Each other valid frame of the window.
        path
            Flow from the places to it, and the sum of the doubts on the way, (Y, X, 3) float32.
        """
        centre = next(number for number, node in enumerate(self._nodes) if node.frame.index == index)
        later = [node.frame for node in self._nodes[centre + 1 :] if node.frame.index in window]
        earlier = [node.frame for node in reversed(self._nodes[:centre]) if node.frame.index in window]
        forward = [self._settled(centre + step).forward for step in range(len(later))]
        backward = [self._settled(centre - 1 - step).backward for step in range(len(earlier))]
        yield from zip(later, optical_flow.chain(forward, start), strict=True)
        yield from zip(earlier, optical_flow.chain(backward, start), strict=True)

    def _link(self, before: _Node, after: _Node, measured: Motion) -> None:
        drifts = _drift(measured.there, before.textured), _drift(measured.back, after.textured)
        agreeing = optical_flow.mismatch(measured.there, measured.back)[before.textured] < 1
        broken = len(agreeing) > 0 and float(agreeing.mean()) < _AGREEING
        adjacent = after.frame.index == before.frame.index + 1
        link = _Link(measured, *drifts, steady=adjacent and not broken, broken=broken)
        self._links.append(link)
        if len(self._links) > 1:
            earlier = self._links[-2]
            if link.steady and earlier.steady:
                before.acceleration = jitter.acceleration(earlier.measured.back, measured.there, before.textured)
            earlier.settled = False  # the new one tells more of it

    def _settled(self, number: int) -> _Link:
        """Average the flow of a link with those of the links before and after, along the path."""
        link = self._links[number]
        if link.settled:
            return link
        start = optical_flow.grid(link.measured.there.shape[:2])
        there, back = [link.own_there], [link.own_back]
        if link.steady and number > 0 and (other := self._links[number - 1]).steady:
            there.append(optical_flow.sample(other.own_there, start + other.measured.back))
            back.append(optical_flow.sample(other.own_back, start + link.measured.back))
        if link.steady and number + 1 < len(self._links) and (other := self._links[number + 1]).steady:
            there.append(optical_flow.sample(other.own_there, start + link.measured.there))
            back.append(optical_flow.sample(other.own_back, start + other.measured.there))
        link.settle(optical_flow.lasting(there) + link.drift_there, optical_flow.lasting(back) + link.drift_back)
        return link


def _drift(flow: optical_flow.Flow, textured: NDArray[np.bool_]) -> NDArray[np.float32]:
    values = flow[textured]
    return np.median(values, axis=0) if len(values) else np.zeros(2, np.float32)
