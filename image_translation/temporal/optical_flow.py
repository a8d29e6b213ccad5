"""Dense optical flow on phase images: estimation, interpolation along it, consistency checks, chaining over frames.

A flow is an array of shape (Y, X, 2), float32, in pixels: (dx, dy) such that the material at p in one frame is at
p + flow in the other. Coordinates are (x, y) as in OpenCV.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Flow = NDArray[np.float32]

_DENOISING_SIGMA = 0.8  # pixels
_CONTRAST_SIGMA = 20.0  # pixels over which the contrast is normalised
_GREY_OFFSET, _GREY_GAIN = 128, 60  # of the normalised contrast in 8 bits
# Settings of the search. More of each follows the noise and takes longer; OpenCV's medium preset is 3, 25 and 5.
_PATCH_STRIDE, _DESCENT_ITERATIONS, _REFINEMENT_ITERATIONS = 4, 8, 4
_SMOOTHNESS = 20.0  # weight of the smoothness term
_VELOCITY_FACTOR = 30.0  # times the squared error of the flow; velocities that differ by less are averaged
_MIN_VELOCITY_VARIANCE = 0.01  # squared pixels
_COMPARISON_SIGMA = 3.0  # pixels over which velocities and images are compared
_GREY_TOLERANCE = 12.0  # grey levels; difference expected from noise and weak flicker
_USUAL_FACTOR = 2.0  # times the median error of two images; errors up to it are usual for the two
_MIN_SIDE = 32  # pixels; the flow estimator needs images of this size


class FlowEstimator:
    """Dense optical flow by fast inverse search [1]_ on images with locally normalised contrast.

    Normalisation removes the effect of changes of illumination and of bright cells next to dim ones. Where the local
    contrast is below the mean contrast of the image it is raised only in part, so that noise of the background stays
    weak.

    References
    ----------
    .. [1] Kroeger et al. (2016), Fast optical flow using dense inverse search, ECCV 2016, 471-488; OpenCV's
       ``DISOpticalFlow``.
    """

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._search.setFinestScale(0)
        self._search.setPatchStride(_PATCH_STRIDE)
        self._search.setGradientDescentIterations(_DESCENT_ITERATIONS)
        self._search.setVariationalRefinementIterations(_REFINEMENT_ITERATIONS)
        self._search.setVariationalRefinementAlpha(_SMOOTHNESS)

    def prepare(self, phase: Image) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Normalise the contrast of a phase image for `estimate`.

        Parameters
        ----------
        phase
            Image of shape (Y, X), float32, in any unit.

        Returns
        -------
        normalised : ndarray
            Image with normalised contrast, (Y, X) uint8.
        textured : ndarray
            Mask of the half of the pixels with the highest local contrast, (Y, X) bool: mostly cells.
        """
        smooth = cv2.GaussianBlur(phase, (0, 0), _DENOISING_SIGMA)
        detail = smooth - cv2.GaussianBlur(smooth, (0, 0), _CONTRAST_SIGMA)
        contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _CONTRAST_SIGMA))
        relative = detail / (contrast + max(float(contrast.mean()), np.finfo(np.float32).tiny))
        normalised = np.clip(_GREY_OFFSET + _GREY_GAIN * relative, 0, 255).astype(np.uint8)
        return normalised, contrast >= np.median(contrast)

    def estimate(self, source: NDArray[np.uint8], target: NDArray[np.uint8]) -> Flow:
        """Estimate the flow from one image of `prepare`, (Y, X) uint8, to another."""
        height, width = source.shape
        margins = (0, max(0, _MIN_SIDE - height), 0, max(0, _MIN_SIDE - width))
        padded = [cv2.copyMakeBorder(image, *margins, cv2.BORDER_REPLICATE) for image in (source, target)]
        # OpenCV's type stubs do not allow None, which stands for no initial flow.
        flow: Flow = self._search.calc(*padded, None)  # type: ignore[call-overload]
        return np.ascontiguousarray(flow[:height, :width])


