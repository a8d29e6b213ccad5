"""Weighted mean over a stack of images with per-pixel outlier rejection."""

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.temporal.median import median

_OUTLIER_SCALE = 5.0  # width of the outlier weights, in typical deviations from the median
_POOLING_SIGMA = 2.0  # pixels over which deviations are averaged: weights that vary per pixel would add noise
_MIN_DEVIATION = 0.1  # lower limit of the typical deviation, in standard deviations of the first image
_MIN_WEIGHT = 1e-6  # added to all outlier weights, so that their sum is never zero
_MIN_CONFIDENCE = 0.8  # of a pixel that takes part in the median
_MIN_SQUARED_DEVIATION = 1e-20  # used if all images are constant and equal
_SUBSAMPLING = 4  # step in rows and columns for the estimate of the typical deviation


def robust_mean(
    images: NDArray[np.float32], weights: NDArray[np.float32], confidence: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Average images with weights that decrease with the deviation from their median.

    Parameters
    ----------
    images
        K images of one channel, (K, Y, X) float32, finite; the first is the one to be filtered.
    weights
        Weight of each image, (K,) float32, positive.
    confidence
        Confidence in each pixel, (K, Y, X) float32, 0 to 1; that of the first image is 1.

    Returns
    -------
    NDArray[np.float32]
        Shape (Y, X).
    """
    if len(images) == 1:
        return images[0].copy()
    total = weights[:, np.newaxis, np.newaxis] * confidence * outlier_weights(images, confidence)
    return np.einsum("kyx,kyx->yx", total, images) / total.sum(axis=0)


def outlier_weights(images: NDArray[np.float32], confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return weights, (K, Y, X) float32, that decrease with the deviation of an image from the median of all.

    The reference is the median of all images rather than the first image, because that one may be the outlier. Pixels
    of low confidence are replaced by those of the first image in the median, so that the first image prevails where
    most others cannot be compared with it. The weights are a Gaussian of the deviation (Welsch's function, see Holland
    and Welsch 1977, Robust regression using iteratively reweighted least-squares).

    Parameters
    ----------
    images, confidence
        See `robust_mean`.
    """
    compared = np.where(confidence > _MIN_CONFIDENCE, images, images[0])
    deviations = np.square(images - median(compared))
    for deviation in deviations:
        cv2.GaussianBlur(deviation, (0, 0), _POOLING_SIGMA, dst=deviation)
    typical = 1.5 * float(median(deviations[:, ::_SUBSAMPLING, ::_SUBSAMPLING]).mean())
    least = (_MIN_DEVIATION * float(images[0].std())) ** 2
    scale = 2 * _OUTLIER_SCALE**2 * max(typical, least, _MIN_SQUARED_DEVIATION)
    deviations /= np.float32(-scale)
    np.exp(deviations, out=deviations)
    deviations += np.float32(_MIN_WEIGHT)
    return deviations
