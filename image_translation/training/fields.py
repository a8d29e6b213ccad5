"""Images of a store for training and validation: selection, split into two sets, and intensity statistics.

The store is never written to; the statistics go into a file beside the checkpoints.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import DataError, UsageError, listing
from image_translation.normalize import Method, Statistics
from image_translation.omezarr.selection import select_planes
from image_translation.omezarr.statistics import field_statistics
from image_translation.omezarr.store import Position, Store
from image_translation.progress_bar import ProgressBar

HELD_OUT = 0.2
"""Fraction of the positions, frames or columns that is held out for validation, unless positions are named."""

_MIN_FRAMES = 5  # of a movie that is split in time

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageRegion:
    """A plane or consecutive planes of one frame of one position, or a range of their columns.

    Attributes
    ----------
    position
        Name of the position.
    frame, plane
        Indices on the time and depth axes; the latter is that of the first plane.
    columns
        Index of the first column, and of the one after the last.
    depth
        Number of planes.
    """

    position: str
    frame: int
    plane: int
    columns: tuple[int, int]
    depth: int = 1


Regions = tuple[ImageRegion, ...]


@dataclass(frozen=True)
class Fields:
    """Images for training and validation, and their statistics.

    Attributes
    ----------
    positions
        Positions by name.
    channels
        Names of the sources, then of the targets.
    train, held_out
        Regions to train on, and regions held out for validation.
    source_statistics
        Statistics of each field of view, by position and source channel.
    target_statistics
        Statistics of all fields together, by target channel, so that a bright field stays bright.
    pixel_size
        In micrometres; None unless all positions have the same one.
    sha256
        SHA-256 checksum of samples of all images, which changes with the data.
    plane_distance
        In micrometres; None unless all positions have the same one.
    """

    positions: Mapping[str, Position]
    channels: tuple[str, ...]
    train: Regions
    held_out: Regions
    source_statistics: Mapping[str, Mapping[str, Statistics]]
    target_statistics: Mapping[str, Statistics]
    pixel_size: float | None
    sha256: str
    plane_distance: float | None = None

    def read(self, region: ImageRegion) -> NDArray[np.float32]:
        """Read all channels of a region, (C, Z, Y, X) float32, without normalisation."""
        position, columns = self.positions[region.position], slice(*region.columns)
        indices = [position.channels.index(channel) for channel in self.channels]
        planes = range(region.plane, region.plane + region.depth)
        stacks = [[position.read(region.frame, index, z)[:, columns] for z in planes] for index in indices]
        return np.array(stacks).astype(np.float32, copy=False)

    def write_statistics(self, path: Path) -> None:
        """Write the statistics and the split into training and validation to a JSON file."""
        content = {
            "inputs": {
                name: {channel: _to_json(statistics) for channel, statistics in channels.items()}
                for name, channels in self.source_statistics.items()
            },
            "outputs": {channel: _to_json(statistics) for channel, statistics in self.target_statistics.items()},
            "train": sorted({region.position for region in self.train}),
            "held_out": [[r.position, r.frame, r.plane, *r.columns] for r in self.held_out],
            "pixel_size_um": self.pixel_size,
            "sha256": self.sha256,
        }
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")


@dataclass(frozen=True)
class FieldSelection:
    """Selection of images; the attributes are those of `options.TrainOptions`."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    positions: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    z: str = "middle"
    normalization: Method = "mean_std"
    patch: int = 16
    seed: int = 0
    depth: int = 1


def find_fields(store: Store, selection: FieldSelection) -> Fields:
    """Find the valid images of a store, split them into training and validation, and compute their statistics.

    Images that are empty, constant or not finite in any channel, and images that cannot be read, are left out.

    Parameters
    ----------
    store
        OME-Zarr store with the sources and the targets as channels.
    selection
        Channels, positions and planes; normalisation method, patch size and seed.

    Raises
    ------
    UsageError
        If a channel or position is missing, frames are smaller than a patch, there are fewer planes than in a stack, or
        training or validation set are empty.
    DataError
        If no image, or no stack of images, is valid.
    """
    names = store.select(selection.positions)
    if selection.validation:  # need not be among the positions
        names = tuple(dict.fromkeys((*names, *store.select(selection.validation))))
    positions = {name: store.position(name) for name in names}
    channels = (*selection.source, *selection.target)
    for position in positions.values():
        _check_position(position, channels, selection.patch)
    planes = {name: _select_planes(position, selection) for name, position in positions.items()}
    kind = (selection.z,) if selection.depth == 1 else (selection.z, selection.depth)
    digest = hashlib.sha256(repr((channels, *kind)).encode())
    samples: dict[str, list[NDArray[np.float64]]] = {channel: [] for channel in selection.target}
    regions = []
    for region, images in _valid_images(positions, channels, planes):
        regions.append(region)
        digest.update(_encode(region))
        for channel, image in zip(channels, images, strict=True):
            sample = normalize.grid_sample(image)
            digest.update(sample.tobytes())
            if channel in samples:
                samples[channel].append(sample)
    if not regions:
        raise DataError(f"{store.path}: every image is empty, constant or unreadable in one of {listing(channels)}")
    regions = _stacks(regions, selection.depth)
    if not regions:
        raise DataError(
            f"{store.path}: no {selection.depth} adjacent planes of a frame are valid in all of {listing(channels)}; "
            "use a smaller --stack"
        )
    train, held_out = _split(store, regions, selection)
    used = dict.fromkeys(region.position for region in regions)
    return Fields(
        {name: positions[name] for name in used},
        channels,
        train,
        held_out,
        {name: _source_statistics(positions[name], selection) for name in used},
        {channel: normalize.estimate(values, "mean_std") for channel, values in samples.items()},
        _common(position.pixel_size for position in positions.values()),
        digest.hexdigest(),
        _common(position.voxel_size[0] for position in positions.values()),
    )


