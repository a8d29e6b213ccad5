"""Scores of one predicted image against its truth: of the pixels, and of the objects."""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torchmetrics.functional import mean_absolute_error, pearson_corrcoef
from torchmetrics.functional.image import peak_signal_noise_ratio

from image_translation.metrics.objects import Labels, compare_objects, find_objects
from image_translation.metrics.rows import COUNT_METRICS, OBJECT_METRICS, PIXEL_METRICS

Image = NDArray[np.float32]
Segment = Callable[[Image, float], Labels]

_SSIM_WINDOW = 11  # pixels


@dataclass(frozen=True, slots=True)
class Scale:
    """Conversion of a prediction to the unit of the truth: ``gain * prediction + offset``."""

    gain: float = 1.0
    offset: float = 0.0

    def apply(self, image: Image) -> Image:
        """Return an image converted to the unit of the truth, float32."""
        return (self.gain * image.astype(np.float64) + self.offset).astype(np.float32)  # offsets may be large


class ScaleFit:
    """Least-squares fit of one scale to all images.

    A network predicts in the unit of its training data. A common scale for all images changes the unit only: a
    field that is too bright compared with the others remains so.
    """

    def __init__(self) -> None:
        self._count, self._origin, self._sums, self._products = 0, np.zeros(2), np.zeros(2), np.zeros(2)

    def add(self, predicted: Image, truth: Image) -> None:
        """Add a prediction and its truth, of equal shape."""
        p, t = predicted.astype(np.float64).ravel(), truth.astype(np.float64).ravel()
        if not self._count:
            self._origin = np.array([p[0], t[0]])  # squares of a large offset would cost precision
        p, t = p - self._origin[0], t - self._origin[1]
        self._count += p.size
        self._sums += p.sum(), t.sum()
        self._products += p @ p, p @ t

    def scale(self) -> Scale:
        """Return the scale; its gain is never negative, and 0 where all predictions are constant."""
        mean_p, mean_t = self._sums / self._count
        variance, covariance = self._products / self._count - mean_p * np.array([mean_p, mean_t])
        gain = max(0.0, covariance / variance) if variance > 0 else 0.0
        return Scale(float(gain), float(self._origin[1] + mean_t - gain * (self._origin[0] + mean_p)))


def pixel_scores(predicted: Image, truth: Image, data_range: float) -> dict[str, float]:
    """Score the pixels of an image.

    Parameters
    ----------
    predicted, truth
        Shape (Y, X), float32, in one unit.
    data_range
        Range of the true values, for the structural similarity and for the peak signal-to-noise ratio.

    Returns
    -------
    dict
        `rows.PIXEL_METRICS`, as torchmetrics computes them: Pearson correlation; structural similarity with Gaussian
        windows of 11 pixels (Wang et al., IEEE Trans. Image Process. 13, 600-612, 2004) around all pixels, of the image
        mirrored at its edges; peak signal-to-noise ratio in dB; mean absolute error in the unit of the truth. NaN where
        a score is not defined.
    """
    p, t = (torch.from_numpy(np.ascontiguousarray(image, np.float64)) for image in (predicted, truth))
    scores = dict.fromkeys(PIXEL_METRICS, nan) | {
        "mae": float(mean_absolute_error(p, t)),
        "pearson": pearson(predicted, truth),
    }
    if data_range > 0:
        scores["psnr"] = float(peak_signal_noise_ratio(p, t, data_range=data_range))
    if data_range > 0 and min(p.shape) >= _SSIM_WINDOW:
        scores["ssim"] = _similarity(p.numpy(), t.numpy(), data_range)
    return scores


def pearson(predicted: Image, truth: Image) -> float:
    """Return the Pearson correlation of two images, whatever their units; NaN if one is constant."""
    images = [torch.from_numpy(np.ascontiguousarray(image, np.float64)).ravel() for image in (predicted, truth)]
    if any(image.min() == image.max() for image in images):
        return nan
    standard = [(image - image.mean()) / image.std() for image in images]  # large offsets cost precision
    return float(pearson_corrcoef(*standard))


def object_scores(
    predicted: Image, truth: Image, diameter: float, segment: Segment = find_objects
) -> tuple[dict[str, float], Labels, Labels]:
    """Score the objects of an image, found in prediction and truth by the same method.

    Parameters
    ----------
    predicted, truth
        Shape (Y, X), float32.
    diameter
        Diameter of a typical object, in pixels.
    segment
        Function that finds the objects.

    Returns
    -------
    scores : dict
        `rows.OBJECT_METRICS` and `rows.COUNT_METRICS`; see `objects.Agreement`.
    predicted, truth : Labels
        The objects.
    """
    found, true = segment(predicted, diameter), segment(truth, diameter)
    agreement = compare_objects(true, found)
    values = (
        agreement.dice, agreement.jaccard, *agreement.ap, agreement.count_error, agreement.true, agreement.predicted,
    )  # fmt: skip
    return dict(zip((*OBJECT_METRICS, *COUNT_METRICS), map(float, values), strict=True)), found, true


def _similarity(predicted: NDArray[np.float64], truth: NDArray[np.float64], data_range: float) -> float:
    """Return the SSIM of torchmetrics, whose float64 version takes 100 times as long, and 5 GB for 1024 x 1024."""
    mirrored = (np.pad(image, _SSIM_WINDOW // 2, mode="reflect") for image in (predicted, truth))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(*mirrored, data_range=data_range, **options))
