"""Images in octaves of scale: how much of each there is, and how well two images agree in it.

Energy alone does not see a ghost, which is detail in the wrong place; agreement in the band does.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

NAMES = ("fine", "medium", "coarse")
# The bands are differences of Gaussians of 1 and 2, 2 and 4, 4 and 8 pixels: what is finer than a pixel is noise and
# in the Laplacian already, what is coarser than 8 is the brightness of whole cells, which Pearson is ruled by. They are
# taken from images that are reduced to a half. The mean of 2 x 2 pixels is a blur already, of a variance of 1/4.
_FIRST = float(np.sqrt(1 - 1 / 4)) / 2
_SECOND = float(np.sqrt(2**2 - 1 / 4)) / 2
# From a Gaussian of 1 pixel of the reduced image, or of the one that is reduced once more, to one of 2.
_STEP = float(np.sqrt(3.0))


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Bands of an image.

    Attributes
    ----------
    samples
        The fine and the medium band at every 4th, the coarse at every 8th pixel along y and x, each (C, y, x) float32:
        enough to tell their energies and correlations.
    energy
        Sum of the squares of the samples, (3, C) float64.
    """

    samples: tuple[NDArray[np.float32], ...]
    energy: NDArray[np.float64]


def describe_bands(reduced: NDArray[np.float32], varies: NDArray[np.bool_]) -> Bands:
    """Take an image apart.

    Parameters
    ----------
    reduced
        Means of the image over 2 x 2 pixels, (C, y, x) float32, finite.
    varies
        Which channels are not constant, (C,): the bands of the others are zero, where rounding would be left.
    """
    per_channel = [
        _bands(channel) if some else _bands(np.zeros_like(channel))
        for channel, some in zip(reduced, varies, strict=True)
    ]
    samples = tuple(np.stack(band) for band in zip(*per_channel, strict=True))
    return Bands(samples, np.array([_dot(band, band) for band in samples]))


def shared(first: Bands, second: Bands) -> NDArray[np.float64]:
    """Return the sum of the products of two images in each band, (3, C) float64: the detail that both show."""
    return np.array([_dot(a, b) for a, b in zip(first.samples, second.samples, strict=True)])


def coherence(first: Bands, second: Bands) -> NDArray[np.float64]:
    """Return the correlation of two images in each band, (3, C) float64; NaN where there is nothing in one of them.

    It is about zero and not about the mean, which a band does not have.
    """
    return _normalised(shared(first, second), first.energy * second.energy)


def _bands(reduced: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the sampled bands of a channel, (y, x); the names are the Gaussians in pixels of the whole image."""
    one, two = _blur(reduced, _FIRST), _blur(reduced, _SECOND)
    four = _blur(two, _STEP)
    smaller = np.ascontiguousarray(four[::2, ::2])
    eight = _blur(smaller, _STEP)
    return [(one - two)[::2, ::2], (two - four)[::2, ::2], (smaller - eight)[::2, ::2]]


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _dot(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.vecdot(first, second).sum(axis=1, dtype=np.float64)


def _normalised(products: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(products, np.sqrt(squares), out=np.full(products.shape, np.nan), where=squares > 0)
