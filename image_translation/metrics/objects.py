"""Objects, such as nuclei, in truth and prediction: found by the same plain method, matched, and compared."""

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

_SMALLEST = 1 / 6  # of the area of a typical object; anything smaller is debris, or noise
_DETAIL = 0.1  # of the diameter: what is smoothed away before objects are found
_APART = 0.35  # of the diameter: centres that are nearer belong to one object
_SPECK = 12  # pixels; no object when diameters are estimated


def find_objects(image: NDArray[np.float32], diameter: float) -> Labels:
    """Find roundish bright objects: Otsu's threshold, and a watershed that parts those that touch.

    Parameters
    ----------
    image
        Shape (Y, X).
    diameter
        Of a typical object, in pixels.

    Returns
    -------
    Labels
        Shape (Y, X), int32: 0 is ground, objects are numbered from 1.

    Notes
    -----
    Otsu, A threshold selection method from gray-level histograms, IEEE Trans. Syst. Man Cybern. 9, 62-66, 1979; as
    scikit-image has it, and its watershed of the distance to the ground.
    """
    mask = _bright(image, _DETAIL * diameter)
    area = round(_SMALLEST * pi / 4 * diameter**2)
    mask = remove_small_holes(remove_small_objects(mask, max_size=area), max_size=area)
    if not mask.any():
        return np.zeros(image.shape, np.int32)
    inside = gaussian(distance_transform_edt(mask), _DETAIL * diameter)
    parts = label(mask)
    centres = peak_local_max(inside, min_distance=max(1, round(_APART * diameter)), labels=parts, exclude_border=False)
    markers = np.zeros(image.shape, np.int32)
    markers[tuple(centres.T)] = np.arange(1, len(centres) + 1)
    return watershed(-inside, markers, mask=mask).astype(np.int32)


def find_objects_with_cellpose(image: NDArray[np.float32], diameter: float) -> Labels:
    """Find objects with Cellpose (Stringer et al., Nature Methods 18, 100-106, 2021), which must be installed.

    Parameters and result are those of `find_objects`; raises ``ImportError`` where there is no Cellpose.
    """
    found = _cellpose().eval(image, diameter=diameter)
    return np.asarray(found[0], np.int32)


@cache
def _cellpose() -> Any:
    from cellpose.models import CellposeModel  # no dependency: large, and its weights have licences of their own

    return CellposeModel(gpu=True)


def typical_diameter(images: Sequence[NDArray[np.float32]]) -> float:
    """Estimate the diameter of the objects in some images.

    Parameters
    ----------
    images
        Of shape (Y, X) each.

    Returns
    -------
    float
        Median diameter, in pixels, of a disc of the area of a bright region; NaN if there is none.
    """
    diameters = [
        region.equivalent_diameter_area
        for image in images
        for region in regionprops(label(_bright(image, 1.0)))
        if region.area >= _SPECK
    ]
    return float(np.median(diameters)) if diameters else nan


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the objects of a prediction match the true ones.

    Attributes
    ----------
    jaccard, dice
        Overlap of each true object with its match, 0 if it has none; mean over the true objects.
    ap
        Average precision at each of `AP_THRESHOLDS`, the least overlap (Jaccard) of a match: true positives among true
        and false positives and false negatives, as Caicedo et al., Nature Methods 16, 1247-1253, 2019.
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
        """Objects too many, as a share of the true ones; below 0 are too few."""
        return (self.predicted - self.true) / self.true if self.true else nan


def compare_objects(truth: Labels, predicted: Labels) -> Agreement:
    """Match objects one to one, such that their overlap is largest, and score the matches.

    Parameters
    ----------
    truth, predicted
        Labels of shape (Y, X): 0 is ground, objects are numbered from 1 without gaps.
    """
    true, found = int(truth.max(initial=0)), int(predicted.max(initial=0))
    if not true:
        return Agreement(nan, nan, (nan,) * len(AP_THRESHOLDS), 0, found)
    overlap = _overlaps(truth, predicted, (true + 1, found + 1))
    union = overlap.sum(axis=1, keepdims=True) + overlap.sum(axis=0, keepdims=True) - overlap
    jaccard = (overlap / np.maximum(union, 1))[1:, 1:]
    matched = jaccard[linear_sum_assignment(jaccard, maximize=True)]
    hits = [_hits(jaccard, least) for least in AP_THRESHOLDS]
    return Agreement(
        jaccard=float(matched.sum() / true),
        dice=float((2 * matched / (1 + matched)).sum() / true),
        ap=tuple(hit / (true + found - hit) for hit in hits),
        true=true,
        predicted=found,
    )


def _bright(image: NDArray[np.float32], sigma: float) -> NDArray[np.bool_]:
    smooth = gaussian(image.astype(np.float32), sigma)
    if smooth.min() == smooth.max():
        return np.zeros(image.shape, bool)
    return np.asarray(smooth > threshold_otsu(smooth.astype(np.float64)))  # float32 may have no 256 values in between


def _overlaps(truth: Labels, predicted: Labels, shape: tuple[int, int]) -> NDArray[np.int64]:
    pixels = (np.ones(truth.size, np.int64), (truth.ravel(), predicted.ravel()))
    return np.asarray(coo_array(pixels, shape=shape).toarray())


def _hits(jaccard: NDArray[np.float64], least: float) -> int:
    enough = np.where(jaccard >= least, 1.0 + jaccard, 0.0)
    return int((enough[linear_sum_assignment(enough, maximize=True)] > 0).sum())
