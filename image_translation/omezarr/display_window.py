"""In which range a channel is to be displayed, from a sample of its frames."""

import numpy as np
from numpy.typing import NDArray

from image_translation.frame import Frame
from image_translation.normalize import grid_sample

SAMPLED_FRAMES = 32
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
