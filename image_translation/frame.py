"""The unit that travels through the package: one time point of a movie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One time point of a movie at one plane.

    Attributes
    ----------
    index
        Number of the frame in the movie, from 0, in acquisition order.
    data
        Image of shape (C, Y, X), float32. Receivers must not write into it: a frame is shared between
        the network, the filters, the metrics and the writers.
    valid
        False for a dropped acquisition (all zero, constant, or with pixels that are not finite). The data of
        such a frame are never shown to the network nor mixed into a neighbour.
    phase
        What a predicted frame was predicted from: the normalised label-free image of shape (Y, X), float32. None where
        it is not known, and for frames that are no predictions.
    """

    index: int
    data: NDArray[np.float32]
    valid: bool = True
    phase: NDArray[np.float32] | None = None
