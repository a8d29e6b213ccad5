"""The unit that travels through the package, one time point of a movie; and a part of its field."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError


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


class Crop(NamedTuple):
    """A rectangle of a field of view, in pixels.

    Attributes
    ----------
    y, x
        Upper left corner.
    height, width
        Size.
    """

    y: int
    x: int
    height: int
    width: int

    def of(self, image: NDArray[Any]) -> NDArray[Any]:
        """Cut it out of an image of shape (..., Y, X)."""
        return image[..., self.y : self.y + self.height, self.x : self.x + self.width]


def parse_crop(text: str) -> Crop:
    """Read a crop that is written as ``Y,X,HEIGHT,WIDTH``, in pixels.

    Raises
    ------
    UsageError
        It is not, or it is empty.
    """
    match = re.fullmatch(r"(\d+),(\d+),(\d+),(\d+)", text)
    if not match or not (int(match[3]) and int(match[4])):
        raise UsageError(f"{text!r} is not Y,X,HEIGHT,WIDTH in pixels, such as 100,200,256,256")
    return Crop(*map(int, match.groups()))


def require_frames(frames: tuple[int | None, int | None]) -> None:
    """Raise a ``UsageError`` if frames are asked for of which there are none in any movie."""
    start, stop = frames
    if stop is not None and (start or 0) >= stop:
        raise UsageError(f"--frames {start or 0}:{stop} holds no frame; START must be less than STOP")
