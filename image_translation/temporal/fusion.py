"""Fusion of a frame with its warped neighbours, place by place, where the neighbours can be shown to help.

The neighbours before a frame and those after it are two independent estimates of it. Their difference shows the error
of their mean, without a truth: errors of the motion, outlines that do not move with the material, and divisions make it
large, while the flicker of the frame itself does not. Where that error exceeds the flicker which averaging would
remove, the frame's own prediction remains. So it does where the frame differs from its neighbours much more than is
usual in the image, and these are not fully trusted: an event is in one place and changes the phase, while flicker is
everywhere. A nucleus that is missing in one frame of an unchanged phase is averaged in.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.temporal.robust_mean import outlier_weights

Image = NDArray[np.float32]

_POOLING_SIGMA = 4.0  # pixels over which errors are compared
# Share of the error of the neighbours' mean in its squared difference from the frame: averaging fades out between them.
_HELPS, _HARMS = np.float32(0.8), np.float32(1.6)
# Squared difference of the neighbours' mean from the frame, relative to what is usual in the image: likewise.
_USUAL, _UNUSUAL = np.float32(3), np.float32(6)
_ORDINARY_FRACTION = 0.98  # of the pixels, from which the usual difference is estimated
_TRUSTED, _DOUBTED = np.float32(0.9), np.float32(0.6)  # weight of the neighbours, relative to that without any doubt
_USUAL_FRACTION = 0.9  # of the pixels; a division or a cell that detaches says nothing about the rest
_LEAST_OWN_WEIGHT = np.float32(0.1)  # of the frame in the mean of its neighbours, which equals it if none is trusted
_BALANCE = np.float32(2)  # the weights of the two sides may differ by this factor
_ONE_SIDED = 1.5  # factor of the error of neighbours on one side of the frame, whose displacements do not cancel


@dataclass(frozen=True, eq=False)
class Sides:
    """A frame of one channel, and the weighted sums of its neighbours before and after it.

    Attributes
    ----------
    own, own_weight
        The frame, and its weight in the mean, (Y, X) float32 each.
    sums, weights
        Weighted sum of the neighbours before and of those after the frame, and the sum of their weights: (2, Y, X)
        float32 each.
    full_weight
        Sum of the weights of all neighbours where none is doubted.
    two_sided
        Whether there are neighbours both before and after.
    """

    own: Image
    own_weight: Image
    sums: Image
    weights: Image
    full_weight: float
    two_sided: bool

    @cached_property
    def squared_change(self) -> Image:
        """Squared difference of the mean of the neighbours from the frame, pooled, (Y, X) float32; 0 without any."""
        sums: Image = _LEAST_OWN_WEIGHT * self.own + self.sums.sum(axis=0)
        return _pooled(sums / (_LEAST_OWN_WEIGHT + self.weights.sum(axis=0)) - self.own)


def sum_sides(images: Image, offsets: NDArray[np.intp], weights: Image, confidence: Image) -> Sides:
    """Sum the neighbours of a frame on both sides, with weights that decrease with the deviation from their median.

    Parameters
    ----------
    images
        K images of one channel, (K, Y, X) float32, finite; the first is the frame, the others are warped onto it.
    offsets
        Index of each image relative to the frame, (K,) int; the first is 0.
    weights
        Weight of each image in time, (K,) float32.
    confidence
        Confidence in each pixel, (K, Y, X) float32, 0 to 1; that of the frame is 1.
    """
    sides = offsets < 0, offsets > 0
    total = outlier_weights(images, confidence)
    total *= weights[:, np.newaxis, np.newaxis] * confidence
    sums = np.stack([np.einsum("kyx,kyx->yx", total[side], images[side]) for side in sides])
    sizes = np.stack([total[side].sum(axis=0) for side in sides])
    return Sides(images[0], total[0], sums, sizes, float(weights[1:].sum()), bool(sides[0].any() and sides[1].any()))


def relative_error(sides: Sides) -> Image:
    """Estimate the error of the mean of the neighbours, as a share of its squared difference from the frame.

    The squared error of the mean of two independent estimates is a quarter of their squared difference. Both squares
    are pooled over a neighbourhood, and shrunk towards their means over the image, without the places that differ most.

    Parameters
    ----------
    sides
        A frame with neighbours before and after it.

    Returns
    -------
    NDArray[np.float32]
        Shape (Y, X): 0 if the neighbours agree, 1 if they differ from each other twice as much as their mean does
        from the frame. Where one side is not trusted, as after a division, there is nothing to compare the other with,
        and the error is at least the limit above which neighbours are not used.

    Notes
    -----
    The comparison of independent halves of the data is how the resolution of electron microscopy is validated
    (Rosenthal and Henderson 2003, Optimal determination of particle orientation, J. Mol. Biol. 333, 721-745).
    """
    own: Image = _LEAST_OWN_WEIGHT * sides.own
    before, after = (own + sides.sums) / (_LEAST_OWN_WEIGHT + sides.weights)
    error, change = np.float32(0.25) * _pooled(before - after), sides.squared_change
    usual = _is_usual(error, change)
    error += error[usual].mean()
    error /= np.maximum(change + change[usual].mean(), np.finfo(np.float32).tiny)
    low, high = sides.weights.min(axis=0), np.maximum(sides.weights.max(axis=0), _LEAST_OWN_WEIGHT)
    balance = np.minimum(_BALANCE * low / high, 1)
    least = np.where(balance < 1, _HARMS - (_HARMS - _HELPS) * balance, np.float32(0))
    return np.maximum(error, least)


def fuse(sides: Sides, error: Image) -> Image:
    """Average a frame with its neighbours, as far as these are shown to help.

    Parameters
    ----------
    sides
        The frame and its neighbours.
    error
        Relative error of the neighbours from `relative_error`, (Y, X) float32. If all neighbours are on one side of
        the frame, as at the end of a movie, it is that of an adjacent frame, warped onto this one.

    Returns
    -------
    NDArray[np.float32]
        Shape (Y, X).
    """
    factor = np.float32(1 if sides.two_sided else _ONE_SIDED)
    use = np.clip((_HARMS - factor * error) / (_HARMS - _HELPS), 0, 1)
    use *= use * (3 - 2 * use)  # smooth steps
    use *= 1 - _is_event(sides)
    mean = (sides.own_weight * sides.own + sides.sums.sum(axis=0)) / (sides.own_weight + sides.weights.sum(axis=0))
    return sides.own + use * (mean - sides.own)


def _is_event(sides: Sides) -> Image:
    """Return where the frame differs unusually from neighbours that are in doubt, (Y, X) float32, 0 to 1.

    The usual difference is the mean weighted by the differences themselves, that is, over what is not empty background.
    """
    trust = sides.weights.sum(axis=0) / np.float32(sides.full_weight)
    doubt: Image = np.clip((_TRUSTED - trust) / (_TRUSTED - _DOUBTED), 0, 1)
    sample = sides.squared_change[::2, ::2]
    ordinary = sample[sample <= np.quantile(sample, _ORDINARY_FRACTION)].astype(np.float64)
    least = float(np.finfo(np.float32).tiny)
    usual = max(float(ordinary @ ordinary) / max(float(ordinary.sum()), least), least)
    return doubt * np.clip((sides.squared_change / np.float32(usual) - _USUAL) / (_UNUSUAL - _USUAL), 0, 1)


def _pooled(difference: Image) -> Image:
    """Return the square of a difference (Y, X), pooled over a neighbourhood."""
    return np.asarray(cv2.GaussianBlur(difference * difference, (0, 0), _POOLING_SIGMA), np.float32)


def _is_usual(error: Image, change: Image) -> NDArray[np.bool_]:
    """Return where neither of two images (Y, X) is among its highest values."""
    limits = [np.quantile(image[::4, ::4], _USUAL_FRACTION) for image in (error, change)]
    return np.asarray((error <= limits[0]) & (change <= limits[1]))
