"""Which images of a store a network is trained on and which are held out, and what they are normalised by.

The store is read and never written: the statistics go into a file beside the checkpoints.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from image_translation import normalize
from image_translation.errors import DataError, UsageError, listing
from image_translation.normalize import Method, Statistics
from image_translation.omezarr.selection import select_planes
from image_translation.omezarr.statistics import field_statistics
from image_translation.omezarr.store import Position, Store

HELD_OUT = 0.2
"""Share of the positions, frames or columns that no gradient sees, unless positions are named."""

_FEWEST_FRAMES = 5  # of a movie that is split in time

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Window:
    """A plane of one frame of one position, or some of its columns.

    Attributes
    ----------
    position
        Name of the position.
    frame, plane
        Indices of time and depth.
    columns
        First column, and the one after the last.
    """

    position: str
    frame: int
    plane: int
    columns: tuple[int, int]


@dataclass(frozen=True)
class Fields:
    """The images of a training.

    Attributes
    ----------
    positions
        The images, by the name of their position.
    channels
        Names of the sources, then of the targets.
    train, held_out
        Windows to train on, and to judge by.
    inputs
        By position and source channel, what its field of view is normalised by.
    outputs
        By target channel, what all fields are normalised by together, so that a bright field stays a bright one.
    pixel_size
        In micrometres, if all positions state the same one.
    sha256
        Sum of samples of all images that were looked at: other data, another sum.
    """

    positions: Mapping[str, Position]
    channels: tuple[str, ...]
    train: tuple[Window, ...]
    held_out: tuple[Window, ...]
    inputs: Mapping[str, Mapping[str, Statistics]]
    outputs: Mapping[str, Statistics]
    pixel_size: float | None
    sha256: str

    def read(self, window: Window) -> NDArray[np.float32]:
        """Read all channels of a window, (C, Y, X) float32, as they are stored."""
        position, columns = self.positions[window.position], slice(*window.columns)
        indices = [position.channels.index(channel) for channel in self.channels]
        planes = [position.read(window.frame, index, window.plane)[:, columns] for index in indices]
        return np.stack(planes).astype(np.float32, copy=False)

    def write_statistics(self, path: Path) -> None:
        """Write what was computed to a JSON file."""
        content = {
            "inputs": {
                name: {channel: _numbers(found) for channel, found in channels.items()}
                for name, channels in self.inputs.items()
            },
            "outputs": {channel: _numbers(found) for channel, found in self.outputs.items()},
            "train": sorted({window.position for window in self.train}),
            "held_out": [[w.position, w.frame, w.plane, *w.columns] for w in self.held_out],
            "pixel_size_um": self.pixel_size,
            "sha256": self.sha256,
        }
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")


@dataclass(frozen=True)
class Choice:
    """Which images are wanted; as in `TrainOptions`."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    positions: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    z: str = "middle"
    normalization: Method = "mean_std"
    patch: int = 16
    seed: int = 0


def find_fields(store: Store, choice: Choice) -> Fields:
    """Look through a store: which images are there, which were dropped, and what their intensities are.

    Images that are empty, constant or not finite in any channel are left out, and so are those that cannot be read.

    Parameters
    ----------
    store
        Any OME-Zarr store with the sources and the targets as channels.
    choice
        What is wanted.

    Raises
    ------
    UsageError
        A channel or position is missing; frames are smaller than a patch; or nothing is left to hold out.
    DataError
        No image is left.
    """
    names = store.select(choice.positions)
    if choice.validation:  # named ones need not be among the others
        names = tuple(dict.fromkeys((*names, *store.select(choice.validation))))
    positions = {name: store.position(name) for name in names}
    channels = (*choice.source, *choice.target)
    for position in positions.values():
        _require(position, channels, choice.patch)
    digest = hashlib.sha256(repr((channels, choice.z)).encode())
    samples: dict[str, list[NDArray[np.float64]]] = {channel: [] for channel in choice.target}
    windows = []
    for window, images in _valid(positions, channels, choice.z):
        windows.append(window)
        digest.update(repr(window).encode())
        for channel, image in zip(channels, images, strict=True):
            sample = normalize.grid_sample(image)
            digest.update(sample.tobytes())
            if channel in samples:
                samples[channel].append(sample)
    if not windows:
        raise DataError(f"{store.path}: every image is empty, constant or unreadable in one of {listing(channels)}")
    train, held_out = _split(store, windows, choice)
    used = dict.fromkeys(window.position for window in windows)
    return Fields(
        {name: positions[name] for name in used},
        channels,
        train,
        held_out,
        {name: _inputs(positions[name], choice) for name in used},
        {channel: normalize.estimate(found, "mean_std") for channel, found in samples.items()},
        _pixel_size(positions.values()),
        digest.hexdigest(),
    )


