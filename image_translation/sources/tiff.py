"""TIFF movies as stores: OME-TIFF, ImageJ hyperstacks, plain TIFF, and folders or patterns of TIFF files."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.omezarr.metadata import AXES
from image_translation.sources.array import ArrayStore, store_array
from image_translation.sources.file_numbers import number_files
from image_translation.sources.movie_metadata import LETTERS, MovieMetadata
from image_translation.sources.tiff_metadata import TiffMetadata
from image_translation.sources.tiff_planes import Planes, TiffFiles, TiffPlanes, describe_axes

_ALIKE = 1e-3  # relative difference up to which two statements of a size or interval agree

_log = logging.getLogger(__name__)


class TiffArray:
    """Array (T, C, Z, Y, X) of the planes of a TIFF movie, read when it is indexed by (t, c, z).

    Parameters
    ----------
    planes
        The planes.
    axes
        Letters of their dimensions.
    """

    def __init__(self, planes: Planes, axes: str) -> None:
        self._planes, self._axes = planes, axes.lower()
        sizes = dict(zip(self._axes, planes.shape, strict=True))
        self.shape, self.dtype = tuple(sizes.get(axis, 1) for axis in AXES), planes.dtype

    def __getitem__(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Read a plane (Y, X)."""
        return self._planes.read(self._own(index))

    def plane_files(self, index: tuple[int, ...]) -> list[Path]:
        """Return the files that hold a plane."""
        return self._planes.files(self._own(index))

    def _own(self, index: tuple[int, ...]) -> tuple[int, ...]:
        places = dict(zip(AXES, index, strict=False))
        return tuple(places[axis] for axis in self._axes[:-2])


def open_tiff(path: Path, files: Sequence[Path], given: MovieMetadata) -> ArrayStore:
    """Open a TIFF movie.

    Parameters
    ----------
    path
        File, folder or pattern, as it is called in messages.
    files
        The files.
    given
        Metadata that are taken instead of those of the files.

    Raises
    ------
    UsageError
        If axes, or what the files are, cannot be told unambiguously.
    DataError
        If a file cannot be read.
    """
    given.check_metadata()
    planes = _planes(path, files, given.axes)
    axes = _axes(path, planes, given.axes)
    array = TiffArray(planes, axes)
    metadata = _merge(path, planes.metadata, given)
    channels = metadata.channels if len(set(metadata.channels)) == len(metadata.channels) == array.shape[1] else ()
    sizes = [size for size in metadata.pixel_size if size]
    store = store_array(
        array,
        name=str(path),
        axes="".join(AXES),
        channels=channels,
        pixel_size=sizes if all(metadata.pixel_size[1:]) else None,
        interval=metadata.interval,
    )
    return replace(store, path=path, kind="TIFF")


def _planes(path: Path, files: Sequence[Path], axes: str | None) -> Planes:
    if len(files) == 1:
        return TiffPlanes(files[0])
    first = TiffPlanes(min(files))
    if first.all_files >= {file.resolve() for file in files}:
        return first  # an OME-TIFF in several files
    own = None if axes is None else axes.upper()[: len(axes) - len(first.shape)]
    if own == "":
        raise UsageError(
            f"--axes {axes}: a file of {path} has the axes {describe_axes(first.axes, first.shape)}; name the one that "
            f"the files make before them, such as T{first.axes}"
        )
    numbered = number_files(files, path, own)
    first = first if numbered.files[0] == first.path else TiffPlanes(numbered.files[0])
    return TiffFiles(numbered, first)


def _axes(path: Path, planes: Planes, given: str | None) -> str:
    """Return the letters of the axes: those given, else those that the file states."""
    stated, described = planes.axes, describe_axes(planes.axes, planes.shape)
    if given is None:
        if not set(stated) <= set(LETTERS) or len(set(stated)) < len(stated):
            raise UsageError(
                f"{path} does not say unambiguously what its axes are: {described}; name them in this order with "
                f"--axes, such as {_suggestion(stated)}"
            )
        return stated
    axes = given.upper()
    if len(axes) != len(stated) or not stated.endswith("YX"):
        raise UsageError(f"--axes {given}: {path} has {len(stated)} axes, {described}; give one letter for each")
    stated_ones = [(old, new) for old, new in zip(stated, axes, strict=True) if old in LETTERS and old != new]
    if stated_ones and len(set(stated)) == len(stated):
        _log.warning("%s: --axes %s is taken, and the file says %s", path, axes, stated)
    return axes


def _suggestion(stated: str) -> str:
    """Return axes of the same number."""
    return {3: "TYX", 4: "TZYX or TCYX"}.get(len(stated), "TCZYX")


def _merge(path: Path, stated: TiffMetadata, given: MovieMetadata) -> TiffMetadata:
    """Return what is given, else what the file says; warn where they differ."""
    sizes = list(stated.pixel_size)
    if given.pixel_size is not None:
        values = given.pixel_size * 2 if len(given.pixel_size) == 1 else given.pixel_size
        sizes[-len(values) :] = values
        if any(_differ(old, new) for old, new in zip(stated.pixel_size, sizes, strict=True)):
            both = (
                ", ".join("unknown" if size is None else f"{size:g}" for size in each)
                for each in (sizes, stated.pixel_size)
            )
            _log.warning("%s: the pixel size %s (z, y, x, in micrometres) is taken, and the file says %s", path, *both)
    if _differ(stated.interval, given.interval):
        _log.warning("%s: --interval %g seconds is taken, and the file says %g", path, given.interval, stated.interval)
    z, y, x = sizes
    return TiffMetadata((z, y, x), given.interval or stated.interval, stated.channels)


def _differ(stated: float | None, given: float | None) -> bool:
    return stated is not None and given is not None and not np.isclose(stated, given, rtol=_ALIKE, atol=0)
