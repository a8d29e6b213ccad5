"""What figures show of a movie: a few consecutive frames, a region of interest, and a moving cell in it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from image_translation.figures.region_of_interest import Corner, Region, highest_contrast_region, track_cell
from image_translation.figures.style import display_window
from image_translation.metrics.difference_maps import DifferenceMaps
from image_translation.metrics.rows import RAW, TRUTH
from image_translation.normalize import is_valid
from image_translation.omezarr.output import image_path
from image_translation.omezarr.plane_stack import PlaneStack
from image_translation.staining.plan import Plan
from image_translation.staining.series import Series


class SideBySide:
    """Reads the phase, the truth and the result of each method of one series, frame by frame.

    Parameters
    ----------
    plan
        The run.
    series
        Which of its series.
    stores
        Directory of the complete store of each method.

    Attributes
    ----------
    frames
        Frame numbers.
    delays
        Delay of each method, in frames.
    names
        Names of the stained movies in the order in which they are shown: the methods, and the truth where it is known.
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
        """Read a frame of a stained movie, (C, Y, X) float32; NaN if it has no such frame."""
        series = self._series
        if name == TRUTH:
            planes = [series.position.read(frame, channel, series.z) for channel in series.truth]
            return _finite(np.stack(planes).astype(np.float32))
        stack, length = self._stacks[name]
        number = frame - series.frames.start
        return _finite(stack.read(number)) if number < length else np.full(self._shape, np.nan, dtype=np.float32)

    def stains(self, frame: int) -> dict[str, NDArray[np.float32]]:
        """Read a frame of every stained movie."""
        return {name: self.stain(name, frame) for name in self.names}


def _finite(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace infinite values by NaN."""
    return np.where(np.isfinite(image), image, np.float32(np.nan))


COLUMNS = 5  # frames side by side
OVERVIEW, CLOSE_UP = 320, 72  # sides in pixels


@dataclass(frozen=True)
class Excerpt:
    """A few consecutive frames of a region in which a cell moves.

    Attributes
    ----------
    frames
        Numbers of the K frames.
    crop
        The region.
    row
        The row of pixels in it with the highest contrast.
    phase
        (K, Y, X) float32.
    stains
        (K, C, Y, X) float32 of each movie.
    corners
        Upper left corner of a close-up that follows the cell, in each frame.
    """

    frames: range
    crop: Region
    row: int
    phase: NDArray[np.float32]
    stains: dict[str, NDArray[np.float32]]
    corners: list[Corner]

    def window(self, channel: int) -> tuple[float, float]:
        """Return the display window of a channel, shared by all movies."""
        return display_window(stack[:, channel] for stack in self.stains.values())

    def close_up_change(self) -> dict[str, NDArray[np.float32]]:
        """Return the mean change between frames, (C, y, x) float32, in the close-up of the middle frame."""
        y, x = self.corners[len(self.frames) // 2]
        maps = DifferenceMaps({})
        for k in range(len(self.frames)):
            maps.add({name: s[k, :, y : y + CLOSE_UP, x : x + CLOSE_UP] for name, s in self.stains.items()})
        return maps.mean_change()

    def less_raw(self) -> dict[str, NDArray[np.float32]]:
        """Return the middle frame of each movie minus that of raw, (C, Y, X) float32."""
        middle = {name: stack[len(self.frames) // 2] for name, stack in self.stains.items()}
        return {name: image - middle[RAW] for name, image in middle.items() if name != RAW}


def choose_excerpt(movies: SideBySide, invalid: Collection[int], excess: Mapping[int, float]) -> Excerpt:
    """Choose frames with much flicker, the region of highest contrast, and a moving cell in it.

    Parameters
    ----------
    movies
        The movies of a series.
    invalid
        Numbers of the invalid frames.
    excess
        Excess change of raw from a frame, by its number, to the next.
    """
    frames = choose_run(movies.frames, COLUMNS, invalid, excess)
    middle = movies.stain(RAW, frames[len(frames) // 2])
    crop = highest_contrast_region(middle, OVERVIEW)
    stain = middle[:, *crop]
    # Copies, so that the whole frames can go.
    phase = np.stack([movies.phase(t)[crop].copy() for t in frames])
    stacks: dict[str, list[NDArray[np.float32]]] = {name: [] for name in movies.names}
    for t in frames:
        for name in movies.names:
            stacks[name].append(movies.stain(name, t)[:, *crop].copy())
    row = int(np.nan_to_num(stain).std(axis=2).sum(axis=0).argmax())
    stains = {name: np.stack(stack) for name, stack in stacks.items()}
    return Excerpt(frames, crop, row, phase, stains, track_cell(phase, stain, CLOSE_UP))


def choose_frames_around(centre: range, frames: range, wanted: int) -> range:
    """Choose consecutive frames, as many as wanted or all there are, with some of them as near to the middle as can be.

    Parameters
    ----------
    centre
        Numbers of consecutive frames to have in the middle.
    frames
        Numbers to choose from.
    wanted
        How many to choose.
    """
    length = min(wanted, len(frames))
    start = (centre.start + centre.stop - length) // 2
    start = min(max(start, frames.start), frames.stop - length)
    return range(start, start + length)


def choose_run(
    frames: range, wanted: int, invalid: Collection[int] = (), excess: Mapping[int, float] | None = None
) -> range:
    """Choose consecutive frames: with the fewest invalid ones, then the most excess change, then nearest the middle.

    Parameters
    ----------
    frames
        Numbers to choose from.
    wanted
        How many to choose; all if there are fewer.
    invalid
        Numbers of the invalid frames.
    excess
        Excess change from a frame, by its number, to the next.
    """
    length = min(wanted, len(frames))
    middle = (len(frames) - length) // 2
    invalid_frames, changes = set(invalid), excess or {}
    invalid_before = np.cumsum([0, *(t in invalid_frames for t in frames)])
    change_before = np.cumsum([0.0, *(changes.get(t, 0.0) for t in frames)])

    def cost(start: int) -> tuple[float, ...]:
        count = invalid_before[start + length] - invalid_before[start]
        return count, -(change_before[start + length - 1] - change_before[start]), abs(start - middle)

    best = min(range(len(frames) - length + 1), key=cost)
    return frames[best : best + length]
