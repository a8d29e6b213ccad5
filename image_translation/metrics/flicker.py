"""Change from frame to frame along the motion: what is left of it is flicker.

The flow is given, where it is known, or estimated by the method of Farneback (2003, Two-frame motion estimation based
on polynomial expansion, SCIA, LNCS 2749, 363-370). It is never the flow by which a filter was steered (that is by
dense inverse search): a filter scores too well by its own flow. What is found with an estimated flow is meaningful
only as the ratio of two movies.
"""

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

REDUCTION = 2  # frames are compared at half their resolution, which the flow does not outdo

_FINEST, _CONTRAST = 0.8, 12.0  # pixels: Gaussian before, and reach of the local contrast
_GREY_VALUES = 40.0  # of 256, that one standard deviation takes up
_CELL_CONTRAST = 0.25  # of the greatest: below is empty ground
_FAST_SHARE = 0.25
_EVENT_SIGMA = 2.0
_EVENT = 6.0  # times the median of what the flow leaves over
_EVENT_FLOOR = 0.5  # standard deviations of the local contrast
_SURROUNDINGS = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))  # of an event: 8 pixels of the whole image
_MIN_SIDE = 16  # of the reduced image
_MEMORY = 16  # pairs of frames from which the lasting part of a shift is known
_JUMP = 4.0  # pixels: the whole field does not jitter by more


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """How a frame moves to the next, on the grid of its reduced image.

    Attributes
    ----------
    flow
        Where the material of each pixel goes, (2, y, x) float32: (dy, dx) in pixels of the whole image.
    valid
        Where its goal lies within the frame, (y, x) bool.
    fast
        The fastest quarter of the pixels of cells, (y, x) bool.
    events
        Where the frames differ in a way that the motion does not explain, and round there: division, entry, detaching;
        (y, x) bool.
    """

    flow: NDArray[np.float32]
    valid: NDArray[np.bool_]
    fast: NDArray[np.bool_]
    events: NDArray[np.bool_]


