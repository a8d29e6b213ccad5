"""Objects, such as nuclei, in truth and prediction: segmentation, matching, and object scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import nan, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import remove_small_holes, remove_small_objects
from skimage.segmentation import watershed

from image_translation.metrics.rows import AP_THRESHOLDS

Labels = NDArray[np.int32]

_MIN_RELATIVE_AREA = 1 / 6  # of the area of a typical object; anything smaller is debris or noise
_RELATIVE_SIGMA = 0.1  # of the diameter: Gaussian before segmentation
_RELATIVE_DISTANCE = 0.35  # of the diameter: smallest distance of the centres of two objects
_MIN_AREA = 12  # pixels of an object, when diameters are estimated
_NUCLEAR_NAMES = ("nuc", "dapi", "hoechst", "h2b", "draq", "sytox")


def is_nuclear(channel: str) -> bool:
    """Return whether the name of a channel is that of a stain of nuclei, such as ``Nuclei`` or ``DAPI``."""
    return any(name in channel.lower() for name in _NUCLEAR_NAMES)


def find_objects(image: NDArray[np.float32], diameter: float, threshold: float | None = None) -> Labels:
    """Segment roundish bright objects by Otsu's threshold, and split touching ones by a watershed.

    Parameters
    ----------
    image
        Shape (Y, X).
    diameter
        Diameter of a typical object, in pixels.
    threshold
        Threshold of the smoothed image, such as that of `movie_threshold`; None takes Otsu's of this image.

    Returns
    -------
    Labels
        Shape (Y, X), int32: 0 is background, objects are numbered from 1.

    Notes
    -----
    Otsu, A threshold selection method from gray-level histograms, IEEE Trans. Syst. Man Cybern. 9, 62-66, 1979. The
    watershed is that of the distance to the background. Both are those of scikit-image.
    """
    mask = _bright(image, _RELATIVE_SIGMA * diameter, threshold)
    area = debris_area(diameter)
    mask = remove_small_holes(remove_small_objects(mask, max_size=area), max_size=area)
    if not mask.any():
        return np.zeros(image.shape, np.int32)
    inside = gaussian(distance_transform_edt(mask), _RELATIVE_SIGMA * diameter)
    parts = label(mask)
    centres = peak_local_max(
        inside, min_distance=max(1, round(_RELATIVE_DISTANCE * diameter)), labels=parts, exclude_border=False
    )
    markers = np.zeros(image.shape, np.int32)
    markers[tuple(centres.T)] = np.arange(1, len(centres) + 1)
    return watershed(-inside, markers, mask=mask).astype(np.int32)


def debris_area(diameter: float) -> int:
    """Return the area in pixels up to which `find_objects` takes a region for debris or noise."""
    return round(_MIN_RELATIVE_AREA * pi / 4 * diameter**2)


def movie_threshold(images: Sequence[NDArray[np.float32]], diameter: float) -> float:
    """Find one threshold of `find_objects` for a movie: Otsu's of the pixels of all images together.

    A threshold found anew in each frame would flicker itself, and hide a change of gain.

    Parameters
    ----------
    images
        Some frames of the movie, of shape (Y, X) each.
    diameter
        Diameter of a typical object, in pixels.

    Returns
    -------
    float
        The threshold; NaN if the images are constant.
    """
    pixels = np.stack([gaussian(image.astype(np.float32), _RELATIVE_SIGMA * diameter) for image in images])
    return float(threshold_otsu(pixels.astype(np.float64))) if pixels.min() < pixels.max() else nan


def find_objects_with_cellpose(image: NDArray[np.float32], diameter: float) -> Labels:
    """Segment objects with Cellpose (Stringer et al., Nature Methods 18, 100-106, 2021), which must be installed.

    Parameters and result are those of `find_objects`; raises ``ImportError`` if Cellpose is not installed.
    """
    found = _cellpose().eval(image, diameter=diameter)
    return np.asarray(found[0], np.int32)


@cache
def _cellpose() -> Any:
    from cellpose.models import CellposeModel  # not a dependency: large, and its weights have their own licences

    return CellposeModel(gpu=True)


def typical_diameter(images: Sequence[NDArray[np.float32]]) -> float:
    """Estimate the typical diameter of the objects in images.

    Parameters
    ----------
    images
        Images of shape (Y, X).

    Returns
    -------
    float
        Median equivalent diameter of the bright regions, in pixels; NaN if there are none.
    """
    diameters = [
        region.equivalent_diameter_area
        for image in images
        for region in regionprops(label(_bright(image, 1.0)))
        if region.area >= _MIN_AREA
    ]
    return float(np.median(diameters)) if diameters else nan


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of predicted objects with true ones.

    Attributes
    ----------
    jaccard, dice
        Mean overlap of the true objects with their matches; 0 for an object without a match.
    ap
        Average precision at each of `AP_THRESHOLDS`, the minimum Jaccard index of a match: the fraction of true
        positives among true positives, false positives and false negatives (Caicedo et al., Nature Methods 16,
        1247-1253, 2019).
    true, predicted
        Numbers of objects.
    """

    jaccard: float
    dice: float
    ap: tuple[float, ...]
    true: int
    predicted: int

    @property
    def count_error(self) -> float:
        """Surplus of predicted objects relative to the number of true ones; negative if there are too few."""
        return (self.predicted - self.true) / self.true if self.true else nan


def compare_objects(truth: Labels, predicted: Labels) -> Agreement:
    """Match objects one to one, maximising the total overlap, and score the matches.

    Parameters
    ----------
    truth, predicted
        Labels of shape (Y, X): 0 is background, objects are numbered from 1 without gaps.
    """
    true, found = int(truth.max(initial=0)), int(predicted.max(initial=0))
    if not true:
        return Agreement(nan, nan, (nan,) * len(AP_THRESHOLDS), 0, found)
    overlap = _overlaps(truth, predicted, (true + 1, found + 1))
    union = overlap.sum(axis=1, keepdims=True) + overlap.sum(axis=0, keepdims=True) - overlap
    jaccard = (overlap / np.maximum(union, 1))[1:, 1:]
    matched = jaccard[linear_sum_assignment(jaccard, maximize=True)]
    hits = [_count_matches(jaccard, threshold) for threshold in AP_THRESHOLDS]
    return Agreement(
        jaccard=float(matched.sum() / true),
        dice=float((2 * matched / (1 + matched)).sum() / true),
        ap=tuple(hit / (true + found - hit) for hit in hits),
        true=true,
        predicted=found,
    )


def _bright(image: NDArray[np.float32], sigma: float, threshold: float | None = None) -> NDArray[np.bool_]:
    smooth = gaussian(image.astype(np.float32), sigma)
    if threshold is not None:
        return np.asarray(smooth > threshold)
    if smooth.min() == smooth.max():
        return np.zeros(image.shape, bool)
    return np.asarray(
        smooth > threshold_otsu(smooth.astype(np.float64))
    )  # in float32 the 256 bins might not be distinct


def _overlaps(truth: Labels, predicted: Labels, shape: tuple[int, int]) -> NDArray[np.int64]:
    pixels = (np.ones(truth.size, np.int64), (truth.ravel(), predicted.ravel()))
    return np.asarray(coo_array(pixels, shape=shape).toarray())


def _count_matches(jaccard: NDArray[np.float64], threshold: float) -> int:
    weights = np.where(jaccard >= threshold, 1.0 + jaccard, 0.0)
    return int((weights[linear_sum_assignment(weights, maximize=True)] > 0).sum())
