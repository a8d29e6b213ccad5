"""Maps of where movies change from frame to frame, and of where methods are nearer to the truth than raw."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.rows import RAW, TRUTH


class DifferenceMaps:
    """Means over time of what differs, pixel by pixel; pixels that are not finite take no part.

    Parameters
    ----------
    delays
        By how much each movie lies later than the frames of its numbers, in frames: a late one is compared with the
        true frames before and after it.
    """

    def __init__(self, delays: Mapping[str, float]) -> None:
        self._delays = delays
        self._before: dict[str, NDArray[np.float32]] = {}
        self._changes: dict[str, _Mean] = {}
        self._errors: dict[str, _Mean] = {}

    def add(self, images: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the next frame of every movie, (C, Y, X) float32 each, by name."""
        for name, image in images.items():
            if name in self._before:
                self._changes.setdefault(name, _Mean()).add(np.abs(image - self._before[name]))
            if TRUTH in images and name != TRUTH:
                error = self._errors.setdefault(name, _Mean())
                if not self._delays.get(name):
                    error.add(np.abs(image - images[TRUTH]))
                elif name in self._before:
                    late = self._before[name]
                    error.add((np.abs(late - self._before[TRUTH]) + np.abs(late - images[TRUTH])) / 2)
        self._before = dict(images)

    def change(self) -> dict[str, NDArray[np.float32]]:
        """Return the mean size of the change from one frame to the next, (C, Y, X) float32; none of a single frame."""
        return {name: mean.value() for name, mean in self._changes.items()}

    def gain(self) -> dict[str, NDArray[np.float32]]:
        """Return the mean error of raw less that of each other method, (C, Y, X) float32; none without a truth."""
        errors = {name: mean.value() for name, mean in self._errors.items() if mean.count is not None}
        return {name: errors[RAW] - error for name, error in errors.items() if RAW in errors and name != RAW}


class _Mean:
    """Mean of images, over those that are finite in a pixel."""

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
            raise ValueError("there is no mean of nothing")
        mean = np.full(self.count.shape, np.nan, dtype=np.float32)
        np.divide(self._total, self.count, out=mean, where=self.count > 0, casting="same_kind")
        return mean
