"""Metrics of movies over time, computed as the frames come: how steady, how faithful, how sharp, how late.

The correlation of adjacent frames rises with blur: a movie frozen at its mean scores 1. It is therefore always to be
read beside the other three, which a frozen or blurred movie cannot pass.
"""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from image_translation.frame import Frame
from image_translation.image_statistics import DescribedImage, describe, pearson
from image_translation.lag import LagMeter, thumbnail
from image_translation.rows import Row

RAW = "raw"
TRUTH = "truth"


class Evaluator:
    """Metrics of the raw and the smoothed movies of one position and plane.

    Frames come by `add`, those of each movie in order, the movies interleaved in any way; the result does not depend on
    it. Frames are held by reference and only as long as another movie is still to be compared with them, so memory is
    as large as the latency of the filters. For each valid frame t of each movie, per channel and over the whole frame:

    - ``adjacent_pearson``: Pearson correlation with frame t + 1 of the same movie;
    - ``pearson_raw``: Pearson correlation with the raw frame t;
    - ``pearson_truth``: Pearson correlation with the true frame t;
    - ``sharpness``: energy of the Laplacian over that of the raw frame t, 1 is all of it (Pertuz et al. 2013,
      Analysis of focus measure operators for shape-from-focus, Pattern Recognition 46(5), 1415-1432);

    and for each whole movie

    - ``lag``: shift in time, in frames by index, at which the movie agrees best with raw; positive if it is late. The
      mean of each frame and the next shows time i + 0.5 in frame i, so its lag is -0.5.

    A frame with a delay of half an interval lies between two raw frames. It is compared with both, and the correlations
    and energies are averaged; comparing it with the mean of the two images instead would not see the blur that
    averaging makes. Invalid frames take part in nothing and get no row.

    Parameters
    ----------
    position
        Name of the position, for the rows.
    channels
        Names of the C channels.
    delays
        Delay in frames of each smoothed movie, 0 or 0.5, by the name of its method.
    truth
        Whether there are true frames, as the movie ``"truth"``.
    """

    def __init__(
        self, position: str, channels: Sequence[str], delays: Mapping[str, float], *, truth: bool = False
    ) -> None:
        self._position = position
        self._channels = tuple(channels)
        self._references = (RAW, TRUTH) if truth else (RAW,)
        self._reach = dict.fromkeys(self._references, 0) | {name: ceil(delay) for name, delay in delays.items()}
        self._held: dict[str, dict[int, DescribedImage]] = {name: {} for name in self._reach}
        self._arrived: dict[str, int] = {}
        self._scored: dict[str, int] = {}
        self._lags = {name: LagMeter(len(self._channels)) for name in self._reach if name != RAW}

    def add(self, method: str, frame: Frame) -> list[Row]:
        """Take the next frame of a movie, and return the numbers that are then known.

        Parameters
        ----------
        method
            ``"raw"``, ``"truth"``, or the name of a smoothed movie.
        frame
            Frame of shape (C, Y, X), float32. All movies begin with the same index.

        Returns
        -------
        list[Row]
            Rows of one frame each.

        Raises
        ------
        KeyError
            If there is no such movie.
        ValueError
            If the frame is not the one that follows the last of this movie.
        """
        if not self._arrived:
            self._arrived = dict.fromkeys(self._reach, frame.index)
            self._scored = dict(self._arrived)
        if frame.index != self._arrived[method]:
            raise ValueError(f"{method}: frame {frame.index} came where frame {self._arrived[method]} was due")
        self._arrived[method] += 1
        if frame.valid:
            self._held[method][frame.index] = describe(frame.data)
        self._measure_lag(method, frame)
        rows = [row for name in self._reach for row in self._score_ready(name)]
        self._release()
        return rows

    def finish(self) -> list[Row]:
        """Return the numbers of the whole movies: their lags, where the movies are long enough to tell."""
        lags = {name: meter.lag() for name, meter in self._lags.items()}
        lags = {RAW: np.zeros(len(self._channels))} | lags
        rows = [row for name, lag in lags.items() for row in self._rows(name, None, "lag", lag)]
        return [row for row in rows if np.isfinite(row.value)]

    def _measure_lag(self, method: str, frame: Frame) -> None:
        values = thumbnail(frame.data) if frame.valid else None
        if method == RAW:
            for meter in self._lags.values():
                meter.add_reference(frame.index, values)
        else:
            self._lags[method].add(frame.index, values)

    def _score_ready(self, method: str) -> list[Row]:
        """Score the frames of a movie that have come, and whose references have come."""
        ready = min(self._arrived[name] - self._reach[method] for name in self._references)
        stop = min(self._arrived[method], ready)
        rows = [row for index in range(self._scored[method], stop) for row in self._score(method, index)]
        self._scored[method] = max(stop, self._scored[method])
        return rows

    def _score(self, method: str, index: int) -> list[Row]:
        image = self._held[method].get(index)
        if image is None:
            return []
        rows = []
        if previous := self._held[method].get(index - 1):
            rows += self._rows(method, index - 1, "adjacent_pearson", pearson(previous, image))
        for name in self._references:
            references = self._references_of(method, index, name)
            if references:
                fidelity = np.mean([pearson(image, reference) for reference in references], axis=0)
                rows += self._rows(method, index, f"pearson_{name}", fidelity)
        if references := self._references_of(method, index, RAW):
            energy = np.mean([reference.laplacian_energy for reference in references], axis=0)
            sharpness = np.divide(image.laplacian_energy, energy, out=np.full(energy.shape, np.nan), where=energy > 0)
            rows += self._rows(method, index, "sharpness", sharpness)
        return rows

    def _references_of(self, method: str, index: int, name: str) -> list[DescribedImage]:
        """Return the frames that frame `index` is compared with, none if one of them is invalid."""
        indices = range(index, index + self._reach[method] + 1)
        references = [self._held[name][i] for i in indices if i in self._held[name]]
        return references if len(references) == len(indices) else []

    def _rows(self, method: str, frame: int | None, metric: str, values: NDArray[np.float64]) -> list[Row]:
        return [
            Row(self._position, method, channel, frame, metric, float(value))
            for channel, value in zip(self._channels, values, strict=True)
        ]

    def _release(self) -> None:
        """Let go of the frames that nothing is to be compared with any more."""
        oldest = min(self._scored.values())
        for name, held in self._held.items():
            keep = self._scored[name] - 1
            if name in self._references:
                keep = min(keep, oldest)
            for index in [index for index in held if index < keep]:
                del held[index]
