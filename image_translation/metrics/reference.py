"""Match the ground truth to the raw prediction: intensity scale and resolution."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.correlation import DescribedImage, describe, pearson
from image_translation.metrics.similarity import data_range

_MAX_CONTRAST_RATIO = 2.0  # of prediction and truth, up to which they are taken to have the same unit
_SIGMAS = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)


@dataclass(frozen=True, slots=True, eq=False)
class IntensityScale:
    """Linear conversion of true intensities to the unit of the prediction.

    Attributes
    ----------
    factor, offset
        Of each channel, (C,) float32; 1 and 0, unless the truth was recorded in another unit.
    value_range
        Data range of the converted truth, (C,) float64.
    """

    factor: NDArray[np.float32]
    offset: NDArray[np.float32]
    value_range: NDArray[np.float64]

    def convert(self, truth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert true images, (C, Y, X), to the unit of the prediction."""
        if not self.offset.any() and (self.factor == 1).all():
            return truth
        return truth * self.factor[:, np.newaxis, np.newaxis] + self.offset[:, np.newaxis, np.newaxis]


def match_intensity(raw: DescribedImage, truth: DescribedImage) -> IntensityScale:
    """Find the intensity scale from one frame of the raw prediction and of the truth.

    Where their standard deviations differ by more than a factor of 2, the truth is taken to be in another unit, such as
    counts of a camera, and converted to the mean and the standard deviation of raw.
    """
    ratio = np.divide(raw.norm, truth.norm, out=np.ones_like(raw.norm), where=(truth.norm > 0) & (raw.norm > 0))
    factor = np.where((ratio < 1 / _MAX_CONTRAST_RATIO) | (ratio > _MAX_CONTRAST_RATIO), ratio, 1.0)
    offset = np.where(factor == 1, 0.0, raw.mean - factor * truth.mean)
    return IntensityScale(factor.astype(np.float32), offset.astype(np.float32), data_range(truth.data) * factor)


def match_resolution(raw: DescribedImage, truth: DescribedImage) -> NDArray[np.float64]:
    """Find the blur that makes the truth most similar to the raw prediction.

    Returns
    -------
    NDArray[np.float64]
        Standard deviation of the Gaussian of each channel in pixels, (C,): of ten candidates from 0 to 4, the one with
        the highest Pearson correlation.
    """
    correlations = np.array([pearson(describe(blur(truth.data, [sigma])), raw) for sigma in _SIGMAS])
    return np.array(_SIGMAS)[np.nan_to_num(correlations, nan=-1.0).argmax(axis=0)]


def blur(images: NDArray[np.float32], sigmas: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float32]:
    """Blur each channel of an image, (C, Y, X), by a Gaussian.

    `sigmas` are the standard deviations in pixels, one for each channel or one for all; 0 is no blur.
    """
    per_channel = np.broadcast_to(sigmas, len(images))
    blurred = [
        cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image
        for image, sigma in zip(images, per_channel, strict=True)
    ]
    return np.stack(blurred).astype(np.float32, copy=False)
