"""Alignment of movies of the same scene in time and z: which frame and plane of one matches which of another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.omezarr.store import Position, Store

_TIME, _DEPTH = 0, 2
_TOLERANCE = 0.05  # frames or planes by which stated offsets may be inexact


@dataclass(frozen=True)
class Movie:
    """Some channels of a position.

    Attributes
    ----------
    what
        Its role, for messages.
    position
        The position.
    channels
        Indices of the channels.
    """

    what: str
    position: Position
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Planes:
    """One plane of a movie over time; frame n of the common numbering is its own frame n + `shift`."""

    movie: Movie
    z: int
    shift: int

    def read(self, number: int) -> NDArray[np.float32]:
        """Read a frame, (C, Y, X) float32, by its number in the common numbering."""
        planes = [self.movie.position.read(number + self.shift, c, self.z) for c in self.movie.channels]
        return np.stack(planes).astype(np.float32, copy=False)


def frame_numbers(raw: Movie, request: Mapping[str, Any]) -> range:
    """Return the numbers that the frames of the raw prediction have in the movie that it was made from.

    Parameters
    ----------
    raw
        The raw prediction.
    request
        The request that it was made by; frames count from 0 if it does not say.
    """
    source, name = request.get("input", {}), raw.position.name
    position = source.get("positions", {}).get(name)
    # Earlier versions kept the frames of all positions beside their shapes.
    described = position if isinstance(position, Mapping) else {"frames": source.get("frames", {}).get(name)}
    first = int((described.get("frames") or [0])[0])
    return range(first, first + raw.position.shape[0])


def matching_position(store: Store, name: str, what: str) -> Position:
    """Open the position of a store that matches the one of this name of the raw prediction.

    A store of a single position matches whatever its name.

    Raises
    ------
    UsageError
        If there is no such position.
    """
    if name not in store.names and len(store.names) > 1:
        shown = ", ".join(store.names[:12])
        raise UsageError(f"{what} {store.path} has no position {name}; it has {shown}; choose with --position")
    return store.position(name if name in store.names else store.names[0])


def lies_between_frames(prediction: Store, truth: Store) -> bool:
    """Return whether the frames of a prediction lie half way between those of the truth, as the mean of two does."""
    later = _offset(prediction.position(prediction.names[0]), _TIME) - _offset(truth.position(truth.names[0]), _TIME)
    return abs(later % 1 - 0.5) < _TOLERANCE


def align(movie: Movie, raw: Movie, z: int, frames: range, *, exact: bool) -> tuple[Planes, float]:
    """Find the frames and the plane of another movie that match those of the raw prediction, by their translations.

    Parameters
    ----------
    movie, raw
        The movies.
    z
        Plane of the raw prediction.
    frames
        Its frame numbers.
    exact
        Whether the movie must have exactly those frames, as other predictions; else it may have more.

    Returns
    -------
    tuple of Planes and float
        The plane, and the delay of its frames: 0 or 0.5 frames.

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
    later = _offset(position, _TIME) - _offset(raw.position, _TIME)
    first = int(np.floor(later + _TOLERANCE))
    delay = 0.5 if abs(later - first - 0.5) < _TOLERANCE else 0.0
    if abs(later - first - delay) > _TOLERANCE or (delay and not exact):
        raise UsageError(
            f"{movie.what} {position.path} begins {later:.3g} frames after the raw prediction; "
            "whole frames are allowed, and half a frame for the mean of two"
        )
    length, needed = position.shape[0], len(frames) - bool(delay)
    if (first or length != needed) if exact else (first > 0 or first + length < needed):
        raise UsageError(
            f"{movie.what} {position.path} has {length} frames from frame {frames.start + first} on; "
            f"the {needed} frames {frames.start} to {frames.start + needed - 1} are needed"
        )
    return Planes(movie, _plane(movie, raw, z), -frames.start - first), delay


def _plane(movie: Movie, raw: Movie, z: int) -> int:
    depth = movie.position.shape[_DEPTH]
    index = z + _offset(raw.position, _DEPTH) - _offset(movie.position, _DEPTH)
    if depth == 1 and raw.position.shape[_DEPTH] == 1:
        return 0
    if not (0 <= round(index) < depth and abs(index - round(index)) < _TOLERANCE):
        raise UsageError(f"{movie.what} {movie.position.path} has {depth} planes, none of which is plane {z} of raw")
    return round(index)


def _offset(position: Position, axis: int) -> float:
    """Return the translation of an image along an axis, in its own frames or planes."""
    level = position.levels[0]
    return level.translation[axis] / level.scale[axis] if level.scale[axis] else 0.0
