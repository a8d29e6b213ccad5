"""Median over the first axis of a stack of images."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

_ROWS = 64  # of the images at a time, so that they stay in the processor's cache


def median(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of each pixel; that of an even number is the mean of the two in the middle.

    It gives what `numpy.median` gives over axis 0, some ten times faster for a few images: numpy sorts pixel by
    pixel, and this compares whole images.

    Parameters
    ----------
    stack
        K images of shape (K, Y, X), float32, finite, K at least 1.

    Returns
    -------
    NDArray[np.float32]
        Shape (Y, X).
    """
    result = np.empty(stack.shape[1:], np.float32)
    for start in range(0, stack.shape[1], _ROWS):
        rows = slice(start, start + _ROWS)
        result[rows] = _median(stack[:, rows])
    return result


def _median(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    images = deque(stack.copy())
    # The least and the greatest are taken away, again and again, until only the middle is left.
    while len(images) > 2:
        _sort_ends(images)
        images.popleft()
        images.pop()
    return images[0] if len(images) == 1 else (images[0] + images[1]) / 2


def _sort_ends(images: deque[NDArray[np.float32]]) -> None:
    """Exchange pixels until the first image has the least of all values and the last one the greatest."""
    last = len(images) - 1
    for i in range(last):
        _sort(images[i], images[i + 1])
    for i in range(last - 1, 0, -1):
        _sort(images[i - 1], images[i])


def _sort(low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
    greater = np.maximum(low, high)
    np.minimum(low, high, out=low)
    high[...] = greater
