"""The frames of one plane of an output image: written as they come, whole shards at a time, and read back."""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import DataError, first_line
from image_translation.omezarr.arrays import open_array
from image_translation.omezarr.output import ImageSpec


class PlaneStack:
    """The frames of one plane of one output image, to be written and read back one at a time.

    Frames that share a shard are held until it is full and then written together: to write a part of a shard is to
    read and write all of it. What is on disk therefore lags behind what was written; `settle` tells how far it is.

    Parameters
    ----------
    path
        Directory of the image group.
    image
        Its specification.
    plane
        Number of the plane in the output, from 0.
    write
        Open it for writing, too.
    """

    def __init__(self, path: Path, image: ImageSpec, plane: int, *, write: bool) -> None:
        self._path = path
        self._plane = plane
        self._length = image.length
        self._shapes = [level.shape[3:] for level in image.levels]
        zarr_format = image.like.zarr_format
        self._arrays = [open_array(path / level.path, zarr_format, write=write) for level in image.levels]
        # As it lies on disk: an unfinished store may be of a version that made other shards.
        self._together: int = self._arrays[0].chunk_layout.write_chunk.shape[0]
        self._waiting: list[list[NDArray[np.float32]]] = []  # frames whose shard is not full, at all levels
        self._next = 0  # number of the frame after them
        self._writing: deque[tuple[range, list[Any]]] = deque()
        self._settled = 0

    def write(self, number: int, data: NDArray[np.float32]) -> None:
        """Take a frame, and start to write it at all levels, with the others of its shard when it is the last of them.

        Parameters
        ----------
        number
            Number of the frame in the output, from 0. Frames are to come in order; before one that does not follow
            the last, what is held is written as it is.
        data
            Image of shape (C, Y, X), float32; it must not change any more.
        """
        if number != self._next:
            self._start()
        levels = []
        for shape in self._shapes:
            data = reduce_plane(data, shape)
            levels.append(data)
        self._waiting.append(levels)
        self._next = number + 1
        if self._next % self._together == 0 or self._next == self._length:
            self._start()

    def settle(self) -> int:
        """Wait until all that was started is on disk.

        Returns
        -------
        int
            Number of the frame after the last that is there; 0 if none was started yet. Those that came after it are
            held until their shard is full.

        Raises
        ------
        DataError
            If something cannot be written.
        """
        while self._writing:
            frames, futures = self._writing.popleft()
            try:
                for future in futures:
                    future.result()
            except (ValueError, OSError) as error:
                raise DataError(f"cannot write {_named(frames)} of {self._path}: {first_line(error)}") from error
            self._settled = frames.stop
        return self._settled

    def flush(self) -> int:
        """Write what is held, though its shard is not full, and settle."""
        self._start()
        return self.settle()

    def read(self, number: int) -> NDArray[np.float32]:
        """Read one frame that is on disk, shape (C, Y, X), float32; a ``DataError`` if it cannot be read."""
        try:
            return self._arrays[0][number, :, self._plane].read().result()
        except (ValueError, OSError) as error:
            raise DataError(f"cannot read frame {number} of {self._path}: {first_line(error)}") from error

    def _start(self) -> None:
        """Start to write the frames that are held."""
        frames = range(self._next - len(self._waiting), self._next)
        if not frames:
            return
        futures = []
        for array, images in zip(self._arrays, zip(*self._waiting, strict=True), strict=True):
            stack = np.stack(images) if len(images) > 1 else images[0][np.newaxis]
            target = array[frames.start : frames.stop, :, self._plane]
            futures.append(target.write(stack, can_reference_source_data_indefinitely=True))
        self._waiting.clear()
        self._writing.append((frames, futures))


def _named(frames: range) -> str:
    return f"frame {frames[0]}" if len(frames) == 1 else f"frames {frames[0]} to {frames[-1]}"


def reduce_plane(data: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Reduce an image by the mean of its blocks.

    Parameters
    ----------
    data
        Image of shape (..., Y, X), float32.
    shape
        The (Y, X) to reach; the blocks are square or not, of the nearest whole factor. Where the factor does not
        divide the image, its last row or column is repeated or left out.
    """
    if data.shape[-2:] == tuple(shape):
        return data
    factors = [max(1, round(old / new)) for old, new in zip(data.shape[-2:], shape, strict=True)]
    for axis, (new, factor) in enumerate(zip(shape, factors, strict=True), start=data.ndim - 2):
        index = np.minimum(np.arange(new * factor), data.shape[axis] - 1)
        data = np.take(data, index, axis=axis)
    blocks = data.reshape(*data.shape[:-2], shape[0], factors[0], shape[1], factors[1])
    return blocks.mean(axis=(-3, -1), dtype=np.float32)
