"""Feature maps of two networks held against each other.

The channels of networks that were trained apart have nothing to do with each other, so that a common basis would colour
them at random. What can be asked is how much the features of the one tell of the components of the other: linear
regression, as in probes of networks (Alain and Bengio 2016, Understanding intermediate layers using linear classifier
probes; Kornblith et al. 2019, Similarity of neural network representations revisited).
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError

FOLDS = 4
_STRIPES = 16  # rows of the map are cut into so many stripes, which the folds take in turn
_SAMPLES = 32_768  # pixels that a regression is fitted to
_PENALTIES = tuple(10.0**power for power in range(-3, 5))


class Translation(NamedTuple):
    """Scores that a map tells of another one.

    Attributes
    ----------
    scores
        Shape (n, H, W), float32; those of each pixel are of a regression to other parts of the field.
    known
        Share of the variance of all components that they explain, at most 1; negative if worse than the mean.
    """

    scores: NDArray[np.float32]
    known: float


def agreement(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the median correlation between channels of the same number of two maps (C, H, W); 0 if shapes differ.

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


def translate(features: NDArray[Any], scores: NDArray[Any]) -> Translation:
    """Find what the features of a network tell of the scores of another one that sees the same image.

    A ridge regression is fitted to three quarters of the field, in stripes, and foretells the last one, four times.

    Parameters
    ----------
    features
        Shape (C, H, W), any float dtype, finite.
    scores
        Shape (n, H', W'), any float dtype, finite, of the same field; resized to H x W.

    Returns
    -------
    Translation
        At the resolution of the features.

    Raises
    ------
    UsageError
        The map has fewer than two rows for each fold.
    """
    channels, height, width = features.shape
    if height < 2 * FOLDS:
        msg = f"a map of {height} x {width} pixels is too small; it needs {2 * FOLDS} rows"
        raise UsageError(msg)
    from sklearn.linear_model import RidgeCV  # takes seconds

    wanted = _resized(scores.astype(np.float32), height, width).reshape(len(scores), -1).T.astype(np.float64)
    known = features.reshape(channels, -1).T.astype(np.float64)
    scale = known.std(axis=0)
    known = (known - known.mean(axis=0)) / np.where(scale > 0, scale, 1)
    stripe = np.arange(height) * min(_STRIPES, height // 2) // height
    fold = np.repeat(stripe % FOLDS, width)
    rng = np.random.default_rng(0)
    found = np.empty_like(wanted)
    for number in range(FOLDS):
        others = np.flatnonzero(fold != number)
        if others.size > _SAMPLES:
            others = rng.choice(others, _SAMPLES, replace=False)
        regression = RidgeCV(_PENALTIES).fit(known[others], wanted[others])
        found[fold == number] = regression.predict(known[fold == number]).reshape(-1, len(scores))
    rest, total = np.square(wanted - found).sum(), np.square(wanted - wanted.mean(axis=0)).sum()
    share = float(1 - rest / total) if total > 0 else 1.0
    return Translation(found.T.reshape(-1, height, width).astype(np.float32), share)


def _resized(planes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    if planes.shape[1:] == (height, width):
        return planes
    way = cv2.INTER_AREA if planes.shape[1] >= height else cv2.INTER_LINEAR
    return np.stack([cv2.resize(plane, (width, height), interpolation=way) for plane in planes])
