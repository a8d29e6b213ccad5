"""Moments, Pearson correlation and Laplacian energy of large float32 images, accurate also for large offsets."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DOT_SAMPLES = 8192  # summed in float32 by one BLAS dot product; longer ones would start threads
_BLOCK = 8 * _DOT_SAMPLES  # samples centred together: a block fits the processor's cache
_ROWS_PER_BLOCK = 128
_MIN_PIXELS = 30  # for a correlation over part of an image
# Samples are centred before they are multiplied only if the mean is more than this many standard deviations from zero:
# then rounding errors of the large squares would exceed the variance.
_LARGE_OFFSET = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class DescribedImage:
    """An image with its moments and Laplacian energy, computed once and used in several correlations.

    Attributes
    ----------
    data
        Image of shape (C, Y, X), float32, by reference.
    centre
        Zero, or a value near the mean of the channel, (C,) float32; subtracted before samples are multiplied.
    offset
        Mean of each channel minus its centre, (C,) float64.
    norm
        Square root of the sum of squares about the mean, (C,) float64.
    laplacian_energy
        Sum of the squared Laplacian, (C,) float64: the focus measure LAP1 of Pertuz et al. (2013), Analysis of
        focus measure operators for shape-from-focus, Pattern Recognition 46(5), 1415-1432.
    """

    data: NDArray[np.float32]
    centre: NDArray[np.float32]
    offset: NDArray[np.float64]
    norm: NDArray[np.float64]
    laplacian_energy: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each channel, (C,) float64."""
        return self.centre + self.offset

    @property
    def contrast(self) -> NDArray[np.float64]:
        """Standard deviation of each channel, (C,) float64."""
        return self.norm / np.sqrt(self.data[0].size)


def describe(data: NDArray[np.float32]) -> DescribedImage:
    """Compute the moments and the Laplacian energy of an image.

    Parameters
    ----------
    data
        Image of shape (C, Y, X), float32, finite.
    """
    centre, offset, squares = zip(*(_moments(channel.reshape(-1)) for channel in data), strict=True)
    norm = np.sqrt(np.maximum(squares, 0))
    energy = np.array([_laplacian_energy(channel) for channel in data])
    return DescribedImage(data, np.array(centre), np.array(offset), norm, energy)


def pearson(first: DescribedImage, second: DescribedImage) -> NDArray[np.float64]:
    """Return the Pearson correlation of two images over all pixels, per channel.

    Parameters
    ----------
    first, second
        Images of the same shape (C, Y, X).

    Returns
    -------
    NDArray[np.float64]
        Correlations of shape (C,), in [-1, 1]; NaN where one of the images is constant.
    """
    channels = zip(first.data, first.centre, second.data, second.centre, strict=True)
    about_centres = np.array([_dot(a.reshape(-1), ca, b.reshape(-1), cb) for a, ca, b, cb in channels])
    products = about_centres - first.data[0].size * first.offset * second.offset
    return np.clip(ratio(products, first.norm * second.norm), -1, 1)


def pearson_at(
    first: NDArray[np.float32], second: NDArray[np.float32], pixels: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the Pearson correlation of two images over some of their pixels, per channel.

    Parameters
    ----------
    first, second
        Images of the same shape (C, Y, X).
    pixels
        Flat indices of the pixels in a channel, (N,).

    Returns
    -------
    NDArray[np.float64]
        Correlations of shape (C,), in [-1, 1]; NaN where one of the images is constant, and for fewer than 30 pixels.
    """
    a, b = (image.reshape(len(image), -1).take(pixels, axis=1).astype(np.float64) for image in (first, second))
    if len(pixels) < _MIN_PIXELS:
        return np.full(len(first), np.nan)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    products, squares = np.vecdot(a, b), np.vecdot(a, a) * np.vecdot(b, b)
    return np.clip(ratio(products, np.sqrt(squares)), -1, 1)


def ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide element by element; NaN where the denominator is NaN or not positive."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _moments(samples: NDArray[np.float32]) -> tuple[np.float32, float, float]:
    """Return the centre of (N,) samples, their mean minus the centre, and the sum of squares about their mean."""
    centre = np.float32(0)
    offset, squares = _moments_about(samples, centre)
    if offset**2 * samples.size > _LARGE_OFFSET**2 * squares:
        centre = np.float32(offset)
        offset, squares = _moments_about(samples, centre)
    return centre, offset, squares


def _moments_about(samples: NDArray[np.float32], centre: np.float32) -> tuple[float, float]:
    total = sum(float(block.sum()) for block in _centred(samples, centre))
    offset = total / samples.size
    return offset, _dot(samples, centre, samples, centre) - samples.size * offset**2


def _dot(a: NDArray[np.float32], centre_a: np.float32, b: NDArray[np.float32], centre_b: np.float32) -> float:
    """Return the dot product of centred (N,) samples; partial sums are added in float64."""
    total = 0.0
    for x, y in zip(_centred(a, centre_a), _centred(b, centre_b), strict=True):
        end = x.size - x.size % _DOT_SAMPLES
        partial = np.vecdot(x[:end].reshape(-1, _DOT_SAMPLES), y[:end].reshape(-1, _DOT_SAMPLES))
        total += float(partial.sum(dtype=np.float64)) + float(np.vecdot(x[end:], y[end:]))
    return total


def _centred(samples: NDArray[np.float32], centre: np.float32) -> Iterator[NDArray[np.float32]]:
    """Yield the samples minus the centre, block by block."""
    for start in range(0, samples.size, _BLOCK):
        block = samples[start : start + _BLOCK]
        yield block - centre if centre else block


def _laplacian_energy(image: NDArray[np.float32]) -> float:
    """Return the sum of the squared Laplacian over the interior of an image, (Y, X) float32."""
    energy, width = 0.0, image.shape[1]
    for start in range(1, image.shape[0] - 1, _ROWS_PER_BLOCK):
        rows = image[start - 1 : min(start + _ROWS_PER_BLOCK, image.shape[0] - 1) + 1]
        # Along x the rows are differentiated as one array, which is faster; the edge columns are removed afterwards.
        laplacian = np.diff(rows, n=2, axis=0)
        laplacian += np.diff(rows.reshape(-1)[width - 1 : rows.size - width + 1], n=2).reshape(laplacian.shape)
        interior = laplacian[:, 1:-1]
        energy += float(np.vecdot(interior, interior).sum(dtype=np.float64))
    return energy
