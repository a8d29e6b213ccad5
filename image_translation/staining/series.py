"""One plane of one position over time: what is stained, filtered and scored independently."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import UsageError
from image_translation.network.loading import ModelSpec
from image_translation.network.resampling import Resampling
from image_translation.network.sliding_window import StackWindow
from image_translation.omezarr.chunk_files import fingerprint
from image_translation.omezarr.selection import ALL, MIDDLE, select_frames, select_inputs, select_planes
from image_translation.omezarr.store import Position
from image_translation.staining.network_grid import network_grid, planes_seen, stack_window
from image_translation.staining.options import SmoothOptions


@dataclass(frozen=True)
class Series:
    """One plane of one position over time: the unit that is stained, filtered and scored independently.

    Attributes
    ----------
    position
        Position that it belongs to.
    channel
        Index of the label-free channel, or of the first input channel of a network that takes several.
    truth
        Indices of the channels that hold the true fluorescence, in the order of the network's outputs; may be empty.
    z, plane
        Index of the plane in the input, and in the output.
    frames
        Frame numbers to process.
    n_valid
        Number of valid frames among them, up to the number that the filters need.
    stack
        Planes that the network sees to predict it, itself included; empty if it sees this plane only.
    more
        Indices of the further input channels.
    """

    position: Position
    channel: int
    truth: tuple[int, ...]
    z: int
    plane: int
    frames: range
    n_valid: int
    stack: frozenset[int] = frozenset()
    more: tuple[int, ...] = ()

    @property
    def blank(self) -> bool:
        """Whether no frame is valid."""
        return not self.n_valid

    @property
    def name(self) -> str:
        """Name in journals and messages."""
        return f"{self.position.name} z{self.z}"

    @property
    def inputs(self) -> tuple[int, ...]:
        """Indices of the input channels, in the order of the network's inputs."""
        return (self.channel, *self.more)

    @property
    def channels(self) -> tuple[int, ...]:
        """Indices of all channels that are read: those of the input, and those of the truth."""
        return (*self.inputs, *self.truth)

    def read_inputs(self, t: int, z: int) -> NDArray[Any]:
        """Read the input channels of a plane of a frame, (C, Y, X) in the stored data type."""
        return np.stack([self.position.read(t, channel, z) for channel in self.inputs])

    def files(self, t: int) -> list[Path]:
        """Return the files of the chunks of a frame, which are missing where they hold the fill value only."""
        return [path for channel in self.inputs for path in self.position.chunk_files(t, channel, self.z)]

    def files_of_truth(self, t: int) -> list[Path]:
        """Return the files of the chunks of the true stains of a frame."""
        return [path for channel in self.truth for path in self.position.chunk_files(t, channel, self.z)]


def select_series(position: Position, spec: ModelSpec, options: SmoothOptions) -> Iterator[Series]:
    """Yield the planes of a position that are to be stained; ``UsageError`` if the options do not fit it."""
    inputs = select_inputs(position, options.channels, spec.architecture.in_channels, spec.input_channels)
    frames = select_frames(position, options.frames)
    window, grid = stack_window(spec, options), network_grid(position, spec, options)
    if window:
        depths = select_predictable_planes(position, options.z, window, grid)
    else:
        depths = select_planes(position, options.z or MIDDLE)
    truth = _truth(position, inputs, spec)
    n_valid = _count_valid(position, inputs, depths, frames, options)
    for plane, z in enumerate(depths):
        stack = planes_seen([z], window, grid) if window else frozenset()
        yield Series(position, inputs[0], truth, z, plane, frames, n_valid[z], stack, inputs[1:])


def select_predictable_planes(
    position: Position, z: str | None, window: StackWindow, grid: Resampling
) -> tuple[int, ...]:
    """Select planes that a network for stacks can predict.

    Parameters
    ----------
    position
        Image.
    z
        As in ``selection.select_planes``; None and ``all`` are all planes that can be predicted.
    window
        Planes that the network takes and predicts.
    grid
        Planes that it sees.

    Raises
    ------
    UsageError
        If a plane does not exist, or too few planes are around it.
    """
    depth, size = position.shape[2], window.in_depth
    if depth == 1:
        raise UsageError(
            f"{position.path} has a single plane, and the network takes stacks of {size}; choose a network for single "
            "planes, such as pretrained_ckpt"
        )
    possible = grid.within(window.predictable(grid.network_shape[0]))
    if not possible:
        resampled = f", {grid.network_shape[0]} of the network's spacing" if depth != grid.network_shape[0] else ""
        raise UsageError(
            f"{position.path} has {depth} planes{resampled}, and the network takes stacks of {size}; --z-pad extends "
            "the stacks by reflection"
        )
    if z is None or z == ALL:
        return tuple(possible)
    planes = select_planes(position, z)
    if planes[0] not in possible or planes[-1] not in possible:
        raise UsageError(
            f"--z {z}: the network predicts the planes {possible[0]} to {possible[-1]} of the {depth} of "
            f"{position.path}, because it takes stacks of {size}; choose among them, or extend the stacks with --z-pad"
        )
    return planes


def context_planes(series: Sequence[Series]) -> list[int]:
    """Return the planes that the network sees beside those that are stained, ascending."""
    stained = {one.z for one in series}
    return sorted({z for one in series for z in one.stack} - stained)


def _truth(position: Position, inputs: Sequence[int], spec: ModelSpec) -> tuple[int, ...]:
    names, wanted = position.channels, set(spec.output_channels)
    if not wanted <= set(names) or wanted & {names[channel] for channel in inputs}:
        return ()
    return tuple(names.index(name) for name in spec.output_channels)


def _count_valid(
    position: Position, inputs: Sequence[int], depths: Sequence[int], frames: range, options: SmoothOptions
) -> dict[int, int]:
    """Count the valid frames of each plane, up to the number that the filters need."""
    needed = max((temporal_filter.min_frames for temporal_filter in options.filters().values()), default=1)
    found = dict.fromkeys(depths, 0)
    for t in frames:  # frame by frame, because planes may share a chunk
        lacking = [z for z in depths if found[z] < needed]
        if not lacking:
            break
        for z in lacking:
            found[z] += all(normalize.is_valid(position.read(t, channel, z)) for channel in inputs)
    return found


def file_fingerprint(series: Sequence[Series], t: int) -> str:
    """Return the fingerprint of the files of a frame, for the planes of one position that are used."""
    own = [path for one in series for path in (*one.files(t), *one.files_of_truth(t))]
    first = series[0]
    around = [
        path for z in context_planes(series) for c in first.inputs for path in first.position.chunk_files(t, c, z)
    ]
    return fingerprint([*own, *around])
