"""Asynchronous writing of the frames of one plane of an output image, in complete shards, and reading them back."""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import DataError, first_line
from image_translation.omezarr.arrays import open_array
from image_translation.omezarr.blank_frames import ZERO, fill, unfill
from image_translation.omezarr.output import ImageSpec


class PlaneStack:
    """Frames of one plane of an output image, to be written in order and read back.

    Frames of a shard are buffered until it is complete and then written together, since writing part of a shard means
    reading and rewriting all of it. Frames are therefore not on disk immediately; `wait` returns how many are.

    Parameters
    ----------
    path
        Directory of the image.
    image
        Its specification.
    plane
        Index of the plane in the output.
    write
        Open it for writing as well.
    """

    def __init__(self, path: Path, image: ImageSpec, plane: int, *, write: bool) -> None:
        self._path = path
        self._plane = plane
        self._length = image.length
        self._fills = image.blank == ZERO
        # From the store, because an earlier version of the package may have created it with other shards or fewer
        # levels.
        finest, *coarser = image.levels
        levels = [finest, *(level for level in coarser if (path / level.path).exists())]
        self._shapes = [level.shape[3:] for level in levels]
        self._arrays = [open_array(path / level.path, image.zarr_format, write=write) for level in levels]
        self._frames_per_shard: int = self._arrays[0].chunk_layout.write_chunk.shape[0]
        self._buffer: list[list[NDArray[np.float32]]] = []  # frames of the incomplete shard, at all levels
        self._next = 0  # index of the frame after them
        self._pending: deque[tuple[range, list[Any]]] = deque()  # write operations and their frames
        self._on_disk = 0

    def write(self, number: int, data: NDArray[np.float32]) -> None:
        """Add a frame; start writing its shard, at all levels, if the frame completes it.

        Parameters
        ----------
        number
            Index of the frame in the output. If it does not follow the last one, the buffered frames are written first
            as an incomplete shard.
        data
            Image of shape (C, Y, X), float32; the array must not be modified afterwards.
        """
        if number != self._next:
            self._write_buffer()
        data = fill(data) if self._fills else data
        levels = []
        for shape in self._shapes:
            data = downsample_plane(data, shape)
            levels.append(data)
        self._buffer.append(levels)
        self._next = number + 1
        if self._next % self._frames_per_shard == 0 or self._next == self._length:
            self._write_buffer()

    def wait(self) -> int:
        """Wait until all shards that were started are on disk.

        Returns
        -------
        int
            Index of the frame after the last one on disk; 0 if there is none. Later frames are still buffered.

        Raises
        ------
        DataError
            If a frame cannot be written.
        """
        while self._pending:
            frames, futures = self._pending.popleft()
            try:
                for future in futures:
                    future.result()
            except (ValueError, OSError) as error:
                raise DataError(
                    f"cannot write {_format_frames(frames)} of {self._path}: {first_line(error)}"
                ) from error
            self._on_disk = frames.stop
        return self._on_disk

    def flush(self) -> int:
        """Write the buffered frames as an incomplete shard, and `wait`."""
        self._write_buffer()
        return self.wait()

    def read(self, number: int) -> NDArray[np.float32]:
        """Read one frame that is on disk, shape (C, Y, X), float32; a ``DataError`` if it cannot be read."""
        try:
            image: NDArray[np.float32] = self._arrays[0][number, :, self._plane].read().result()
        except (ValueError, OSError) as error:
            raise DataError(f"cannot read frame {number} of {self._path}: {first_line(error)}") from error
        return unfill(image) if self._fills else image

    def _write_buffer(self) -> None:
        """Start writing the buffered frames."""
        frames = range(self._next - len(self._buffer), self._next)
        if not frames:
            return
        futures = []
        for array, images in zip(self._arrays, zip(*self._buffer, strict=True), strict=True):
            stack = np.stack(images) if len(images) > 1 else images[0][np.newaxis]
            target = array[frames.start : frames.stop, :, self._plane]
            futures.append(target.write(stack, can_reference_source_data_indefinitely=True))
        self._buffer.clear()
        self._pending.append((frames, futures))


def _format_frames(frames: range) -> str:
    return f"frame {frames[0]}" if len(frames) == 1 else f"frames {frames[0]} to {frames[-1]}"


def downsample_plane(data: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Downsample an image by the mean of blocks.

    Parameters
    ----------
    data
        Image of shape (..., Y, X), float32.
    shape
        Shape (Y, X) of the result. The size of a block is the ratio of the shapes, rounded for each axis; the last row
        or column is repeated or cropped if the blocks do not fit.
    """
    if data.shape[-2:] == tuple(shape):
        return data
    factors = [max(1, round(old / new)) for old, new in zip(data.shape[-2:], shape, strict=True)]
    for axis, (new, factor) in enumerate(zip(shape, factors, strict=True), start=data.ndim - 2):
        index = np.minimum(np.arange(new * factor), data.shape[axis] - 1)
        data = np.take(data, index, axis=axis)
    blocks = data.reshape(*data.shape[:-2], shape[0], factors[0], shape[1], factors[1])
    return blocks.mean(axis=(-3, -1), dtype=np.float32)
