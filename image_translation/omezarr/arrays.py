"""Groups and arrays of Zarr stores, opened with zarr and tensorstore, whose errors become one line each."""

import json
import math
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import tensorstore as ts
import zarr

from image_translation.errors import DataError, first_line
from image_translation.files import MAX_TEXT_BYTES, read_text, require_regular_file

MAX_BLOCK_BYTES = 4 * 2**30  # of a chunk, shard or plane; tensorstore aborts the process if it cannot allocate one
# Chunks of several planes are cached, so that they are not decoded again for each plane. The cache holds this number
# of layers, which are the chunks of one plane: those of the phase and of two true channels, and one more.
CACHED_LAYERS = 4
MAX_CACHE_BYTES = 2 * 2**30  # a larger chunk is decoded again for each of its planes
_METADATA_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
OTHER_FORMATS = (
    "a movie can also be a TIFF file, a folder of TIFF files, or a pattern of them in quotes; convert other formats "
    "(ND2, CZI, LIF, Micro-Manager, AVI, MP4) as 'Get your data in' of the README says"
)
UNKNOWN_CODEC = re.compile(
    r"(?:codec not available: |Unknown codec: |implementation for codec )'+(?P<zarr>[^']+)'|"
    r'"(?P<tensorstore>[^"]+)" is not registered|filters are not supported'
)


def is_zarr(path: Path) -> bool:
    """Return whether a directory is a group or an array of Zarr."""
    return any((path / name).exists() for name in _METADATA_FILES)


def read_ome_attributes(path: Path) -> Mapping[str, Any]:
    """Read the OME metadata of a group of any version.

    Raises
    ------
    DataError
        If the group cannot be read, or its OME metadata are not a mapping.
    """
    return select_ome_attributes(path, read_attributes(path))


