"""Moments and correlations of large float32 images, exact also where the offset is far above the contrast."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SAMPLES = 8192  # that one BLAS dot product sums in float32; long ones would start threads
_BLOCK = 8 * _SAMPLES  # samples that are centred at a time while they fit the processor's cache
_ROWS_PER_BLOCK = 128
# Products are taken of the samples as they are unless the mean is more than this many standard deviations from zero:
# then the rounding of large squares would outgrow what is left of them about the mean.
_FAR = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class DescribedImage:
    """An image with what its correlations and its sharpness need, computed once.

    Attributes
    ----------
    data
        Image of shape (C, Y, X), float32, by reference.
    centre
        Zero, or a number near the mean of the channel, (C,) float32; taken off before samples are multiplied.
    offset
        Mean of each channel less its centre, (C,) float64.
    norm
        Root of the summed squares about the mean, (C,) float64.
    laplacian_energy
        Sum of the squares of the Laplacian, (C,) float64: the focus measure LAP1 of Pertuz et al. (2013), Analysis of
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
    """Compute the moments of an image.

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
    norms = first.norm * second.norm
    correlations = np.full(norms.shape, np.nan)
    np.divide(products, norms, out=correlations, where=norms > 0)
    return np.clip(correlations, -1, 1)


def _moments(samples: NDArray[np.float32]) -> tuple[np.float32, float, float]:
    """Return a centre of (N,) samples, their mean less the centre, and their summed squares about their mean."""
    centre = np.float32(0)
    offset, squares = _moments_about(samples, centre)
    if offset**2 * samples.size > _FAR**2 * squares:
        centre = np.float32(offset)
        offset, squares = _moments_about(samples, centre)
    return centre, offset, squares


def _moments_about(samples: NDArray[np.float32], centre: np.float32) -> tuple[float, float]:
    total = sum(float(block.sum()) for block in _centred(samples, centre))
    offset = total / samples.size
    return offset, _dot(samples, centre, samples, centre) - samples.size * offset**2


def _dot(a: NDArray[np.float32], centre_a: np.float32, b: NDArray[np.float32], centre_b: np.float32) -> float:
    """Return the sum of the products of (N,) samples about their centres; partial sums are added in float64."""
    total = 0.0
    for x, y in zip(_centred(a, centre_a), _centred(b, centre_b), strict=True):
        whole = x.size - x.size % _SAMPLES
        partial = np.vecdot(x[:whole].reshape(-1, _SAMPLES), y[:whole].reshape(-1, _SAMPLES))
        total += float(partial.sum(dtype=np.float64)) + float(np.vecdot(x[whole:], y[whole:]))
    return total


def _centred(samples: NDArray[np.float32], centre: np.float32) -> Iterator[NDArray[np.float32]]:
    """Yield the samples less the centre, block by block."""
    for start in range(0, samples.size, _BLOCK):
        block = samples[start : start + _BLOCK]
        yield block - centre if centre else block


def _laplacian_energy(image: NDArray[np.float32]) -> float:
    """Return the sum of the squares of the Laplacian inside an image, (Y, X) float32."""
    energy, width = 0.0, image.shape[1]
    for start in range(1, image.shape[0] - 1, _ROWS_PER_BLOCK):
        rows = image[start - 1 : min(start + _ROWS_PER_BLOCK, image.shape[0] - 1) + 1]
        # Along x, too, in one run over whole rows, which is faster than row by row; the edges are left out afterwards.
        laplacian = np.diff(rows, n=2, axis=0)
        laplacian += np.diff(rows.reshape(-1)[width - 1 : rows.size - width + 1], n=2).reshape(laplacian.shape)
        inside = laplacian[:, 1:-1]
        energy += float(np.vecdot(inside, inside).sum(dtype=np.float64))
    return energy