def pixel_grid(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the coordinates (x, y) of all pixels of an image of shape (Y, X): (Y, X, 2), float32."""
    y, x = np.indices(shape, np.float32)
    return np.dstack([x, y])


def sample(field: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sample a field by bilinear interpolation.

    Parameters
    ----------
    field
        Shape (Y, X) or (Y, X, N), N at most 4, float32.
    points
        Coordinates (x, y), of shape (Y', X', 2), float32. Outside the field its border is replicated.
    """
    return _remap(field, points, cv2.INTER_LINEAR)


def warp(image: Image, points: NDArray[np.float32]) -> Image:
    """Sample an image by bicubic interpolation, which preserves more detail than bilinear.

    Parameters
    ----------
    image
        Shape (Y, X), float32.
    points
        Coordinates (x, y), of shape (Y', X', 2), float32. Outside the image its border is replicated.
    """
    return _remap(image, points, cv2.INTER_CUBIC)


def forward_backward_error(forward: Flow, backward: Flow) -> NDArray[np.float32]:
    """Return the squared forward-backward error of each pixel, (Y, X) float32, in squared pixels.

    This is the squared distance between a pixel and its position after following the flow forward and backward again.
    It is large at occlusions and where material enters or leaves (Sundaram et al. 2010, Dense point trajectories by
    GPU-accelerated large displacement optical flow, ECCV 2010).
    """
    error = forward + sample(backward, pixel_grid(forward.shape[:2]) + forward)
    return _squared_norm(error)


def photometric_error(source: NDArray[np.uint8], target: NDArray[np.uint8], flow: Flow) -> NDArray[np.float32]:
    """Return the squared difference of two images along a flow.

    Parameters
    ----------
    source, target
        Images of `FlowEstimator.prepare`, (Y, X) uint8.
    flow
        Flow from the source to the target.

    Returns
    -------
    NDArray[np.float32]
        Mean squared difference in a neighbourhood of each pixel of the source, (Y, X). It reaches 1 by noise and weak
        flicker, and is far above 1 where the material changed.
    """
    warped = sample(target.astype(np.float32), pixel_grid(source.shape) + flow)
    difference = (source - warped) / _GREY_TOLERANCE
    return np.asarray(cv2.GaussianBlur(difference * difference, (0, 0), _COMPARISON_SIGMA), np.float32)


def excess(error: NDArray[np.float32], textured: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return by how much a photometric error exceeds what is usual for the two images, (Y, X) float32.

    A change of focus, gain or noise alters the appearance of all cells alike, and is no reason to doubt the flow in any
    place; a division or a cell that detaches alters one place.

    Parameters
    ----------
    error
        Error from `photometric_error`, (Y, X).
    textured
        Pixels whose median error is the usual one, (Y, X) bool.
    """
    usual = float(np.median(error[textured])) if textured.any() else 0.0
    return np.maximum(error - np.float32(_USUAL_FACTOR * usual), 0)


def chain_flows(steps: Iterable[NDArray[np.float32]], start: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Follow material over several frames by chaining the flows between adjacent frames.

    Chaining is more robust than matching distant frames directly where cells have moved far.

    Parameters
    ----------
    steps
        Flow from each frame to the next on the way, and its uncertainty, (Y, X, 3) float32.
    start
        Positions (x, y) in the first frame, (Y, X, 2) float32.

    Returns
    -------
    list of ndarray
        For each frame reached, the flow from `start` and the accumulated uncertainty, (Y, X, 3) float32.
    """
    total: NDArray[np.float32] | float = 0.0
    points, totals = start, []
    for step in steps:
        total = total + sample(step, points)
        points = start + total[..., :2]
        totals.append(total)
    return totals


def average_velocities(velocities: Sequence[Flow], error: float) -> Flow:
    """Average the velocity of material in one interval with those in other intervals, where they are similar.

    Cells keep their velocity for several frames, while the errors of the flow are independent between frames. What is
    similar depends on the error of the flow: a change of velocity above it is real.

    Parameters
    ----------
    velocities
        Flows of the same material, (Y, X, 2) float32 each; the first is the one to be improved.
    error
        Typical squared forward-backward error of the first flow, in squared pixels.
    """
    variance = max(_VELOCITY_FACTOR * error, _MIN_VELOCITY_VARIANCE)
    first = velocities[0]
    total, weights = first.copy(), np.ones(first.shape[:2], np.float32)
    for other in velocities[1:]:
        change = cv2.GaussianBlur(_squared_norm(other - first), (0, 0), _COMPARISON_SIGMA)
        weight = np.exp(np.float32(-0.5 / variance) * change)
        total += weight[..., np.newaxis] * other
        weights += weight
    return total / weights[..., np.newaxis]


def inside(points: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which coordinates (x, y) lie inside an image of shape (Y, X)."""
    x, y = points[..., 0], points[..., 1]
    return (x >= 0) & (y >= 0) & (x <= shape[1] - 1) & (y <= shape[0] - 1)


def _squared_norm(flow: Flow) -> NDArray[np.float32]:
    dx, dy = flow[..., 0], flow[..., 1]
    return dx * dx + dy * dy


def _remap(field: NDArray[np.float32], points: NDArray[np.float32], interpolation: int) -> NDArray[np.float32]:
    # OpenCV's type stubs do not allow None for the second map: `points` holds both x and y.
    sampled: NDArray[np.float32] = cv2.remap(  # type: ignore[call-overload]
        field, points, None, interpolation, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled
