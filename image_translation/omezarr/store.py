"""Reading of OME-Zarr stores: the positions of a store, and their planes.

Stores come from many writers: axes may be missing, arrays may have any name, units and ``omero`` blocks may be absent
or invalid. The result always has the axes T, C, Z, Y, X. Metadata are read with zarr and pixels with tensorstore, which
reports a truncated chunk as an error, whereas the decoder of zarr can crash.
"""

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import DataError, UsageError, first_line, listing
from image_translation.omezarr.arrays import (
    open_array,
    open_array_metadata,
    read_attributes,
    read_ome_attributes,
    require_readable_size,
    select_ome_attributes,
)
from image_translation.omezarr.blank_frames import BLANK, ZERO, unfill
from image_translation.omezarr.chunk_files import ChunkFiles
from image_translation.omezarr.layout import plate_names, series_names
from image_translation.omezarr.metadata import (
    AXES,
    Level,
    get_entry,
    parse_axes,
    parse_channel_names,
    parse_level,
    parse_path,
    parse_version,
    require_known_version,
)

FOV_NAME = "fov"
PROVENANCE_KEY = "image_translation"  # attribute of the group of an image, or of a store of several images
STORE_SUFFIX = ".ome.zarr"

Layout = Literal["fov", "plate", "series"]


@dataclass(frozen=True)
class Position:
    """One image (field of view) of a store.

    Attributes
    ----------
    name
        Path within the store (``B/3/3`` on a plate), or ``fov`` for a store that is a single image.
    path
        Directory of the image.
    axes
        Axes of the arrays, some of t, c, z, y, x in this order.
    units
        Unit of each axis that has one, as stored.
    levels
        Resolution levels, the finest first.
    channels
        Channel names; ``channel_0``, ``channel_1``, ... if the store has none.
    attributes
        All attributes of the group of the image, as stored.
    dtype
        Data type of the pixels.
    zarr_format
        2 for OME-Zarr up to 0.4, 3 from 0.5 on.
    """

    name: str
    path: Path
    axes: tuple[str, ...]
    units: Mapping[str, str]
    levels: tuple[Level, ...]
    channels: tuple[str, ...]
    attributes: Mapping[str, Any]
    dtype: np.dtype[Any]
    zarr_format: int

    ONE_IS_UNKNOWN: ClassVar[bool] = True  # many writers store a size of exactly 1 where they know none

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels along T, C, Z, Y, X."""
        return self.levels[0].shape

    @property
    def pixel_size(self) -> float | None:
        """Width of a pixel in micrometres; None if unknown."""
        return self.voxel_size[2]

    @property
    def voxel_size(self) -> tuple[float | None, float | None, float | None]:
        """Distance of planes, and height and width of a pixel, in micrometres; None where unknown.

        A distance of exactly 1 is believed of several planes if height and width are known.
        """
        scale = dict(zip(AXES, self.levels[0].scale, strict=True))

        def known(axis: str, *, one: bool = False) -> float | None:
            size = scale[axis]
            valid = self.units.get(axis) == "micrometer" and 0 < size < math.inf
            return size if valid and (one or size != 1 or not self.ONE_IS_UNKNOWN) else None

        y, x = known("y"), known("x")
        return known("z", one=self.shape[2] > 1 and y is not None and x is not None), y, x

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk, along T, C, Z, Y, X."""
        sizes = dict(zip(self.axes, self._array.chunk_layout.read_chunk.shape, strict=True))
        return tuple(sizes.get(axis, 1) for axis in AXES)

    @cached_property
    def _array(self) -> Any:
        return open_array(self.path / self.levels[0].path, self.zarr_format)

    @cached_property
    def _is_filled(self) -> bool:
        provenance = self.attributes.get(PROVENANCE_KEY)
        return isinstance(provenance, Mapping) and provenance.get(BLANK) == ZERO

    @cached_property
    def _files(self) -> ChunkFiles:
        return ChunkFiles(self.path / self.levels[0].path)

    def labels(self, name: str) -> "Position | None":
        """Open a label image of this image by its name; None if there is none.

        Raises
        ------
        DataError
            If its metadata are missing or invalid.
        """
        path = self.path / "labels" / name
        return _open_position(f"{self.name}/labels/{name}", path) if path.is_dir() else None

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens the array itself, with the cache that its arrays share.
        return {name: value for name, value in vars(self).items() if name not in ("_array", "_files", "_is_filled")}

    def read(self, t: int, channel: int, z: int) -> NDArray[Any]:
        """Read one plane.

        Parameters
        ----------
        t, channel, z
            Indices of the plane.

        Returns
        -------
        ndarray
            Image of shape (Y, X) in the stored data type; NaN where ``smooth --blank zero`` has filled a blank frame.

        Raises
        ------
        DataError
            If a chunk is truncated, corrupt, unreadable or no regular file, or the array is gone: then its chunks are
            absent, as those of blank planes are.
        """
        files = self.chunk_files(t, channel, z)
        self._files.require_readable(files)
        try:
            image = np.asarray(self._array[self._index(t, channel, z)].read().result())
        except (ValueError, OSError) as error:
            array = self.path / self.levels[0].path
            raise DataError(
                f"cannot read frame {t}, channel {channel}, plane {z} of {array}: {first_line(error)}"
            ) from error
        if not any(path.exists() for path in files):
            self._files.require_array()
        return unfill(image) if self._is_filled else image

    @property
    def stored(self) -> "Position":
        """The image as its pixels are stored, which `omezarr.registered` displaces."""
        return self

    def chunk_files(self, t: int, channel: int, z: int) -> list[Path]:
        """Return the files of the chunks of one plane; a file is missing if its chunk holds the fill value only."""
        return self._files.of_plane(self._index(t, channel, z))

    def _index(self, t: int, channel: int, z: int) -> tuple[int, ...]:
        indices = {"t": t, "c": channel, "z": z}
        return tuple(indices[axis] for axis in self.axes if axis in indices)


