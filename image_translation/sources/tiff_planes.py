"""Planes of TIFF files, read one at a time with tifffile: one file, an OME-TIFF of several files, or a file per frame.

A file is open only while something is read from it. What tifffile logs and goes on after, such as missing pages that it
would fill with zeros, is an error here.
"""

import logging
import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import DataError, UsageError, first_line
from image_translation.files import require_regular_file
from image_translation.omezarr.arrays import MAX_BLOCK_BYTES
from image_translation.sources.file_numbers import NumberedFiles
from image_translation.sources.tiff_metadata import TiffMetadata, read_metadata

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

_SERIOUS = re.compile(
    r"TiffPages?\b|TiffFrame|\bseries\b"
)  # of what tifffile logs: what concerns the structure, not single tags


class Planes(Protocol):
    """Planes of a movie in the order of a file.

    Attributes
    ----------
    axes, shape
        Letters and lengths of its dimensions, Y and X last; of length 1 are only these two.
    dtype
        Data type of the pixels, in native byte order.
    metadata
        What the file says of them.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    metadata: TiffMetadata

    def read(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Read a plane (Y, X) by its index along all other dimensions."""

    def files(self, index: tuple[int, ...]) -> list[Path]:
        """Return the files that hold a plane."""


class TiffPlanes:
    """Planes of the only image in a TIFF file, at full resolution; the file may refer to others, as OME-TIFF can.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    UsageError
        If it holds several images, or one in colours.
    DataError
        If it cannot be read, or has other pages than its metadata say.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        tif, series = self._opened
        axes, shape = series.axes, series.shape
        long = [n for n, (axis, length) in enumerate(zip(axes, shape, strict=True)) if length > 1 or axis in "YX"]
        self.axes, self.shape = "".join(axes[n] for n in long), tuple(int(shape[n]) for n in long)
        self.dtype = np.dtype(series.dtype).newbyteorder("=")
        with self._open(tif), _as_data_errors(path), _messages():
            self.metadata = read_metadata(tif)
        if "S" in self.axes:
            raise UsageError(
                f"{path} is in colours: a pixel has {self.shape[self.axes.index('S')]} samples (RGB); split them into "
                "channels, in Fiji with Image > Color > Split Channels, and give the one that was recorded"
            )

    @property
    def all_files(self) -> set[Path]:
        """The files that hold its pixels."""
        if not self._opened[1].is_multifile:
            return {self.path.resolve()}
        return {file.resolve() for index in np.ndindex(self.shape[:-2]) for file in self.files(index)}

    def read(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Read a plane (Y, X) by its index along all other dimensions; a ``DataError`` if it is damaged."""
        tif, series = self._opened
        number = int(np.ravel_multi_index(index, self.shape[:-2])) if index else 0
        with self._open(tif), _as_data_errors(self.path), _messages() as messages:
            block = self._is_one_block(series)
            plane = self._read_block(tif, series, number) if block else self._read_page(series.pages[number])
            if messages:
                raise DataError(f"plane {number} of {self.path} is damaged: {messages[0]}")
            return plane

    def files(self, index: tuple[int, ...]) -> list[Path]:
        """Return the file of a plane."""
        _, series = self._opened
        if not series.is_multifile:
            return [self.path]
        page: Any = series.pages[int(np.ravel_multi_index(index, self.shape[:-2]))]
        return [Path(page.parent.filehandle.path)]

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens the file itself.
        return {name: value for name, value in vars(self).items() if name not in ("_opened", "_lock")}

    @cached_property
    def _lock(self) -> Any:
        return threading.RLock()

    @cached_property
    def _opened(self) -> tuple["TiffFile", "TiffPageSeries"]:
        """The file, whose handle is closed, and its only image."""
        from tifffile import TiffFile

        require_regular_file(self.path)
        self._require_unchanged()
        with _messages() as messages, _as_data_errors(self.path), TiffFile(self.path) as tif:
            found = list(tif.series)
            pages = len(tif.pages)
            if messages:
                raise DataError(f"{self.path} is damaged or incomplete: {messages[0]}")
            if not found:
                raise DataError(f"{self.path} holds no image")
            if len(found) > 1:
                listed = "; ".join(f"{one.name or number!r}: {_describe(one)}" for number, one in enumerate(found))
                raise UsageError(
                    f"{self.path} holds {len(found)} images ({listed}); save the movie as a file by itself"
                )
            self._require_pages(found[0], pages)
            return tif, found[0]

    def _require_pages(self, series: "TiffPageSeries", stored: int) -> None:
        """Raise a ``DataError`` if the pages are not those of the metadata, or not planes."""
        count = math.prod(series.shape) // max(math.prod(series.keyframe.shape), 1)
        if series.kind == "ome":
            missing = sum(page is None for page in series.pages)
            if missing:
                raise DataError(f"{self.path} is incomplete: {missing} of its {count} pages are missing")
            if not series.is_multifile and stored != count:
                raise DataError(
                    f"{self.path} has {stored} pages, and its OME metadata tell of {count}; save it again, for "
                    "instance with Fiji"
                )
        plane = math.prod(series.shape[-2:]) * series.dtype.itemsize
        if plane > MAX_BLOCK_BYTES:
            raise DataError(f"{self.path} has planes of {plane / 2**30:.3g} GiB; at most 4 GiB can be read")
        if series.dtype.kind not in "buif":
            raise DataError(f"{self.path} has pixels of type {series.dtype}; only integers and floats are supported")
        if series.keyframe.ndim > 2 and "S" not in series.axes and series.dataoffset is None:
            raise DataError(f"{self.path} stores compressed stacks of {series.keyframe.shape}; save it plane by plane")

    @contextmanager
    def _open(self, tif: "TiffFile") -> Iterator[None]:
        """Open the file again; a ``DataError`` if it has changed since its pages were found."""
        with self._lock:
            self._require_unchanged()
            tif.filehandle.open()
            try:
                yield
            finally:
                tif.filehandle.close()

    def _require_unchanged(self) -> None:
        found = _state(self.path)
        if vars(self).setdefault("_state", found) != found:
            raise DataError(f"{self.path} has changed while it was read; repeat the command once it is complete")

    def _is_one_block(self, series: "TiffPageSeries") -> bool:
        """Return whether one page describes all planes, which follow each other, as in large files of ImageJ."""
        return len(series) < math.prod(self.shape[:-2]) or series.keyframe.ndim > 2

    def _read_block(self, tif: "TiffFile", series: "TiffPageSeries", number: int) -> NDArray[Any]:
        height, width = self.shape[-2:]
        stored = series.dtype.newbyteorder(tif.byteorder)
        size = height * width * stored.itemsize
        tif.filehandle.seek((series.dataoffset or 0) + number * size)
        content = tif.filehandle.read(size)
        if len(content) < size:
            raise DataError(f"{self.path} is truncated: it ends before plane {number}")
        return np.frombuffer(content, stored, height * width).reshape(height, width).astype(self.dtype)

    def _read_page(self, page: Any) -> NDArray[Any]:
        handle = page.parent.filehandle
        was_closed = handle.closed
        if was_closed:
            handle.open()
        try:
            offsets, counts = page.dataoffsets, page.databytecounts
            ends = [offset + count if count else math.inf for offset, count in zip(offsets, counts, strict=False)]
            if not offsets or len(offsets) != len(counts) or max(ends) > handle.size:
                raise DataError(f"{handle.path} is truncated or damaged: it lacks pixels of page {page.index}")
            return np.asarray(page.asarray()).reshape(self.shape[-2:]).astype(self.dtype, copy=False)
        finally:
            if was_closed:
                handle.close()