def select_ome_attributes(path: Path, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Select the OME metadata from the attributes of a group: those under ``ome``, or all up to version 0.4."""
    ome = attributes.get("ome", attributes)
    if not isinstance(ome, Mapping):
        raise DataError(f"{path} is not an OME-Zarr store: its 'ome' metadata are not a mapping")
    return ome


def read_attributes(path: Path) -> dict[str, Any]:
    """Read all attributes of a group; a ``DataError`` if it cannot be read."""
    _require_regular_metadata(path)
    with _readable_errors(path):
        try:
            return dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)
        except (FileNotFoundError, zarr.errors.ContainsArrayError) as error:
            raise DataError(_describe_missing_group(path)) from error


def open_array_metadata(path: Path) -> Any:
    """Open an array with zarr, to read its metadata; a ``DataError`` if it cannot be read."""
    _require_regular_metadata(path)
    with _readable_errors(path):
        try:
            return zarr.open_array(path, mode="r")
        except (FileNotFoundError, zarr.errors.ContainsGroupError) as error:
            raise DataError(f"the array {path} is missing, though the metadata of its image list it") from error


def open_array(path: Path, zarr_format: int, *, write: bool = False) -> Any:
    """Open an array with tensorstore, to read or write its pixels.

    If chunks contain several planes, the latest ones are cached, in a cache that all arrays of the process share.
    Cached chunks are checked for changes of the file at each access.

    Parameters
    ----------
    path
        Directory of the array.
    zarr_format
        2 or 3.
    write
        Open it for writing as well.

    Raises
    ------
    DataError
        If it cannot be opened.
    """
    location = {"driver": "file", "path": _absolute(path)}
    spec: dict[str, Any] = {"driver": "zarr" if zarr_format == 2 else "zarr3", "kvstore": location}
    try:
        if zarr_format == 2:
            spec["metadata"] = {"dimension_separator": dimension_separator(path)}
        array = ts.open(spec, read=True, write=write).result()
        if write or _planes_per_chunk(array) == 1:
            return array
        context = _cache_context(_layer_bytes(array))
        return ts.open({**spec, "recheck_cached_data": True}, read=True, context=context).result()
    except (ValueError, OSError) as error:
        raise DataError(_describe_error(path, error)) from error


def _absolute(path: Path) -> str:
    """Return a path as tensorstore wants it: without .., and in Unicode whatever the encoding of the locale."""
    try:
        return os.fsencode(path.resolve()).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"the path {os.fspath(path)!r} is not valid UTF-8; rename it") from error


def dimension_separator(path: Path) -> str:
    """Return what separates the indices in the names of chunks of a Zarr 2 array, "." or "/".

    Some writers leave it out of the metadata though their chunks are in nested folders.
    """
    with _readable_errors(path):
        stored = json.loads(read_text(path / ".zarray")).get("dimension_separator")
    if stored is not None:
        return str(stored)
    return "/" if any(child.name.isdecimal() and child.is_dir() for child in path.iterdir()) else "."


def _planes_per_chunk(array: Any) -> int:
    sizes = zip(array.chunk_layout.read_chunk.shape[:-2], array.shape[:-2], strict=True)
    return math.prod(min(size, length) for size, length in sizes)


def _layer_bytes(array: Any) -> int:
    """Return the number of bytes of the chunks that contain one plane, decoded."""
    chunk = array.chunk_layout.read_chunk.shape
    tiles = math.prod(-(-length // size) for size, length in zip(chunk[-2:], array.shape[-2:], strict=True))
    return math.prod(chunk) * tiles * array.dtype.numpy_dtype.itemsize


def _cache_context(layer_bytes: int) -> Any:
    """Return the shared cache for layers of this size; sizes of caches are powers of two, so that there are few."""
    return _cache_of_size(min(MAX_CACHE_BYTES, 1 << (CACHED_LAYERS * layer_bytes - 1).bit_length()))


@cache
def _cache_of_size(size: int) -> Any:
    return ts.Context({"cache_pool": {"total_bytes_limit": size}})


def require_readable_size(path: Path, array: Any) -> None:
    """Raise a ``DataError`` if a chunk, a shard or a plane is too large to be read into memory."""
    for name, block in {"chunks": array.chunks, "shards": array.shards or (), "planes": array.shape[-2:]}.items():
        size = math.prod(block) * array.dtype.itemsize
        if size == 0 and block:
            raise DataError(f"the array {path} has {name} of {' x '.join(map(str, block))} pixels, which hold nothing")
        if size > MAX_BLOCK_BYTES:
            raise DataError(
                f"the array {path} has {name} of {' x '.join(map(str, block))} pixels, {size / 2**30:.3g} GiB each; "
                f"at most {MAX_BLOCK_BYTES // 2**30} GiB can be read: rewrite the array with smaller ones"
            )


def _require_regular_metadata(path: Path) -> None:
    for name in _METADATA_FILES:
        require_regular_file(path / name, MAX_TEXT_BYTES)


def _describe_missing_group(path: Path) -> str:
    if not path.exists():
        return f"{path} does not exist, though the metadata of its store list it"
    if path.is_file():
        zipped = zipfile.is_zipfile(path)
        advice = f"unpack it: python -m zipfile -e {path} {path.with_suffix('')}" if zipped else OTHER_FORMATS
        return f"{path} is a file; an OME-Zarr store is a directory; {advice}"
    if any((path / name).exists() for name in (".zarray", "zarr.json")):
        return f"{path} is a Zarr array, one resolution level of an image; give the path of the image: {path.parent}"
    return f"{path} is not an OME-Zarr store (it contains no .zgroup or zarr.json); {OTHER_FORMATS}"


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """Convert errors of zarr about the metadata of a group or array into one line."""
    try:
        yield
    except PermissionError as error:
        raise DataError(f"cannot read {path}: permission denied") from error
    except RecursionError as error:
        raise DataError(f"the metadata of {path} cannot be read: their JSON is nested too deeply") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"the metadata of {path} cannot be read: not valid JSON ({first_line(error)})") from error
    except (OSError, ValueError) as error:
        raise DataError(_describe_error(path, error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the metadata of {path} cannot be read: not in the form that Zarr requires") from error


def _describe_error(path: Path, error: Exception) -> str:
    reason = first_line(error).split(" [tensorstore_spec=")[0]
    match = UNKNOWN_CODEC.search(reason)
    if match is None:
        return f"{path} cannot be read: {reason}"
    codec = match["zarr"] or match["tensorstore"] or json.loads((path / ".zarray").read_text())["filters"]
    return (
        f"the compression or filter {codec} of the array {path} is not supported; "
        f"rewrite the store with blosc, zstd or gzip and without filters ({reason})"
    )
