"""Data types shared by all packages: a movie frame and a crop of the field of view."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One time point of a movie in one focal plane.

    Attributes
    ----------
    index
        Frame number in acquisition order, from 0.
    data
        Image of shape (C, Y, X), float32. Read-only by convention: the network, filters, metrics and writers share
        it.
    valid
        False for a dropped acquisition (all zero, constant, or with non-finite pixels). Invalid frames are neither
        fed to the network nor averaged into other frames.
    phase
        Normalised label-free image from which the frame was predicted, (Y, X) float32. None if unknown, or if the
        frame is not a prediction.
    """

    index: int
    data: NDArray[np.float32]
    valid: bool = True
    phase: NDArray[np.float32] | None = None


class Crop(NamedTuple):
    """Rectangular region of a field of view, in pixels.

    Attributes
    ----------
    y, x
        Coordinates of the upper left corner.
    height, width
        Size of the region.
    """

    y: int
    x: int
    height: int
    width: int

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the cropped view of an image of shape (..., Y, X)."""
        return image[..., self.y : self.y + self.height, self.x : self.x + self.width]


def parse_crop(text: str) -> Crop:
    """Parse a crop written as ``Y,X,HEIGHT,WIDTH``, in pixels.

    Raises
    ------
    UsageError
        If the text has another form or the crop is empty.
    """
    match = re.fullmatch(r"(\d+),(\d+),(\d+),(\d+)", text)
    if not match or not (int(match[3]) and int(match[4])):
        raise UsageError(f"{text!r} is not Y,X,HEIGHT,WIDTH in pixels, such as 100,200,256,256")
    return Crop(*map(int, match.groups()))


def check_frame_range(frames: tuple[int | None, int | None]) -> None:
    """Raise a `UsageError` if the half-open frame range (start, stop) is empty for every movie."""
    start, stop = frames
    if stop is not None and (start or 0) >= stop:
        raise UsageError(f"--frames {start or 0}:{stop} holds no frame; START must be less than STOP")
