"""Intensity over time: coarse contrast of a frame, and drift of the mean intensity between two movies."""

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.correlation import ratio

_MIN_FRAMES = 5  # below, drift cannot be told from flicker
_SIGMA = 2.0  # pixels of the reduced image


def coarse_contrast(reduced: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the standard deviation of an image after a Gaussian of 4 pixels, (C,) float64.

    It is proportional to the gain, and nearly independent of blur.

    Parameters
    ----------
    reduced
        Means of the image over 2 x 2 pixels, (C, y, x) float32.
    """
    return np.array([cv2.GaussianBlur(channel, (0, 0), _SIGMA).std(dtype=np.float64) for channel in reduced])


class DriftEstimator:
    """Linear trend over time of the difference between the mean intensities of two movies.

    Parameters
    ----------
    n_channels
        Number of channels C.
    """

    def __init__(self, n_channels: int) -> None:
        self._count = 0
        self._first = self._last = 0
        self._moments = np.zeros((5, n_channels))  # sums of t, t^2, difference, t times difference, contrast

    def add(self, index: int, difference: NDArray[np.float64], contrast: NDArray[np.float64]) -> None:
        """Add a frame: the difference of the means, and the standard deviation of the reference, (C,) each."""
        if self._count == 0:
            self._first = index
        self._count += 1
        self._last = index
        t = float(index - self._first)  # no loss of precision late in a long movie
        self._moments += np.stack([0 * difference + t, 0 * difference + t * t, difference, t * difference, contrast])

    def drift(self) -> NDArray[np.float64]:
        """Return the change of the difference over the movie, in units of the mean contrast, (C,).

        It is the slope of a least-squares line times the length of the movie; NaN for fewer than 5 frames and where
        there is no contrast.
        """
        if self._count < _MIN_FRAMES:
            return np.full(self._moments.shape[1], np.nan)
        t, squares, difference, product, contrast = self._moments / self._count
        slope = (product - t * difference) / (squares - t**2)
        return ratio(slope * (self._last - self._first), contrast)
