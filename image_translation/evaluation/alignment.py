"""Stores that show the same scene: which frame and plane of one belongs to which of another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.omezarr.store import Position, Store

_TIME, _DEPTH = 0, 2
_NEAR = 0.05  # frames or planes by which stated places may be off


@dataclass(frozen=True)
class Movie:
    """Some channels of an image.

    Attributes
    ----------
    what
        What it is, for messages.
    position
        The image.
    channels
        Numbers of the channels.
    """

    what: str
    position: Position
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Planes:
    """One plane of a movie over time; frame n of the common count is its own frame n + `shift`."""

    movie: Movie
    z: int
    shift: int

    def read(self, number: int) -> NDArray[np.float32]:
        """Read a frame, (C, Y, X) float32, by its number in the common count."""
        planes = [self.movie.position.read(number + self.shift, c, self.z) for c in self.movie.channels]
        return np.stack(planes).astype(np.float32, copy=False)


def frame_numbers(raw: Movie, request: Mapping[str, Any]) -> range:
    """Return the numbers of the frames of the raw prediction in the movie that it was made from, as far as is known."""
    stated = request.get("input", {}).get("frames", {}).get(raw.position.name, [0])
    return range(int(stated[0]), int(stated[0]) + raw.position.shape[0])


def beside(store: Store, name: str, what: str) -> Position:
    """Open the position of a store that belongs to the raw prediction's of this name.

    Raises
    ------
    UsageError
        If there is none. A store with one position needs no equal name.
    """
    if name not in store.names and len(store.names) > 1:
        shown = ", ".join(store.names[:12])
        raise UsageError(f"{what} {store.path} has no position {name}; it has {shown}; choose with --position")
    return store.position(name if name in store.names else store.names[0])


def align(movie: Movie, raw: Movie, z: int, frames: range, *, whole: bool) -> tuple[Planes, float]:
    """Find where the frames of the raw prediction are in another movie, by the places in time and z that both state.

    Parameters
    ----------
    movie, raw
        The movies.
    z
        Plane of the raw prediction.
    frames
        Numbers of its frames.
    whole
        Whether the movie is to have those frames and no others, as a prediction; else it may have more.

    Returns
    -------
    tuple of Planes and float
        The plane, and by how many frames its frames lie later than those of the same number: 0 or 0.5.

    Raises
    ------
    UsageError
        If the sizes differ, or frames or planes are missing.
    """
    position = movie.position
    if position.shape[3:] != raw.position.shape[3:]:
        sizes = (" x ".join(map(str, p.shape[3:])) for p in (position, raw.position))
        raise UsageError(
            f"{movie.what} {position.path} has frames of {' and the raw prediction of '.join(sizes)} pixels"
        )
    later = _place(position, _TIME) - _place(raw.position, _TIME)
    first = int(np.floor(later + _NEAR))
    delay = 0.5 if abs(later - first - 0.5) < _NEAR else 0.0
    if abs(later - first - delay) > _NEAR or (delay and not whole):
        raise UsageError(
            f"{movie.what} {position.path} begins {later:.3g} frames after the raw prediction; "
            "whole frames are allowed, and half a frame for the mean of two"
        )
    length, needed = position.shape[0], len(frames) - bool(delay)
    if (first or length != needed) if whole else (first > 0 or first + length < needed):
        raise UsageError(
            f"{movie.what} {position.path} has {length} frames from frame {frames.start + first} on; "
            f"the {needed} frames {frames.start} to {frames.start + needed - 1} are needed"
        )
    return Planes(movie, _plane(movie, raw, z), -frames.start - first), delay


def _plane(movie: Movie, raw: Movie, z: int) -> int:
    depth = movie.position.shape[_DEPTH]
    place = z + _place(raw.position, _DEPTH) - _place(movie.position, _DEPTH)
    if depth == 1 and raw.position.shape[_DEPTH] == 1:
        return 0
    if not (0 <= round(place) < depth and abs(place - round(place)) < _NEAR):
        raise UsageError(f"{movie.what} {movie.position.path} has {depth} planes, none of which is plane {z} of raw")
    return round(place)


def _place(position: Position, axis: int) -> float:
    """Return where an image begins along an axis, in its own frames or planes."""
    level = position.levels[0]
    return level.translation[axis] / level.scale[axis] if level.scale[axis] else 0.0
