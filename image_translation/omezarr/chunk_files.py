"""Files of the chunks of an array: whether they are there, and whether they have changed.

A chunk without a file is one that the writer left out because it holds the fill value only. So do the chunks of an
array look whose disk was unplugged.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

from image_translation.errors import DataError
from image_translation.files import require_regular_file
from image_translation.omezarr.arrays import dimension_separator, open_array_metadata

_MAX_OVERHEAD = 2**20  # bytes of headers and indices in the file of a chunk or shard


class ChunkFiles:
    """Files of an array, one for each chunk or, if chunks are in shards, for each shard.

    Parameters
    ----------
    path
        Directory of the array.

    Raises
    ------
    DataError
        If its metadata cannot be read.
    """

    def __init__(self, path: Path) -> None:
        array = open_array_metadata(path)
        self._path, self._shape, self._sizes = path, array.shape, array.shards or array.chunks
        self._max_bytes = 2 * math.prod(self._sizes) * array.dtype.itemsize + _MAX_OVERHEAD
        if array.metadata.zarr_format == 2:
            self._metadata, self._name = path / ".zarray", _joined_by(dimension_separator(path))
        else:
            self._metadata, self._name = path / "zarr.json", array.metadata.encode_chunk_key

    def of_plane(self, index: Sequence[int]) -> list[Path]:
        """Return the files of one plane, by its index along all axes but Y and X; they need not exist."""
        outer = [i // size for i, size in zip(index, self._sizes, strict=False)]
        tiles = [range(-(-n // size)) for n, size in zip(self._shape[-2:], self._sizes[-2:], strict=True)]
        return [self._path / self._name((*outer, *tile)) for tile in product(*tiles)]

    def require_readable(self, files: Sequence[Path]) -> None:
        """Raise a ``DataError`` if a file that exists is no regular file, or larger than its pixels can need."""
        for path in files:
            require_regular_file(path, self._max_bytes)

    def require_array(self) -> None:
        """Raise a ``DataError`` if the array is no longer there."""
        if not self._metadata.exists():
            raise DataError(
                f"{self._path} was there and is gone; is its disk or network share still connected? "
                "Repeat the command once it is"
            )


def count_missing(files: Sequence[Path]) -> int:
    """Return how many of the files do not exist."""
    return sum(not path.exists() for path in files)


def fingerprint(files: Sequence[Path]) -> str:
    """Return a hash of names, sizes and times of change of files, 8 hexadecimal digits; missing ones count as such."""
    digest = hashlib.blake2b(digest_size=4)
    for path in files:
        try:
            status = path.stat()
            state = f"{path.name} {status.st_size} {status.st_mtime_ns}"
        except FileNotFoundError:
            state = f"{path.name} -"
        digest.update(state.encode() + b"\n")
    return digest.hexdigest()


def _joined_by(separator: str) -> Callable[[tuple[int, ...]], str]:
    return lambda chunk: separator.join(map(str, chunk))
