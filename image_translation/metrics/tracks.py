"""Frame-to-frame variation of nuclei: their number, and their areas and intensities along tracks.

Nuclei are the connected regions above one threshold for the complete movie: a threshold found anew in each frame would
flicker itself, and hide a change of gain. `objects` scores the segmentation of single frames against the truth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_CHANNEL_PREFIX = "nucle"  # of the names of channels of nuclei, in any case
_SIGMA = 1.5  # pixels
_BINS = 256
_MIN_AREA = 20  # pixels
_MIN_RELATIVE_AREA = 0.25  # of the median area
_MIN_NUCLEI = 5  # linked nuclei, for a median of their changes


@dataclass(frozen=True, slots=True)
class NucleusCriteria:
    """What counts as a nucleus: a region above `threshold` of at least `min_area` pixels.

    Intensities are measured above `background`.
    """

    threshold: float
    background: float
    min_area: float


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """Nuclei of a frame: centres (N, 2) in pixels, areas (N,) in pixels, intensities (N,) above background."""

    centres: NDArray[np.float64]
    areas: NDArray[np.float64]
    intensities: NDArray[np.float64]


def find_criteria(image: NDArray[np.float32]) -> NucleusCriteria | None:
    """Find the criteria for nuclei from the first frame of a movie.

    The threshold is that of Otsu (1979), A threshold selection method from gray-level histograms, IEEE Trans. Syst. Man
    Cybern. 9(1), 62-66; the background is the mean of the pixels below it.

    Parameters
    ----------
    image
        Bright nuclei, (Y, X) float32.

    Returns
    -------
    NucleusCriteria or None
        None if the image is constant.
    """
    smooth = _smooth(image)
    low, high = float(smooth.min()), float(smooth.max())
    if not high > low:
        return None
    counts, edges = np.histogram(smooth, _BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * centres)
    above, sums_above = below[-1] - below[:-1], sums[-1] - sums[:-1]
    distance = (sums[:-1] / below[:-1] - sums_above / np.maximum(above, 1)) ** 2
    at = int(np.argmax(below[:-1] * above * distance))
    # Half way between the two class means: all thresholds in an empty gap are optimal, and this is the most stable.
    background = float(sums[at] / below[at])
    threshold = (background + float(sums_above[at] / above[at])) / 2
    areas = find_nuclei(image, NucleusCriteria(threshold, background, _MIN_AREA)).areas
    min_area = max(_MIN_AREA, _MIN_RELATIVE_AREA * float(np.median(areas))) if areas.size else _MIN_AREA
    return NucleusCriteria(threshold, background, min_area)


def find_nuclei(image: NDArray[np.float32], criteria: NucleusCriteria) -> Nuclei:
    """Find the nuclei of a frame, (Y, X) float32."""
    smooth = _smooth(image)
    mask = (smooth > criteria.threshold).view(np.uint8)
    _, labels, statistics, centres = cv2.connectedComponentsWithStats(mask, connectivity=4)
    areas = statistics[:, cv2.CC_STAT_AREA].astype(np.float64)
    inside = mask.view(bool)
    owners, above = labels[inside], smooth[inside] - np.float32(criteria.background)
    # Intensity-weighted means: the rim, which grows with the gain, would hide it in a plain mean.
    first, second = (np.bincount(owners, above**power, len(areas)) for power in (2, 3))
    kept = areas >= criteria.min_area
    kept[0] = False  # the background
    return Nuclei(np.asarray(centres[kept], np.float64), areas[kept], second[kept] / first[kept])


def link(first: Nuclei, second: Nuclei) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Link mutual nearest neighbours among the nuclei of adjacent frames, up to the square root of their area.

    Returns
    -------
    tuple of ndarray
        Indices of the linked nuclei in the first and in the second frame, each (L,).
    """
    from scipy.spatial import cKDTree

    if not (len(first.areas) and len(second.areas)):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    distances, forward = cKDTree(second.centres).query(first.centres)
    _, backward = cKDTree(first.centres).query(second.centres)
    indices = np.arange(len(forward))
    mutual = (backward[forward] == indices) & (distances < np.sqrt(first.areas))
    return indices[mutual], forward[mutual]


class NucleusScorer:
    """Variation of the nuclei of several movies, in all channels of nuclei.

    Parameters
    ----------
    channels
        Names of the channels; those of nuclei begin with "nucle" in any case.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self._channels = {c: name for c, name in enumerate(channels) if name.lower().startswith(_CHANNEL_PREFIX)}
        self._criteria: dict[tuple[str, int], NucleusCriteria] = {}
        self._variations: dict[tuple[str, int], NucleusVariation] = {}

    def add(self, movie: str, index: int, data: NDArray[np.float32], reference: str) -> None:
        """Add the next valid frame of a movie, (C, Y, X) float32.

        The criteria for nuclei are found in the first frame of the movie `reference`; earlier frames are ignored.
        """
        for c in self._channels:
            if movie == reference and (movie, c) not in self._criteria and (criteria := find_criteria(data[c])):
                self._criteria[movie, c] = criteria
            if (reference, c) in self._criteria:
                variation = self._variations.setdefault((movie, c), NucleusVariation())
                variation.add(index, find_nuclei(data[c], self._criteria[reference, c]))

    def scores(self) -> Iterator[tuple[str, str, str, float]]:
        """Yield the movie, the channel, the metric and its value."""
        for (movie, c), variation in self._variations.items():
            for metric, value in variation.scores().items():
                yield movie, self._channels[c], metric, value


class NucleusVariation:
    """Mean frame-to-frame changes of the nuclei of one movie and channel.

    Nuclei are not linked across invalid frames.
    """

    def __init__(self) -> None:
        self._last: tuple[int, Nuclei] | None = None
        self._changes: dict[str, tuple[float, int]] = {}

    def add(self, index: int, nuclei: Nuclei) -> None:
        """Add the nuclei of the next valid frame."""
        last, self._last = self._last, (index, nuclei)
        if last is None or last[0] != index - 1:
            return
        before = last[1]
        counts = len(before.areas), len(nuclei.areas)
        if max(counts):
            self._record("count_jitter", abs(counts[1] - counts[0]) / (sum(counts) / 2))
        earlier, later = link(before, nuclei)
        if len(earlier) >= _MIN_NUCLEI:
            self._record("area_jitter", _median_change(before.areas[earlier], nuclei.areas[later]))
            self._record("intensity_jitter", _median_change(before.intensities[earlier], nuclei.intensities[later]))

    def scores(self) -> dict[str, float]:
        """Return ``count_jitter``, ``area_jitter`` and ``intensity_jitter``, as far as they are defined.

        The first is the mean relative change of the number of nuclei; the others are medians over the nuclei of the
        absolute change of the logarithm, averaged over the movie.
        """
        return {name: total / count for name, (total, count) in self._changes.items()}

    def _record(self, name: str, value: float) -> None:
        total, count = self._changes.get(name, (0.0, 0))
        self._changes[name] = (total + value, count + 1)


def _median_change(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    return float(np.median(np.abs(np.log(after / before))))


def _smooth(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _SIGMA), np.float32)
