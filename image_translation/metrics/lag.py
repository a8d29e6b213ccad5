"""Temporal lag of a smoothed movie behind the raw movie, measured by cross-correlation of thumbnails."""

import numpy as np
from numpy.typing import NDArray

SHIFTS = range(-2, 3)
_MAX_SIDE = 64  # pixels of a thumbnail
_TOLERANCE = 1e-9  # below, mean correlations count as equal: a still movie has no lag


def thumbnail(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the block means of an image, centred and scaled so that their dot products are correlations.

    Parameters
    ----------
    data
        Image of shape (C, Y, X), float32, finite.

    Returns
    -------
    NDArray[np.float32]
        Standardised means of shape (C, P), with P at most 64 x 64; NaN where they are all equal. Incomplete blocks at
        the bottom and right edges are left out.
    """
    n_channels, height, width = data.shape
    rows, columns = -(-height // _MAX_SIDE), -(-width // _MAX_SIDE)
    n_rows, n_columns = height // rows, width // columns
    # Rows first: sums over contiguous rows are fast.
    strips = data[:, : n_rows * rows].reshape(n_channels, n_rows, rows, width).mean(axis=2)
    blocks = strips[..., : n_columns * columns].reshape(n_channels, n_rows, n_columns, columns).mean(axis=3)
    values = blocks.reshape(n_channels, -1)
    values -= values.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, norms, out=np.full_like(values, np.nan), where=norms > 0)


class LagEstimator:
    """Mean correlation of the frames of a movie with the earlier and later frames of a reference.

    Only frames with all five reference frames (two before to two after) are used, so that all shifts are compared on
    the same frames. Thumbnails are kept as long as they are needed.

    Parameters
    ----------
    n_channels
        Number of channels C.
    """

    def __init__(self, n_channels: int) -> None:
        self._sums = np.zeros((len(SHIFTS), n_channels))
        self._counts = np.zeros(n_channels, dtype=np.int64)
        self._slope_squares = np.zeros(
            (len(SHIFTS) - 2, n_channels)
        )  # of the correlation after minus that before a shift
        self._reference: dict[int, NDArray[np.float32]] = {}
        self._frames: dict[int, NDArray[np.float32]] = {}
        self._n_reference = 0
        self._n_frames = 0

    def add_reference(self, index: int, values: NDArray[np.float32] | None) -> None:
        """Add the thumbnail, (C, P), of the next frame of the reference, None if the frame is invalid."""
        if values is not None:
            self._reference[index] = values
        self._n_reference = index + 1
        self._correlate()

    def add(self, index: int, values: NDArray[np.float32] | None) -> None:
        """Add the thumbnail, (C, P), of the next frame of the movie, None if the frame is invalid."""
        if values is not None:
            self._frames[index] = values
        self._n_frames = index + 1
        self._correlate()

    def lag(self) -> NDArray[np.float64]:
        """Return the lag of each channel in frames, (C,) float64; NaN if it is not defined.

        It is positive if the movie is late: its frame i shows what the reference showed at i - lag.
        """
        means = zip(self._sums.T, self._counts, strict=True)
        return np.array([_peak(sums / count) if count else np.nan for sums, count in means])

    def error(self) -> NDArray[np.float64]:
        """Return the standard error of the lag of each channel in frames, (C,) float64; NaN if it is not defined.

        It is estimated from the spread over the frames: a movie with jitter may appear late by chance. At the largest
        shifts the lag is not refined, and the error is 0.
        """
        channels = zip(self._sums.T, self._slope_squares.T, self._counts, strict=True)
        return np.array([_error(sums / n, squares / n, int(n)) if n > 1 else np.nan for sums, squares, n in channels])

    def _correlate(self) -> None:
        ready = [index for index in self._frames if index + SHIFTS[-1] < self._n_reference]
        for index in ready:
            values = self._frames.pop(index)
            references = [self._reference[index + shift] for shift in SHIFTS if index + shift in self._reference]
            if len(references) < len(SHIFTS):
                continue
            correlations = np.vecdot(np.array(references), values).astype(np.float64)
            complete = np.isfinite(correlations).all(axis=0)
            self._sums[:, complete] += correlations[:, complete]
            self._counts += complete
            slopes = correlations[2:] - correlations[:-2]
            self._slope_squares[:, complete] += slopes[:, complete] ** 2
        needed = min([*self._frames, self._n_frames]) + SHIFTS[0]
        self._reference = {index: values for index, values in self._reference.items() if index >= needed}


def _best(scores: NDArray[np.float64]) -> int:
    """Return the index in `SHIFTS` of the highest mean correlation; the centre if none is higher."""
    centre = len(SHIFTS) // 2
    best = int(np.argmax(scores))
    return centre if scores[best] - scores[centre] < _TOLERANCE else best


def _error(scores: NDArray[np.float64], slope_squares: NDArray[np.float64], count: int) -> float:
    """Return the standard error of the lag from mean correlations and mean squared slopes of `count` frames."""
    best = _best(scores)
    if not 0 < best < len(SHIFTS) - 1:
        return 0.0
    before, here, after = scores[best - 1 : best + 2]
    curvature = before - 2 * here + after
    variance = max(0.0, slope_squares[best - 1] - (after - before) ** 2) / (count - 1)
    return float(0.5 * np.sqrt(variance) / -curvature) if curvature < -_TOLERANCE else 0.0


def _peak(scores: NDArray[np.float64]) -> float:
    """Return the lag at the peak of mean correlations over `SHIFTS`, refined by a parabola through three of them."""
    best = _best(scores)
    shift = float(SHIFTS[best])
    if 0 < best < len(SHIFTS) - 1:
        before, here, after = scores[best - 1 : best + 2]
        curvature = before - 2 * here + after
        if curvature < -_TOLERANCE:
            shift += 0.5 * (before - after) / curvature
    return -shift
