"""Groups and arrays of a Zarr store, opened by zarr and tensorstore; what they cannot read is said in one line."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import tensorstore as ts
import zarr

from image_translation.errors import DataError, first_line

LARGEST = 4 * 2**30  # bytes of a chunk or plane; tensorstore ends the whole process where it finds no memory for one
# Chunks of several planes are kept decoded, so that the planes are not each the work of all: so many layers, a layer
# being the chunks that one plane lies in. They are those of the phase and of two true channels, and one to spare.
KEPT_LAYERS = 4
LARGEST_CACHE = 2 * 2**30  # bytes; a chunk that is larger is decoded anew for each of its planes
UNKNOWN_CODEC = re.compile(
    r"(?:codec not available: |Unknown codec: )'+(?P<zarr>[^']+)'|"
    r'"(?P<tensorstore>[^"]+)" is not registered|filters are not supported'
)


def ome_attributes(path: Path) -> Mapping[str, Any]:
    """Read the OME metadata of a group, wherever its version keeps them.

    Raises
    ------
    DataError
        If there is no readable group, or its metadata are no mapping.
    """
    return ome_block(path, group_attributes(path))


def ome_block(path: Path, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the OME metadata among the attributes of a group."""
    ome = attributes.get("ome", attributes)
    if not isinstance(ome, Mapping):
        raise DataError(f"{path} is no OME-Zarr store: its 'ome' metadata are no mapping")
    return ome


def group_attributes(path: Path) -> dict[str, Any]:
    """Read all attributes of a group; a DataError where there is no readable group."""
    with _reading(path):
        try:
            return dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)
        except (FileNotFoundError, zarr.errors.ContainsArrayError) as error:
            raise DataError(_group_problem(path)) from error


def open_level(path: Path) -> Any:
    """Open an array with zarr, for its metadata; a DataError where there is no readable array."""
    with _reading(path):
        try:
            return zarr.open_array(path, mode="r")
        except (FileNotFoundError, zarr.errors.ContainsGroupError) as error:
            raise DataError(f"the array {path} is missing, though the metadata of its image list it") from error


def open_array(path: Path, zarr_format: int, *, write: bool = False) -> Any:
    """Open a Zarr array with tensorstore.

    Where chunks hold several planes, those read last are kept decoded, for all arrays of a process together. Whether a
    file has changed is looked at whenever it is read.

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
    place = {"driver": "file", "path": str(path.resolve())}  # tensorstore refuses paths that lead upwards
    spec = {"driver": "zarr" if zarr_format == 2 else "zarr3", "kvstore": place}
    try:
        array = ts.open(spec, read=True, write=write).result()
        if write or _planes(array) == 1:
            return array
        return ts.open({**spec, "recheck_cached_data": True}, read=True, context=_cache_of(_layer(array))).result()
    except (ValueError, OSError) as error:
        raise DataError(_problem(path, error)) from error


def _planes(array: Any) -> int:
    """Count the planes of a chunk."""
    sizes = zip(array.chunk_layout.read_chunk.shape[:-2], array.shape[:-2], strict=True)
    return math.prod(min(size, length) for size, length in sizes)


def _layer(array: Any) -> int:
    """Count the bytes of the chunks that one plane lies in."""
    chunk = array.chunk_layout.read_chunk.shape
    tiles = math.prod(-(-length // size) for size, length in zip(chunk[-2:], array.shape[-2:], strict=True))
    return math.prod(chunk) * tiles * array.dtype.numpy_dtype.itemsize


def _cache_of(layer: int) -> Any:
    """Give the cache of arrays with such layers; few in all, because their sizes are powers of two."""
    return _cache(min(LARGEST_CACHE, 1 << (KEPT_LAYERS * layer - 1).bit_length()))


@cache
def _cache(size: int) -> Any:
    return ts.Context({"cache_pool": {"total_bytes_limit": size}})


def require_moderate(path: Path, array: Any) -> None:
    """Refuse blocks that would be read as a whole and cannot be held in memory."""
    for what, block in {"chunks": array.chunks, "shards": array.shards or (), "planes": array.shape[-2:]}.items():
        size = math.prod(block) * array.dtype.itemsize
        if size > LARGEST:
            raise DataError(
                f"the array {path} has {what} of {' x '.join(map(str, block))} pixels, {size / 2**30:.3g} GiB each; "
                f"at most {LARGEST // 2**30} GiB can be read: rewrite it in smaller pieces, if that is its true size"
            )


def _group_problem(path: Path) -> str:
    if not path.exists():
        return f"{path} does not exist, though the metadata of its store list it"
    if any((path / name).exists() for name in (".zarray", "zarr.json")):
        return f"{path} is a Zarr array, one resolution of an image; give the image that it belongs to: {path.parent}"
    return (
        f"{path} is no OME-Zarr store (no .zgroup or zarr.json in it); convert other formats, e.g. with bioformats2raw"
    )


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
