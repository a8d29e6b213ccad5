"""Pairs of a predicted image and its truth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import UsageError, listing
from image_translation.evaluation.alignment import Movie, Planes, align, frame_numbers, matching_position, plane_numbers
from image_translation.evaluation.registered import as_predicted
from image_translation.omezarr.store import Position, Store

Field = tuple[str, int]
"""Position (with the plane if there are several) and frame number."""


@dataclass(frozen=True)
class Pair:
    """One predicted image and its truth.

    Attributes
    ----------
    method
        Name of the prediction.
    channel
        Name of the channel in the truth.
    field
        Position and frame, equal for all predictions.
    predicted, truth
        Planes that they are read from.
    """

    method: str
    channel: str
    field: Field
    predicted: Planes
    truth: Planes

    def read(self) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Read prediction and truth, (Y, X) float32 each; None if one of them is no valid image."""
        predicted, truth = (planes.read(self.field[1])[0] for planes in (self.predicted, self.truth))
        valid = bool(np.isfinite(predicted).all()) and normalize.is_valid(truth)
        return (predicted, truth) if valid else None


@dataclass(frozen=True)
class Pairing:
    """Selection of the images to pair.

    Attributes
    ----------
    positions
        Names or glob patterns; all positions when empty.
    channels
        Names of channels of the predictions; all that the truth has when empty.
    names
        Names that channels of the predictions have in the truth, where they differ.
    every
        Take every Nth frame.
    by_number
        See `alignment.align`.
    """

    positions: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    every: int = 1
    by_number: bool = False


def find_pairs(name: str, prediction: Store, request: Mapping[str, Any], truth: Store, wanted: Pairing) -> list[Pair]:
    """Pair the images of a prediction with their truth.

    Parameters
    ----------
    name
        Name of the prediction.
    prediction, truth
        The stores.
    request
        Request that the prediction was made by; see `alignment.frame_numbers`.
    wanted
        Which images to pair.

    Raises
    ------
    UsageError
        The stores do not match, or have no channel in common.
    """
    pairs: list[Pair] = []
    for place in prediction.select(wanted.positions):
        mine = prediction.position(place)
        other = as_predicted(matching_position(truth, place, "the truth"), truth, mine)
        for channel, named in _common(name, mine, other, wanted):
            predicted = Movie(f"the prediction {name}", mine, (mine.channels.index(channel),), plane_numbers(request))
            true = Movie("the truth", other, (other.channels.index(named),))
            frames = frame_numbers(predicted, request)
            depth = mine.shape[2]
            for z in range(depth):
                planes = Planes(predicted, z, -frames.start)
                truths = align(true, predicted, z, frames, exact=False, by_number=wanted.by_number)[0]
                shown = place if depth == 1 else f"{place} z{z}"
                pairs += (Pair(name, named, (shown, number), planes, truths) for number in frames[:: wanted.every])
    return pairs


def _common(name: str, mine: Position, other: Position, wanted: Pairing) -> Iterator[tuple[str, str]]:
    """Yield the channels of a prediction that the truth has, with their names in the truth."""
    missing = [channel for channel in wanted.channels if channel not in mine.channels]
    if missing:
        raise UsageError(f"the prediction {name} has no channel {', '.join(missing)}; it has {listing(mine.channels)}")
    found: dict[str, str] = {}
    for channel in wanted.channels or mine.channels:
        named = wanted.names.get(channel, channel)
        if named in found:
            raise UsageError(
                f"the prediction {name} has two channels, {found[named]} and {channel}, for the true {named}"
            )
        if named in other.channels:
            found[named] = channel
            yield channel, named
        elif channel in (*wanted.channels, *wanted.names):
            raise UsageError(f"the truth has no channel {named}: {other.path} has {listing(other.channels)}")
    if not found:
        raise UsageError(
            f"the truth has none of the channels {listing(mine.channels)} of the prediction {name}: {other.path} has "
            f"{listing(other.channels)}; say which is which with --same {mine.channels[0]}={other.channels[-1]}"
        )
