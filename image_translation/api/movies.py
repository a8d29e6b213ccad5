"""What may be given as a movie: an array, a path, or a name of the registry."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from image_translation import data
from image_translation.errors import UsageError, listing
from image_translation.omezarr.store import Position, Store
from image_translation.sources import movie as movies
from image_translation.sources.array import store_array
from image_translation.sources.movie_metadata import MovieMetadata


@dataclass(frozen=True, kw_only=True)
class ArrayDescription:
    """What an array, or a TIFF file, does not say about itself.

    Attributes
    ----------
    axes
        Letters of its axes, such as ``TZYX``; None for (T, Y, X), (T, C, Y, X) and (T, C, Z, Y, X), for xarray, which
        names its dimensions, and for files that do.
    channels
        Name of each channel of an array.
    pixel_size
        Width of a pixel in micrometres, or (y, x), or (z, y, x); None if unknown.
    interval
        Seconds between frames; None if unknown.
    """

    axes: str | None = None
    channels: Sequence[str] = ()
    pixel_size: float | Sequence[float] | None = None
    interval: float | None = None

    @property
    def metadata(self) -> MovieMetadata:
        """The same as of a file."""
        sizes = None if self.pixel_size is None else tuple(float(size) for size in np.atleast_1d(self.pixel_size))
        return MovieMetadata(axes=self.axes, interval=self.interval, pixel_size=sizes)


def open_movie(movie: Any, description: ArrayDescription) -> tuple[str, Store]:
    """Open a movie.

    Parameters
    ----------
    movie
        Array, path of an OME-Zarr store or of TIFF files, or name of the registry.
    description
        What an array or a TIFF file does not say.

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
    path = data.resolve(os.fspath(movie), kind="movie")
    given = [name for name, value in vars(description).items() if value]
    if given and (description.channels or not movies.tiff_files(path)):
        raise UsageError(f"{listing(given)}: describe an array, and {movie} is a store, which says so itself")
    return str(movie), movies.open_movie(path, description.metadata)


def select_position(store: Store, name: str | None) -> Position:
    """Select one position of a movie; a ``UsageError`` if there are several and none is named."""
    names = store.select([name] if name else [])
    if len(names) > 1:
        raise UsageError(f"{store.path} has the positions {listing(names)}; choose one, such as position={names[0]!r}")
    return store.position(names[0])
