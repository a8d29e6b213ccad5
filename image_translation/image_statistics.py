"""Moments and correlations of large float32 images, exact also where the offset is far above the contrast."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Samples that one BLAS dot product sums in float32 (long ones would start threads), and how many of them are centred
# at a time while they fit the processor's cache.
_SAMPLES = 8192
_PRODUCTS_PER_BLOCK = 8
_ROWS_PER_BLOCK = 32


@dataclass(frozen=True, slots=True, eq=False)
class DescribedImage:
    """An image with what its correlations and its sharpness need, computed once.

    Attributes
    ----------
    data
        Image of shape (C, Y, X), float32, by reference.
    mean
        Mean of each channel, (C,) float64.
    norm
        Root of the summed squares about the mean, (C,) float64.
    laplacian_energy
        Sum of the squares of the Laplacian, (C,) float64: the focus measure LAP1 of Pertuz et al. (2013), Analysis of
        focus measure operators for shape-from-focus, Pattern Recognition 46(5), 1415-1432.
    """

    data: NDArray[np.float32]
    mean: NDArray[np.float64]
    norm: NDArray[np.float64]
    laplacian_energy: NDArray[np.float64]


def describe(data: NDArray[np.float32]) -> DescribedImage:
    """Compute the moments of an image.

    Parameters
    ----------
    data
        Image of shape (C, Y, X), float32, finite.
    """
    mean = np.array([channel.mean(dtype=np.float64) for channel in data])
    squares = [_centred_dot(channel, m, channel, m) for channel, m in zip(data, mean, strict=True)]
    norm = np.sqrt(np.maximum(squares, 0))
    return DescribedImage(data, mean, norm, np.array([_laplacian_energy(channel) for channel in data]))


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
    channels = zip(first.data, first.mean, second.data, second.mean, strict=True)
    products = np.array([_centred_dot(*channel) for channel in channels])
    norms = first.norm * second.norm
    correlations = np.full(norms.shape, np.nan)
    np.divide(products, norms, out=correlations, where=norms > 0)
    return np.clip(correlations, -1, 1)


def _centred_dot(first: NDArray[np.float32], mean: float, second: NDArray[np.float32], second_mean: float) -> float:
    """Return the sum of the products of two images about their means, (Y, X) float32.

    The means are taken off sample by sample before anything is multiplied; what rounding them to float32 has left is
    corrected for at the end. Partial sums are added in float64.
    """
    a, b = first.reshape(-1), second.reshape(-1)
    centre_a, centre_b = np.float32(mean), np.float32(second_mean)
    n_products = min(_PRODUCTS_PER_BLOCK, -(-a.size // _SAMPLES))
    block = n_products * _SAMPLES
    centred_a, centred_b = np.zeros((2, block), dtype=np.float32)
    total = 0.0
    for start in range(0, a.size, block):
        n = min(block, a.size - start)
        np.subtract(a[start : start + n], centre_a, out=centred_a[:n])
        np.subtract(b[start : start + n], centre_b, out=centred_b[:n])
        centred_a[n:] = 0
        partial = np.vecdot(centred_a.reshape(n_products, _SAMPLES), centred_b.reshape(n_products, _SAMPLES))
        total += float(partial.sum(dtype=np.float64))
    return total - a.size * (mean - float(centre_a)) * (second_mean - float(centre_b))


def _laplacian_energy(image: NDArray[np.float32]) -> float:
    """Return the sum of the squares of the Laplacian inside an image, (Y, X) float32."""
    energy = 0.0
    for start in range(1, image.shape[0] - 1, _ROWS_PER_BLOCK):
        rows = image[start - 1 : min(start + _ROWS_PER_BLOCK, image.shape[0] - 1) + 1]
        laplacian = np.diff(rows, n=2, axis=0)[:, 1:-1]
        laplacian += np.diff(rows[1:-1], n=2, axis=1)
        energy += float(np.vecdot(laplacian, laplacian).sum(dtype=np.float64))
    return energy
