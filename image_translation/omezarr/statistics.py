"""What the intensities of a field of view are normalised by: the store's own statistics, else an estimate."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import DataError
from image_translation.omezarr.store import Position

SAMPLED_FRAMES = 32


def field_statistics(position: Position, channel: int, method: normalize.Method) -> normalize.Statistics:
    """Find what to normalise a field of view by: the store's own statistics, else an estimate from its frames.

    The estimate is from a few frames spread over the whole movie and all its planes, whichever are to be stained, so
    that a frame is stained alike in every run. One that cannot be read is passed over: it need not be among those that
    are asked for.

    Parameters
    ----------
    position, channel
        The image, and the index of one of its channels.
    method
        Method of normalisation.

    Raises
    ------
    DataError
        No frame can be read.
    """
    stored = normalize.from_metadata(position.attributes, position.channels[channel], method)
    if stored is not None:
        return stored
    times, _, depth = position.shape[:3]
    count = times * depth
    spread = np.unique(np.linspace(0, count - 1, min(count, SAMPLED_FRAMES)).round().astype(int)).tolist()

    unreadable: list[DataError] = []

    def samples(numbers: Iterable[int]) -> Iterator[NDArray[np.float64]]:
        for number in numbers:
            try:
                image = position.read(number // depth, channel, number % depth)
            except DataError as error:
                unreadable.append(error)
                continue
            if normalize.is_valid(image):
                yield normalize.grid_sample(image)

    # All of the few frames looked at may have been dropped, where the movie has others.
    found = list(samples(spread)) or list(islice(samples(range(count)), SAMPLED_FRAMES))
    if not found and unreadable:
        raise unreadable[0]
    return normalize.estimate(found, method) if found else normalize.Statistics(0.0, 1.0, "none")
