"""A mean over time in the frame of the material: what a window of frames shows of it, carried to where it is now.

Averaging a pixel over time blurs what moves. Here the phase tells where the material of each frame lies in its
neighbours, and the predictions are averaged along these paths. Where the phase cannot be followed (a division, an
entry, a cell that detaches) or the neighbours disagree, the frame's own prediction stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation import motion, shake
from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.order_statistics import median

_TIME = 2.0  # frames, standard deviation of the weights in time
_MISMATCH = 1.0  # pixels, within which the flow there and the flow back agree
_STEADINESS = 1.0  # pixels per frame, within which the velocity of a material counts as unchanged
_PATCH = 3.0  # pixels, over which velocities are compared
_SPREAD = 3.0  # typical deviations from the median at which a neighbour is out of question
_GRAIN = 2.0  # pixels, over which these deviations are pooled
_LEAST_DEVIATION = 0.1  # standard deviations of the image, below which all is the same
_REST = 1e-6  # weight of a neighbour that is out of question, so that there is always one


class FlowSource:
    """Flow between the frames of a movie, estimated from their phase."""

    def __init__(self) -> None:
        self._estimator = motion.FlowEstimator()

    def prepare(self, frame: Frame) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return what `between` needs of a frame, and which of its pixels (Y, X) have texture."""
        if frame.phase is None:
            raise ValueError(f"frame {frame.index} has no phase, which tells a motion filter where things move")
        return self._estimator.prepare(frame.phase)

    def between(self, before: "_Node", after: "_Node") -> tuple[motion.Flow, motion.Flow]:
        """Return the flow from one frame to a later one, and back, (Y, X, 2) float32 each."""
        return (
            self._estimator.flow(before.guide, after.guide),
            self._estimator.flow(after.guide, before.guide),
        )


@dataclass(eq=False)
class _Node:
    """A valid frame: its number, its image (C, Y, X), what the flow needs of it, and how it is accelerated."""

    index: int
    data: NDArray[np.float32]
    guide: NDArray[np.uint8]
    textured: NDArray[np.bool_]
    acceleration: NDArray[np.float64] | None = None


@dataclass(eq=False)
class _Link:
    """Motion between a valid frame and the next one: flow there and back, and what all material has in common."""

    there: motion.Flow
    back: motion.Flow
    drift_there: NDArray[np.float32]
    drift_back: NDArray[np.float32]
    adjacent: bool
    forward: NDArray[np.float32] | None = None
    backward: NDArray[np.float32] | None = None

    def settle(self, forward: motion.Flow, backward: motion.Flow) -> None:
        """Take the flows that are to be used, and note where they disagree."""
        self.forward = np.dstack([forward, motion.mismatch(forward, backward)])
        self.backward = np.dstack([backward, motion.mismatch(backward, forward)])


