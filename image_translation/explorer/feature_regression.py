"""Linear regression between the feature maps of two networks.

The channels of networks that were trained apart are unrelated, so a common basis would be meaningless. Instead the
principal components of one network are predicted from the features of the other, as in linear probes (Alain and Bengio
2016, Understanding intermediate layers using linear classifier probes; Kornblith et al. 2019, Similarity of neural
network representations revisited).
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError

FOLDS = 4
_STRIPES = 16  # horizontal stripes of the map, assigned to the folds in turn
_SAMPLES = 32_768  # pixels to fit to, at most
_PENALTIES = tuple(10.0**power for power in range(-3, 5))


class PredictedScores(NamedTuple):
    """Component scores of one network as predicted from the features of another.

    Attributes
    ----------
    scores
        Shape (n, H, W), float32; each pixel is predicted by a regression fitted to other parts of the field.
    r2
        Coefficient of determination over all components, at most 1; negative if worse than the mean.
    """

    scores: NDArray[np.float32]
    r2: float


def channel_correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the median correlation between channels of the same index of two maps (C, H, W); 0 if shapes differ.

    It is near 1 for two states of one network in training, and near 0 for networks that were trained apart.
    """
    if first.shape != second.shape:
        return 0.0
    correlations = []
    for a, b in zip(first, second, strict=True):
        one, other = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
        one, other = one - one.mean(), other - other.mean()
        norm = np.sqrt((one @ one) * (other @ other))
        correlations.append(float(one @ other / norm) if norm > 0 else 0.0)
    return float(np.median(correlations))


def predict_scores(features: NDArray[Any], scores: NDArray[Any]) -> PredictedScores:
    """Predict the component scores of one network from the features of another one for the same image.

    Ridge regression with four-fold cross-validation over stripes of the field.

    Parameters
    ----------
    features
        Shape (C, H, W), any float dtype, finite.
    scores
        Shape (n, H', W'), any float dtype, finite, of the same field; resized to H x W.

    Returns
    -------
    PredictedScores
        At the resolution of the features.

    Raises
    ------
    UsageError
        The map has fewer than two rows for each fold.
    """
    channels, height, width = features.shape
    if height < 2 * FOLDS:
        msg = f"a map of {height} x {width} pixels is too small for a regression; it needs {2 * FOLDS} rows"
        raise UsageError(msg)
    from sklearn.linear_model import RidgeCV  # takes seconds

    target = _resized(scores.astype(np.float32), height, width).reshape(len(scores), -1).T.astype(np.float64)
    samples = features.reshape(channels, -1).T.astype(np.float64)
    scale = samples.std(axis=0)
    samples = (samples - samples.mean(axis=0)) / np.where(scale > 0, scale, 1)
    stripe = np.arange(height) * min(_STRIPES, height // 2) // height
    fold = np.repeat(stripe % FOLDS, width)
    rng = np.random.default_rng(0)
    predicted = np.empty_like(target)
    for number in range(FOLDS):
        training = np.flatnonzero(fold != number)
        if training.size > _SAMPLES:
            training = rng.choice(training, _SAMPLES, replace=False)
        regression = RidgeCV(_PENALTIES).fit(samples[training], target[training])
        predicted[fold == number] = regression.predict(samples[fold == number]).reshape(-1, len(scores))
    residual, total = np.square(target - predicted).sum(), np.square(target - target.mean(axis=0)).sum()
    r2 = float(1 - residual / total) if total > 0 else 1.0
    return PredictedScores(predicted.T.reshape(-1, height, width).astype(np.float32), r2)


def _resized(planes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    if planes.shape[1:] == (height, width):
        return planes
    interpolation = cv2.INTER_AREA if planes.shape[1] >= height else cv2.INTER_LINEAR
    return np.stack([cv2.resize(plane, (width, height), interpolation=interpolation) for plane in planes])
