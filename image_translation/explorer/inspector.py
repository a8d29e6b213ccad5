"""Read an image, normalise it, and run a network on it to get the prediction and the feature maps of every stage."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation import data, normalize
from image_translation.errors import DataError, UsageError
from image_translation.frame import Crop
from image_translation.network import loading
from image_translation.network.devices import resolve_device
from image_translation.network.features import FeatureExtractor, Placement
from image_translation.network.pixel_size import describe_mismatch
from image_translation.normalize import Statistics
from image_translation.omezarr.frame_statistics import timepoint_statistics
from image_translation.omezarr.selection import select_inputs
from image_translation.omezarr.statistics import field_statistics
from image_translation.omezarr.store import Position

Perturb = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_log = logging.getLogger(__name__)


class BlankFrameError(DataError):
    """A dropped frame, which must not be passed to a network."""


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """Input image of a network, with the true output where the store has it.

    Attributes
    ----------
    image
        Shape (C_in, Y, X), float32, normalised.
    image_channels
        Names of its channels.
    truth
        Channels of the store that have the names of the network's outputs, (C_out, Y, X) float32; None without them.
    stack
        Planes around the image, (C_in, Z_in, Y, X) float32, for a network that takes stacks; else None.
    middle
        Index of the image in the stack.
    """

    image: NDArray[np.float32]
    image_channels: tuple[str, ...]
    truth: NDArray[np.float32] | None
    stack: NDArray[np.float32] | None = None
    middle: int = 0

    @property
    def data(self) -> NDArray[np.float32]:
        """What the network sees: the stack if there is one, else the image."""
        return self.image if self.stack is None else self.stack

    def perturbed(self, perturb: Perturb) -> "NetworkInput":
        """Return the input after a perturbation of its planes, (C, Y, X) -> (C, Y, X) float32."""
        if self.stack is None:
            return replace(self, image=perturb(self.image))
        planes = perturb(self.stack.reshape(-1, *self.stack.shape[2:])).reshape(self.stack.shape)
        return replace(self, image=np.ascontiguousarray(planes[:, self.middle]), stack=planes)


@dataclass(frozen=True, eq=False)
class Activations(NetworkInput):
    """Input image of a network, with the prediction and the feature maps that the network computes from it.

    Attributes
    ----------
    prediction
        Shape (C_out, Y, X), float32. Of a network that predicts stacks, the plane of the image.
    features
        Feature map of each stage by name, (C, H, W) float32.
    placements
        Position of the pixels of each stage in the image, by name.
    """

    prediction: NDArray[np.float32] = field(kw_only=True)
    features: dict[str, NDArray[np.float32]] = field(kw_only=True)
    placements: dict[str, Placement] = field(kw_only=True)


class Inspector:
    """A network whose feature maps can be inspected for any image. It is loaded when it is first run.

    Parameters
    ----------
    checkpoint
        Path, or a name that `data.resolve_checkpoint` knows.
    normalization
        Normalisation of the input; None uses that of the checkpoint, else median and IQR.
    head_pool
        Whether the network's head pools, where the checkpoint does not say it; None uses what is known.
    device
        See `devices.resolve_device`.

    Attributes
    ----------
    spec
        Description of the checkpoint.
    normalization
        Normalisation of the input.
    """

    def __init__(
        self,
        checkpoint: str,
        *,
        normalization: normalize.Method | None = None,
        head_pool: bool | None = None,
        device: str = "auto",
    ) -> None:
        self.spec, self._weights = loading.read_spec(data.resolve_checkpoint(checkpoint), head_pool=head_pool)
        self.spec.require_libraries()
        self._device = resolve_device(device)
        self.normalization: normalize.Method = normalization or self.spec.normalization or normalize.DEFAULT_METHOD
        self._statistics: dict[tuple[str, int | None, int, str], Statistics] = {}

    @cached_property
    def _extractor(self) -> FeatureExtractor:
        _log.info("loading the network")
        return FeatureExtractor(
            loading.build_network(self.spec, self._weights), self.spec.stride, device=str(self._device)
        )

    @property
    def device(self) -> str:
        """Device that the network runs on, as PyTorch names it."""
        return str(self._device)

    def pixel_size_note(self, position: Position) -> str | None:
        """Return a line if the pixels of an image are not those that the network was trained with; else None."""
        stacks = self.spec.architecture.in_stack_depth > 1
        return describe_mismatch({position.name: position.voxel_size}, self.spec.pixel_size, stacks=stacks)

    @cached_property
    def stages(self) -> dict[str, int]:
        """Number of channels of each stage, by name, from the input to the output of the network."""
        size = self.spec.stride
        depth, channels = self.spec.architecture.in_stack_depth, self.spec.architecture.in_channels
        shape = (channels, size, size) if depth == 1 else (channels, depth, size, size)
        _, features, _ = self._extractor.extract(np.zeros(shape, np.float32))
        return {name: len(maps) for name, maps in features.items()}

    def select_channels(self, position: Position, names: Sequence[str] = ()) -> tuple[int, ...]:
        """Return the indices of the input channels; see `selection.select_inputs`."""
        return select_inputs(position, names, self.spec.architecture.in_channels, self.spec.input_channels)

    def inspect(
        self, position: Position, t: int, z: int, *, channels: Sequence[str] = (), crop: Crop | None = None
    ) -> Activations:
        """Read an image and run the network on it: `read`, then `run`."""
        return self.run(self.read(position, t, z, channels=channels, crop=crop))

    def read(
        self,
        position: Position,
        t: int,
        z: int,
        *,
        channels: Sequence[str] = (),
        crop: Crop | None = None,
        perturb: Perturb | None = None,
        normalization: normalize.Method | None = None,
    ) -> NetworkInput:
        """Read and normalise an image; the network is not run.

        Parameters
        ----------
        position, t, z
            Image, and the indices of time point and plane. A network that takes stacks sees the planes around it,
            reflected at the ends of those that there are.
        channels
            As for `select_channels`.
        crop
            Part of the field to pass to the network; None is the full field. Intensities are always normalised by the
            full field, but the network's response norms are computed over its input, so that the features of a crop
            differ slightly from the same part of the features of the full field.
        perturb
            Perturbation of the normalised full field, (C, Y, X) float32, before it is cropped.
        normalization
            Overrides `Inspector.normalization`.

        Returns
        -------
        NetworkInput
            All arrays are cropped.

        Raises
        ------
        UsageError
            The indices, the channels or the crop are not in the image.
        BlankFrameError
            The image is blank, or a plane around it that the network sees.
        DataError
            The image cannot be read.
        """
        _require_inside(position, t, z, crop)
        inputs = self.select_channels(position, channels)
        method = normalization or self.normalization
        planes, middle = self._planes(position, z)
        # (C_in, Z_in, Y, X); planes that are reflected are read once.
        read = {
            (channel, plane): self._read_plane(position, t, channel, plane, method)
            for channel in inputs
            for plane in dict.fromkeys(planes)
        }
        stack = np.stack([np.stack([read[channel, plane] for plane in planes]) for channel in inputs])
        outputs = [position.channels.index(name) for name in self.spec.output_channels if name in position.channels]
        truth = None
        if len(outputs) == len(self.spec.output_channels) and not set(outputs) & set(inputs):
            truth = _cropped(np.stack([position.read(t, channel, z) for channel in outputs]), crop)
        names = tuple(position.channels[channel] for channel in inputs)
        if self.spec.architecture.in_stack_depth == 1:
            made = NetworkInput(stack[:, 0], names, None)
        else:
            made = NetworkInput(stack[:, middle], names, None, stack, middle)
        made = made.perturbed(perturb) if perturb else made
        cut = None if made.stack is None else _cropped(made.stack, crop)
        return replace(made, image=_cropped(made.image, crop), truth=truth, stack=cut)

    def _planes(self, position: Position, z: int) -> tuple[list[int], int]:
        """Return the planes that the network sees around a plane, and the index of this one among them."""
        architecture, depth = self.spec.architecture, position.shape[2]
        if depth == 1 < architecture.in_stack_depth:
            raise UsageError(
                f"{position.path} has a single plane, and the network takes stacks of {architecture.in_stack_depth}; "
                "choose a network for single planes, or a movie of stacks"
            )
        after = architecture.in_stack_depth - architecture.out_stack_depth
        middle = after // 2 + architecture.out_stack_depth // 2
        padded = np.pad(np.arange(depth), architecture.in_stack_depth, mode="reflect")[architecture.in_stack_depth :]
        around = np.arange(z - middle, z - middle + architecture.in_stack_depth)
        return [int(plane) for plane in padded[around]], middle

    def run(self, network_input: NetworkInput) -> Activations:
        """Run the network on an image. The first call loads the network."""
        prediction, features, placements = self._extractor.extract(network_input.data)
        if prediction.ndim == 4:
            prediction = np.ascontiguousarray(prediction[:, prediction.shape[1] // 2])
        return with_outputs(network_input, prediction, features, placements)

    def _read_plane(
        self, position: Position, t: int, channel: int, z: int, method: normalize.Method
    ) -> NDArray[np.float32]:
        image = position.read(t, channel, z)
        if not normalize.is_valid(image):
            name = position.channels[channel]
            raise BlankFrameError(
                f"{position.path}: frame {t} (channel {name}, plane {z}) is blank or not finite; choose another"
            )
        return normalize.apply(image, self._statistics_of(position, t, channel, method))

    def _statistics_of(self, position: Position, t: int, channel: int, method: normalize.Method) -> Statistics:
        over = self.spec.statistics_over
        key = (str(position.path), t if over == "timepoint" else None, channel, method)
        if key not in self._statistics:
            if over == "timepoint":
                found = timepoint_statistics(position, channel, method, frames=range(t, t + 1)).of(t)
            elif over == "dataset":
                found = _dataset_statistics(position, channel, method)
            else:
                found = field_statistics(position, channel, method)
            self._statistics[key] = found
        return self._statistics[key]


def _dataset_statistics(position: Position, channel: int, method: normalize.Method) -> Statistics:
    """Return the statistics of all positions that this one holds; else its own, for the others may not be at hand."""
    stored = normalize.from_metadata(position.attributes, position.channels[channel], method, "dataset")
    if stored is None:
        _log.warning(
            "%s: the network was trained with statistics of all positions, which this one does not hold: its own are "
            "used", position.path,
        )  # fmt: skip
    return stored or field_statistics(position, channel, method)


def with_outputs(
    network_input: NetworkInput,
    prediction: NDArray[np.float32],
    features: dict[str, NDArray[np.float32]],
    placements: dict[str, Placement],
) -> Activations:
    """Return an input together with what the network computes from it."""
    given = {one.name: getattr(network_input, one.name) for one in fields(NetworkInput)}
    return Activations(**given, prediction=prediction, features=features, placements=placements)


def _cropped(image: NDArray[Any], crop: Crop | None) -> NDArray[np.float32]:
    return np.ascontiguousarray(crop.apply(image) if crop else image, dtype=np.float32)


def _require_inside(position: Position, t: int, z: int, crop: Crop | None) -> None:
    frames, _, depth, height, width = position.shape
    for what, index, count in (("frame", t, frames), ("plane", z, depth)):
        if not 0 <= index < count:
            raise UsageError(f"{what} {index} is not in {position.path}; choose 0 to {count - 1}")
    if crop and not (0 <= crop.y < crop.y + crop.height <= height and 0 <= crop.x < crop.x + crop.width <= width):
        raise UsageError(f"the crop {tuple(crop)} (Y, X, height, width) is not in {position.path}, {height} x {width}")
