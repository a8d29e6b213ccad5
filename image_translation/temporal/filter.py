"""The protocol of streaming temporal filters, and their application to a movie in memory."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from image_translation.frame import Frame


class TemporalFilter(Protocol):
    """Streaming filter along time: takes the frames of a movie in order and returns filtered frames.

    Pushed frames are held by reference, never copied and never written to; output frames are new arrays.

    Attributes
    ----------
    name
        Name of the method, used for the output store and in the metrics.
    delay
        Time of an output frame minus the time of the input frame with the same index, in frames.
    min_frames
        Least number of valid frames in a movie.
    """

    name: str
    delay: float
    min_frames: int

    def length(self, n_frames: int) -> int:
        """Return the number of output frames for a movie of `n_frames` frames."""

    def images_held(self, n_channels: int) -> int:
        """Return the largest number of single-channel images (Y, X), float32, that the filter holds in memory."""

    def push(self, frame: Frame) -> list[Frame]:
        """Add the next frame, and return the output frames that are complete.

        Parameters
        ----------
        frame
            Frame of shape (C, Y, X), float32. The first one starts the movie, whatever its index; the data of an
            invalid one are never read.

        Returns
        -------
        list of Frame
            Frames of shape (C, Y, X), float32, in order. Invalid frames are all NaN.

        Raises
        ------
        ValueError
            If the frame does not follow the previous one.
        """

    def flush(self) -> list[Frame]:
        """End the movie, return the remaining output frames, and reset the filter for another movie."""


def apply(
    temporal_filter: TemporalFilter,
    movie: NDArray[np.float32],
    valid: Sequence[bool] | None = None,
    *,
    phase: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Filter a movie in memory; the result equals that of streaming.

    Parameters
    ----------
    temporal_filter
        Filter to apply; it must not hold frames of another movie.
    movie
        Movie of shape (T, C, Y, X), float32.
    valid
        Whether each of the T frames is valid; by default all are.
    phase
        Label-free images from which the movie was predicted, (T, Y, X) float32; required by the motion filters.

    Returns
    -------
    NDArray[np.float32]
        Movie of shape (T', C, Y, X), with T' = ``temporal_filter.length(T)``; invalid frames are NaN.
    """
    smoothed = np.empty((temporal_filter.length(len(movie)), *movie.shape[1:]), dtype=np.float32)
    for index, data in enumerate(movie):
        own_phase = None if phase is None else phase[index]
        for frame in temporal_filter.push(Frame(index, data, valid is None or bool(valid[index]), own_phase)):
            smoothed[frame.index] = frame.data
    for frame in temporal_filter.flush():
        smoothed[frame.index] = frame.data
    return smoothed


def check_order(frame: Frame, expected: int) -> None:
    """Raise a `ValueError` if the index of a frame is not the expected one."""
    if frame.index != expected:
        raise ValueError(f"frame {frame.index} was pushed instead of frame {expected}; push the frames in order")


def invalid_frame(frame: Frame) -> Frame:
    """Return an invalid frame of NaN with the index and shape of `frame`."""
    return Frame(frame.index, np.full(frame.data.shape, np.nan, dtype=np.float32), valid=False)
