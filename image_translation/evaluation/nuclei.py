"""Which nuclei of a series are tracked, and their true labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from image_translation.errors import UsageError, listing
from image_translation.evaluation.alignment import Movie, Planes, align
from image_translation.metrics.objects import is_nuclear
from image_translation.omezarr.tracked_labels import open_tracked_labels

LABELS = "nuclei"
"""Name of the label image of the truth."""


@dataclass(frozen=True)
class Nuclei:
    """Nuclei to track in a series.

    Attributes
    ----------
    channels
        Indices of the channels of nuclei, among those of the series.
    labels
        True labels; None if there are none.
    parents
        By true label, the label that it continues.
    """

    channels: tuple[int, ...]
    labels: Planes | None
    parents: Mapping[int, int]


def find_nuclei(
    channels: Sequence[str],
    objects: Sequence[str] | None,
    *,
    truth: Movie | None,
    raw: Movie,
    z: int,
    frames: range,
    by_number: bool = False,
) -> Nuclei:
    """Find the channels of nuclei of a series, and their true labels.

    Parameters
    ----------
    channels
        Names that the channels of the series have in the truth.
    objects
        Names of those of nuclei; None takes those with names of nuclei.
    truth, raw
        The movies; None without truth.
    z, frames
        Plane and frame numbers of the raw prediction.
    by_number
        See `alignment.align`.

    Raises
    ------
    UsageError
        If there is no such channel, or the labels do not match the raw prediction.
    DataError
        If the labels or their lineage are invalid.
    """
    nuclear = [c for c, name in enumerate(channels) if (is_nuclear(name) if objects is None else name in objects)]
    if not nuclear:
        raise UsageError(
            f"--tracking: none of the channels {listing(channels)} is one of nuclei; name it with --objects NAME"
        )
    found = open_tracked_labels(truth.position, LABELS) if truth else None
    if found is None:
        return Nuclei(tuple(nuclear), None, {})
    labels = Movie("the label image", found.image, (0,))
    return Nuclei(tuple(nuclear), align(labels, raw, z, frames, exact=False, by_number=by_number)[0], found.parents)
