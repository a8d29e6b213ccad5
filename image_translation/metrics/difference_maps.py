"""Maps of the frame-to-frame change of movies, and of how much methods reduce the error of raw, averaged over time."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.rows import RAW, TRUTH


class DifferenceMaps:
    """Mean absolute differences over time, pixel by pixel; pixels that are not finite are ignored.

    Parameters
    ----------
    delays
        Delay of each movie with respect to its frame indices, in frames: a delayed one is compared with the true frames
        before and after it.
    """

    def __init__(self, delays: Mapping[str, float]) -> None:
        self._delays = delays
        self._before: dict[str, NDArray[np.float32]] = {}
        self._changes: dict[str, _RunningMean] = {}
        self._errors: dict[str, _RunningMean] = {}

    def add(self, images: Mapping[str, NDArray[np.float32]]) -> None:
        """Add the next frame of every movie, (C, Y, X) float32 each, by name."""
        for name, image in images.items():
            if name in self._before:
                self._changes.setdefault(name, _RunningMean()).add(np.abs(image - self._before[name]))
            if TRUTH in images and name != TRUTH:
                error = self._errors.setdefault(name, _RunningMean())
                if not self._delays.get(name):
                    error.add(np.abs(image - images[TRUTH]))
                elif name in self._before:
                    delayed = self._before[name]
                    error.add((np.abs(delayed - self._before[TRUTH]) + np.abs(delayed - images[TRUTH])) / 2)
        self._before = dict(images)

    def mean_change(self) -> dict[str, NDArray[np.float32]]:
        """Return the mean absolute change from a frame to the next, (C, Y, X) float32; empty for a single frame."""
        return {name: mean.value() for name, mean in self._changes.items()}

    def error_reduction(self) -> dict[str, NDArray[np.float32]]:
        """Return the mean error of raw minus that of each other method, (C, Y, X) float32; empty without truth."""
        errors = {name: mean.value() for name, mean in self._errors.items() if mean.count is not None}
        return {name: errors[RAW] - error for name, error in errors.items() if RAW in errors and name != RAW}


class _RunningMean:
    """Mean of images over the finite values of each pixel."""

    def __init__(self) -> None:
        self.count: NDArray[np.int64] | None = None
        self._total: NDArray[np.float64] | None = None

    def add(self, image: NDArray[np.float32]) -> None:
        finite = np.isfinite(image)
        kept = np.where(finite, image, 0)
        self.count = finite.astype(np.int64) if self.count is None else self.count + finite
        self._total = kept.astype(np.float64) if self._total is None else self._total + kept

    def value(self) -> NDArray[np.float32]:
        if self.count is None or self._total is None:
            raise ValueError("no image has been added to the mean")
        mean = np.full(self.count.shape, np.nan, dtype=np.float32)
        np.divide(self._total, self.count, out=mean, where=self.count > 0, casting="same_kind")
        return mean
