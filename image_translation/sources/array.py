"""Arrays as movies: anything with a shape and a data type that gives its planes when it is indexed.

Planes are read when they are needed, so a lazy array (dask, zarr, xarray) is never in memory as a whole.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import DataError, UsageError, first_line
from image_translation.omezarr.metadata import AXES, Level
from image_translation.omezarr.store import FOV_NAME, Position, Store

VERSION, ZARR_FORMAT = "0.4", 2  # of what is written: every tool reads it
AXES_OF_DIMENSIONS = {3: ("t", "y", "x"), 4: ("t", "c", "y", "x"), 5: AXES}


@dataclass(frozen=True)
class ArrayPosition(Position):
    """An image whose pixels come from an array.

    Attributes
    ----------
    array
        Array with the axes of the position, indexed by integers; dask, zarr and xarray arrays are read plane by plane.
        If it has a method ``plane_files``, that returns the files of a plane by its index.
    """

    array: Any

    ONE_IS_UNKNOWN: ClassVar[bool] = False  # there is a unit only where a size is given

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk, along T, C, Z, Y, X: one plane."""
        return (1, 1, 1, *self.shape[3:])

    def labels(self, name: str) -> Position | None:  # noqa: ARG002 - as of `Position`
        """Return None: an array has no label images."""
        return None

    def read(self, t: int, channel: int, z: int) -> NDArray[Any]:
        """Read one plane as `Position.read` does; a ``DataError`` if the array raises an error."""
        try:
            return np.asarray(self.array[self._index(t, channel, z)])
        except (ValueError, OSError) as error:
            raise DataError(
                f"cannot read frame {t}, channel {channel}, plane {z} of {self.path}: {first_line(error)}"
            ) from error

    def chunk_files(self, t: int, channel: int, z: int) -> list[Path]:
        """Return the files of a plane, none if there are none: then only the pixels tell whether they have changed."""
        find = getattr(self.array, "plane_files", None)
        return list(find(self._index(t, channel, z))) if find else []


@dataclass(frozen=True)
class ArrayStore(Store):
    """A movie of one position that is no OME-Zarr store.

    Attributes
    ----------
    image
        Its position.
    kind
        What it is, such as ``TIFF``.
    """

    image: Position | None = None  # never None; a default, because those of `Store` have one
    kind: str = "array"

    @property
    def description(self) -> str:
        """What it is, for messages."""
        return self.kind

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes of the root group: none."""
        return {}

    def position(self, name: str) -> Position:  # noqa: ARG002 - as of `Store`
        """Return the position."""
        if self.image is None:
            raise ValueError("a store of an array needs an image")
        return self.image


def store_array(
    array: Any,
    *,
    name: str = "the array",
    axes: str | None = None,
    channels: Sequence[str] = (),
    pixel_size: float | Sequence[float] | None = None,
    interval: float | None = None,
) -> ArrayStore:
    """Return an array as a store of one position.

    Parameters
    ----------
    array
        NumPy, dask, zarr or xarray array, of booleans, integers or floating-point numbers; (T, Y, X), (T, C, Y, X) or
        (T, C, Z, Y, X), unless `axes` or the dimensions of an xarray array name them.
    name
        How errors call it.
    axes
        Letters of its axes, such as ``TZYX``, in this order: some of T, C, Z, Y, X.
    channels
        Name of each channel; ``channel_0``, ... if not given.
    pixel_size
        Width of a pixel in micrometres, or (y, x), or (z, y, x); None if unknown.
    interval
        Seconds between frames; None if unknown.

    Raises
    ------
    UsageError
        If axes, channels or sizes do not fit the array, or it is empty or has pixels of another type.
    """
    names = _axes(array, name, axes)
    sizes = dict(zip(names, array.shape, strict=True))
    shape = tuple(int(sizes.get(axis, 1)) for axis in AXES)
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "buif":
        raise UsageError(f"{name} has pixels of type {dtype}; integers and floating-point numbers are supported")
    if math.prod(shape) == 0:
        raise UsageError(f"{name} is empty: its shape is {tuple(array.shape)}")
    scale, units = _scale(name, pixel_size, interval)
    level = Level("0", scale, (0.0,) * len(AXES), shape, transformed=bool(units))
    position = ArrayPosition(
        name=FOV_NAME,
        path=Path(name),
        axes=names,
        units=units,
        levels=(level,),
        channels=_channels(name, channels, shape[1]),
        attributes={},
        dtype=dtype,
        zarr_format=ZARR_FORMAT,
        array=array,
    )
    return ArrayStore(Path(name), "fov", VERSION, (FOV_NAME,), image=position)


def parse_axes(text: str, n_dimensions: int, name: str) -> tuple[str, ...]:
    """Parse letters of axes, such as ``TYX``; a ``UsageError`` if they do not fit the number of dimensions."""
    axes = tuple(text.lower())
    if len(axes) != n_dimensions or [axis for axis in AXES if axis in axes] != list(axes) or not {"y", "x"} <= {*axes}:
        raise UsageError(
            f"axes {text!r:.40} do not fit {name}, which has {n_dimensions} dimensions; give one letter for each, "
            "some of T, C, Z, Y, X in this order"
        )
    return axes


def _axes(array: Any, name: str, axes: str | None) -> tuple[str, ...]:
    shape = tuple(getattr(array, "shape", ()))
    if not hasattr(array, "dtype") or not hasattr(array, "__getitem__") or len(shape) < 2:
        kind = type(array).__name__
        raise UsageError(f"{name} is no array of images, but {kind}; give a NumPy, dask, zarr or xarray array")
    own: Mapping[Any, str] = {"time": "t", "channel": "c"}
    if axes is None and hasattr(array, "dims"):
        found = "".join(own.get(dim, str(dim)) for dim in array.dims)
        return parse_axes(found, len(shape), name)
    if axes is not None:
        return parse_axes(axes, len(shape), name)
    if len(shape) not in AXES_OF_DIMENSIONS:
        raise UsageError(f"{name} has {len(shape)} dimensions; name its axes, some of T, C, Z, Y, X, such as 'YX'")
    return AXES_OF_DIMENSIONS[len(shape)]


def _channels(name: str, channels: Sequence[str], count: int) -> tuple[str, ...]:
    if not channels:
        return tuple(f"channel_{number}" for number in range(count))
    if len(channels) != count or len(set(channels)) != count:
        raise UsageError(f"channels {', '.join(channels)}: {name} has {count}; name each of them once")
    return tuple(channels)


def _scale(
    name: str, pixel_size: float | Sequence[float] | None, interval: float | None
) -> tuple[tuple[float, ...], dict[str, str]]:
    """Return the scale along T, C, Z, Y, X, and the units of the axes whose scale is known."""
    scale, units = dict.fromkeys(AXES, 1.0), {}
    if pixel_size is not None:
        sizes = [float(size) for size in np.atleast_1d(pixel_size)]
        sizes = sizes * 2 if len(sizes) == 1 else sizes
        if len(sizes) > 3 or not all(0 < size < math.inf for size in sizes):
            raise UsageError(f"pixel size {pixel_size} of {name}: give one positive number, or (y, x), or (z, y, x)")
        for axis, size in zip("zyx"[-len(sizes) :], sizes, strict=True):
            scale[axis], units[axis] = size, "micrometer"
    if interval is not None:
        if not 0 < interval < math.inf:
            raise UsageError(f"interval {interval} of {name}: must be a positive number of seconds")
        scale["t"], units["t"] = float(interval), "second"
    return tuple(scale[axis] for axis in AXES), units
