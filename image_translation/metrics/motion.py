"""Motion between frames, estimated for the metrics along the motion.

Optical flow by the method of Farneback (2003, Two-frame motion estimation based on polynomial expansion, SCIA, LNCS
2749, 363-370). The temporal filters use another (dense inverse search): a filter scores too well along its own flow.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

REDUCTION = 2  # frames are compared at half resolution, which is enough for the accuracy of the flow

# Lengths are in pixels of the full resolution unless noted otherwise.
_NOISE_SIGMA = 0.8
_CONTRAST_SIGMA = 12.0  # of the normalisation of the local contrast
_GREY_VALUES = 40.0  # of 256, for one standard deviation
_CELL_CONTRAST = 0.25  # of the 95th percentile of the local contrast; less is background
_FAST_FRACTION = 0.25
_EVENT_SIGMA = 2.0  # pixels of the reduced image
_EVENT_FACTOR = 6.0  # times the median of the residual
_EVENT_FLOOR = 0.5  # standard deviations of the local contrast
_EVENT_MARGIN = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))  # reaches 8 pixels
_MIN_SIDE = 16  # pixels of the reduced image


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Motion from a frame to the next, on the grid of its reduced image.

    Attributes
    ----------
    flow
        Displacement of each pixel, (2, y, x) float32: (dy, dx) in pixels of the full resolution.
    valid
        Where the target position lies within the frame, (y, x) bool.
    fast
        The fastest quarter of the pixels of cells, (y, x) bool.
    events
        Where the frames differ in a way that the flow does not explain, with a margin: division, entry, detachment;
        (y, x) bool.
    """

    flow: NDArray[np.float32]
    valid: NDArray[np.bool_]
    fast: NDArray[np.bool_]
    events: NDArray[np.bool_]


def warp_back(after: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Warp the later frame, (C, Y, X) float32, to the time of the earlier one, along the flow (2, Y, X)."""
    x, y = _target_positions(flow)
    return np.stack([cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for image in after])


def warped_difference(
    before: NDArray[np.float32], after: NDArray[np.float32], flow: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the absolute difference of a frame and the next one warped back, (C, Y, X) float32."""
    return np.stack([cv2.absdiff(image, other) for image, other in zip(before, warp_back(after, flow), strict=True)])


def stays_inside(flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where the target positions of a flow, (2, Y, X), lie within the frame, (Y, X) bool."""
    x, y = _target_positions(flow)
    return (x >= 0) & (y >= 0) & (x <= flow.shape[2] - 1) & (y <= flow.shape[1] - 1)


def reduce(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of blocks of 2 x 2 pixels of images (C, Y, X); an odd last row or column is left out."""
    height, width = (max(1, side // REDUCTION) for side in images.shape[1:])
    even = images[:, : height * REDUCTION, : width * REDUCTION]
    return np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in even])


class MotionEstimator:
    """Estimate the motion from each frame of a movie to the next.

    A shift of the whole image is motion like any other: cells that stream together cannot be told from a stage that
    jitters, and a stain belongs on its image in either case.
    """

    def __init__(self) -> None:
        self._last: _Texture | None = None

    def add(self, images: NDArray[np.float32] | None) -> Motion | None:
        """Add the next frame, and return the motion from the previous one to it.

        Parameters
        ----------
        images
            Phase, or true stains, (C, Y, X) float32; None if the frame is invalid.

        Returns
        -------
        Motion or None
            None for the first frame, next to invalid ones, and if the frames are smaller than 32 pixels.
        """
        before, self._last = self._last, None
        if images is None or min(images.shape[1:]) < _MIN_SIDE * REDUCTION:
            return None
        self._last = after = _texture(images)
        if before is None:
            return None
        # Windows of 22 pixels of the full resolution, polynomials over 10.
        found = cv2.calcOpticalFlowFarneback(before.image, after.image, None, 0.5, 4, 11, 3, 5, 1.1, 0)  # type: ignore[call-overload]
        flow = np.ascontiguousarray(np.moveaxis(found, -1, 0)[::-1])
        events = _events(before, after, flow)
        flow *= REDUCTION
        return Motion(flow, stays_inside(flow * np.float32(1 / REDUCTION)), _fast(flow, before.cells), events)


@dataclass(frozen=True, slots=True, eq=False)
class _Texture:
    """A frame with normalised local contrast, (y, x) uint8, and the mask of its cells, (y, x) bool."""

    image: NDArray[np.uint8]
    cells: NDArray[np.bool_]


def _texture(images: NDArray[np.float32]) -> _Texture:
    """Sum the channels, each divided by its standard deviation, and normalise the local contrast."""
    spreads = images.std(axis=(1, 2))
    weights = np.divide(1, spreads, out=np.zeros_like(spreads), where=spreads > 0)
    image = reduce(np.tensordot(weights, images, 1)[np.newaxis].astype(np.float32))[0]
    image = _blur(image, _NOISE_SIGMA / REDUCTION) - image.mean()
    image -= _blur(image, _CONTRAST_SIGMA / REDUCTION)
    contrast = np.sqrt(np.maximum(_blur(image * image, _CONTRAST_SIGMA / REDUCTION), 0))
    image = image / (contrast + np.float32(0.1 * np.median(contrast) + 1e-6))
    cells = contrast > _CELL_CONTRAST * np.percentile(contrast[::4, ::4], 95)
    return _Texture(np.clip(image * _GREY_VALUES + 128, 0, 255).astype(np.uint8), cells)


def _fast(flow: NDArray[np.float32], cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    speed = np.hypot(*flow)
    return cells & (speed > np.quantile(speed[cells], 1 - _FAST_FRACTION)) if cells.any() else cells


def _events(before: _Texture, after: _Texture, flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find where the residual of the flow is far above its median; the flow is in pixels of the reduced image."""
    first, second = (np.asarray(image, np.float32)[np.newaxis] for image in (before.image, after.image))
    residual = _blur(warped_difference(first, second, flow)[0], _EVENT_SIGMA)
    typical = np.median(residual[before.cells][::4]) if before.cells.any() else 0.0
    found = (residual > max(_EVENT_FACTOR * typical, _EVENT_FLOOR * _GREY_VALUES)).astype(np.uint8)
    return (cv2.dilate(found, _EVENT_MARGIN) > 0) & stays_inside(flow)


def _target_positions(flow: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y of the target positions, each (Y, X) float32."""
    x = flow[1] + np.arange(flow.shape[2], dtype=np.float32)
    y = flow[0] + np.arange(flow.shape[1], dtype=np.float32)[:, np.newaxis]
    return x, y


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