class MotionFilter:
    """Robust mean over a window of frames along the paths of the material, with the shake of the whole image taken out.

    Flows between adjacent frames are estimated on the phase, averaged with those before and after along their path
    where the velocity lasts, and chained over the window. A neighbour counts the less, the further it is away in
    time (Gaussian), the less the flows there and back agree, and the more it deviates from the median of the window.
    What shakes the whole image to and fro (see `shake`) is no motion of cells: each frame is moved to where it
    would be without. The frames of a movie that is too short have no or fewer neighbours; one frame is returned
    as it is.

    Frames need their `phase`. Pushed frames are held by reference and never written to.

    Parameters
    ----------
    name
        Name of the method.
    before, after
        Number of neighbours on either side that are averaged.
    lookahead
        Number of frames after the one in question that may be looked at; that many frames are waited for. By
        default as many as help: one more than `after`, and enough for the shake.
    keep_shake
        Leave the shake of the whole image in.
    source
        Gives the flow.

    Raises
    ------
    UsageError
        If the window is empty on both sides, or `after` exceeds `lookahead`.
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
        self._lookahead = max(after + 1, shake.WINDOW) if lookahead is None else lookahead
        if self._lookahead < after:
            raise UsageError(f"{name}: a lookahead of {lookahead} frames does not reach the {after} frames after")
        self._keep_shake = keep_shake
        self._source = source or FlowSource()
        self._reset()

    def _reset(self) -> None:
        self._pending: list[Frame] = []
        self._nodes: list[_Node] = []
        self._links: list[_Link] = []  # between a node and the next
        self._first = 0
        self._end: int | None = None

    def length(self, n_frames: int) -> int:
        """Return the number of output frames of a movie of `n_frames` frames: the same."""
        return n_frames

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
        if self._end is None:
            self._first = self._end = frame.index
        if frame.index != self._end:
            raise ValueError(f"frame {frame.index} came where frame {self._end} was due: frames must come in order")
        self._end += 1
        self._pending.append(frame)
        if frame.valid:
            self._append(_Node(frame.index, frame.data, *self._source.prepare(frame)))
        results = []
        while self._pending[0].index + self._lookahead < self._end:
            results.append(self._smooth(self._pending.pop(0)))
            self._release()
        return results

    def flush(self) -> list[Frame]:
        """End the movie: return the output frames that are left, as `push` does. Another movie may follow."""
        results = [self._smooth(frame) for frame in self._pending]
        self._reset()
        return results

    def _append(self, node: _Node) -> None:
        if self._nodes:
            before = self._nodes[-1]
            there, back = self._source.between(before, node)
            drifts = _drift(there, before.textured), _drift(back, node.textured)
            self._links.append(_Link(there, back, *drifts, adjacent=node.index == before.index + 1))
            if len(self._links) > 1:
                earlier, link = self._links[-2:]
                if earlier.adjacent and link.adjacent:
                    before.acceleration = shake.acceleration(earlier.back, there, before.textured)
                self._settle(len(self._links) - 2)
            self._settle(len(self._links) - 1)  # for the time being: the next frame will tell more
        self._nodes.append(node)

    def _settle(self, number: int) -> None:
        """Average the flow of a link with those of the links before and after along the path, where velocities last."""
        link = self._links[number]
        start = motion.grid(link.there.shape[:2])
        there, back = [link.there - link.drift_there], [link.back - link.drift_back]
        if link.adjacent and number > 0 and (other := self._links[number - 1]).adjacent:
            there.append(motion.sample(other.there - other.drift_there, start + other.back))
            back.append(motion.sample(other.back - other.drift_back, start + link.back))
        if link.adjacent and number + 1 < len(self._links) and (other := self._links[number + 1]).adjacent:
            there.append(motion.sample(other.there - other.drift_there, start + link.there))
            back.append(motion.sample(other.back - other.drift_back, start + other.there))
        link.settle(_lasting(there) + link.drift_there, _lasting(back) + link.drift_back)

    def _smooth(self, frame: Frame) -> Frame:
        if not frame.valid:
            return Frame(frame.index, np.full(frame.data.shape, np.nan, np.float32), valid=False)
        offset = self._displacement(frame.index)
        height, width = frame.data.shape[1:]
        start = motion.grid((height, width)) + offset
        images, weights = [_moved(frame.data, start, offset)], [np.ones((height, width), np.float32)]
        for node, path in self._paths(frame.index, start):
            places = start + path[..., :2]
            distance = (node.index - frame.index) / _TIME
            weight = np.exp(-0.5 * (distance**2 + path[..., 2] / _MISMATCH**2))
            weights.append(weight * motion.inside(places, (height, width)))
            images.append(np.stack([motion.warp(channel, places) for channel in node.data]))
        stack = np.stack(weights)
        channels = zip(frame.data, zip(*images, strict=True), strict=True)
        return Frame(frame.index, np.stack([_robust_mean(np.stack(own), stack, image.std()) for image, own in channels]))

    def _displacement(self, index: int) -> NDArray[np.float32]:
        if self._keep_shake or self._end is None:
            return np.zeros(2, np.float32)
        window = range(max(self._first, index - shake.WINDOW), min(self._end, index + shake.WINDOW + 1))
        known = {node.index: node.acceleration for node in self._nodes}
        return shake.displacement([known.get(i) for i in window], index - window.start)

    def _paths(self, index: int, start: NDArray[np.float32]) -> Iterator[tuple[_Node, NDArray[np.float32]]]:
        """Yield the neighbours of a frame in the window, with the flow and the squared mismatch from it to each."""
        centre = next(i for i, node in enumerate(self._nodes) if node.index == index)
        later = [node for node in self._nodes[centre + 1 :] if node.index <= index + self._after]
        earlier = [node for node in self._nodes[:centre][::-1] if node.index >= index - self._before]
        forward = [link.forward for link in self._links[centre : centre + len(later)]]
        backward = [link.backward for link in self._links[centre - len(earlier) : centre][::-1]]
        yield from zip(later, motion.chain(forward, start), strict=True)
        yield from zip(earlier, motion.chain(backward, start), strict=True)

    def _release(self) -> None:
        """Let go of the frames that no output will need: those out of the window, but for what the shake needs."""
        oldest = (self._pending[0].index if self._pending else self._end or 0) - max(self._before, shake.WINDOW)
        while len(self._nodes) > 1 and self._nodes[0].index < oldest:
            self._nodes.pop(0)
            self._links.pop(0)


def causal(lag: int = 1, *, keep_shake: bool = False) -> MotionFilter:
    """Return a motion filter for use during acquisition, which answers a fixed number of frames later.

    Parameters
    ----------
    lag
        Number of frames that are waited for, 0 or more.
    keep_shake
        See `MotionFilter`.
    """
    if lag < 0:
        raise UsageError(f"--causal-lag {lag}: must be 0 or more")
    return MotionFilter("causal", after=lag, lookahead=lag, keep_shake=keep_shake)


def _drift(flow: motion.Flow, textured: NDArray[np.bool_]) -> NDArray[np.float32]:
    values = flow[textured]
    return np.median(values, axis=0) if len(values) else np.zeros(2, np.float32)


def _lasting(velocities: list[motion.Flow]) -> motion.Flow:
    """Average the first of some velocity fields (Y, X, 2) with those of the others that do not differ much from it."""
    first = velocities[0]
    total, weights = first.copy(), np.ones(first.shape[:2], np.float32)
    for other in velocities[1:]:
        change = cv2.GaussianBlur(np.square(other - first).sum(axis=2), (0, 0), _PATCH)
        weight = np.exp(-0.5 / _STEADINESS**2 * change)
        total += weight[..., np.newaxis] * other
        weights += weight
    return total / weights[..., np.newaxis]


def _moved(data: NDArray[np.float32], places: NDArray[np.float32], offset: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([motion.warp(channel, places) for channel in data]) if offset.any() else data


def _robust_mean(
    images: NDArray[np.float32], weights: NDArray[np.float32], contrast: np.float32
) -> NDArray[np.float32]:
    """Average K images, (K, Y, X), with weights of the same shape, less of those that deviate from their median.

    The median is that of all images, not the first of them: what deviates from the frame in question may be right, and
    the frame the one that flickers.
    """
    if len(images) == 1:
        return images[0].copy()
    deviations = np.square(images - median(images))
    for deviation in deviations:
        cv2.GaussianBlur(deviation, (0, 0), _GRAIN, dst=deviation)
    typical = 1.5 * float(median(deviations[:, ::4, ::4]).mean())
    scale = 2 * _SPREAD**2 * max(typical, float(_LEAST_DEVIATION * contrast) ** 2, np.finfo(np.float32).tiny)
    trusted = weights * (np.exp(deviations / -scale) + _REST)
    return np.einsum("kyx,kyx->yx", trusted, images) / trusted.sum(axis=0)
