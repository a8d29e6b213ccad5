"""Jitter of the stage: estimated from the shifts of tiles between frames, and told from the motion of cells.

A stage that does not return to exactly the same place displaces the whole frame to and fro: all tiles of a frame move
alike, and back again. Cells do not: each moves on its own, and a sheet of them persists in its motion. Where the shifts
do not say which of the two it is, `estimate_jitter` refuses.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from image_translation.errors import DataError

METHOD = "phase correlation of tiles, version 1"
"""Name of the method; a change that changes shifts gets another version."""

MIN_FRAMES = 10
MIN_TILES = 4
NEGLIGIBLE = 0.1  # pixels; a jitter of a smaller standard deviation is left as it is

_TILE = 128  # pixels; smaller in frames that would have fewer than 2 x 2 tiles
_SMALLEST_TILE = 32  # pixels
_MOST_TILES = 6  # along an axis; more take time and say no more
_BAND = (1.0, 8.0)  # pixels; noise below and shading above are no texture
_ROUNDING = 1e-6  # of the highest intensity
_UPSAMPLING = 50  # steps per pixel
_MIN_CORRELATION = 0.5  # of a tile with itself one frame later; below, it has no texture that is found again
_MIN_KNOWN = 0.7  # fraction of the frames whose acceleration must be known
_MAX_STEP = 6.0  # pixels per frame; a larger one is a jump, which is no jitter
_MIN_PENALTY = 0.003  # of the squared jitter; half of a displacement with a period of 27 frames is taken for jitter
_ERROR_INFLATION = 2.0  # of the standard error: tiles are as small as some groups of cells, so that they correlate
_MIN_AGREEMENT = 1.5  # common acceleration of the tiles over their spread
_MAX_PERSISTENCE = -0.25  # autocorrelation of the velocity at a lag of one frame: -0.5 is jitter, 0 a random walk
_FRAMES_PER_DEGREE = 6  # frames for each degree of the polynomial trend of the velocity
_TO_POSITION = 1 / np.sqrt(6)  # standard deviation of white jitter over that of its second differences


class RegistrationRefusedError(DataError):
    """The frames do not show whether the stage jitters; the message states the numbers."""


@dataclass(frozen=True)
class Jitter:
    """Jitter of a movie, and what speaks for it.

    Attributes
    ----------
    shifts
        Shift (dy, dx) that takes the jitter out of each frame, (T, 2) float64, in pixels: the registered image at
        (y, x) is the image at (y - dy, x - dx). Zero for invalid frames, and where there is no jitter.
    common
        Standard deviation of the jitter that all tiles share, in pixels.
    spread
        Spread of the tiles about it, in pixels.
    tiles
        Mean number of textured tiles.
    """

    shifts: NDArray[np.float64]
    common: float
    spread: float
    tiles: float

    @property
    def found(self) -> bool:
        """Whether there is jitter to take out."""
        return bool(self.shifts.any())


def tile_shifts(previous: NDArray[np.float32], current: NDArray[np.float32]) -> NDArray[np.float64]:
    """Estimate by how much each tile of a frame has moved since the previous frame.

    Subpixel phase correlation (Guizar-Sicairos et al. 2008, Efficient subpixel image registration algorithms, Optics
    Letters 33, 156-158), as in scikit-image, of tiles of 128 pixels without noise and shading. The cross-correlation
    is not whitened: whitening gives the noise the weight of the texture.

    Parameters
    ----------
    previous, current
        Phase of two frames, (Y, X) float32.

    Returns
    -------
    ndarray
        Displacement (dy, dx) of the content of each of N tiles, (N, 2) float64, in pixels; NaN for tiles without
        texture that both frames share.
    """
    before, after = _band_pass(previous), _band_pass(current)
    return np.array([_tile_shift(before, after, *corner) for corner in _tiles(before.shape)]).reshape(-1, 2)


def _tile_shift(
    before: NDArray[np.float64], after: NDArray[np.float64], rows: slice, columns: slice
) -> NDArray[np.float64]:
    from skimage.registration import phase_cross_correlation

    unknown = np.full(2, np.nan)
    window = np.outer(np.hanning(rows.stop - rows.start), np.hanning(columns.stop - columns.start))
    tile, offset = window * after[rows, columns], np.zeros(2, int)
    shift, correlation = offset.astype(float), 0.0
    # The window pulls the shift towards zero: the tile of the previous frame is cut where whole pixels have taken it.
    for upsampling in (1, _UPSAMPLING):
        y, x = (
            slice(part.start - by, part.stop - by) for part, by in zip((rows, columns), offset.tolist(), strict=True)
        )
        other = window * before[y, x]
        if not (tile.any() and other.any()):
            return unknown
        # The first image is the reference: the shift is what registers the second one with it.
        found, error, _ = phase_cross_correlation(tile, other, upsample_factor=upsampling, normalization=None)
        shift, correlation = offset + found, np.sqrt(max(0.0, 1 - float(error) ** 2))
        if np.abs(shift).max() > _MAX_STEP:
            return unknown
        offset = np.rint(shift).astype(int)
    return shift if correlation >= _MIN_CORRELATION else unknown


def count_tiles(shape: tuple[int, ...]) -> int:
    """Return the number of tiles of a frame (Y, X); 0 if it is too small for four."""
    return len(_tiles(shape))


def _band_pass(image: NDArray[np.float32]) -> NDArray[np.float64]:
    fine, coarse = (gaussian_filter(image.astype(np.float64), sigma) for sigma in _BAND)
    band = fine - coarse
    # Rounding errors of a constant area would be a texture that is always found again.
    return np.where(np.abs(band) > _ROUNDING * np.abs(image).max(), band, 0.0)


def _tiles(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Spread square tiles evenly over a frame without its margin; none if it is too small for four."""
    margin = int(_MAX_STEP)
    side = min(_TILE, (min(shape) - 2 * margin) // 2)
    if side < _SMALLEST_TILE:
        return []
    starts = []
    for length in shape:
        count = min(max(2, round((length - 2 * margin) / side)), _MOST_TILES)
        starts.append(np.linspace(margin, length - margin - side, count).astype(int).tolist())
    return [(slice(y, y + side), slice(x, x + side)) for y, x in product(*starts)]


def estimate_jitter(shifts: NDArray[np.float64], valid: NDArray[np.bool_]) -> Jitter:
    """Estimate the jitter of each frame from the shifts of its tiles, if they give evidence of one.

    The jitter is the smallest displacement whose second differences are those that all tiles share, by penalised least
    squares as in Whittaker's smoother (Eilers 2003, A perfect smoother, Analytical Chemistry 75, 3631-3636); the more
    the tiles differ, the higher is the penalty. Drift and persistent motion have no second differences and stay. Steps
    of more than 6 pixels are jumps and stay, too.

    Parameters
    ----------
    shifts
        Displacements (dy, dx) of N tiles from each frame to the next, (T - 1, N, 2) float64, in pixels, from
        `tile_shifts`; NaN where not known.
    valid
        Whether each frame is valid, (T,) bool.

    Returns
    -------
    Jitter
        Its shifts are zero if the tiles share no jitter of more than 0.1 pixels.

    Raises
    ------
    RegistrationRefusedError
        If there are too few frames or tiles with texture, or if the tiles do not move like a stage: they disagree, or
        persist in their motion.
    """
    between = int((valid[:-2] & valid[1:-1] & valid[2:]).sum()) if len(valid) > 2 else 0
    if between < MIN_FRAMES - 2:
        raise RegistrationRefusedError(
            f"{int(valid.sum())} valid frames, {between} of them between two others; registration needs "
            f"{MIN_FRAMES - 2}, as in {MIN_FRAMES} consecutive frames"
        )
    second = np.diff(shifts, axis=0)
    counts = _textured(second)
    known = np.flatnonzero(counts >= MIN_TILES)
    if len(known) < _MIN_KNOWN * between:
        raise RegistrationRefusedError(
            f"only {len(known)} of {between} frames have at least {MIN_TILES} tiles (of {shifts.shape[1]}) with a "
            f"texture that is found again, displaced by at most {_MAX_STEP:g} px, in the frames before and after"
        )
    common = np.nanmedian(second[known], axis=1)
    deviation = 1.4826 * np.nanmedian(np.abs(second[known] - common[:, np.newaxis]), axis=1)
    amplitude, spread = (_TO_POSITION * _root_mean_square(values) for values in (common, deviation))
    tiles = float(counts[known].mean())
    if amplitude < NEGLIGIBLE:
        return Jitter(np.zeros((len(valid), 2)), amplitude, spread, tiles)
    if amplitude < _MIN_AGREEMENT * spread:
        raise RegistrationRefusedError(
            f"the tiles disagree, so that cells move and not the stage: the jitter that {tiles:.0f} tiles share is "
            f"{amplitude:.2f} px, and must be {_MIN_AGREEMENT:g} times their spread about it, {spread:.2f} px"
        )
    moved = np.flatnonzero(_textured(shifts) >= MIN_TILES)
    persistence = _persistence(np.nanmedian(shifts[moved], axis=1), moved)
    if persistence > _MAX_PERSISTENCE:
        raise RegistrationRefusedError(
            "the tiles move together, but not to and fro: like a sheet of cells, not like a stage. The autocorrelation "
            f"of their velocity at a lag of one frame is {persistence:.2f}; it must be at most {_MAX_PERSISTENCE:g}"
        )
    # Variance of the error of the accelerations over that of the jitter: cells that move much hide its slow part.
    error = _ERROR_INFLATION * 1.2533 * spread / np.sqrt(tiles)
    penalty = max(_MIN_PENALTY, float((error / (_TO_POSITION * amplitude)) ** 2))
    displacements = _displacements(common, known + 1, len(valid), penalty)
    return Jitter(-np.where(valid[:, np.newaxis], displacements, 0.0), amplitude, spread, tiles)


def moves_along(shifts: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Return whether another channel has the jitter of the phase, as it has if the stage jitters.

    It has not where the label-free image alone is displaced, as by a changing angle of illumination.

    Parameters
    ----------
    shifts, other
        Displacements of the tiles of the phase and of the other channel, (T - 1, N, 2) float64, in pixels, from
        `tile_shifts`.

    Returns
    -------
    bool
        True also if it is not known, because the other channel has too little texture.
    """
    both = [np.diff(values, axis=0) for values in (shifts, other)]
    known = np.all([_textured(values) >= MIN_TILES for values in both], axis=0)
    if known.sum() < _MIN_KNOWN * MIN_FRAMES:
        return True
    first, second = (np.nanmedian(values[known], axis=1) for values in both)
    return bool((first * second).sum() > 0.5 * np.square(first).sum())


def _persistence(velocities: NDArray[np.float64], numbers: NDArray[np.intp]) -> float:
    """Return the autocorrelation of the velocity at a lag of one frame, of both axes together, about its trend.

    Parameters
    ----------
    velocities
        Common displacement from a frame to the next, (K, 2) float64.
    numbers
        Numbers of these frames, (K,), increasing.
    """
    degree = len(numbers) // _FRAMES_PER_DEGREE
    trend = legvander(np.interp(numbers, (numbers[0], numbers[-1]), (-1, 1)), degree)
    residual = velocities - trend @ np.linalg.lstsq(trend, velocities, rcond=None)[0]
    adjacent = np.flatnonzero(np.diff(numbers) == 1)
    products = (residual[adjacent] * residual[adjacent + 1]).sum(axis=1)
    return float(products.mean() / np.square(residual).sum(axis=1).mean())


def _displacements(
    accelerations: NDArray[np.float64], numbers: NDArray[np.intp], frames: int, penalty: float
) -> NDArray[np.float64]:
    """Return the smallest displacements (T, 2) with the given second differences (K, 2) at some frames."""
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    stencil = sparse.diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(frames - 2, frames))
    differences = stencil.tocsr()[numbers - 1]
    gram = differences.T @ differences + penalty * sparse.eye_array(frames)
    return np.asarray(spsolve(gram.tocsc(), differences.T @ accelerations))


def _textured(shifts: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return how many tiles are known in each frame, (T,), of shifts (T, N, 2)."""
    return np.isfinite(shifts).all(axis=2).sum(axis=1)


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(values).mean()))