def _require(position: Position, channels: Sequence[str], patch: int) -> None:
    missing = [channel for channel in channels if channel not in position.channels]
    if missing:
        raise UsageError(
            f"{position.path} has no channel {', '.join(missing)}; it has {listing(position.channels)}; "
            "choose with --source and --target"
        )
    if min(position.shape[3:]) < patch:
        size = " x ".join(map(str, position.shape[3:]))
        raise UsageError(f"--patch {patch}: larger than the frames of {position.path}, which are {size} pixels")


def _valid(
    positions: Mapping[str, Position], channels: Sequence[str], z: str
) -> Iterator[tuple[Window, list[NDArray[Any]]]]:
    """Yield the images that can be trained on; warn of the others."""
    planes = {name: select_planes(position, z) for name, position in positions.items()}
    total = sum(position.shape[0] * len(planes[name]) for name, position in positions.items())
    dropped, unreadable = 0, []
    with tqdm(total=total, unit="image", disable=None, dynamic_ncols=True, desc="looking through the data") as bar:
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
                        yield Window(name, frame, plane, (0, position.shape[4])), images
                    else:
                        dropped += 1
    if dropped:
        _log.warning("%d of %d images are left out: empty, constant or not finite in some channel", dropped, total)
    if unreadable:
        _log.warning("%d of %d images are left out; the first: %s", len(unreadable), total, unreadable[0])


def _split(store: Store, windows: Sequence[Window], choice: Choice) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
    """Hold out positions where there are several, else the last frames of a movie, else the right of the field."""
    names = list(dict.fromkeys(window.position for window in windows))
    frames = sorted({window.frame for window in windows})
    if choice.validation:
        chosen = set(store.select(choice.validation))
    elif len(names) > 1:
        count = max(1, round(HELD_OUT * len(names)))
        chosen = set(np.random.default_rng(choice.seed).permutation(names)[:count].tolist())
    elif len(frames) >= _FEWEST_FRAMES:
        last = frames[-max(1, round(HELD_OUT * len(frames))) :]
        return _parted(store, windows, [window.frame in last for window in windows])
    else:
        return _split_columns(store, windows, choice.patch)
    return _parted(store, windows, [window.position in chosen for window in windows])


def _parted(
    store: Store, windows: Sequence[Window], held: Sequence[bool]
) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
    train = tuple(window for window, out in zip(windows, held, strict=True) if not out)
    held_out = tuple(window for window, out in zip(windows, held, strict=True) if out)
    if not train or not held_out:
        rest = "to train on" if held_out else "to judge by"
        raise UsageError(f"--validation: nothing is left {rest} in {store.path}; name some of its positions, not all")
    return train, held_out


def _split_columns(
    store: Store, windows: Sequence[Window], patch: int
) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
    width = windows[0].columns[1]
    border = width - max(patch, round(HELD_OUT * width))
    if border < patch:
        raise UsageError(
            f"--patch {patch}: {store.path} is a single still of {width} columns, of which as many as a patch are held "
            f"out; give more fields, or patches of at most {width // 2}"
        )
    left = tuple(Window(w.position, w.frame, w.plane, (0, border)) for w in windows)
    right = tuple(Window(w.position, w.frame, w.plane, (border, width)) for w in windows)
    return left, right


def _inputs(position: Position, choice: Choice) -> dict[str, Statistics]:
    """Find the statistics that a prediction of this field would take."""
    method = choice.normalization
    return {name: field_statistics(position, position.channels.index(name), method) for name in choice.source}


def _pixel_size(positions: Iterable[Position]) -> float | None:
    sizes = {position.pixel_size for position in positions}
    return sizes.pop() if len(sizes) == 1 else None


def _numbers(statistics: Statistics) -> dict[str, float]:
    return {"center": statistics.center, "scale": statistics.scale}