@dataclass(frozen=True)
class Store:
    """An OME-Zarr store: a single image, a plate, or a series of images.

    Attributes
    ----------
    path
        Directory of the store.
    layout
        ``fov`` (one image), ``plate`` (high-content screening), or ``series`` (written by bioformats2raw).
    version
        OME-Zarr version, for instance ``0.4``.
    names
        Names of the positions, in the order of the store.
    metadata
        OME metadata of the root group.
    unreadable
        Wells of a plate whose metadata are missing or invalid; their positions are not in `names`.
    """

    path: Path
    layout: Layout
    version: str
    names: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    @property
    def attributes(self) -> Mapping[str, Any]:
        """All attributes of the root group; a ``DataError`` if they cannot be read."""
        return read_attributes(self.path)

    @property
    def description(self) -> str:
        """Format and layout, for messages."""
        return f"OME-Zarr {self.version}, {self.layout}"

    def position(self, name: str) -> Position:
        """Open a position by its name.

        Raises
        ------
        DataError
            If its metadata are missing or invalid.
        """
        return _open_position(name, self.path if self.layout == "fov" else self.path / name)

    def select(self, patterns: Sequence[str] = (), skip: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the names of selected positions, in the order of the store.

        Parameters
        ----------
        patterns
            Names or glob patterns of the positions to select; empty selects all.
        skip
            Names or glob patterns of positions to exclude.

        Raises
        ------
        UsageError
            If a pattern matches nothing or names an unreadable well, or if no position is left.
        """
        for pattern in patterns:
            well = pattern.rpartition("/")[0]
            if well in self.unreadable:
                raise UsageError(
                    f"--position {pattern} cannot be read: the metadata of the well {self.path / well} are missing "
                    f"or invalid; the other wells have {listing(self.names)}"
                )
            if not fnmatch.filter(self.names, pattern):
                raise UsageError(
                    f"--position {pattern} matches nothing in {self.path}; it has {listing(self.names)} "
                    "(names and patterns such as 'B/*/0' are allowed)"
                )
        selected = self.matching(patterns) if patterns else self.names
        for pattern in skip:
            if not self.matching([pattern]):
                raise UsageError(f"--skip {pattern} matches nothing in {self.path}; it has {listing(self.names)}")
        remaining = set(selected) - set(self.matching(skip))
        if not remaining:
            raise UsageError(f"--skip {' '.join(skip)} leaves no position of {listing(selected)}")
        return tuple(name for name in selected if name in remaining)

    def matching(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the positions that match any of the names or glob patterns."""
        return tuple(name for name in self.names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))


def open_store(path: Path) -> Store:
    """Open an OME-Zarr store (0.1 to 0.5; single image, plate, or bioformats2raw series).

    Parameters
    ----------
    path
        Directory of the store.

    Raises
    ------
    UsageError
        If the path does not exist.
    DataError
        If it is not an OME-Zarr store, cannot be read, or contains no position.
    """
    if not path.exists():
        raise UsageError(
            f"the movie {path} does not exist; give an OME-Zarr store (-m MOVIE.ome.zarr) or TIFF files (-m MOVIE.tif)"
        )
    ome = read_ome_attributes(path)
    if "multiscales" in ome:
        return Store(path, "fov", parse_version(ome), (FOV_NAME,), ome)
    if "plate" in ome:
        names, unreadable = plate_names(path, ome)
        return Store(path, "plate", parse_version(ome), names, ome, unreadable)
    if "bioformats2raw.layout" in ome:
        names = tuple(series_names(path))
        if not names:
            raise DataError(f"the image series {path} contains no images, which bioformats2raw names 0, 1, ...")
        return Store(path, "series", parse_version(read_ome_attributes(path / names[0])), names, ome)
    raise DataError(
        f"{path} is a Zarr group but not an OME-Zarr store: it has neither 'multiscales' nor 'plate' metadata"
    )


def _open_position(name: str, path: Path) -> Position:
    attributes = read_attributes(path)
    ome = select_ome_attributes(path, attributes)
    try:
        require_known_version(ome)
        multiscale = get_entry(ome, "multiscales", list, "the image")[0]
        datasets: list[Any] = get_entry(multiscale, "datasets", list, "the multiscale image")
        arrays = [open_array_metadata(path / parse_path(dataset, "a dataset")) for dataset in datasets]
        axes, units = parse_axes(multiscale, arrays[0].ndim)
        shared: list[Any] = get_entry(multiscale, "coordinateTransformations", list, "the multiscale image", [])
        levels = tuple(
            parse_level(dataset, shared, axes, array.shape) for dataset, array in zip(datasets, arrays, strict=True)
        )
    except ValueError as error:
        raise DataError(f"the image {path} has invalid metadata: {error}") from error
    first = arrays[0]
    if first.dtype.kind not in "buif":
        raise DataError(
            f"the image {path} has pixels of type {first.dtype}; integers and floating-point numbers are supported"
        )
    if math.prod(levels[0].shape) == 0:
        raise DataError(f"the image {path} is empty: its shape is {levels[0].shape}")
    require_readable_size(path / levels[0].path, first)
    channels = parse_channel_names(ome, levels[0].shape[1])
    return Position(name, path, axes, units, levels, channels, attributes, first.dtype, first.metadata.zarr_format)