def _check_position(position: Position, channels: Sequence[str], patch: int) -> None:
    missing = [channel for channel in channels if channel not in position.channels]
    if missing:
        raise UsageError(
            f"{position.path} has no channel {', '.join(missing)}; it has {listing(position.channels)}; "
            "choose with --source and --target"
        )
    if min(position.shape[3:]) < patch:
        size = " x ".join(map(str, position.shape[3:]))
        raise UsageError(f"--patch {patch}: larger than the frames of {position.path}, which are {size} pixels")


def _select_planes(position: Position, selection: FieldSelection) -> tuple[int, ...]:
    """Select the planes to train on; for stacks, those around a single one, as far as there are planes."""
    planes, size, depth = select_planes(position, selection.z), position.shape[2], selection.depth
    if size < depth:
        raise UsageError(
            f"--stack {depth}: {position.path} has only {size} plane{'s' * (size > 1)}; use a smaller stack, or train "
            "on single planes without --stack"
        )
    if len(planes) == 1:
        first = min(max(planes[0] - depth // 2, 0), size - depth)
        return tuple(range(first, first + depth))
    if len(planes) < depth:
        raise UsageError(f"--z {selection.z}: {len(planes)} planes, fewer than in a stack of --stack {depth}")
    return planes


def _stacks(regions: Sequence[ImageRegion], depth: int) -> list[ImageRegion]:
    """Return all stacks of adjacent planes that are valid; they overlap."""
    valid = set(regions)
    return [
        replace(region, depth=depth)
        for region in regions
        if all(replace(region, plane=region.plane + offset) in valid for offset in range(depth))
    ]


def _valid_images(
    positions: Mapping[str, Position], channels: Sequence[str], planes: Mapping[str, Sequence[int]]
) -> Iterator[tuple[ImageRegion, list[NDArray[Any]]]]:
    """Yield the images that are valid in all channels; warn about the others."""
    total = sum(position.shape[0] * len(planes[name]) for name, position in positions.items())
    dropped, unreadable = 0, []
    with ProgressBar(total, "reading the data", "image") as bar:
        for name, position in positions.items():
            indices = [position.channels.index(channel) for channel in channels]
            for frame in range(position.shape[0]):
                for plane in planes[name]:
                    bar.update(1)
                    try:
                        images = [position.read(frame, index, plane) for index in indices]
                    except DataError as error:
                        unreadable.append(str(error))
                        continue
                    if all(map(normalize.is_valid, images)):
                        yield ImageRegion(name, frame, plane, (0, position.shape[4])), images
                    else:
                        dropped += 1
    if dropped:
        _log.warning("%d of %d images are left out: empty, constant or not finite in some channel", dropped, total)
    if unreadable:
        _log.warning("%d of %d images are left out; the first: %s", len(unreadable), total, unreadable[0])


def _split(store: Store, regions: Sequence[ImageRegion], selection: FieldSelection) -> tuple[Regions, Regions]:
    """Hold out positions if there are several, else the last frames of a movie, else the right part of the field."""
    names = list(dict.fromkeys(region.position for region in regions))
    frames = sorted({region.frame for region in regions})
    if selection.validation:
        held_out = set(store.select(selection.validation))
    elif len(names) > 1:
        count = max(1, round(HELD_OUT * len(names)))
        held_out = set(np.random.default_rng(selection.seed).permutation(names)[:count].tolist())
    elif len(frames) >= _MIN_FRAMES:
        last = frames[-max(1, round(HELD_OUT * len(frames))) :]
        return _partition(store, regions, [region.frame in last for region in regions])
    else:
        return _split_columns(store, regions, selection.patch)
    return _partition(store, regions, [region.position in held_out for region in regions])


def _partition(store: Store, regions: Sequence[ImageRegion], is_held_out: Sequence[bool]) -> tuple[Regions, Regions]:
    train = tuple(region for region, out in zip(regions, is_held_out, strict=True) if not out)
    held_out = tuple(region for region, out in zip(regions, is_held_out, strict=True) if out)
    if not train or not held_out:
        purpose = "to train on" if held_out else "for validation"
        raise UsageError(
            f"--validation: no image is left {purpose} in {store.path}; name some of its positions, not all"
        )
    return train, held_out


def _split_columns(store: Store, regions: Sequence[ImageRegion], patch: int) -> tuple[Regions, Regions]:
    width = regions[0].columns[1]
    border = width - max(patch, round(HELD_OUT * width))
    if border < patch:
        raise UsageError(
            f"--patch {patch}: {store.path} is a single image of {width} columns, too few to hold out some of "
            f"them; give more images, or patches of at most {width // 2} pixels"
        )
    left = tuple(replace(region, columns=(0, border)) for region in regions)
    right = tuple(replace(region, columns=(border, width)) for region in regions)
    return left, right


def _source_statistics(position: Position, selection: FieldSelection) -> dict[str, Statistics]:
    """Return the statistics of a field as they are used for predictions."""
    method = selection.normalization
    return {name: field_statistics(position, position.channels.index(name), method) for name in selection.source}


def _encode(region: ImageRegion) -> bytes:
    """Encode a region for the checksum; the format must not change, since trainings are resumed by the checksum."""
    content = (
        f"position={region.position!r}, frame={region.frame!r}, plane={region.plane!r}, columns={region.columns!r}"
    )
    return f"Window({content})".encode()


def _common(sizes: Iterable[float | None]) -> float | None:
    different = set(sizes)
    return different.pop() if len(different) == 1 else None


def _to_json(statistics: Statistics) -> dict[str, float]:
    return {"center": statistics.center, "scale": statistics.scale}
