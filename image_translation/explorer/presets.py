"""What the explorer's page shows first: what its arguments say, else what is likely to be looked for."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from image_translation.errors import DataError, UsageError
from image_translation.figures.region_of_interest import busiest
from image_translation.frame import Crop, parse_crop
from image_translation.normalize import METHODS, Method, is_valid

if TYPE_CHECKING:
    from image_translation.omezarr.store import Position

SMALL_FIELD = 384  # pixels: a field up to here is shown to the network as a whole
SIDE = 256  # pixels: of a larger one, so much
SIDES = (64, 128, SIDE, 512, 1024, 2048)
WATCHED_FRAMES = 8  # whose change is measured
LABEL_FREE = ("phase", "brightfield", "bf", "dic", "trans")


@dataclass(frozen=True)
class Presets:
    """What is shown first; everything may be left open.

    Attributes
    ----------
    checkpoint, movie
        Paths or names.
    position
        Name of the image.
    time, z, compare
        Numbers of the frame, of the plane, and of a second frame.
    channels
        What the network is shown.
    crop
        Part of the field.
    stage
        Name of the stage that is shown in detail.
    normalization
        Method; None takes what the checkpoint says.
    device
        See `devices.resolve_device`.
    """

    checkpoint: str = "demo_ckpt"
    movie: str = "demo_movie"
    position: str | None = None
    time: int = 0
    z: int | None = None
    compare: int | None = None
    channels: tuple[str, ...] = ()
    crop: Crop | None = None
    stage: str | None = None
    normalization: Method | None = None
    device: str = "auto"

    def words(self) -> list[str]:
        """Return them as arguments of the notebook, from which `from_words` makes the same presets."""
        values = vars(self) | {"crop": self.crop and ",".join(map(str, self.crop))}
        channels = [f"--channel={name}" for name in values.pop("channels")]
        return [f"--{name}={value}" for name, value in values.items() if value is not None] + channels

    def frame(self, count: int) -> int:
        """Return the frame to begin with, of a movie of so many."""
        return min(max(self.time, 0), count - 1)

    def compared(self, count: int) -> int:
        """Return the frame to compare with: the given one, else one some way off."""
        if self.compare is not None:
            return min(max(self.compare, 0), count - 1)
        return (self.frame(count) + count // 2) % count

    def plane(self, depth: int) -> int:
        """Return the plane to begin with."""
        return depth // 2 if self.z is None else min(max(self.z, 0), depth - 1)

    def watched(self, count: int) -> tuple[int, int]:
        """Return the first and the last frame whose change is measured."""
        first = min(self.frame(count), max(0, count - WATCHED_FRAMES))
        return first, max(first, min(first + WATCHED_FRAMES, count) - 1)

    def crop_in(self, field: Sequence[int]) -> Crop | None:
        """Return the given crop if it lies in a field (Y, X)."""
        inside = self.crop and self.crop.y + self.crop.height <= field[0] and self.crop.x + self.crop.width <= field[1]
        return self.crop if inside else None

    def sizes(self, field: Sequence[int]) -> dict[str, tuple[int, int]]:
        """Return the sizes of crops of a field (Y, X), by what they are called; the one to begin with is first."""
        height, width = field
        whole = {"all of it": (height, width)}
        parts = {f"{side} px": (min(side, height), min(side, width)) for side in SIDES if side < max(field)}
        crop = self.crop_in(field)
        if crop:
            return {f"{crop.height} x {crop.width} px": (crop.height, crop.width)} | parts | whole
        if max(field) <= SMALL_FIELD:
            return whole | parts
        return {f"{SIDE} px": parts[f"{SIDE} px"]} | parts | whole

    def place(self, position: "Position", size: tuple[int, int]) -> Crop:
        """Return where a crop of a size is to lie first: as given, else where the field is liveliest.

        Where there is no image to judge by, or it cannot be read, that is the middle.
        """
        frames, _, depth, height, width = position.shape
        crop = self.crop_in((height, width))
        if crop and size == crop[2:]:
            return crop
        if size == (height, width):
            return Crop(0, 0, height, width)
        channel = min(range(len(position.channels)), key=lambda number: not is_label_free(position.channels[number]))
        middle = Crop((height - size[0]) // 2, (width - size[1]) // 2, *size)
        try:
            image = position.read(self.frame(frames), channel, self.plane(depth))
        except DataError:
            return middle
        if not is_valid(image):
            return middle
        rows, columns = busiest(image[np.newaxis].astype(np.float32), max(size))
        return Crop(min(rows.start, height - size[0]), min(columns.start, width - size[1]), *size)


def from_words(words: Sequence[str]) -> Presets:
    """Read presets from arguments of the notebook, such as ``--movie MOVIE`` or ``--movie=MOVIE``.

    Raises
    ------
    UsageError
        A name is unknown, or a value makes no sense.
    """
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name in ("checkpoint", "movie", "position", "stage", "device"):
        parser.add_argument(f"--{name}")
    for name in ("time", "z", "compare"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--channel", dest="channels", nargs="+", action="extend")
    parser.add_argument("--crop", type=parse_crop)
    parser.add_argument("--normalization", choices=METHODS)
    given = vars(parser.parse_args(words))
    return Presets(**given | {"channels": tuple(given.get("channels", ()))})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; the page takes {' '.join(self.format_usage().split()[2:])}")


def is_label_free(name: str) -> bool:
    """Tell whether a channel is label-free, by its name."""
    return any(word in name.lower() for word in LABEL_FREE)
