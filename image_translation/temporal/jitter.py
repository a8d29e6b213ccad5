"""Global jitter of a movie: displacement of the whole image to and fro between frames.

Jitter is caused by a stage that does not return to exactly the same position, or by a changing angle of illumination.
It is separated from cell motion by the acceleration that all regions of the image share: cells accelerate
independently of each other.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

HALF_WINDOW = 4
"""Number of frames before and after a frame from which its jitter is estimated."""

_PENALTY = 0.05  # weight of the squared displacements; a higher one treats slower common motion as no jitter
_TILE_SIZE = 32  # pixels
_MIN_TEXTURED_FRACTION = 0.25  # of the pixels of a tile
_MIN_TILES = 8
_ERROR_INFLATION = 2.0  # of the standard error: tiles are smaller than cells, so that adjacent ones are correlated
_MAX_ACCELERATION = 6.0  # pixels per frame squared; a larger one is a jump of the stage, which is not corrected


def common_acceleration(
    backward: NDArray[np.float32], forward: NDArray[np.float32], textured: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Estimate the acceleration common to all material of a frame.

    The estimate is the median over tiles, so that one large cell does not dominate, shrunk towards zero by its
    standard error (James and Stein 1961, Estimation with quadratic loss).

    Parameters
    ----------
    backward, forward
        Flow to the previous and to the next frame, (Y, X, 2) float32, in pixels.
    textured
        Mask of the pixels to use, (Y, X) bool.

    Returns
    -------
    NDArray[np.float64] or None
        Second difference of the positions, (dx, dy), in pixels; None if too few tiles are textured.
    """
    height, width = textured.shape
    corners = product(range(0, height, _TILE_SIZE), range(0, width, _TILE_SIZE))
    tiles = [(slice(y, y + _TILE_SIZE), slice(x, x + _TILE_SIZE)) for y, x in corners]
    second = backward + forward
    medians = [
        np.median(second[tile][textured[tile]], axis=0)
        for tile in tiles
        if textured[tile].mean() > _MIN_TEXTURED_FRACTION
    ]
    if len(medians) < _MIN_TILES:
        return None
    common = np.median(medians, axis=0).astype(np.float64)
    spread = 1.4826 * np.median(np.abs(np.array(medians) - common), axis=0)
    error = _ERROR_INFLATION * 1.2533 * spread / np.sqrt(len(medians))
    return common * np.maximum(0, 1 - np.square(error / np.where(common == 0, np.inf, common)))


def displacement(accelerations: Sequence[NDArray[np.float64] | None], index: int) -> NDArray[np.float32]:
    """Estimate the jitter of one of several consecutive frames.

    The displacements are the smallest ones whose second differences are the accelerations, by penalised least squares
    as in Whittaker's smoother (Eilers 2003, A perfect smoother, Analytical Chemistry 75(14), 3631-3636).

    Parameters
    ----------
    accelerations
        Common accelerations (dx, dy) of N frames, in pixels; None where unknown, as in the first and last frame.
    index
        Position of the frame among the N, from 0.

    Returns
    -------
    NDArray[np.float32]
        Displacement (dx, dy) of the frame from its position without jitter, in pixels.
    """
    known = [
        i
        for i, value in enumerate(accelerations)
        if value is not None and 0 < i < len(accelerations) - 1 and np.abs(value).max() <= _MAX_ACCELERATION
    ]
    if not known:
        return np.zeros(2, np.float32)
    differences = np.zeros((len(known), len(accelerations)))
    for row, i in enumerate(known):
        differences[row, i - 1 : i + 2] = 1, -2, 1
    targets = np.array([accelerations[i] for i in known])
    penalty = _PENALTY * np.eye(len(accelerations))
    solution = np.linalg.solve(differences.T @ differences + penalty, differences.T @ targets)
    return solution[index].astype(np.float32)