def change(
    before: NDArray[np.float32], after: NDArray[np.float32], flow: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the mean absolute difference of two frames along the motion.

    Parameters
    ----------
    before, after
        The frames, (C, Y, X) float32: predictions, or their errors.
    flow
        Displacement of the pixels of the first frame, (2, Y, X) float32: (dy, dx) in pixels, as
        ``movie.Movie.displacement`` gives it.
    valid
        Which pixels of the first frame count, (Y, X) bool; of those, the ones that stay in the field do.

    Returns
    -------
    NDArray[np.float64]
        Differences of shape (C,), in the unit of the frames; NaN if no pixel counts.
    """
    return mean_where(moved_difference(before, after, flow), valid & stays_inside(flow))


def moved_difference(
    before: NDArray[np.float32], after: NDArray[np.float32], flow: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the absolute differences of a frame and the next one moved back, (C, Y, X) float32."""
    return np.stack([cv2.absdiff(image, other) for image, other in zip(before, move_back(after, flow), strict=True)])


def move_back(after: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the later frame, (C, Y, X) float32, as it would look if nothing had moved."""
    x, y = _goals(flow)
    return np.stack([cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for image in after])


def mean_where(images: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean of images (C, Y, X) over some of their pixels, (C,) float64; NaN if there is none."""
    mask = where.view(np.uint8)
    return np.array([cv2.mean(image, mask)[0] if where.any() else np.nan for image in images])


def stays_inside(flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which goals of a flow (2, Y, X) lie in the field, (Y, X) bool."""
    x, y = _goals(flow)
    return (x >= 0) & (y >= 0) & (x <= flow.shape[2] - 1) & (y <= flow.shape[1] - 1)


def reduce(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of blocks of 2 x 2 pixels of images (C, Y, X); an odd last row or column is left out."""
    height, width = (max(1, side // REDUCTION) for side in images.shape[1:])
    whole = images[:, : height * REDUCTION, : width * REDUCTION]
    return np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in whole])


class MotionMeter:
    """Estimates the motion from each frame of a movie to the next.

    Parameters
    ----------
    lasting
        Count only shifts of the whole field that last. The phase may seem to jump to and fro as a whole, because the
        light falls in obliquely or the stage trembles, and the prediction with it: that is flicker, and no motion.
    """

    def __init__(self, *, lasting: bool) -> None:
        self._lasting = lasting
        self._shifts: deque[NDArray[np.float32]] = deque(maxlen=_MEMORY)
        self._last: _Texture | None = None

    def add(self, images: NDArray[np.float32] | None) -> Motion | None:
        """Take the next frame, and return the motion that leads to it.

        Parameters
        ----------
        images
            Phase, or true stains, (C, Y, X) float32; None if the frame is invalid.

        Returns
        -------
        Motion or None
            None at the first frame, beside invalid ones, and where the frames are too small to tell.
        """
        before, self._last = self._last, None
        if images is None or min(images.shape[1:]) < _MIN_SIDE * REDUCTION:
            return None
        self._last = after = _texture(images)
        if before is None:
            return None
        # Windows of 22 pixels of the whole image, polynomials over 10.
        found = cv2.calcOpticalFlowFarneback(before.image, after.image, None, 0.5, 4, 11, 3, 5, 1.1, 0)  # type: ignore[call-overload]
        flow = np.ascontiguousarray(np.moveaxis(found, -1, 0)[::-1])
        events = _events(before, after, flow)
        flow *= REDUCTION
        if self._lasting:
            flow += self._correction(flow, before.cells)[:, np.newaxis, np.newaxis]
        return Motion(flow, stays_inside(flow * np.float32(1 / REDUCTION)), _fast(flow, before.cells), events)

    def _correction(self, flow: NDArray[np.float32], cells: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return what is to be added to a flow, (2,), to take off the shift of the whole field that does not last."""
        moving = flow[:, ::2, ::2][:, cells[::2, ::2]] if cells[::2, ::2].any() else flow.reshape(2, -1)
        shift = np.median(moving, axis=1).astype(np.float32)
        self._shifts.append(shift)
        shifts = np.array(self._shifts)
        lasting = np.median(shifts, axis=0)
        # Not the median deviation: of a few shifts to and fro, more than half may be equal.
        spread = 1.25 * np.abs(shifts - lasting).mean(axis=0)
        is_known = (len(shifts) > 3) & (np.abs(lasting) > 3 * 1.25 * spread / np.sqrt(len(shifts)))
        lasting = np.where(is_known, lasting, 0)
        return np.where(np.abs(shift - lasting) > _JUMP, 0, lasting - shift).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Texture:
    """A frame at even local contrast: (y, x) uint8, and where the cells are, (y, x) bool."""

    image: NDArray[np.uint8]
    cells: NDArray[np.bool_]


def _texture(images: NDArray[np.float32]) -> _Texture:
    """Add up the channels, each by its spread, and even out the contrast of the sum."""
    spreads = images.std(axis=(1, 2))
    weights = np.divide(1, spreads, out=np.zeros_like(spreads), where=spreads > 0)
    image = reduce(np.tensordot(weights, images, 1)[np.newaxis].astype(np.float32))[0]
    image = _blur(image, _FINEST / REDUCTION) - image.mean()
    image -= _blur(image, _CONTRAST / REDUCTION)
    contrast = np.sqrt(np.maximum(_blur(image * image, _CONTRAST / REDUCTION), 0))
    image = image / (contrast + np.float32(0.1 * np.median(contrast) + 1e-6))
    cells = contrast > _CELL_CONTRAST * np.percentile(contrast[::4, ::4], 95)
    return _Texture(np.clip(image * _GREY_VALUES + 128, 0, 255).astype(np.uint8), cells)


def _fast(flow: NDArray[np.float32], cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    speed = np.hypot(*flow)
    return cells & (speed > np.quantile(speed[cells], 1 - _FAST_SHARE)) if cells.any() else cells


def _events(before: _Texture, after: _Texture, flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find where what the flow leaves over is far above the usual; the flow is in pixels of the reduced image."""
    first, second = (np.asarray(image, np.float32)[np.newaxis] for image in (before.image, after.image))
    left = _blur(moved_difference(first, second, flow)[0], _EVENT_SIGMA)
    usual = np.median(left[before.cells][::4]) if before.cells.any() else 0.0
    found = (left > max(_EVENT * usual, _EVENT_FLOOR * _GREY_VALUES)).astype(np.uint8)
    return (cv2.dilate(found, _SURROUNDINGS) > 0) & stays_inside(flow)


def _goals(flow: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y of where the pixels go, each (Y, X) float32."""
    x = flow[1] + np.arange(flow.shape[2], dtype=np.float32)
    y = flow[0] + np.arange(flow.shape[1], dtype=np.float32)[:, np.newaxis]
    return x, y


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
