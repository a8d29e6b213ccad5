"""Shaking of a whole movie: what all of its material does together, to and fro, from one frame to the next.

A stage that does not come back to quite the same place shakes the image, and so does a change of the illumination's
angle. Cells do not move like that: one by one they accelerate in their own directions.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

WINDOW = 4
"""Frames before and after that tell the shake of a frame."""

_STIFFNESS = 0.05  # how soon a slow common drift counts as motion rather than as shake
_REGION = 32  # pixels
_TEXTURED = 0.25  # least share of a region
_LEAST_REGIONS = 8
_DEPENDENCE = 2.0  # regions are smaller than cells, so that some have the same to say
_JUMP = 6.0  # pixels; a larger common acceleration is a jump of the stage, which is left as it is


def acceleration(
    back: NDArray[np.float32], there: NDArray[np.float32], textured: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Measure the acceleration that the material of a frame has in common.

    It is found region by region, so that one large cell does not speak for all, and shrunk by what is doubtful of it
    (James and Stein 1961, Estimation with quadratic loss).

    Parameters
    ----------
    back, there
        Flow to the frame before, and to the frame after, (Y, X, 2) float32.
    textured
        Pixels that count, (Y, X) bool.

    Returns
    -------
    NDArray[np.float64] or None
        Median of the second difference of the positions, (dx, dy), in pixels; None if too few regions have texture.
    """
    height, width = textured.shape
    corners = product(range(0, height, _REGION), range(0, width, _REGION))
    regions = [(slice(y, y + _REGION), slice(x, x + _REGION)) for y, x in corners]
    second = back + there
    found = [np.median(second[at][textured[at]], axis=0) for at in regions if textured[at].mean() > _TEXTURED]
    if len(found) < _LEAST_REGIONS:
        return None
    common = np.median(found, axis=0).astype(np.float64)
    spread = 1.4826 * np.median(np.abs(np.array(found) - common), axis=0)
    error = _DEPENDENCE * 1.2533 * spread / np.sqrt(len(found))
    return common * np.maximum(0, 1 - np.square(error / np.where(common == 0, np.inf, common)))


def displacement(accelerations: Sequence[NDArray[np.float64] | None], index: int) -> NDArray[np.float32]:
    """Find the shake of one of several consecutive frames.

    The displacements are the smallest ones whose second differences are the accelerations, in the sense of penalised
    least squares, as in Whittaker's smoother (Eilers 2003, A perfect smoother, Analytical Chemistry 75(14), 3631-3636).

    Parameters
    ----------
    accelerations
        Of N frames, (dx, dy) each, in pixels; None where it is not known, as in the first and the last.
    index
        Which of the frames.

    Returns
    -------
    NDArray[np.float32]
        Displacement (dx, dy) of the whole frame, in pixels, from where it would be without shake.
    """
    known = [
        i
        for i, value in enumerate(accelerations)
        if value is not None and 0 < i < len(accelerations) - 1 and np.abs(value).max() <= _JUMP
    ]
    if not known:
        return np.zeros(2, np.float32)
    differences = np.zeros((len(known), len(accelerations)))
    for row, i in enumerate(known):
        differences[row, i - 1 : i + 2] = 1, -2, 1
    targets = np.array([accelerations[i] for i in known])
    penalty = _STIFFNESS * np.eye(len(accelerations))
    solution = np.linalg.solve(differences.T @ differences + penalty, differences.T @ targets)
    return solution[index].astype(np.float32)
