"""Output stores with the layout, OME-Zarr version, scales and pyramid of the input.

A store is first created empty. Planes are then written by `plane_stack`. Finally the display windows and the
provenance, which are known only at the end, are added.

A chunk is one plane of one frame. In OME-Zarr 0.5 a shard, which is one file, contains the chunks of all channels of
several consecutive frames, so that a long movie does not consist of thousands of files. A shard is written once,
complete, after its last frame.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

from image_translation.omezarr.arrays import read_ome_attributes
from image_translation.omezarr.metadata import AXES, Level
from image_translation.omezarr.store import FOV_NAME, Position, Store

# Blue and orange can be distinguished with every common colour vision deficiency.
COLORS = ("0072B2", "E69F00", "009E73", "CC79A7", "56B4E9", "D55E00")
COLORS_BY_CHANNEL = {"Phase3D": "FFFFFF", "Nuclei": COLORS[0], "Membrane": COLORS[1]}
PROVENANCE_KEY = "image_translation"  # attribute of the group of an image, or of a store of several images
MAX_SHARD_FRAMES = 32  # number of frames that are computed again if the process is killed
MAX_SHARD_BYTES = 128 * 2**20  # uncompressed; as many are kept in memory for each store that is being written


@dataclass(frozen=True)
class ImageSpec:
    """Specification of an output image.

    Attributes
    ----------
    like
        Input image, whose name, units, scales and pyramid are copied.
    channels
        Names of the output channels.
    frames
        Input frames from which the output is computed; its time axis starts at the first of them.
    length
        Number of output frames.
    planes
        Input plane along z of each output plane.
    delay
        Offset in time of each output frame from the input frame with the same number, in frame intervals.
    volumes
        Whether the planes of a frame are written together, so that the memory for incomplete shards is that of volumes.
    """

    like: Position
    channels: tuple[str, ...]
    frames: range
    length: int
    planes: tuple[int, ...]
    delay: float = 0.0
    volumes: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels along T, C, Z, Y, X at the finest level."""
        return (self.length, len(self.channels), len(self.planes), *self.like.shape[3:])

    @property
    def frames_per_shard(self) -> int:
        """Number of frames in one file at each level; 1 up to OME-Zarr 0.4, which has no shards."""
        if self.like.zarr_format == 2:
            return 1
        planes = len(self.planes) if self.volumes else 1
        frame = planes * math.prod(self.shape[1:2] + self.shape[3:]) * np.dtype(np.float32).itemsize
        return max(1, min(MAX_SHARD_FRAMES, MAX_SHARD_BYTES // frame, self.length))

    @property
    def levels(self) -> tuple[Level, ...]:
        """Resolution levels of the output, named 0, 1, ...; they are downsampled in y and x only."""
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
    """Return the directory of a position in an output store."""
    return store if name == FOV_NAME else store / name


def create_store(path: Path, source: Store, images: Sequence[ImageSpec]) -> None:
    """Create an empty float32 store with the layout and version of the source.

    Parameters
    ----------
    path
        Directory to create; it must not exist.
    source
        Store whose layout, version and plate metadata are copied.
    images
        Specification of each position.
    """
    if source.layout != "fov":
        create_root(path, source, [image.like.name for image in images], images[0].like.zarr_format)
    for image in images:
        create_image(image_path(path, image.like.name), image)


def create_root(path: Path, source: Store, names: Sequence[str], zarr_format: int) -> None:
    """Create or update the root metadata of a store of several images; the images are created separately.

    Parameters
    ----------
    path
        Directory of the store; an existing one gets the new list of positions.
    source
        Store whose layout and plate metadata are copied.
    names
        Names of the positions.
    zarr_format
        Zarr format of the source.
    """
    root = zarr.open_group(path, mode="a", zarr_format=zarr_format)
    if source.layout == "plate":
        _write_plate(root, source, names)
    else:
        _write_ome(root, "bioformats2raw.layout", 3)


def create_image(path: Path, image: ImageSpec) -> None:
    """Create an empty float32 image; the directory must not exist."""
    _create_image(zarr.open_group(path, mode="w-", zarr_format=image.like.zarr_format), image)


def finish_root(path: Path, attributes: Any) -> None:
    """Add the provenance of a store of several images to its root group, in the attribute ``image_translation``."""
    zarr.open_group(path, mode="r+", use_consolidated=False).attrs[PROVENANCE_KEY] = attributes
    _remove_temporary_files(path)


def finish_image(path: Path, image: ImageSpec, windows: Sequence[Mapping[str, float]], attributes: Any) -> None:
    """Add the metadata that are known when all frames have been written.

    Parameters
    ----------
    path
        Directory of the image.
    image
        Its specification.
    windows
        Display window of each channel: ``min``, ``max``, ``start``, ``end``.
    attributes
        Provenance as JSON values, stored in the attribute ``image_translation``.
    """
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    nested = "ome" in group.attrs
    ome: Any = group.attrs["ome"] if nested else group.attrs.asdict()
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
    group.attrs.update({"ome": ome} if nested else {"omero": ome["omero"]})
    group.attrs[PROVENANCE_KEY] = attributes
    _remove_temporary_files(path)


def _remove_temporary_files(path: Path) -> None:
    """Remove temporary files of attributes, which zarr leaves behind if it is killed."""
    for file in path.glob(".*.partial"):
        file.unlink()


def axes_metadata(image: ImageSpec) -> list[Any]:
    """Return the axes of an image as models of iohub."""
    from iohub.ngff.models import ChannelAxisMeta, SpaceAxisMeta, TimeAxisMeta

    kinds = {"t": TimeAxisMeta, "c": ChannelAxisMeta}
    axes = []
    for name in AXES:
        kind = kinds.get(name, SpaceAxisMeta)
        # Plural units ("seconds") are corrected and other invalid units are left out: readers may refuse them.
        stored = image.like.units.get(name, "")
        units = [unit for unit in (stored, stored.removesuffix("s")) if unit and _is_valid_unit(kind, unit)]
        axes.append(kind(name=name, unit=units[0]) if units else kind(name=name))
    return axes


def _is_valid_unit(kind: Any, unit: str) -> bool:
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
    position = NgffPosition(group, parse_meta=False, channel_names=names, axes=axes_metadata(image), version=version)
    for level in image.levels:
        transform = [TransformationMeta(type="scale", scale=list(level.scale))]
        if any(level.translation):
            transform.append(TransformationMeta(type="translation", translation=list(level.translation)))
        chunks = (1, 1, 1, *level.shape[3:])
        # The same number of frames at all levels, so that a frame is complete at all of them at once.
        shards = (image.frames_per_shard, len(names), 1, 1, 1) if version == "0.5" else None
        position.create_zeros(
            level.path, level.shape, np.float32, chunks=chunks, shards_ratio=shards, transform=transform
        )


def _write_plate(root: zarr.Group, source: Store, names: Sequence[str]) -> None:
    """Copy the metadata of the plate and its wells, restricted to the positions that are written."""
    chosen: dict[str, list[str]] = {}
    for name in names:
        well, _, image = name.rpartition("/")
        chosen.setdefault(well, []).append(image)
    plate = dict(source.metadata["plate"])
    plate["wells"] = [well for well in plate["wells"] if well["path"] in chosen]
    plate["field_count"] = max(len(images) for images in chosen.values())
    _write_ome(root, "plate", plate)
    for path, images in chosen.items():
        block = dict(read_ome_attributes(source.path / path)["well"])
        block["images"] = [image for image in block["images"] if image["path"] in images]
        _write_ome(root.require_group(path), "well", block)


def _write_ome(group: zarr.Group, key: str, block: Any) -> None:
    """Write OME metadata in the format of the version; up to 0.4 the version is part of the block."""
    version = _version(group)
    if isinstance(block, dict):
        block.pop("version", None)
    if version == "0.5":
        group.attrs["ome"] = {"version": version, key: block}
    else:
        group.attrs[key] = {**block, "version": version} if isinstance(block, dict) else block


def _version(group: zarr.Group) -> Literal["0.4", "0.5"]:
    return "0.5" if group.metadata.zarr_format == 3 else "0.4"
