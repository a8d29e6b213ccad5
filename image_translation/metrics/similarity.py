"""Structural similarity with the truth, and correlations over some of the pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

_WINDOW = 7
_K1, _K2 = 0.01, 0.03
RANGE = (0.1, 99.9)  # per cent of the pixels of an image that its range is measured between
_FEWEST = 30  # pixels that a correlation rests on


def data_range(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the range of values of an image (C, Y, X) without its most extreme pixels, (C,) float64."""
    low, high = np.percentile(image, RANGE, axis=(1, 2))
    return np.asarray(high - low, np.float64)


def structural_similarity(
    image: NDArray[np.float32], truth: NDArray[np.float32], value_range: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean structural similarity over windows of 7 x 7 pixels.

    As of Wang et al. (2004), Image quality assessment: from error visibility to structural similarity, IEEE Trans.
    Image Process. 13(4), 600-612, and as ``skimage.metrics.structural_similarity`` computes it.

    Parameters
    ----------
    image, truth
        Images of shape (C, Y, X), float32.
    value_range
        Range of the values of the truth, (C,).

    Returns
    -------
    NDArray[np.float64]
        Similarities of shape (C,); NaN for a range of 0 and for images smaller than the window.
    """
    if min(truth.shape[1:]) < _WINDOW:
        return np.full(len(truth), np.nan)
    channels = zip(image, truth, value_range, strict=True)
    return np.array([_similarity(a, b, float(span)) if span > 0 else np.nan for a, b, span in channels])


def pearson_at(
    first: NDArray[np.float32], second: NDArray[np.float32], places: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the Pearson correlation of two images (C, Y, X) over some of their pixels, (C,) float64.

    The pixels are given by their numbers, row by row. It is NaN where one of the images is constant, and over fewer
    than 30 pixels.
    """
    a, b = (image.reshape(len(image), -1).take(places, axis=1).astype(np.float64) for image in (first, second))
    if len(places) < _FEWEST:
        return np.full(len(first), np.nan)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    products, squares = np.vecdot(a, b), np.vecdot(a, a) * np.vecdot(b, b)
    correlations = np.divide(products, np.sqrt(squares), out=np.full(products.shape, np.nan), where=squares > 0)
    return np.clip(correlations, -1, 1)


def _similarity(image: NDArray[np.float32], truth: NDArray[np.float32], span: float) -> float:
    # Variances are taken about the mean of the truth, far from which the squares would be rounded.
    centre = float(truth.mean(dtype=np.float64))
    a, b = image - np.float32(centre), truth - np.float32(centre)
    mean_a, mean_b = _box(a), _box(b)
    unbiased = np.float32(_WINDOW**2 / (_WINDOW**2 - 1))
    covariance = unbiased * (_box(a * b) - mean_a * mean_b)
    variances = unbiased * (_box(a * a) + _box(b * b) - mean_a**2 - mean_b**2)
    mean_a += np.float32(centre)
    mean_b += np.float32(centre)
    c1, c2 = np.float32((_K1 * span) ** 2), np.float32((_K2 * span) ** 2)
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (variances + c2)
    edge = _WINDOW // 2
    return float((above / below)[edge:-edge, edge:-edge].mean(dtype=np.float64))


def _box(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.boxFilter(image, cv2.CV_32F, (_WINDOW, _WINDOW)), np.float32)
