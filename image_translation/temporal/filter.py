"""What a temporal filter is, and how one is applied to a movie in memory."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from image_translation.frame import Frame


class TemporalFilter(Protocol):
    """A filter along time that takes the frames of one movie in order.

    Attributes
    ----------
    name
        Name of the method, which the output store and the metrics bear.
    delay
        How much later than its index an output frame lies in time, in frames.
    minimum
        Number of valid frames that a movie must have.
    """

    name: str
    delay: float
    minimum: int

    def length(self, n_frames: int) -> int:
        """Return the number of output frames of a movie of `n_frames` frames."""

    def planes(self, n_channels: int) -> int:
        """Return how many images of one channel (Y, X), float32, it has in memory at a time."""

    def push(self, frame: Frame) -> list[Frame]:
        """Take the next frame, (C, Y, X) float32; return the output frames that became ready, in order."""

    def flush(self) -> list[Frame]:
        """End the movie: return the output frames that are left. The filter is then ready for another movie."""


def apply(
    temporal_filter: TemporalFilter,
    movie: NDArray[np.float32],
    valid: Sequence[bool] | None = None,
    *,
    phase: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Filter a whole movie in memory, with the same arithmetic as the stream.

    Parameters
    ----------
    temporal_filter
        Filter to use, between two movies.
    movie
        Movie of shape (T, C, Y, X), float32.
    valid
        Which of the T frames are valid; all by default.
    phase
        What the movie was predicted from, (T, Y, X) float32; the filters that follow motion need it.

    Returns
    -------
    NDArray[np.float32]
        Movie of shape (T', C, Y, X), with T' = ``temporal_filter.length(T)``; invalid frames are NaN.
    """
    smoothed = np.empty((temporal_filter.length(len(movie)), *movie.shape[1:]), dtype=np.float32)
    for index, data in enumerate(movie):
        known = None if phase is None else phase[index]
        for frame in temporal_filter.push(Frame(index, data, valid is None or bool(valid[index]), known)):
            smoothed[frame.index] = frame.data
    for frame in temporal_filter.flush():
        smoothed[frame.index] = frame.data
    return smoothed
