"""Volumes are filtered plane by plane: what a cell that moves in z leaves behind."""

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import MovieSpec
from image_translation.temporal.filter import TemporalFilter, apply
from image_translation.temporal.linear import moving_average
from image_translation.temporal.motion_filter import centred

FRAMES, PLANES, EVENT, RISE = 14, 9, 7, 3
CELL = (53, 95)  # y, x of a nucleus at half the height of the stack


def rising_cell() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return stacks (T, C, Z, Y, X) of simulated cells, one of which rises by some planes at once, and its place."""
    movie = Movie(MovieSpec(shape=(128, 128), frames=FRAMES, planes=PLANES, plane_spacing=3, seed=3))
    still = np.stack([movie.frame(t) for t in range(FRAMES)])
    risen = np.concatenate([still[:, :, :1].repeat(RISE, 2), still[:, :, :-RISE]], 2)
    rows, columns = np.ogrid[:128, :128]
    weight = 1 / (1 + np.exp((np.hypot(rows - CELL[0], columns - CELL[1]) - 18) / 1.5))
    later = (np.arange(FRAMES) >= EVENT)[:, None, None, None, None]
    return np.where(later, still * (1 - weight) + risen * weight, still).astype(np.float32), weight > 0.5


def test_a_cell_that_moves_in_z_leaves_no_ghost() -> None:
    stacks, place = rising_cell()
    phase, nuclei = stacks[:, 0], stacks[:, 1]
    assert np.abs(nuclei[EVENT] - nuclei[EVENT - 1])[:, place].max() > 0.5

    def error(temporal_filter: TemporalFilter) -> NDArray[np.float32]:
        planes = [apply(temporal_filter, nuclei[:, z, None], phase=phase[:, z])[:, 0] for z in range(PLANES)]
        return np.abs(np.stack(planes, 1) - nuclei)[EVENT - 3 : EVENT + 3][..., place]

    motion, naive = error(centred(window=7)), error(moving_average(7))
    assert naive.max() > 0.3  # of a stain of at most 1
    assert motion.max() < 0.06
    assert motion.mean() < 0.05 * naive.mean()
