"""Reading OME-Zarr movies: which images a store holds, and their planes one at a time.

Stores come from many writers. What is read here is therefore tolerant (axes may be missing, arrays may have any name,
units and ``omero`` blocks may be absent or misspelt), and everything leaves this room in one form: axes T, C, Z, Y, X.
Metadata are read with zarr; pixels with tensorstore, which reports a truncated chunk, where zarr's decoder can crash.
"""

import fnmatch
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorstore as ts
import zarr
from numpy.typing import NDArray

from image_translation.errors import DataError, UsageError, first_line
from image_translation.ome_metadata import (
    Level,
    entry,
    parse_axes,
    parse_channel_names,
    parse_images,
    parse_labels,
    parse_level,
    parse_path,
    parse_version,
    parse_wells,
)

FOV_NAME = "fov"
PREFERRED_CHANNEL = "Phase3D"
LARGEST = 4 * 2**30  # bytes of a chunk or plane; tensorstore ends the whole process where it finds no memory for one
UNKNOWN_CODEC = re.compile(
    r"(?:codec not available: |Unknown codec: )'+(?P<zarr>[^']+)'|"
    r'"(?P<tensorstore>[^"]+)" is not registered|filters are not supported'
)

Layout = Literal["fov", "plate", "series"]


@dataclass(frozen=True)
class Position:
    """One image (field of view) of a store.

    Attributes
    ----------
    name
        Path within the store (``B/3/3`` on a plate), or ``fov`` for a store that is a single image.
    path
        Directory of the image group.
    axes
        Which of t, c, z, y, x the arrays have, in order.
    units
        Unit of each axis that states one, as the writer spelt it.
    levels
        Resolutions, the finest first.
    channels
        Channel names; ``channel_0``, ``channel_1``, ... where the store names none.
    attributes
        All attributes of the image group, as stored.
    dtype
        Type of the pixels.
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

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels along T, C, Z, Y, X."""
        return self.levels[0].shape

    @cached_property
    def _array(self) -> Any:
        return open_array(self.path / self.levels[0].path, self.zarr_format)

    def read(self, t: int, channel: int, z: int) -> NDArray[Any]:
        """Read one plane.

        Parameters
        ----------
        t, channel, z
            Indices of the plane.

        Returns
        -------
        ndarray
            Image of shape (Y, X) in the type that is stored.

        Raises
        ------
        DataError
            If a chunk is truncated, corrupt or unreadable.
        """
        at = {"t": t, "c": channel, "z": z}
        index = tuple(at[axis] for axis in self.axes if axis in at)
        try:
            return np.asarray(self._array[index].read().result())
        except (ValueError, OSError) as error:
            where = self.path / self.levels[0].path
            raise DataError(
                f"cannot read frame {t}, channel {channel}, plane {z} of {where}: {first_line(error)}"
            ) from error


@dataclass(frozen=True)
class Store:
    """An OME-Zarr store: a single image, a plate, or a series of images.

    Attributes
    ----------
    path
        Directory of the store.
    layout
        ``fov`` (one image), ``plate`` (high-content screening), or ``series`` (as bioformats2raw writes).
    version
        OME-Zarr version, for instance ``0.4``.
    names
        Names of the positions, in the order of the store.
    metadata
        OME metadata of the root group.
    unreadable
        Wells of a plate whose metadata are missing or broken; `names` has none of their positions.
    """

    path: Path
    layout: Layout
    version: str
    names: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def position(self, name: str) -> Position:
        """Open the position of this name.

        Raises
        ------
        DataError
            If its metadata describe no image that can be read.
        """
        return _open_position(name, self.path if self.layout == "fov" else self.path / name)

    def select(self, patterns: Sequence[str] = ()) -> tuple[str, ...]:
        """Names of the positions that match any of the names or glob patterns; all without patterns.

        Raises
        ------
        UsageError
            If a pattern matches nothing, or asks for a well that cannot be read.
        """
        if not patterns:
            return self.names
        for pattern in patterns:
            well = pattern.rpartition("/")[0]
            if well in self.unreadable:
                raise UsageError(
                    f"--position {pattern} cannot be read: the metadata of the well {self.path / well} are missing "
                    f"or broken; the other wells have {_listing(self.names)}"
                )
            if not fnmatch.filter(self.names, pattern):
                raise UsageError(
                    f"--position {pattern} matches nothing in {self.path}; it has {_listing(self.names)} "
                    "(names and patterns such as 'B/*/0' are allowed)"
                )
        return tuple(name for name in self.names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))


