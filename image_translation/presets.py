"""What the explorer's page shows first: what its arguments say, else what is likely to be looked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from image_translation.errors import UsageError
from image_translation.frame import Crop, parse_crop
from image_translation.normalize import METHODS, Method, is_valid
from image_translation.spotlight import busiest

if TYPE_CHECKING:
    from image_translation.store import Position

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
        See `predict.resolve_device`.
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

    def arguments(self) -> list[str]:
        """Return them as arguments of the notebook, from which `from_arguments` makes the same presets."""
        found: list[str] = []
        for name, value in vars(self).items():
            if name == "crop" and value is not None:
                found += ["--crop", ",".join(map(str, value))]
            elif name == "channels":
                found += [word for one in value for word in ("--channel", one)]
            elif value is not None:
                found += [f"--{name}", str(value)]
        return found

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

    def sizes(self, field: Sequence[int]) -> dict[str, tuple[int, int]]:
        """Return the sizes of crops of a field (Y, X), by what they are called; the one to begin with is first."""
        height, width = field
        whole, parts = {"all of it": (height, width)}, {}
        if self.crop:
            parts[f"{self.crop.height} x {self.crop.width} px"] = self.crop.height, self.crop.width
        parts |= {f"{side} px": (min(side, height), min(side, width)) for side in SIDES if side < max(field)}
        if self.crop:
            return parts | whole
        if max(field) <= SMALL_FIELD:
            return whole | parts
        return {f"{SIDE} px": parts[f"{SIDE} px"]} | parts | whole

    def place(self, position: "Position", size: tuple[int, int]) -> Crop:
        """Return where a crop of a size is to lie first: as given, else where the field is liveliest.

        Raises
        ------
        UsageError
            The given crop is not in the field.
        DataError
            The image cannot be read.
        """
        frames, _, depth, height, width = position.shape
        if self.crop and size == self.crop[2:]:
            if self.crop.y + self.crop.height > height or self.crop.x + self.crop.width > width:
                raise UsageError(f"the crop {tuple(self.crop)} is not in {position.path}, {height} x {width}")
            return self.crop
        if size == (height, width):
            return Crop(0, 0, height, width)
        channel = min(range(len(position.channels)), key=lambda number: not is_label_free(position.channels[number]))
        image = position.read(self.frame(frames), channel, self.plane(depth))
        if not is_valid(image):
            return Crop((height - size[0]) // 2, (width - size[1]) // 2, *size)
        rows, columns = busiest(image[np.newaxis].astype(np.float32), max(size))
        return Crop(min(rows.start, height - size[0]), min(columns.start, width - size[1]), *size)


def from_arguments(given: Mapping[str, Any]) -> Presets:
    """Read presets from arguments.

    Parameters
    ----------
    given
        Names to values, texts or numbers as marimo makes of them; ``channel`` may have a list.

    Raises
    ------
    UsageError
        A name is unknown, or a value makes no sense.
    """
    known: dict[str, Any] = {}
    for name, value in given.items():
        if name == "channel":
            known["channels"] = tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)
        elif name in ("time", "z", "compare"):
            known[name] = _number(name, value)
        elif name == "crop":
            known[name] = parse_crop(str(value))
        elif name == "normalization":
            if value not in METHODS:
                raise UsageError(f"--normalization {value}: must be one of {', '.join(METHODS)}")
            known[name] = value
        elif name in ("checkpoint", "movie", "position", "stage", "device"):
            known[name] = str(value)
        else:
            allowed = [one for one in vars(Presets()) if one != "channels"]
            raise UsageError(
                f"--{name}: no such argument of the page; there are --{', --'.join([*allowed, 'channel'])}"
            )
    return Presets(**known)


def is_label_free(name: str) -> bool:
    """Tell whether a channel is label-free, by its name."""
    return any(word in name.lower() for word in LABEL_FREE)


def _number(name: str, value: Any) -> int:
    try:
        return int(str(value))
    except ValueError as error:
        raise UsageError(f"--{name} {value}: must be a whole number") from error
