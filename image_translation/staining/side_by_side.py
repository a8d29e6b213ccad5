"""The movies of one series side by side, frame by frame: phase, truth, and what each method made of it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.rows import RAW, TRUTH
from image_translation.normalize import is_valid
from image_translation.omezarr.output import image_path
from image_translation.omezarr.plane_stack import PlaneStack
from image_translation.staining.plan import Plan, Series


class SideBySide:
    """Reader of one series out of finished stores; nothing is kept in memory.

    Parameters
    ----------
    plan
        The run.
    series
        Which of its series.
    stores
        Where the complete store of each method lies.

    Attributes
    ----------
    frames
        Numbers of the frames.
    delays
        By how much the frames of each method lie later than those of the same number, in frames.
    names
        Of the movies of the stain, in the order in which they are shown: the methods, and the truth where it is known.
    """

    def __init__(self, plan: Plan, series: Series, stores: Mapping[str, Path]) -> None:
        name = series.position.name
        self._series = series
        self._stacks = {}
        self.frames = series.frames
        self.delays: dict[str, float] = {}
        for method in dict.fromkeys([RAW, *plan.options.methods]):
            image = plan.images(method)[name]
            stack = PlaneStack(image_path(stores[method], name), image, series.plane, write=False)
            self._stacks[method] = (stack, image.length)
            self.delays[method] = image.delay
        self.names = (*self._stacks, *([TRUTH] if series.truth else []))
        self._shape = (len(plan.spec.output_channels), *series.position.shape[3:])

    def phase(self, frame: int) -> NDArray[np.float32]:
        """Read the phase of a frame, (Y, X) float32; NaN if the frame is not valid."""
        image = self._series.position.read(frame, self._series.channel, self._series.z)
        return image.astype(np.float32) if is_valid(image) else np.full(image.shape, np.nan, dtype=np.float32)

    def stain(self, name: str, frame: int) -> NDArray[np.float32]:
        """Read a frame of a movie of the stain, (C, Y, X) float32; NaN if it has none of this number."""
        series = self._series
        if name == TRUTH:
            planes = [series.position.read(frame, channel, series.z) for channel in series.truth]
            return _finite(np.stack(planes).astype(np.float32))
        stack, length = self._stacks[name]
        number = frame - series.frames.start
        return _finite(stack.read(number)) if number < length else np.full(self._shape, np.nan, dtype=np.float32)

    def stains(self, frame: int) -> dict[str, NDArray[np.float32]]:
        """Read a frame of every movie of the stain."""
        return {name: self.stain(name, frame) for name in self.names}


def _finite(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn the infinite into NaN, which has one meaning."""
    return np.where(np.isfinite(image), image, np.float32(np.nan))
