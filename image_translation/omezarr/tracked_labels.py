"""Label images of tracked objects: ``labels/NAME`` of an image, with a lineage as in the Cell Tracking Challenge."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from image_translation.errors import DataError
from image_translation.files import read_text
from image_translation.omezarr.store import Position

LINEAGE = "man_track.txt"
"""File beside the label images: a line ``L B E P`` for each track, its label, first and last frame, and parent or 0."""


@dataclass(frozen=True)
class TrackedLabels:
    """Labels that are equal for an object in all frames.

    Attributes
    ----------
    image
        The label image, of integers: 0 is background.
    parents
        By label, the label that it continues after a division or a gap. Empty if there is no lineage.
    """

    image: Position
    parents: Mapping[int, int]


def open_tracked_labels(position: Position, name: str) -> TrackedLabels | None:
    """Open the label image of an image, and the lineage beside it; None if it has no such labels.

    Raises
    ------
    DataError
        If the labels are no integers, or the metadata or the lineage are invalid.
    """
    image = position.labels(name)
    if image is None:
        return None
    if image.dtype.kind not in "iu":
        raise DataError(f"the labels {image.path} have pixels of type {image.dtype}; labels are integers")
    lineage = image.path.parent / LINEAGE
    return TrackedLabels(image, _read_parents(lineage) if lineage.exists() else {})


def _read_parents(path: Path) -> dict[int, int]:
    parents: dict[int, int] = {}
    ends: dict[int, tuple[int, int]] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            label, first, last, parent = map(int, line.split())
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: {line!r} is not 'L B E P': label, first and last frame, parent or 0"
            ) from error
        ends[label] = first, last
        if parent:
            parents[label] = parent
    for label, parent in parents.items():
        if parent not in ends or ends[parent][1] >= ends[label][0]:
            raise DataError(f"{path}: the parent {parent} of track {label} is no track that ends before it begins")
    return parents
