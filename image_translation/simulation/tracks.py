"""Tracks of the simulated cells that are visible in the field, in the conventions of the Cell Tracking Challenge.

Ulman et al., An objective comparison of cell-tracking algorithms, Nat. Methods 14, 1141-1152, 2017: a track has a label
in each frame from its first to its last one, and each of its rows names the track that it comes from.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.population import Population


class Track(NamedTuple):
    """One row of ``man_track.txt``: label, first and last frame, and label of the mother, 0 for none."""

    label: int
    first: int
    last: int
    parent: int


def find_tracks(population: Population, visible: NDArray[np.bool_]) -> tuple[NDArray[np.int32], tuple[Track, ...]]:
    """Split the lives of cells into tracks without gaps.

    The first track of a cell has the index of the cell plus one as its label. A cell that leaves the field and comes
    back starts a new track, which has a label of its own and no parent, because no one who sees the field only can know
    which cell it is. A daughter has a parent if the mother is visible in the last frame before the division and the
    daughter in the first one after it.

    Parameters
    ----------
    population
        Cells of the movie.
    visible
        Whether each cell is visible in each frame: (T, N) bool.

    Returns
    -------
    labels
        Label of each cell in each frame, 0 where it is not visible: (T, N) int32.
    tracks
        Sorted by label.
    """
    change = np.diff(np.pad(visible, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    labels = np.zeros(visible.shape, np.int32)
    runs: list[tuple[bool, int, int, int]] = []  # whether the cell was visible before; first frame, cell, last frame
    for cell in np.flatnonzero(visible.any(axis=0)).tolist():
        firsts, ends = ((change[:, cell] == sign).nonzero()[0].tolist() for sign in (1, -1))
        runs += [(rank > 0, first, cell, end - 1) for rank, (first, end) in enumerate(zip(firsts, ends, strict=True))]
    tracks = []
    last_label = visible.shape[1]
    for again, first, cell, last in sorted(runs):
        last_label += again
        label = last_label if again else cell + 1
        labels[first : last + 1, cell] = label
        tracks.append((label, first, last, cell))
    rows = (Track(label, first, last, _parent(population, labels, cell, first)) for label, first, last, cell in tracks)
    return labels, tuple(sorted(rows))


def _parent(population: Population, labels: NDArray[np.int32], cell: int, first: int) -> int:
    mother = population.parent[cell]
    return int(labels[first - 1, mother]) if mother >= 0 and first == population.birth[cell] else 0