class TiffFiles:
    """Planes of a movie in several files, such as one for each frame.

    Parameters
    ----------
    numbered
        The files.
    first
        The first of them.
    """

    def __init__(self, numbered: NumberedFiles, first: TiffPlanes) -> None:
        self._numbered, self._first = numbered, first
        self.axes, self.shape = numbered.axes + first.axes, numbered.shape + first.shape
        self.dtype, self.metadata = first.dtype, first.metadata

    def read(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Read a plane (Y, X) by its index along all other dimensions; a ``DataError`` if its file is not alike."""
        count, (file,) = len(self._numbered.shape), self.files(index)
        try:
            planes = TiffPlanes(file)
        except UsageError as error:
            raise DataError(str(error)) from error
        if (planes.axes, planes.shape, planes.dtype) != (self._first.axes, self._first.shape, self.dtype):
            raise DataError(
                f"{file} is not like {self._first.path.name}, the first file: it is {_describe(planes)}, and the first "
                f"{_describe(self._first)}"
            )
        return planes.read(index[count:])

    def files(self, index: tuple[int, ...]) -> list[Path]:
        """Return the file of a plane."""
        shape = self._numbered.shape
        return [self._numbered.files[int(np.ravel_multi_index(index[: len(shape)], shape))]]


def describe_axes(axes: str, shape: Sequence[int]) -> str:
    """Return axes with their lengths, such as ``T 10, Y 512, X 512``."""
    return ", ".join(f"{axis} {length}" for axis, length in zip(axes, shape, strict=True))


def _describe(image: Any) -> str:
    return f"{describe_axes(image.axes, image.shape)}, {image.dtype}"


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns


@contextmanager
def _as_data_errors(path: Path) -> Iterator[None]:
    """Turn whatever tifffile and the codecs raise on a damaged file into one line."""
    try:
        yield
    except (DataError, UsageError):
        raise
    except Exception as error:
        raise DataError(f"cannot read {path}: {first_line(error)}") from error


@contextmanager
def _messages() -> Iterator[list[str]]:
    """Collect what tifffile logs in this thread about the structure of a file; nothing of it is shown."""
    found: list[str] = []
    thread = threading.get_ident()

    def collect(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        text = record.getMessage()
        if record.levelno >= logging.WARNING and _SERIOUS.search(text):
            found.append(re.sub(r"^<[^>]*>\s*", "", text))
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield found
    finally:
        logger.removeFilter(collect)
