"""Alignment of movies of the same scene: which frames, planes and pixels of one match those of another."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.omezarr.store import Position, Store

_TIME, _, _DEPTH, _ROWS, _COLUMNS = range(5)
_TOLERANCE = 0.05  # frames, planes or pixels by which stated offsets may be inexact
_MAX_DRIFT = 0.5  # frames or pixels by which grids of inexact scales may part over the movie or the field
_BY_NUMBER = "If the coordinate transformations of the stores are wrong, --by-number ignores them"

_log = logging.getLogger(__name__)


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
    planes
        Of a raw prediction: indices of its planes in the movie that it was made from, where it says so.
    """

    what: str
    position: Position
    channels: tuple[int, ...]
    planes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Planes:
    """One plane of a movie over time; frame n of the common numbering is its own frame n * `step` + `shift`.

    Attributes
    ----------
    movie
        The movie.
    z
        Index of the plane.
    shift, step
        Own number of frame 0 of the common numbering, and from a frame to the next.
    crop
        First row and column, height and width of the part that is compared; None for all.
    """

    movie: Movie
    z: int
    shift: int
    step: int = 1
    crop: tuple[int, ...] | None = None

    def read(self, number: int) -> NDArray[np.float32]:
        """Read a frame, (C, Y, X) float32, by its number in the common numbering."""
        planes = [self.read_channel(number, c) for c in self.movie.channels]
        return np.stack(planes).astype(np.float32, copy=False)

    def read_channel(self, number: int, channel: int) -> NDArray[Any]:
        """Read a channel of a frame, (Y, X) in the stored data type."""
        image = self.movie.position.read(number * self.step + self.shift, channel, self.z)
        if self.crop is None:
            return image
        top, left, height, width = self.crop
        return image[top : top + height, left : left + width]


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


