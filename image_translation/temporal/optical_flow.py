"""Motion of what a label-free movie shows: dense flow between frames, chained over several, and images warped by it.

A flow is an array of shape (Y, X, 2), float32, in pixels: (dx, dy), such that what lies at p in one frame lies at
p + flow in the other. This is OpenCV's order, in which it is handed to OpenCV and back.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Flow = NDArray[np.float32]

_NOISE = 0.8  # standard deviation, in pixels, of the Gaussian that takes off the noise of a pixel
_NEIGHBOURHOOD = 20.0  # pixels, in which contrast is made even
_GREY, _GAIN = 128, 60  # of the even contrast in 8 bits
# Of the search. More of each follows the noise and takes longer; OpenCV's medium preset has 3, 25 and 5.
_PATCH_STRIDE, _DESCENTS, _REFINEMENTS = 4, 8, 4
_SMOOTHNESS = 60.0  # weight of a smooth flow; OpenCV's 20 follows the noise of the phase
_STEADINESS = 2.0  # pixels per frame, within which the velocity of a material counts as unchanged
_PATCH = 3.0  # pixels, over which velocities and guides are compared
_UNLIKE = 12.0  # grey levels of a guide
_LEAST_SIDE = 32  # pixels that the flow estimator needs


class FlowEstimator:
    """Dense flow by fast inverse search [1]_, with locally normalised contrast.

    The contrast is made even, so that neither a step of the lamp nor a bright cell beside a dim one counts. Where it is
    below that of the whole image it is not raised to the full, so that the noise of empty ground stays small.

    References
    ----------
    .. [1] Kroeger et al. (2016), Fast optical flow using dense inverse search, ECCV 2016, 471-488; OpenCV's
       ``DISOpticalFlow``.
    """

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._search.setFinestScale(0)
        self._search.setPatchStride(_PATCH_STRIDE)
        self._search.setGradientDescentIterations(_DESCENTS)
        self._search.setVariationalRefinementIterations(_REFINEMENTS)
        self._search.setVariationalRefinementAlpha(_SMOOTHNESS)

    def prepare(self, phase: Image) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Make a phase image ready for `flow`.

        Parameters
        ----------
        phase
            Image of shape (Y, X), float32, in any unit.

        Returns
        -------
        guide : ndarray
            Even contrast, (Y, X) uint8.
        textured : ndarray
            The half of the pixels round which there is most contrast, (Y, X) bool: the cells, where there is ground.
        """
        smooth = cv2.GaussianBlur(phase, (0, 0), _NOISE)
        detail = smooth - cv2.GaussianBlur(smooth, (0, 0), _NEIGHBOURHOOD)
        contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _NEIGHBOURHOOD))
        even = detail / (contrast + max(float(contrast.mean()), np.finfo(np.float32).tiny))
        guide = np.clip(_GREY + _GAIN * even, 0, 255).astype(np.uint8)
        return guide, contrast >= np.median(contrast)

    def flow(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Flow:
        """Estimate the flow from one guide, (Y, X) uint8, to another."""
        height, width = before.shape
        margins = (0, max(0, _LEAST_SIDE - height), 0, max(0, _LEAST_SIDE - width))
        padded = [cv2.copyMakeBorder(guide, *margins, cv2.BORDER_REPLICATE) for guide in (before, after)]
        # None, which OpenCV's types do not know: there is no flow to begin with.
        flow: Flow = self._search.calc(*padded, None)  # type: ignore[call-overload]
        return np.ascontiguousarray(flow[:height, :width])


def grid(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the coordinates (x, y) of each pixel: (Y, X, 2), float32."""
    y, x = np.indices(shape, np.float32)
    return np.dstack([x, y])


def sample(field: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Read a field between its pixels, linearly.

    Parameters
    ----------
    field
        Shape (Y, X) or (Y, X, N), N at most 4, float32.
    places
        Coordinates (x, y), of shape (Y', X', 2), float32. Outside the field its border is repeated.
    """
    return _remap(field, places, cv2.INTER_LINEAR)


def warp(image: Image, places: NDArray[np.float32]) -> Image:
    """Read an image between its pixels by bicubic interpolation, which keeps more of the detail.

    Parameters
    ----------
    image
        Shape (Y, X), float32.
    places
        Coordinates (x, y), of shape (Y', X', 2), float32. Outside the image its border is repeated.
    """
    return _remap(image, places, cv2.INTER_CUBIC)


def mismatch(there: Flow, back: Flow) -> NDArray[np.float32]:
    """Return the squared distance from each pixel to where the flow there and the flow back lead, (Y, X) float32.

    It is small where both agree; it is large where something came, went, or was covered (Sundaram et al. 2010, Dense
    point trajectories by GPU-accelerated large displacement optical flow, ECCV 2010).
    """
    loop = there + sample(back, grid(there.shape[:2]) + there)
    return _squared_length(loop)


def unlikeness(before: NDArray[np.uint8], after: NDArray[np.uint8], flow: Flow) -> NDArray[np.float32]:
    """Return by how much two guides differ along a flow.

    Parameters
    ----------
    before, after
        Guides of `FlowEstimator.prepare`, (Y, X) uint8.
    flow
        From the one to the other.

    Returns
    -------
    NDArray[np.float32]
        Mean squared difference about each pixel of `before`, (Y, X), 1 where it is as large as it gets from noise and
        weak flicker; far above where something happened.
    """
    carried = sample(after.astype(np.float32), grid(before.shape) + flow)
    difference = (before - carried) / _UNLIKE
    return np.asarray(cv2.GaussianBlur(difference * difference, (0, 0), _PATCH), np.float32)


def chain(steps: Iterable[NDArray[np.float32]], start: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Follow the material over several frames.

    Direct matching fails where cells have gone far; a chain of the flows between adjacent frames holds.

    Parameters
    ----------
    steps
        From each frame to the next on the way: flow and doubt about it, (Y, X, 3) float32.
    start
        Places (x, y) in the first of the frames, (Y, X, 2) float32.

    Returns
    -------
    list of ndarray
        For each frame on the way the flow from `start` and the sum of the doubts, (Y, X, 3) float32.
    """
    total: NDArray[np.float32] | float = 0.0
    places, totals = start, []
    for step in steps:
        total = total + sample(step, places)
        places = start + total[..., :2]
        totals.append(total)
    return totals


def lasting(velocities: Sequence[Flow]) -> Flow:
    """Average the velocity at a time with those at other times, where they do not differ much from it.

    Cells keep their velocity for a while, and the errors of the flow are new in each frame.

    Parameters
    ----------
    velocities
        Of the same material, (Y, X, 2) float32 each; the first is the one in question.
    """
    first = velocities[0]
    total, weights = first.copy(), np.ones(first.shape[:2], np.float32)
    for other in velocities[1:]:
        change = cv2.GaussianBlur(_squared_length(other - first), (0, 0), _PATCH)
        weight = np.exp(-0.5 / _STEADINESS**2 * change)
        total += weight[..., np.newaxis] * other
        weights += weight
    return total / weights[..., np.newaxis]


def inside(places: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which coordinates (x, y) lie in an image of a shape (Y, X)."""
    x, y = places[..., 0], places[..., 1]
    return (x >= 0) & (y >= 0) & (x <= shape[1] - 1) & (y <= shape[0] - 1)


def _squared_length(flow: Flow) -> NDArray[np.float32]:
    dx, dy = flow[..., 0], flow[..., 1]
    return dx * dx + dy * dy


def _remap(field: NDArray[np.float32], places: NDArray[np.float32], interpolation: int) -> NDArray[np.float32]:
    # None, which OpenCV's types do not know: x and y are in one map.
    read: NDArray[np.float32] = cv2.remap(  # type: ignore[call-overload]
        field, places, None, interpolation, borderMode=cv2.BORDER_REPLICATE
    )
    return read
