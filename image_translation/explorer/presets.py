"""Initial state of the explorer's page: the given arguments, and defaults for whatever was not given."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from image_translation import data
from image_translation.errors import DataError, UsageError
from image_translation.figures.region_of_interest import highest_contrast_region
from image_translation.frame import Crop, parse_crop
from image_translation.normalize import METHODS, Method, is_valid
from image_translation.sources.movie_metadata import MovieMetadata, parse_pixel_size

if TYPE_CHECKING:
    from image_translation.network.loading import ModelSpec
    from image_translation.omezarr.store import Position

MAX_FULL_FIELD = 384  # pixels of the longer side up to which the full field is the default crop
DEFAULT_CROP_SIZE = 256  # pixels, of larger fields
CROP_SIZES = (64, 128, DEFAULT_CROP_SIZE, 512, 1024, 2048)
CHANGE_FRAMES = 8  # default number of frames whose change is measured
LABEL_FREE = ("phase", "brightfield", "bf", "dic", "trans")


@dataclass(frozen=True)
class Presets(MovieMetadata):
    """Initial values of the controls; None and empty tuples are replaced by defaults that fit the movie.

    Attributes
    ----------
    checkpoint, movie
        Paths or names.
    position
        Name of the position.
    time, z, compare
        Indices of the frame, of the plane, and of the frame to compare with.
    channels
        Names of the input channels.
    crop
        Part of the field.
    stage
        Name of the stage that is shown in detail.
    normalization
        Normalisation of the input; None uses that of the checkpoint.
    device
        See `devices.resolve_device`.
    head_pool
        Whether the network's head pools, where the checkpoint does not say it.
    axes, interval, pixel_size
        What the movie does not say if it is TIFF; see ``movie_metadata.MovieMetadata``.
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
    head_pool: bool | None = None

    def check(self) -> None:
        """Raise a ``UsageError`` if checkpoint or movie is no path or known name, or the device is not available."""
        self.check_metadata()
        data.locate(self.checkpoint, kind="checkpoint")
        data.locate(self.movie, kind="movie")
        if self.device not in {"auto", "cpu"}:  # which are always there
            from image_translation.network.devices import resolve_device  # imports torch

            resolve_device(self.device)

    def to_arguments(self) -> list[str]:
        """Return command-line arguments of the notebook, from which `parse_presets` makes the same presets."""
        values = vars(self) | {"crop": self.crop and ",".join(map(str, self.crop))}
        channels, head_pool = [f"--channel={name}" for name in values.pop("channels")], values.pop("head_pool")
        values = {name: value for name, value in values.items() if name not in vars(MovieMetadata())}
        channels += self.metadata.to_arguments()
        switches = [] if head_pool is None else [f"--head-pool={'yes' if head_pool else 'no'}"]
        return [f"--{name}={value}" for name, value in values.items() if value is not None] + switches + channels

    def head_pool_of(self, checkpoint: str) -> bool | None:
        """Return whether the head of a network pools, which is known of the given checkpoint only."""
        return self.head_pool if checkpoint == self.checkpoint else None

    def metadata_of(self, movie: str) -> MovieMetadata:
        """Return what is said of a movie, which is so of the given one only."""
        return self.metadata if movie == self.movie else MovieMetadata()

    def initial_position(self, names: Sequence[str]) -> str:
        """Return the given position if a movie has it, else its first one."""
        return _first_allowed(self.position, names)

    def initial_frame(self, count: int) -> int:
        """Return the index of the frame to show first, of `count` frames."""
        return min(max(self.time, 0), count - 1)

    def initial_second_frame(self, count: int) -> int:
        """Return the index of the frame to compare with: the given one, else one half a movie away."""
        if self.compare is not None:
            return min(max(self.compare, 0), count - 1)
        return (self.initial_frame(count) + count // 2) % count

    def initial_plane(self, depth: int) -> int:
        """Return the index of the plane to show first: the given one, else the middle one."""
        return depth // 2 if self.z is None else min(max(self.z, 0), depth - 1)

    def initial_stage(self, stages: Iterable[str]) -> str:
        """Return the given stage if the network has it, else its first one."""
        return _first_allowed(self.stage, list(stages))

    def initial_channels(self, spec: "ModelSpec", position: "Position") -> tuple[str, ...]:
        """Return the given channels if they fit the image and the network, else those of `default_channels`."""
        fit = set(self.channels) <= set(position.channels) and len(self.channels) == spec.architecture.in_channels
        return self.channels if fit else default_channels(spec, position)

    def change_frames(self, count: int) -> tuple[int, int]:
        """Return the first and the last frame, inclusive, whose change is measured."""
        first = min(self.initial_frame(count), max(0, count - CHANGE_FRAMES))
        return first, max(first, min(first + CHANGE_FRAMES, count) - 1)

    def crop_within(self, field: Sequence[int]) -> Crop | None:
        """Return the given crop if it lies in a field of this shape (Y, X)."""
        inside = self.crop and self.crop.y + self.crop.height <= field[0] and self.crop.x + self.crop.width <= field[1]
        return self.crop if inside else None

    def crop_sizes(self, field: Sequence[int]) -> dict[str, tuple[int, int]]:
        """Return the crop sizes (height, width) to offer for a field (Y, X), by label; the first is the default."""
        height, width = field
        full = {"full field": (height, width)}
        parts = {f"{side} px": (min(side, height), min(side, width)) for side in CROP_SIZES if side < max(field)}
        crop = self.crop_within(field)
        if crop:
            return {f"{crop.height} x {crop.width} px": (crop.height, crop.width)} | parts | full
        if max(field) <= MAX_FULL_FIELD:
            return full | parts
        return {f"{DEFAULT_CROP_SIZE} px": parts[f"{DEFAULT_CROP_SIZE} px"]} | parts | full

    def initial_crop(self, position: "Position", size: tuple[int, int]) -> Crop:
        """Return the crop of a given size to show first: the given one, else that of the highest contrast.

        If the image is blank or cannot be read, it is the centre of the field.
        """
        frames, _, depth, height, width = position.shape
        crop = self.crop_within((height, width))
        if crop and size == crop[2:]:
            return crop
        if size == (height, width):
            return Crop(0, 0, height, width)
        channel = min(range(len(position.channels)), key=lambda number: not is_label_free(position.channels[number]))
        centre = Crop((height - size[0]) // 2, (width - size[1]) // 2, *size)
        try:
            image = position.read(self.initial_frame(frames), channel, self.initial_plane(depth))
        except DataError:
            return centre
        if not is_valid(image):
            return centre
        rows, columns = highest_contrast_region(image[np.newaxis].astype(np.float32), max(size))
        return Crop(min(rows.start, height - size[0]), min(columns.start, width - size[1]), *size)


def parse_presets(arguments: Sequence[str]) -> Presets:
    """Parse command-line arguments of the notebook, such as ``--movie MOVIE`` or ``--movie=MOVIE``.

    Raises
    ------
    UsageError
        An argument is unknown, or its value is invalid.
    """
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name in ("checkpoint", "movie", "position", "stage", "device"):
        parser.add_argument(f"--{name}")
    for name in ("time", "z", "compare"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--channel", dest="channels", nargs="+", action="extend")
    parser.add_argument("--crop", type=parse_crop)
    parser.add_argument("--axes")
    parser.add_argument("--interval", type=float)
    parser.add_argument("--pixel-size", type=parse_pixel_size)
    parser.add_argument("--normalization", choices=METHODS)
    parser.add_argument("--head-pool", choices=("yes", "no"))
    given = vars(parser.parse_args(arguments))
    if "head_pool" in given:
        given["head_pool"] = given["head_pool"] == "yes"
    return Presets(**given | {"channels": tuple(given.get("channels", ()))})


def _first_allowed(wanted: str | None, names: Sequence[str]) -> str:
    return wanted if wanted is not None and wanted in names else names[0]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; the page takes {' '.join(self.format_usage().split()[2:])}")


def default_channels(spec: "ModelSpec", position: "Position") -> tuple[str, ...]:
    """Choose the input channels of a network by name; they may be fewer than the network takes.

    These are the channels that it was trained with, if the image has them. Otherwise a label-free channel for a network
    of one input, and the fluorescence channels for one of several.
    """
    from image_translation.omezarr.selection import PREFERRED_CHANNEL  # imports zarr

    names, wanted = position.channels, spec.architecture.in_channels
    if spec.input_channels and set(spec.input_channels) <= set(names):
        return spec.input_channels
    if wanted == 1:
        if PREFERRED_CHANNEL in names:
            return (PREFERRED_CHANNEL,)
        return tuple(sorted(names, key=lambda name: not is_label_free(name))[:1])
    return tuple(sorted(names, key=is_label_free)[:wanted])


def is_label_free(name: str) -> bool:
    """Return whether a channel is label-free, judging by its name."""
    return any(word in name.lower() for word in LABEL_FREE)
