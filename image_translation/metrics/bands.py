"""Octave bands of images: energy and correlation of fine, medium and coarse detail.

Energy alone cannot detect ghosting, which is detail in the wrong place; the correlation in a band can.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.correlation import ratio

# The bands are differences of Gaussians of 1 and 2, 2 and 4, 4 and 8 pixels. Finer structure is noise, and part of the
# Laplacian energy; coarser structure is the brightness of complete cells, which dominates the Pearson correlation.
# They are computed from images reduced by 2. The mean of 2 x 2 pixels is already a blur with a variance of 1/4.
_FIRST_SIGMA = float(np.sqrt(1 - 1 / 4)) / 2
_SECOND_SIGMA = float(np.sqrt(2**2 - 1 / 4)) / 2
# From a Gaussian of 1 pixel to one of 2, on the reduced image and on the image reduced once more.
_STEP_SIGMA = float(np.sqrt(3.0))


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Band-pass filtered versions of an image.

    Attributes
    ----------
    samples
        The fine and the medium band at every 4th, the coarse at every 8th pixel along y and x, each (C, y, x) float32:
        enough to estimate their energies and correlations.
    energy
        Sum of the squared samples, (3, C) float64.
    """

    samples: tuple[NDArray[np.float32], ...]
    energy: NDArray[np.float64]


def decompose(reduced: NDArray[np.float32], varies: NDArray[np.bool_]) -> Bands:
    """Decompose an image into its bands.

    Parameters
    ----------
    reduced
        Means of the image over 2 x 2 pixels, (C, y, x) float32, finite.
    varies
        Which channels are not constant, (C,); the bands of the others are exactly zero, without rounding errors.
    """
    per_channel = [
        _bands(channel) if some else _bands(np.zeros_like(channel))
        for channel, some in zip(reduced, varies, strict=True)
    ]
    samples = tuple(np.stack(band) for band in zip(*per_channel, strict=True))
    return Bands(samples, np.array([_dot(band, band) for band in samples]))


def inner_product(first: Bands, second: Bands) -> NDArray[np.float64]:
    """Return the inner product of two images in each band, (3, C) float64: the energy of the detail in both."""
    return np.array([_dot(a, b) for a, b in zip(first.samples, second.samples, strict=True)])


def coherence(first: Bands, second: Bands) -> NDArray[np.float64]:
    """Return the correlation of two images in each band, (3, C) float64; NaN where one of them has no energy.

    It is not centred: the mean of a band is zero.
    """
    return ratio(inner_product(first, second), np.sqrt(first.energy * second.energy))


def _bands(reduced: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the sampled bands of a channel, (y, x)."""
    # Named by the sigma of the Gaussian, in pixels of the full resolution.
    one, two = _blur(reduced, _FIRST_SIGMA), _blur(reduced, _SECOND_SIGMA)
    four = _blur(two, _STEP_SIGMA)
    smaller = np.ascontiguousarray(four[::2, ::2])
    eight = _blur(smaller, _STEP_SIGMA)
    return [(one - two)[::2, ::2], (two - four)[::2, ::2], (smaller - eight)[::2, ::2]]


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _dot(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.vecdot(first, second).sum(axis=1, dtype=np.float64)
