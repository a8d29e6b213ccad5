"""Lineages of simulated cells: births, divisions, detachments, and how they round up and spread."""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.random_process import Array, smoothstep
from image_translation.simulation.spec import MovieSpec

SPREADING_TIME = 12
"""Frames over which daughter cells spread after the division."""

ROUNDED_SCALE = 0.55
"""Radius of a rounded cell, relative to the spread cell."""

_ROUNDING_TIME = 7  # frames over which a cell rounds up before it divides
_DETACHING_TIME = 4  # frames over which a cell rounds up before it detaches
_NEWBORN_SCALE = 0.42  # radius of a newborn cell, relative to the spread cell
_MIN_DIVISION_AGE = 25  # frames


class Lineage(NamedTuple):
    """Lives of N cells.

    Attributes
    ----------
    birth, end
        First frame of each cell, and its last frame plus one: (N,) int.
    parent
        Index of the mother, -1 for none; mothers precede daughters: (N,) int.
    detaches
        Whether the cell ends by detaching from the ground, without daughters: (N,) bool.
    """

    birth: NDArray[np.int64]
    end: NDArray[np.int64]
    parent: NDArray[np.int64]
    detaches: NDArray[np.bool_]

    def ages(self, frames: int) -> tuple[Array, Array]:
        """Return the number of frames since the birth and until the end of each cell: both (T, N)."""
        time = np.arange(frames, dtype=float)[:, None]
        return time - self.birth, self.end - time

    def rounding(self, frames: int) -> Array:
        """Return how far each cell has rounded up before its end, 0 to 1: (T, N)."""
        _, left = self.ages(frames)
        return 1 - smoothstep(left / np.where(self.detaches, _DETACHING_TIME, _ROUNDING_TIME))

    def spreading(self, frames: int) -> Array:
        """Return the scale of each cell relative to the spread cell, as far as its birth and end limit it: (T, N)."""
        age, _ = self.ages(frames)
        young = np.where(self.parent < 0, 0.0, 1 - smoothstep((age + 1) / SPREADING_TIME))
        return np.minimum(1 - (1 - ROUNDED_SCALE) * self.rounding(frames), 1 - (1 - _NEWBORN_SCALE) * young)

    def inherit(self, values: Array) -> Array:
        """Set the values (N, ...) of daughters to those of their mother, in place."""
        for cell in np.flatnonzero(self.parent >= 0):
            values[cell] = values[self.parent[cell]]
        return values


def draw_lineage(rng: np.random.Generator, founders: int, spec: MovieSpec) -> Lineage:
    """Draw the time and the mother of each birth; cells that outlive the movie end long after it.

    Parameters
    ----------
    rng
        Generator of the random numbers.
    founders
        Number of cells in the first frame.
    spec
        Parameters of the movie.
    """
    births, parents = [0] * founders, [-1] * founders
    ends, detaches = [0] * founders, [False] * founders
    queue = deque(range(founders))
    while queue:
        cell = queue.popleft()
        division = (2 if parents[cell] < 0 else _MIN_DIVISION_AGE) + _waiting_time(rng, spec.divisions)
        detachment = 2 + _waiting_time(rng, spec.detaching)
        detaches[cell] = detachment < division
        ends[cell] = births[cell] + round(min(division, detachment, 10 * spec.frames + 10 * _ROUNDING_TIME))
        if ends[cell] < spec.frames and not detaches[cell]:
            queue.extend((len(births), len(births) + 1))
            births += [ends[cell]] * 2
            parents += [cell] * 2
            ends += [0] * 2
            detaches += [False] * 2
    return Lineage(
        birth=np.array(births, np.int64),
        end=np.array(ends, np.int64),
        parent=np.array(parents, np.int64),
        detaches=np.array(detaches, np.bool_),
    )


def _waiting_time(rng: np.random.Generator, per_100_frames: float) -> float:
    return float(rng.exponential(100 / per_100_frames)) if per_100_frames else np.inf
