"""Writing OME-Zarr stores that mirror the one that was read.

A store is created whole, empty, before any frame is written; planes are then written one at a time, each with its
reduced copies where the input has a pyramid; last, what only the end tells (display windows, provenance) is added.

A chunk is one plane of one frame. OME-Zarr 0.5 has shards: files of many chunks, here of consecutive frames and all
channels, so that a long movie is not thousands of files. A shard is written whole and once, when its last frame comes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

from image_translation.omezarr.arrays import ome_attributes
from image_translation.omezarr.metadata import AXES, Level
from image_translation.omezarr.store import FOV_NAME, Position, Store

# Blue and orange tell two stains apart under every common colour blindness.
COLORS = ("0072B2", "E69F00", "009E73", "CC79A7", "56B4E9", "D55E00")
COLORS_BY_CHANNEL = {"Phase3D": "FFFFFF", "Nuclei": COLORS[0], "Membrane": COLORS[1]}
ATTRIBUTE = "image_translation"
LONGEST_SHARD = 32  # frames; as many are computed again after a kill
LARGEST_SHARD = 128 * 2**20  # bytes of pixels; as many are held in memory for each method that is written


@dataclass(frozen=True)
class ImageSpec:
    """What an output image is to hold, beside what it takes over from the input.

    Attributes
    ----------
    like
        The input image: its name, axes' units, scales and pyramid are mirrored.
    channels
        Names of the output channels.
    frames
        Frames of the input that the output starts from; its time axis begins at their first.
    length
        Number of output frames.
    planes
        Planes of the input, along z, in the order of the output's.
    delay
        By how much an output frame lies later than the input frame of the same number, in frame intervals.
    """

    like: Position
    channels: tuple[str, ...]
    frames: range
    length: int
    planes: tuple[int, ...]
    delay: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels along T, C, Z, Y, X at the finest level."""
        return (self.length, len(self.channels), len(self.planes), *self.like.shape[3:])

    @property
    def shard(self) -> int:
        """Number of frames that are stored together in one file at each level, up to OME-Zarr 0.4 only one."""
        if self.like.zarr_format == 2:
            return 1
        frame = math.prod(self.shape[1:2] + self.shape[3:]) * np.dtype(np.float32).itemsize
        return max(1, min(LONGEST_SHARD, LARGEST_SHARD // frame, self.length))

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels of the output, called 0, 1, ...; planes are reduced in y and x only."""
        finest = self.like.levels[0]
        levels = []
        for number, level in enumerate(self.like.levels):
            scale = (*finest.scale[:3], *level.scale[3:])
            t, c, z = finest.translation[:3]
            t += (self.frames.start + self.delay) * finest.scale[0]
            z += self.planes[0] * finest.scale[2]
            translation = (t, c, z, *level.translation[3:])
            levels.append(Level(str(number), scale, translation, (*self.shape[:3], *level.shape[3:])))
        return tuple(levels)


def image_path(store: Path, name: str) -> Path:
    """Directory of the image group of a position within an output store."""
    return store if name == FOV_NAME else store / name


def create_store(path: Path, source: Store, images: Sequence[ImageSpec]) -> None:
    """Create an empty float32 store with the layout and version of the source.

    Parameters
    ----------
    path
        Directory to create; it must not exist.
    source
        Store to mirror.
    images
        One specification a position.
    """
    if source.layout != "fov":
        create_root(path, source, [image.like.name for image in images], images[0].like.zarr_format)
    for image in images:
        create_image(image_path(path, image.like.name), image)


def create_root(path: Path, source: Store, names: Sequence[str], zarr_format: int) -> None:
    """Create a store of several images, without the images, or tell one that is there which it has now.

    Parameters
    ----------
    path
        Directory of the store.
    source
        Store to mirror.
    names
        Names of the positions.
    zarr_format
        Of the source.
    """
    root = zarr.open_group(path, mode="a", zarr_format=zarr_format)
    if source.layout == "plate":
        _mirror_plate(root, source, names)
    else:
        _describe(root, "bioformats2raw.layout", 3)


def create_image(path: Path, image: ImageSpec) -> None:
    """Create an empty float32 image; the directory must not exist."""
    _create_image(zarr.open_group(path, mode="w-", zarr_format=image.like.zarr_format), image)


def finish_root(path: Path, attributes: Any) -> None:
    """Keep the provenance of a store of several images, too, in the root group's attribute ``image_translation``."""
    zarr.open_group(path, mode="r+", use_consolidated=False).attrs[ATTRIBUTE] = attributes
    _remove_strays(path)


def finish_image(path: Path, image: ImageSpec, windows: Sequence[Mapping[str, float]], attributes: Any) -> None:
    """Add what is known only when all frames are written.

    Parameters
    ----------
    path
        Directory of the image group.
    image
        Its specification.
    windows
        Display window of each channel: ``min``, ``max``, ``start``, ``end``.
    attributes
        Provenance, kept in the image group's attribute ``image_translation``.
    """
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    wrapped = "ome" in group.attrs
    ome: Any = group.attrs["ome"] if wrapped else group.attrs.asdict()
    ome["omero"]["channels"] = [
        {
            "active": True,
            "coefficient": 1.0,
            "color": COLORS_BY_CHANNEL.get(channel, COLORS[number % len(COLORS)]),
            "family": "linear",
            "inverted": False,
            "label": channel,
            "window": dict(window),
        }
        for number, (channel, window) in enumerate(zip(image.channels, windows, strict=True))
    ]
    group.attrs.update({"ome": ome} if wrapped else {"omero": ome["omero"]})
    group.attrs[ATTRIBUTE] = attributes
    _remove_strays(path)


def _remove_strays(path: Path) -> None:
    """Remove what zarr leaves of an attribute when it is killed."""
    for stray in path.glob(".*.partial"):
        stray.unlink()


def _axes(image: ImageSpec) -> list[Any]:
    from iohub.ngff.models import ChannelAxisMeta, SpaceAxisMeta, TimeAxisMeta

    kinds = {"t": TimeAxisMeta, "c": ChannelAxisMeta}
    axes = []
    for name in AXES:
        kind = kinds.get(name, SpaceAxisMeta)
        # A misspelt unit ("seconds") is mended by its singular, else left out: readers may refuse a store for it.
        spelt = image.like.units.get(name, "")
        units = [unit for unit in (spelt, spelt.removesuffix("s")) if unit and _allowed(kind, unit)]
        axes.append(kind(name=name, unit=units[0]) if units else kind(name=name))
    return axes


def _allowed(kind: Any, unit: str) -> bool:
    if "unit" not in kind.model_fields:
        return False
    try:
        kind(name="axis", unit=unit)
    except ValueError:
        return False
    return True


def _create_image(group: zarr.Group, image: ImageSpec) -> None:
    from iohub.ngff import Position as NgffPosition
    from iohub.ngff.models import TransformationMeta

    names, version = list(image.channels), _version(group)
    position = NgffPosition(group, parse_meta=False, channel_names=names, axes=_axes(image), version=version)
    for level in image.levels:
        transform = [TransformationMeta(type="scale", scale=list(level.scale))]
        if any(level.translation):
            transform.append(TransformationMeta(type="translation", translation=list(level.translation)))
        chunks = (1, 1, 1, *level.shape[3:])
        # Of the same frames at all levels, so that a frame is complete at all of them at once.
        shards = (image.shard, len(names), 1, 1, 1) if version == "0.5" else None
        position.create_zeros(
            level.path, level.shape, np.float32, chunks=chunks, shards_ratio=shards, transform=transform
        )


def _mirror_plate(root: zarr.Group, source: Store, names: Sequence[str]) -> None:
    """Take over the plate's and the wells' metadata, of the wells and images that are written."""
    chosen: dict[str, list[str]] = {}
    for name in names:
        well, _, image = name.rpartition("/")
        chosen.setdefault(well, []).append(image)
    plate = dict(source.metadata["plate"])
    plate["wells"] = [well for well in plate["wells"] if well["path"] in chosen]
    plate["field_count"] = max(len(images) for images in chosen.values())
    _describe(root, "plate", plate)
    for path, images in chosen.items():
        block = dict(ome_attributes(source.path / path)["well"])
        block["images"] = [image for image in block["images"] if image["path"] in images]
        _describe(root.require_group(path), "well", block)


def _describe(group: zarr.Group, key: str, block: Any) -> None:
    """Store OME metadata the way of the group's version, which the block itself states up to 0.4."""
    version = _version(group)
    if isinstance(block, dict):
        block.pop("version", None)
    if version == "0.5":
        group.attrs["ome"] = {"version": version, key: block}
    else:
        group.attrs[key] = {**block, "version": version} if isinstance(block, dict) else block


def _version(group: zarr.Group) -> Literal["0.4", "0.5"]:
    return "0.5" if group.metadata.zarr_format == 3 else "0.4"
