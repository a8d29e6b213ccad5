"""What may be given as a movie: an array, a path, or a name of the registry."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from image_translation import data
from image_translation.errors import UsageError, listing
from image_translation.omezarr.store import Position, Store, open_store
from image_translation.sources.array import store_array


@dataclass(frozen=True, kw_only=True)
class ArrayDescription:
    """What an array does not say about itself.

    Attributes
    ----------
    axes
        Letters of its axes, such as ``TZYX``; None for (T, Y, X), (T, C, Y, X) and (T, C, Z, Y, X), and for xarray,
        which names its dimensions.
    channels
        Name of each channel.
    pixel_size
        Width of a pixel in micrometres, or (y, x), or (z, y, x); None if unknown.
    interval
        Seconds between frames; None if unknown.
    """

    axes: str | None = None
    channels: Sequence[str] = ()
    pixel_size: float | Sequence[float] | None = None
    interval: float | None = None


def open_movie(movie: Any, description: ArrayDescription) -> tuple[str, Store]:
    """Open a movie.

    Parameters
    ----------
    movie
        Array, path of an OME-Zarr store, or name of the registry.
    description
        What an array does not say.

    Returns
    -------
    name : str
        How messages and provenance call it.
    store : Store
        The movie.

    Raises
    ------
    UsageError
        If there is no such movie, or the description does not fit.
    DataError
        If it cannot be read.
    """
    if not isinstance(movie, str | os.PathLike):
        return "array", store_array(movie, name="array", **vars(description))
    given = [name for name, value in vars(description).items() if value]
    if given:
        raise UsageError(f"{listing(given)}: describe an array, and {movie} is a store, which says so itself")
    return str(movie), open_store(data.resolve(os.fspath(movie), kind="movie"))


def select_position(store: Store, name: str | None) -> Position:
    """Select one position of a movie; a ``UsageError`` if there are several and none is named."""
    names = store.select([name] if name else [])
    if len(names) > 1:
        raise UsageError(f"{store.path} has the positions {listing(names)}; choose one, such as position={names[0]!r}")
    return store.position(names[0])
