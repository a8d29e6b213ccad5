"""Structural similarity (SSIM) with the ground truth, and its data range."""

import cv2
import numpy as np
from numpy.typing import NDArray

_WINDOW = 7
_K1, _K2 = 0.01, 0.03
RANGE_PERCENTILES = (0.1, 99.9)  # between which the data range of an image is measured


def data_range(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the range between `RANGE_PERCENTILES` of an image (C, Y, X), (C,) float64."""
    low, high = np.percentile(image, RANGE_PERCENTILES, axis=(1, 2))
    return np.asarray(high - low, np.float64)


def structural_similarity(
    image: NDArray[np.float32], truth: NDArray[np.float32], value_range: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean structural similarity in windows of 7 x 7 pixels.

    As in Wang et al. (2004), Image quality assessment: from error visibility to structural similarity, IEEE Trans.
    Image Process. 13(4), 600-612, and as ``skimage.metrics.structural_similarity`` computes it.

    Parameters
    ----------
    image, truth
        Images of shape (C, Y, X), float32.
    value_range
        Data range of the truth, (C,).

    Returns
    -------
    NDArray[np.float64]
        Similarities of shape (C,); NaN for a data range of 0 and for images smaller than the window.
    """
    if min(truth.shape[1:]) < _WINDOW:
        return np.full(len(truth), np.nan)
    channels = zip(image, truth, value_range, strict=True)
    return np.array([_similarity(a, b, float(span)) if span > 0 else np.nan for a, b, span in channels])


def _similarity(image: NDArray[np.float32], truth: NDArray[np.float32], span: float) -> float:
    # Both are centred on the mean of the truth: squares of large values would lose precision.
    centre = float(truth.mean(dtype=np.float64))
    a, b = image - np.float32(centre), truth - np.float32(centre)
    mean_a, mean_b = _box(a), _box(b)
    unbiased = np.float32(_WINDOW**2 / (_WINDOW**2 - 1))
    covariance = unbiased * (_box(a * b) - mean_a * mean_b)
    variances = unbiased * (_box(a * a) + _box(b * b) - mean_a**2 - mean_b**2)
    mean_a += np.float32(centre)
    mean_b += np.float32(centre)
    c1, c2 = np.float32((_K1 * span) ** 2), np.float32((_K2 * span) ** 2)
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    denominator = (mean_a**2 + mean_b**2 + c1) * (variances + c2)
    edge = _WINDOW // 2
    return float((numerator / denominator)[edge:-edge, edge:-edge].mean(dtype=np.float64))


def _box(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.boxFilter(image, cv2.CV_32F, (_WINDOW, _WINDOW)), np.float32)
