"""Output stores with the layout, OME-Zarr version, scales and pyramid of the input.

A store is first created empty. Planes are then written by `plane_stack`. Finally the display windows and the
provenance, which are known only at the end, are added.

A chunk is one plane of one frame. In OME-Zarr 0.5 a shard, which is one file, contains the chunks of several
consecutive frames of one channel, so that a long movie does not consist of thousands of files. A shard is written once,
complete, after its last frame.

Groups and arrays are written with zarr alone: no other library decides what is in the stores.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

from image_translation.omezarr.arrays import read_ome_attributes
from image_translation.omezarr.axes import axes_metadata
from image_translation.omezarr.blank_frames import BLANK, NAN, Blank
from image_translation.omezarr.metadata import AXES, Level
from image_translation.omezarr.store import FOV_NAME, PROVENANCE_KEY, Position, Store

Version = Literal["0.4", "0.5"]

# Blue and orange can be distinguished with every common colour vision deficiency.
COLORS = ("0072B2", "E69F00", "009E73", "CC79A7", "56B4E9", "D55E00")
COLORS_BY_CHANNEL = {"Phase3D": "FFFFFF", "Nuclei": COLORS[0], "Membrane": COLORS[1]}
MAX_SHARD_FRAMES = 32  # number of frames that are computed again if the process is killed
MAX_SHARD_BYTES = 16 * 2**20  # uncompressed; some viewers read whole shards, and then wait for this many bytes a frame
MAX_BUFFER_BYTES = 128 * 2**20  # of the incomplete shards of each store that is being written
MAX_COARSEST_SIDE = 1024  # pixels: viewers of plates load the coarsest level of every well
ZARR_FORMATS: Mapping[str, int] = {"0.4": 2, "0.5": 3}  # by OME-Zarr version
SUFFIX = "channel_suffix"  # key in the provenance


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
    name
        Name of the image, by which viewers tell the results of several methods apart.
    suffix
        What is appended to the names of the channels in the store.
    version
        OME-Zarr version; None is that of the input.
    blank
        Pixels of invalid frames, see `blank_frames`.
    """

    like: Position
    channels: tuple[str, ...]
    frames: range
    length: int
    planes: tuple[int, ...]
    delay: float = 0.0
    volumes: bool = False
    name: str = ""
    suffix: str = ""
    version: Version | None = None
    blank: Blank = NAN

    @property
    def zarr_format(self) -> int:
        """Zarr format: 2 up to OME-Zarr 0.4, 3 from 0.5 on."""
        return self.like.zarr_format if self.version is None else ZARR_FORMATS[self.version]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the channels in the store."""
        return tuple(f"{channel}{self.suffix}" for channel in self.channels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels along T, C, Z, Y, X at the finest level."""
        return (self.length, len(self.channels), len(self.planes), *self.like.shape[3:])

    @property
    def frames_per_shard(self) -> int:
        """Number of frames in one file at each level; 1 up to OME-Zarr 0.4, which has no shards."""
        if self.zarr_format == 2:
            return 1
        chunk = math.prod(self.shape[3:]) * np.dtype(np.float32).itemsize
        written = chunk * len(self.channels) * (len(self.planes) if self.volumes else 1)
        return max(1, min(MAX_SHARD_FRAMES, MAX_SHARD_BYTES // chunk, MAX_BUFFER_BYTES // written, self.length))

    @property
    def levels(self) -> tuple[Level, ...]:
        """Resolution levels of the output, named 0, 1, ...; they are downsampled in y and x only.

        They are those of the input, and more until the coarsest has at most `MAX_COARSEST_SIDE` pixels along y and x.
        """
        finest = self.like.levels[0]
        levels = []
        for number, level in enumerate(self.like.levels):
            scale = (*finest.scale[:3], *level.scale[3:])
            t, c, z = finest.translation[:3]
            t += (self.frames.start + self.delay) * finest.scale[0]
            z += self.planes[0] * finest.scale[2]
            translation = (t, c, z, *level.translation[3:])
            levels.append(Level(str(number), scale, translation, (*self.shape[:3], *level.shape[3:])))
        while max(levels[-1].shape[3:]) > MAX_COARSEST_SIDE:
            levels.append(_halved(levels[-1], str(len(levels))))
        return tuple(levels)


def _halved(level: Level, path: str) -> Level:
    """Return the next level, whose pixels are means of two by two, centred between them."""
    factors = [1 if length == 1 else 2 for length in level.shape[3:]]
    scale = [size * factor for size, factor in zip(level.scale[3:], factors, strict=True)]
    centres = [
        start + (factor - 1) / 2 * size
        for start, factor, size in zip(level.translation[3:], factors, level.scale[3:], strict=True)
    ]
    shape = [-(-length // factor) for length, factor in zip(level.shape[3:], factors, strict=True)]
    return Level(path, (*level.scale[:3], *scale), (*level.translation[:3], *centres), (*level.shape[:3], *shape))


def image_path(store: Path, name: str) -> Path:
    """Return the directory of a position in an output store."""
    return store if name == FOV_NAME else store / name


def create_store(path: Path, source: Store, images: Sequence[ImageSpec]) -> None:
    """Create an empty float32 store with the layout of the source, and the version of the images.

    Parameters
    ----------
    path
        Directory to create; it must not exist.
    source
        Store whose layout and plate metadata are copied.
    images
        Specification of each position.
    """
    if source.layout != "fov":
        create_root(path, source, [image.like.name for image in images], images[0].zarr_format)
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
        Zarr format of the store, which may be another one than that of the source.
    """
    root = zarr.open_group(path, mode="a", zarr_format=zarr_format)
    if source.layout == "plate":
        _write_plate(root, source, names)
    else:
        _write_ome(root, "bioformats2raw.layout", 3)


def create_image(path: Path, image: ImageSpec) -> None:
    """Create an empty float32 image; the directory must not exist."""
    group = zarr.open_group(path, mode="w-", zarr_format=image.zarr_format)
    for level in image.levels:
        _create_array(group, image, level)
    version, name = _version(group), {"name": image.name} if image.name else {}
    multiscale = {
        **({"version": version} if version == "0.4" else {}),
        **name,
        "axes": axes_metadata(image.like.units),
        "datasets": [
            {"path": level.path, "coordinateTransformations": transformations_metadata(level)} for level in image.levels
        ],
    }
    omero = {
        **({"version": version} if version == "0.4" else {}),
        **name,
        "channels": [
            {"label": label, "color": color} for label, color in zip(image.labels, _colors(image), strict=True)
        ],
        "rdefs": {"defaultT": 0, "defaultZ": 0, "model": "color"},
    }
    ome = {"multiscales": [multiscale], "omero": omero}
    group.attrs.update({"ome": {"version": version, **ome}} if version == "0.5" else ome)


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
            "color": color,
            "family": "linear",
            "inverted": False,
            "label": label,
            "window": dict(window),
        }
        for label, color, window in zip(image.labels, _colors(image), windows, strict=True)
    ]
    group.attrs.update({"ome": ome} if nested else {"omero": ome["omero"]})
    how = {SUFFIX: image.suffix} if image.suffix else {}
    group.attrs[PROVENANCE_KEY] = {**attributes, **how, **({BLANK: image.blank} if image.blank != NAN else {})}
    _remove_temporary_files(path)


def _remove_temporary_files(path: Path) -> None:
    """Remove temporary files of attributes, which zarr leaves behind if it is killed."""
    for file in path.glob(".*.partial"):
        file.unlink()


def transformations_metadata(level: Level) -> list[dict[str, Any]]:
    """Return the transformations of a level as in ``datasets``: its scale, and its translation unless that is zero."""
    found: list[dict[str, Any]] = [{"type": "scale", "scale": list(level.scale)}]
    if any(level.translation):
        found.append({"type": "translation", "translation": list(level.translation)})
    return found


def _colors(image: ImageSpec) -> list[str]:
    defaults = (COLORS[number % len(COLORS)] for number in range(len(image.channels)))
    return [COLORS_BY_CHANNEL.get(channel, color) for channel, color in zip(image.channels, defaults, strict=True)]


def _create_array(group: zarr.Group, image: ImageSpec, level: Level) -> None:
    chunks = (1, 1, 1, *level.shape[3:])
    if group.metadata.zarr_format == 2:
        kind: dict[str, Any] = {
            "compressors": {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 2},  # by bits
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
            "attributes": {"_ARRAY_DIMENSIONS": list(AXES)},  # by which xarray names the axes
        }
    else:
        frames = image.frames_per_shard  # the same at all levels, so that a frame is complete at all of them at once
        kind = {
            "compressors": zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
            "shards": (frames, *chunks[1:]) if frames > 1 else None,
            "dimension_names": AXES,
        }
    group.create_array(level.path, shape=level.shape, dtype=np.float32, chunks=chunks, fill_value=0, **kind)


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
    """Write OME metadata in the format of the version, which is stated in the block of a plate or well, too.

    In 0.5 the version of a well is that of its group alone.
    """
    version = _version(group)
    if isinstance(block, dict):
        block.pop("version", None)
        if version == "0.4" or key == "plate":
            block = {**block, "version": version}
    group.attrs.update({"ome": {"version": version, key: block}} if version == "0.5" else {key: block})


def _version(group: zarr.Group) -> Version:
    return "0.5" if group.metadata.zarr_format == 3 else "0.4"