def plane_numbers(request: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the indices of the planes of a raw prediction in the movie that it was made from; none if unknown."""
    try:
        return tuple(int(z) for z in request.get("input", {}).get("z", ()))
    except (TypeError, ValueError):
        return ()


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


def align(
    movie: Movie, raw: Movie, z: int, frames: range, *, exact: bool, by_number: bool = False
) -> tuple[Planes, float]:
    """Find the frames, the plane and the pixels of another movie that match those of the raw prediction.

    They are those at the same place by scale and translation of the stores. Where one of them states neither, frames,
    planes and pixels are paired by their numbers.

    Parameters
    ----------
    movie, raw
        The movies.
    z
        Plane of the raw prediction.
    frames
        Its frame numbers.
    exact
        Whether the movie must have exactly those frames and pixels, as other predictions; else it may have more.
    by_number
        Ignore scale and translation.

    Returns
    -------
    tuple of Planes and float
        The plane, and the delay of its frames: 0 or 0.5 frames.

    Raises
    ------
    UsageError
        If the grids do not meet, or frames, planes or pixels are missing.
    """
    grids = _grids(movie, raw, frames.start, z, by_number=by_number and not exact)
    first, step, delay = _match_frames(movie, grids[_TIME], frames, exact=exact)
    crop = _match_pixels(movie, raw, grids[_ROWS], grids[_COLUMNS], exact=exact)
    return Planes(movie, _match_plane(movie, raw, z, grids[_DEPTH]), first - frames.start * step, step, crop), delay


@dataclass(frozen=True)
class _Grid:
    """Where the samples of the raw prediction lie along an axis of another movie: sample i at `start` + i * `step`."""

    start: float
    step: float


def _grids(movie: Movie, raw: Movie, first: int, z: int, *, by_number: bool) -> tuple[_Grid, ...]:
    other, own = movie.position.levels[0], raw.position.levels[0]
    for position in (movie.position, raw.position):
        if not by_number and not position.levels[0].transformed:
            _say_unplaced(position.path)
            by_number = True
    if by_number:
        plane = raw.planes[z] - z if z < len(raw.planes) else 0
        return _Grid(first, 1.0), _Grid(0.0, 1.0), _Grid(plane, 1.0), _Grid(0.0, 1.0), _Grid(0.0, 1.0)
    return tuple(
        _Grid((own_start - start) / scale, own_scale / scale)
        for start, scale, own_start, own_scale in zip(
            other.translation, other.scale, own.translation, own.scale, strict=True
        )
    )


@cache
def _say_unplaced(path: Path) -> None:
    _log.warning("%s states no coordinate transformations: its frames and pixels are compared by number", path)


def _match_frames(movie: Movie, grid: _Grid, frames: range, *, exact: bool) -> tuple[int, int, float]:
    """Return the frame that matches the first one of raw, the number of frames to the next, and the delay."""
    path, step = movie.position.path, round(grid.step)
    if step < 1 or abs(grid.step - step) * len(frames) > _MAX_DRIFT or (exact and step > 1):
        raise UsageError(
            f"{movie.what} {path} has {grid.step:.4g} frames from one frame of the raw prediction to the next, by the "
            f"scales of both; {'one is' if exact else 'whole numbers are'} needed. {_BY_NUMBER}"
        )
    later = -grid.start
    first = int(np.floor(later + _TOLERANCE))
    delay = 0.5 if abs(later - first - 0.5) < _TOLERANCE else 0.0
    if abs(later - first - delay) > _TOLERANCE or (delay and not exact):
        raise UsageError(
            f"{movie.what} {path} begins {later:.3g} frames after the raw prediction; "
            f"whole frames are allowed, and half a frame for the mean of two. {_BY_NUMBER}"
        )
    length, needed = movie.position.shape[0], len(frames) - bool(delay)
    if (first or length != needed) if exact else (first > 0 or first + length < (needed - 1) * step + 1):
        raise UsageError(
            f"{movie.what} {path} has {length} frames from frame {frames.start + first} on; "
            f"the {needed} frames {frames.start} to {frames.start + needed - 1} are needed"
            f"{f', which are every {step}th of it' if step > 1 else ''}"
        )
    return -first, step, delay


def _match_pixels(movie: Movie, raw: Movie, rows: _Grid, columns: _Grid, *, exact: bool) -> tuple[int, ...] | None:
    """Return the part of a movie that raw covers: first row and column, height and width; None if it is all."""
    size, wanted = movie.position.shape[3:], raw.position.shape[3:]
    what, starts = f"{movie.what} {movie.position.path}", (round(rows.start), round(columns.start))
    if size != wanted and (exact or not any(starts)):
        sizes = " and the raw prediction of ".join(" x ".join(map(str, each)) for each in (size, wanted))
        raise UsageError(f"{what} has frames of {sizes} pixels{'' if exact else ', and no translation'}")
    for axis, grid, start, length, needed in zip("yx", (rows, columns), starts, size, wanted, strict=True):
        if abs(grid.step - 1) * needed > _MAX_DRIFT:
            raise UsageError(
                f"the pixels of the raw prediction are {grid.step:.4g} times as large along {axis} as those of {what}; "
                f"equal ones are needed. {_BY_NUMBER}"
            )
        if abs(grid.start - start) > _TOLERANCE:
            raise UsageError(
                f"{what} is displaced against the raw prediction by {-grid.start:.3g} pixels along {axis}; "
                f"whole pixels are needed. {_BY_NUMBER}"
            )
        if start + needed > length or start < 0 or (exact and start):
            raise UsageError(
                f"the raw prediction covers the pixels {start} to {start + needed - 1} along {axis} of {what}, "
                f"which has 0 to {length - 1}. {_BY_NUMBER}"
            )
    return None if size == wanted else (*starts, *wanted)


def _match_plane(movie: Movie, raw: Movie, z: int, grid: _Grid) -> int:
    depth = movie.position.shape[_DEPTH]
    index = grid.start + z * grid.step
    if depth == 1 == raw.position.shape[_DEPTH]:
        return 0
    if not (0 <= round(index) < depth and abs(index - round(index)) < _TOLERANCE):
        raise UsageError(
            f"{movie.what} {movie.position.path} has {depth} planes, none of which is plane {z} of raw. {_BY_NUMBER}"
        )
    return round(index)


def _offset(position: Position, axis: int) -> float:
    """Return the translation of an image along an axis, in its own frames or planes."""
    level = position.levels[0]
    return level.translation[axis] / level.scale[axis] if level.scale[axis] else 0.0
