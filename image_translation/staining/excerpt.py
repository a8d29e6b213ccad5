"""What of a movie is shown in figures: a few frames, a part of the field, and a cell in it that moves."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from image_translation.figures.region_of_interest import Corner, Crop, busiest, follow
from image_translation.figures.style import display_window
from image_translation.metrics.difference_maps import DifferenceMaps
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


COLUMNS = 5  # frames beside each other
OVERVIEW, CLOSE_UP = 320, 72  # pixels: sides


@dataclass(frozen=True)
class Excerpt:
    """A few consecutive frames of a part of the field, in which a cell moves.

    Attributes
    ----------
    frames
        Numbers of the K frames.
    crop
        Part of the field.
    row
        The line of pixels in it that varies most.
    phase
        (K, Y, X) float32.
    stains
        (K, C, Y, X) float32 of each movie.
    corners
        Where a close-up must lie in each frame to follow the cell.
    """

    frames: range
    crop: Crop
    row: int
    phase: NDArray[np.float32]
    stains: dict[str, NDArray[np.float32]]
    corners: list[Corner]

    def window(self, channel: int) -> tuple[float, float]:
        """Return the display window that a channel has in all movies."""
        return display_window(stack[:, channel] for stack in self.stains.values())

    def close_up_change(self) -> dict[str, NDArray[np.float32]]:
        """Return the mean change from frame to frame, (C, y, x) float32, where the close-up is in the middle frame."""
        y, x = self.corners[len(self.frames) // 2]
        maps = DifferenceMaps({})
        for k in range(len(self.frames)):
            maps.add({name: s[k, :, y : y + CLOSE_UP, x : x + CLOSE_UP] for name, s in self.stains.items()})
        return maps.change()

    def less_raw(self) -> dict[str, NDArray[np.float32]]:
        """Return the middle frame of each movie less that of raw, (C, Y, X) float32."""
        middle = {name: stack[len(self.frames) // 2] for name, stack in self.stains.items()}
        return {name: image - middle[RAW] for name, image in middle.items() if name != RAW}


def choose_excerpt(movies: SideBySide, invalid: Collection[int], unrest: Mapping[int, float]) -> Excerpt:
    """Choose frames with much flicker, the part of the field with most contrast, and a cell in it that moves.

    Parameters
    ----------
    movies
        The movies of a series.
    invalid
        Numbers of the frames without an image.
    unrest
        How much more raw changes than it should from a frame, by its number, to the next.
    """
    frames = choose_run(movies.frames, COLUMNS, invalid, unrest)
    middle = movies.stain(RAW, frames[len(frames) // 2])
    crop = busiest(middle, OVERVIEW)
    stain = middle[:, *crop]
    # Copies, so that the whole frames can go.
    phase = np.stack([movies.phase(t)[crop].copy() for t in frames])
    stacks: dict[str, list[NDArray[np.float32]]] = {name: [] for name in movies.names}
    for t in frames:
        for name in movies.names:
            stacks[name].append(movies.stain(name, t)[:, *crop].copy())
    row = int(np.nan_to_num(stain).std(axis=2).sum(axis=0).argmax())
    stains = {name: np.stack(stack) for name, stack in stacks.items()}
    return Excerpt(frames, crop, row, phase, stains, follow(phase, stain, CLOSE_UP))


def choose_run(
    frames: range, wanted: int, invalid: Collection[int] = (), unrest: Mapping[int, float] | None = None
) -> range:
    """Choose consecutive frames with as few invalid ones as can be, then with the most unrest, then in the middle.

    Parameters
    ----------
    frames
        Numbers to choose from.
    wanted
        How many to choose; all if there are fewer.
    invalid
        Numbers of the frames without an image.
    unrest
        How restless the movie is from a frame, by its number, to the next.
    """
    length = min(wanted, len(frames))
    middle = (len(frames) - length) // 2
    missing, changes = set(invalid), unrest or {}
    spoilt = np.cumsum([0, *(t in missing for t in frames)])
    restless = np.cumsum([0.0, *(changes.get(t, 0.0) for t in frames)])

    def badness(start: int) -> tuple[float, ...]:
        found = spoilt[start + length] - spoilt[start]
        return found, -(restless[start + length - 1] - restless[start]), abs(start - middle)

    best = min(range(len(frames) - length + 1), key=badness)
    return frames[best : best + length]
