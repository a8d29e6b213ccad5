"""Scores of a predicted image against the true one: of its pixels, and of the objects in it."""

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
from image_translation.metrics.rows import COUNTS, OBJECTS, PIXELS

Image = NDArray[np.float32]
Segment = Callable[[Image, float], Labels]

_SSIM_WINDOW = 11  # pixels


@dataclass(frozen=True, slots=True)
class Scale:
    """How a prediction is brought to the unit of the truth: ``gain * prediction + offset``."""

    gain: float = 1.0
    offset: float = 0.0

    def apply(self, image: Image) -> Image:
        """Return an image in the unit of the truth, float32."""
        return (self.gain * image.astype(np.float64) + self.offset).astype(np.float32)  # offsets may be large


class ScaleFit:
    """The one scale of all images together that leaves the least squared error.

    A network predicts in units of its training data. One scale for all images changes the unit, and nothing else: a
    field that is too bright beside the others stays so.
    """

    def __init__(self) -> None:
        self._count, self._origin, self._sums, self._products = 0, np.zeros(2), np.zeros(2), np.zeros(2)

    def add(self, predicted: Image, truth: Image) -> None:
        """Take in a prediction and its truth, of equal shape."""
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
        `score_names.PIXELS`, as torchmetrics computes them: Pearson correlation; structural similarity with Gaussian
        windows of 11 pixels (Wang et al., IEEE Trans. Image Process. 13, 600-612, 2004) around all pixels, of the image
        mirrored at its edges; peak signal-to-noise ratio in dB; mean absolute error in the unit of the truth. NaN where
        one is not defined.
    """
    p, t = (torch.from_numpy(np.ascontiguousarray(image, np.float64)) for image in (predicted, truth))
    scores = dict.fromkeys(PIXELS, nan) | {
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
    """Score the objects of an image, found in both by one method.

    Parameters
    ----------
    predicted, truth
        Shape (Y, X), float32.
    diameter
        Of a typical object, in pixels.
    segment
        What finds the objects.

    Returns
    -------
    scores : dict
        `score_names.OBJECTS` and `COUNTS`; see `objects.Agreement`.
    predicted, truth : Labels
        The objects.
    """
    found, true = segment(predicted, diameter), segment(truth, diameter)
    agreement = compare_objects(true, found)
    values = (
        agreement.dice, agreement.jaccard, *agreement.ap, agreement.count_error, agreement.true, agreement.predicted,
    )  # fmt: skip
    return dict(zip((*OBJECTS, *COUNTS), map(float, values), strict=True)), found, true


def _similarity(predicted: NDArray[np.float64], truth: NDArray[np.float64], data_range: float) -> float:
    """Return what torchmetrics does, which in float64 takes 100 times as long, and 5 GB for 1024 x 1024 pixels."""
    mirrored = (np.pad(image, _SSIM_WINDOW // 2, mode="reflect") for image in (predicted, truth))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(*mirrored, data_range=data_range, **options))
