"""Intensity statistics of a movie from a sample of its frames: what to normalise by, and display windows."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import DataError
from image_translation.frame import Frame
from image_translation.normalize import grid_sample
from image_translation.omezarr.store import Position

SAMPLED_FRAMES = 32


def field_statistics(position: Position, channel: int, method: normalize.Method) -> normalize.Statistics:
    """Find what to normalise a field of view by: the store's own statistics, else an estimate from its frames.

    The estimate is from a few frames spread over the whole movie and all its planes, whichever are to be stained, so
    that a frame is stained alike in every run. One that cannot be read is passed over: it need not be among those that
    are asked for.

    Parameters
    ----------
    position, channel
        The image, and the index of one of its channels.
    method
        Method of normalisation.

    Raises
    ------
    DataError
        No frame can be read.
    """
    stored = normalize.from_metadata(position.attributes, position.channels[channel], method)
    if stored is not None:
        return stored
    times, _, depth = position.shape[:3]
    count = times * depth
    spread = np.unique(np.linspace(0, count - 1, min(count, SAMPLED_FRAMES)).round().astype(int)).tolist()

    unreadable: list[DataError] = []

    def samples(numbers: Iterable[int]) -> Iterator[NDArray[np.float64]]:
        for number in numbers:
            try:
                image = position.read(number // depth, channel, number % depth)
            except DataError as error:
                unreadable.append(error)
                continue
            if normalize.is_valid(image):
                yield normalize.grid_sample(image)

    # All of the few frames looked at may have been dropped, where the movie has others.
    found = list(samples(spread)) or list(islice(samples(range(count)), SAMPLED_FRAMES))
    if not found and unreadable:
        raise unreadable[0]
    return normalize.estimate(found, method) if found else normalize.Statistics(0.0, 1.0, "none")


DISPLAYED = (0.5, 99.8)  # percentiles that become black and white


class DisplayWindows:
    """Display windows of the channels of a movie, whose frames come one by one.

    Parameters
    ----------
    n_frames
        Number of frames to come; some are sampled, so that memory does not grow with it.
    """

    def __init__(self, n_frames: int) -> None:
        self._every = -(-n_frames // SAMPLED_FRAMES)
        self._seen = 0
        self._samples: list[NDArray[np.float64]] = []
        self._lows: list[NDArray[np.float32]] = []
        self._highs: list[NDArray[np.float32]] = []

    def add(self, frame: Frame) -> None:
        """Take the next frame, (C, Y, X) float32."""
        self._seen += 1
        if frame.valid and (not self._samples or self._seen % self._every == 0):
            self._samples.append(np.stack([grid_sample(plane) for plane in frame.data]))
            self._lows.append(frame.data.min(axis=(1, 2)))
            self._highs.append(frame.data.max(axis=(1, 2)))

    def windows(self, n_channels: int) -> list[dict[str, float]]:
        """Return ``min``, ``max``, ``start`` and ``end`` of each channel; 0 and 1 where no frame was valid."""
        if not self._samples:
            return [{"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0} for _ in range(n_channels)]
        low, high = np.min(self._lows, axis=0), np.max(self._highs, axis=0)
        start, end = np.percentile(np.concatenate(self._samples, axis=1), DISPLAYED, axis=1)
        return [
            {"min": float(low[c]), "max": float(high[c]), "start": float(start[c]), "end": float(end[c])}
            for c in range(n_channels)
        ]
