"""Tracks in the format of results of the Cell Tracking Challenge (CTC): a mask for each frame, and ``res_track.txt``.

Ulman et al., An objective comparison of cell-tracking algorithms, Nat. Methods 14, 1141-1152, 2017. A line ``L B E P``
is a track: its label, first and last frame, and the label of its parent, or 0. A label must be in every frame of its
track, so that a nucleus which is missing in a frame goes on under a new label, whose parent is the old one.
"""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import DataError
from image_translation.files import write_atomically
from image_translation.tracking.lineage import Lineage
from image_translation.tracking.nuclei import Ids, Nuclei

TRACKS = "res_track.txt"
_MAX_LABEL = np.iinfo(np.uint16).max


def split_at_gaps(nuclei: Nuclei, lineage: Lineage) -> tuple[Ids, list[tuple[int, int, int, int]]]:
    """Split tracks where their nucleus is missing.

    Parameters
    ----------
    nuclei
        The N nuclei.
    lineage
        Their tracks.

    Returns
    -------
    labels
        Label of each nucleus, (N,): the number of its track up to the first gap, new numbers after it.
    rows
        ``L B E P`` of each label.

    Raises
    ------
    DataError
        If there are more labels than the format allows.
    """
    new = count(lineage.count + 1)
    labels = lineage.tracks.copy()
    spans: dict[int, list[int]] = {}
    before: dict[int, int] = {}  # by label that goes on after a gap, the label before the gap
    current: dict[int, int] = {}  # label that each track has at present
    for row, (track, frame) in enumerate(zip(lineage.tracks.tolist(), nuclei.frame.tolist(), strict=True)):
        label = current.setdefault(track, track)
        if label in spans and spans[label][1] < frame - 1:
            current[track] = next(new)
            before[current[track]] = label
            label = current[track]
        labels[row] = label
        spans.setdefault(label, [frame, frame])[1] = frame
    if len(spans) > _MAX_LABEL:
        raise DataError(f"{len(spans)} tracks are more than the {_MAX_LABEL} that the format of the CTC allows")
    born = {track: current[parent] for track, parent in lineage.parents.items()}
    parents = before | born
    return labels, [(label, first, last, parents.get(label, 0)) for label, (first, last) in sorted(spans.items())]


def write_tracks(rows: Sequence[tuple[int, int, int, int]], directory: Path) -> None:
    """Write ``res_track.txt``."""
    with write_atomically(directory / TRACKS) as path:
        path.write_text("".join(f"{' '.join(map(str, row))}\n" for row in rows), encoding="utf-8")


def write_mask(labels: NDArray[np.integer], directory: Path, frame: int, length: int) -> None:
    """Write the mask of a frame, (Y, X), of a movie of `length` frames, as TIFF of 16 bits; invalid ones are empty."""
    import tifffile

    digits = max(3, len(str(length - 1)))
    path = directory / f"mask{frame:0{digits}}.tif"
    tifffile.imwrite(path, labels.astype(np.uint16), compression="zlib", photometric="minisblack")
