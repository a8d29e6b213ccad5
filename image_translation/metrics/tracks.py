"""Nuclei of a movie and their tracks: how their number, sizes and intensities jitter from frame to frame.

Nuclei are what is brighter than a threshold that is found once and kept: one that is found anew in each frame flickers
itself, and hides a change of gain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

NUCLEI = "nucle"

_SIGMA = 1.5  # pixels
_BINS = 256
_SMALLEST = 20  # pixels
_SMALL = 0.25  # of the median area
_FEWEST = 5  # nuclei whose changes have a median


@dataclass(frozen=True, slots=True)
class Scale:
    """What counts as a nucleus: brighter than `threshold`, larger than `least_area` pixels, above `background`."""

    threshold: float
    background: float
    least_area: float


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """Nuclei of a frame: centres (N, 2) in pixels, areas (N,) in pixels, intensities (N,) above background."""

    centres: NDArray[np.float64]
    areas: NDArray[np.float64]
    intensities: NDArray[np.float64]


def find_scale(image: NDArray[np.float32]) -> Scale | None:
    """Find what counts as a nucleus from the first frame of a movie.

    The threshold is that of Otsu (1979), A threshold selection method from gray-level histograms, IEEE Trans. Syst. Man
    Cybern. 9(1), 62-66; the background is the mean of what lies below it.

    Parameters
    ----------
    image
        Nuclei, (Y, X) float32, bright.

    Returns
    -------
    Scale or None
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
    apart = (sums[:-1] / below[:-1] - sums_above / np.maximum(above, 1)) ** 2
    at = int(np.argmax(below[:-1] * above * apart))
    # Half way between the two kinds: of all thresholds in an empty gap, which are equally good, it is the steadiest.
    background = float(sums[at] / below[at])
    threshold = (background + float(sums_above[at] / above[at])) / 2
    areas = find_nuclei(image, Scale(threshold, background, _SMALLEST)).areas
    return Scale(threshold, background, max(_SMALLEST, _SMALL * float(np.median(areas))) if areas.size else _SMALLEST)


def find_nuclei(image: NDArray[np.float32], scale: Scale) -> Nuclei:
    """Find the nuclei of a frame, (Y, X) float32."""
    smooth = _smooth(image)
    mask = (smooth > scale.threshold).view(np.uint8)
    _, labels, statistics, centres = cv2.connectedComponentsWithStats(mask, connectivity=4)
    areas = statistics[:, cv2.CC_STAT_AREA].astype(np.float64)
    inside = mask.view(bool)
    owners, above = labels[inside], smooth[inside] - np.float32(scale.background)
    # Weighted by themselves: the rim, which grows with the gain, would hide it in a plain mean.
    first, second = (np.bincount(owners, above**power, len(areas)) for power in (2, 3))
    real = areas >= scale.least_area
    real[0] = False  # what is not a nucleus
    return Nuclei(np.asarray(centres[real], np.float64), areas[real], second[real] / first[real])


def link(first: Nuclei, second: Nuclei) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Link the nuclei of adjacent frames: those that are nearest to each other, and no farther than their size.

    Returns
    -------
    tuple of ndarray
        Numbers of the linked nuclei in the first, and in the second frame, each (L,).
    """
    from scipy.spatial import cKDTree

    if not (len(first.areas) and len(second.areas)):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    distances, onward = cKDTree(second.centres).query(first.centres)
    _, back = cKDTree(first.centres).query(second.centres)
    ours = np.arange(len(onward))
    mutual = (back[onward] == ours) & (distances < np.sqrt(first.areas))
    return ours[mutual], onward[mutual]


class NucleiMeter:
    """Jitter of the nuclei of several movies, each in its channels of nuclei.

    Parameters
    ----------
    channels
        Names of the channels; those of nuclei begin with "nucle" in any case.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self._channels = {c: name for c, name in enumerate(channels) if name.lower().startswith(NUCLEI)}
        self._scales: dict[tuple[str, int], Scale] = {}
        self._meters: dict[tuple[str, int], JitterMeter] = {}

    def add(self, movie: str, index: int, data: NDArray[np.float32], scale_of: str) -> None:
        """Take the next valid frame of a movie, (C, Y, X) float32.

        What counts as a nucleus is found in the first frame of the movie `scale_of`; frames before count nowhere.
        """
        for c in self._channels:
            if movie == scale_of and (movie, c) not in self._scales and (scale := find_scale(data[c])):
                self._scales[movie, c] = scale
            if (scale_of, c) in self._scales:
                meter = self._meters.setdefault((movie, c), JitterMeter())
                meter.add(index, find_nuclei(data[c], self._scales[scale_of, c]))

    def jitters(self) -> Iterator[tuple[str, str, str, float]]:
        """Yield the movie, the channel, the metric and its value."""
        for (movie, c), meter in self._meters.items():
            for metric, value in meter.jitter().items():
                yield movie, self._channels[c], metric, value


class JitterMeter:
    """Means over a movie of the changes of its nuclei from frame to frame.

    Invalid frames are gaps: nothing is linked across them.
    """

    def __init__(self) -> None:
        self._last: tuple[int, Nuclei] | None = None
        self._changes: dict[str, tuple[float, int]] = {}

    def add(self, index: int, nuclei: Nuclei) -> None:
        """Take the nuclei of the next valid frame."""
        last, self._last = self._last, (index, nuclei)
        if last is None or last[0] != index - 1:
            return
        before = last[1]
        counts = len(before.areas), len(nuclei.areas)
        if max(counts):
            self._note("count_jitter", abs(counts[1] - counts[0]) / (sum(counts) / 2))
        ours, theirs = link(before, nuclei)
        if len(ours) >= _FEWEST:
            self._note("area_jitter", _median_change(before.areas[ours], nuclei.areas[theirs]))
            self._note("intensity_jitter", _median_change(before.intensities[ours], nuclei.intensities[theirs]))

    def jitter(self) -> dict[str, float]:
        """Return ``count_jitter``, ``area_jitter`` and ``intensity_jitter``, as far as they are known.

        The first is the mean change of the number of nuclei, as a share of it; the others are the medians over the
        nuclei of the absolute change of the logarithm, averaged over the movie.
        """
        return {name: total / count for name, (total, count) in self._changes.items()}

    def _note(self, name: str, value: float) -> None:
        total, count = self._changes.get(name, (0.0, 0))
        self._changes[name] = (total + value, count + 1)


def _median_change(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    return float(np.median(np.abs(np.log(after / before))))


def _smooth(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _SIGMA), np.float32)