def open_array(path: Path, zarr_format: int, *, write: bool = False) -> Any:
    """Open a Zarr array with tensorstore.

    Parameters
    ----------
    path
        Directory of the array.
    zarr_format
        2 or 3.
    write
        Open it for writing, too.

    Raises
    ------
    DataError
        If there is no readable array.
    """
    spec = {"driver": "zarr" if zarr_format == 2 else "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    try:
        return ts.open(spec, read=True, write=write).result()
    except (ValueError, OSError) as error:
        raise DataError(_problem(path, error)) from error


def open_store(path: Path) -> Store:
    """Open an OME-Zarr store (0.1 to 0.5; single image, plate, or bioformats2raw series).

    Parameters
    ----------
    path
        Directory of the store.

    Raises
    ------
    UsageError
        If there is nothing at that path.
    DataError
        If it is no OME-Zarr store, cannot be read, or holds no position.
    """
    if not path.exists():
        raise UsageError(
            f"the movie {path} does not exist; give the directory of an OME-Zarr store (-m MOVIE.ome.zarr)"
        )
    ome = ome_attributes(path)
    if "multiscales" in ome:
        return Store(path, "fov", parse_version(ome), (FOV_NAME,), ome)
    if "plate" in ome:
        names, unreadable = _plate_names(path, ome)
        return Store(path, "plate", parse_version(ome), names, ome, unreadable)
    if "bioformats2raw.layout" in ome:
        names = tuple(_series_names(path))
        if not names:
            raise DataError(f"the image series {path} has no image; bioformats2raw numbers them 0, 1, ...")
        return Store(path, "series", parse_version(ome_attributes(path / names[0])), names, ome)
    raise DataError(f"{path} is a Zarr group but no OME-Zarr store: it has no 'multiscales' and no 'plate' metadata")


def select_channel(position: Position, name: str | None) -> int:
    """Choose the channel to stain from.

    Parameters
    ----------
    position
        Image to choose from.
    name
        Name of the channel; None takes ``Phase3D`` if there is one, else the only channel.

    Raises
    ------
    UsageError
        If there is no such channel, or the choice is open.
    """
    if name is None:
        if PREFERRED_CHANNEL in position.channels:
            return position.channels.index(PREFERRED_CHANNEL)
        if len(position.channels) == 1:
            return 0
        raise UsageError(
            f"{position.path} has the channels {_listing(position.channels)}; choose one with --channel NAME"
        )
    if name not in position.channels:
        labels = parse_labels(position.attributes.get("ome", position.attributes))
        numbered = ", numbered because its labels do not name each channel once" if name in labels else ""
        raise UsageError(f"--channel {name} is not in {position.path}; it has {_listing(position.channels)}{numbered}")
    return position.channels.index(name)


def select_planes(position: Position, z: str) -> tuple[int, ...]:
    """Choose the planes to stain.

    Parameters
    ----------
    position
        Image to choose from.
    z
        ``middle``, ``all``, or an index from 0.

    Raises
    ------
    UsageError
        If there is no such plane.
    """
    depth = position.shape[2]
    if z == "middle":
        return (depth // 2,)
    if z == "all":
        return tuple(range(depth))
    if z not in map(str, range(depth)):
        raise UsageError(f"--z {z:.20} is not in {position.path}; allowed are 0 to {depth - 1}, 'middle', and 'all'")
    return (int(z),)


def ome_attributes(path: Path) -> Mapping[str, Any]:
    """Read the OME metadata of a group, wherever its version keeps them.

    Raises
    ------
    DataError
        If there is no readable group, or its metadata are no mapping.
    """
    return _ome(path, _attributes(path))


def _ome(path: Path, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    ome = attributes.get("ome", attributes)
    if not isinstance(ome, Mapping):
        raise DataError(f"{path} is no OME-Zarr store: its 'ome' metadata are no mapping")
    return ome


def _attributes(path: Path) -> dict[str, Any]:
    with _reading(path):
        try:
            return dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)
        except (FileNotFoundError, zarr.errors.ContainsArrayError) as error:
            raise DataError(_group_problem(path)) from error


def _group_problem(path: Path) -> str:
    if not path.exists():
        return f"{path} does not exist, though the metadata of its store list it"
    if any((path / name).exists() for name in (".zarray", "zarr.json")):
        return f"{path} is a Zarr array, one resolution of an image; give the image that it belongs to: {path.parent}"
    return (
        f"{path} is no OME-Zarr store (no .zgroup or zarr.json in it); convert other formats, e.g. with bioformats2raw"
    )


def _open_level(path: Path) -> Any:
    with _reading(path):
        try:
            return zarr.open_array(path, mode="r")
        except (FileNotFoundError, zarr.errors.ContainsGroupError) as error:
            raise DataError(f"the array {path} is missing, though the metadata of its image list it") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say in one line why zarr cannot read the metadata of a group or an array."""
    try:
        yield
    except PermissionError as error:
        raise DataError(f"cannot read {path}: permission denied") from error
    except RecursionError as error:
        raise DataError(f"the metadata of {path} cannot be read: their JSON is nested too deeply") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"the metadata of {path} cannot be read: no valid JSON ({first_line(error)})") from error
    except (OSError, ValueError) as error:
        raise DataError(_problem(path, error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the metadata of {path} cannot be read: not of the form that Zarr prescribes") from error


def _problem(path: Path, error: Exception) -> str:
    reason = first_line(error).split(" [tensorstore_spec=")[0]
    match = UNKNOWN_CODEC.search(reason)
    if match is None:
        return f"{path} cannot be read: {reason}"
    codec = match["zarr"] or match["tensorstore"] or json.loads((path / ".zarray").read_text())["filters"]
    return (
        f"the compression or filter {codec} of the array {path} is not supported; "
        f"rewrite the store with blosc, zstd or gzip and without filters ({reason})"
    )


def _plate_names(path: Path, ome: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the positions of a plate, and the wells that cannot be read."""
    try:
        wells = parse_wells(ome)
    except ValueError as error:
        raise DataError(f"the plate {path} has broken metadata: {error}") from error
    names: list[str] = []
    problems: dict[str, Exception] = {}
    for well in wells:
        try:
            names += [f"{well}/{image}" for image in parse_images(ome_attributes(path / well))]
        except (DataError, ValueError) as error:
            problems[well] = error
    if not names:
        raise DataError(f"the plate {path} has no well that can be read; {wells[0]}: {problems[wells[0]]}")
    return tuple(names), tuple(problems)


def _series_names(path: Path) -> list[str]:
    names = [child.name for child in path.iterdir() if child.is_dir() and child.name.isdecimal()]
    return sorted(names, key=int)


def _open_position(name: str, path: Path) -> Position:
    attributes = _attributes(path)
    ome = _ome(path, attributes)
    try:
        multiscale = entry(ome, "multiscales", list, "the image")[0]
        datasets: list[Any] = entry(multiscale, "datasets", list, "the multiscale image")
        arrays = [_open_level(path / parse_path(dataset, "a dataset")) for dataset in datasets]
        axes, units = parse_axes(multiscale, arrays[0].ndim)
        shared: list[Any] = entry(multiscale, "coordinateTransformations", list, "the multiscale image", [])
        levels = tuple(
            parse_level(dataset, shared, axes, array.shape) for dataset, array in zip(datasets, arrays, strict=True)
        )
    except ValueError as error:
        raise DataError(f"the image {path} has broken metadata: {error}") from error
    first = arrays[0]
    if first.dtype.kind not in "buif":
        raise DataError(f"the image {path} has pixels of type {first.dtype}; integers and real numbers can be stained")
    if math.prod(levels[0].shape) == 0:
        raise DataError(f"the image {path} is empty: its shape is {levels[0].shape}")
    _require_moderate(path / levels[0].path, first)
    channels = parse_channel_names(ome, levels[0].shape[1])
    return Position(name, path, axes, units, levels, channels, attributes, first.dtype, first.metadata.zarr_format)


def _require_moderate(path: Path, array: Any) -> None:
    """Refuse blocks that would be read as a whole and cannot be held in memory."""
    for what, block in {"chunks": array.chunks, "shards": array.shards or (), "planes": array.shape[-2:]}.items():
        size = math.prod(block) * array.dtype.itemsize
        if size > LARGEST:
            raise DataError(
                f"the array {path} has {what} of {' x '.join(map(str, block))} pixels, {size / 2**30:.3g} GiB each; "
                f"at most {LARGEST // 2**30} GiB can be read: rewrite it in smaller pieces, if that is its true size"
            )


def _listing(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, ... ({len(names)} in all)"
