"""What the network makes of one image: which image, how it is normalised, and what every stage returns."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from image_translation.omezarr.selection import select_channel
from image_translation.omezarr.statistics import field_statistics
from image_translation.omezarr.store import Position

Disturbance = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_log = logging.getLogger(__name__)


class BlankFrameError(DataError):
    """A dropped frame, which a network is never shown."""


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """What a network is shown.

    Attributes
    ----------
    image
        Shape (C_in, Y, X), float32, normalised.
    image_channels
        Names of its channels.
    truth
        The channels of the store that are called like the network's outputs, (C_out, Y, X) float32; None without them.
    """

    image: NDArray[np.float32]
    image_channels: tuple[str, ...]
    truth: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class View(NetworkInput):
    """What a network is shown, and what it makes of it.

    Attributes
    ----------
    prediction
        Shape (C_out, Y, X), float32.
    features
        Name of each stage to (C, H, W) float32.
    placements
        Name of each stage to where its pixels lie in the image.
    """

    prediction: NDArray[np.float32]
    features: dict[str, NDArray[np.float32]]
    placements: dict[str, Placement]


class Inspector:
    """A network that is loaded once, when it is first used, to look at any image with.

    Parameters
    ----------
    checkpoint
        Path, or a name that `data.resolve_checkpoint` knows.
    normalization
        Method for the input; None takes what the checkpoint says, else median and IQR.
    device
        See `devices.resolve_device`.

    Attributes
    ----------
    spec
        What is known of the checkpoint.
    normalization
        Method for the input.
    """

    def __init__(self, checkpoint: str, *, normalization: normalize.Method | None = None, device: str = "auto") -> None:
        self.spec, self._weights = loading.read_spec(data.resolve_checkpoint(checkpoint))
        self._device = resolve_device(device)
        self.normalization: normalize.Method = normalization or self.spec.normalization or normalize.DEFAULT_METHOD
        self._statistics: dict[tuple[str, int, str], normalize.Statistics] = {}

    @cached_property
    def _extractor(self) -> FeatureExtractor:
        _log.info("loading the network")
        return FeatureExtractor(loading.build(self.spec, self._weights), self.spec.stride, device=str(self._device))

    @property
    def device(self) -> str:
        """Where the network runs, as PyTorch names it."""
        return str(self._device)

    @cached_property
    def stages(self) -> dict[str, int]:
        """Names of the stages in the order in which an image passes, and the number of channels of each."""
        size = self.spec.stride
        _, features, _ = self._extractor.extract(np.zeros((self.spec.architecture.in_channels, size, size), np.float32))
        return {name: len(maps) for name, maps in features.items()}

    def channels(self, position: Position, names: Sequence[str] = ()) -> tuple[int, ...]:
        """Choose what the network is shown.

        Parameters
        ----------
        position
            Image to choose from.
        names
            Names of channels, in the order of the network's inputs. Without any, those that the network was trained
            with; for a network of one input otherwise the obvious one, as `store.select_channel` finds it.

        Raises
        ------
        UsageError
            There are no such channels, or not as many as the network takes.
        """
        trained, wanted = self.spec.input_channels, self.spec.architecture.in_channels
        if not names and trained and set(trained) <= set(position.channels):
            names = trained
        if not names and wanted == 1:
            return (select_channel(position, None),)
        if len(names) != wanted:
            raise UsageError(
                f"the network takes {wanted} channels ({', '.join(trained) or 'of unknown names'}), and gets "
                f"{', '.join(names) or 'none'}; {position.path} has {', '.join(position.channels)}"
            )
        return tuple(select_channel(position, name) for name in names)

    def look(
        self, position: Position, t: int, z: int, *, channels: Sequence[str] = (), crop: Crop | None = None
    ) -> View:
        """Show the network one image: `read`, then `see`."""
        return self.see(self.read(position, t, z, channels=channels, crop=crop))

    def read(
        self,
        position: Position,
        t: int,
        z: int,
        *,
        channels: Sequence[str] = (),
        crop: Crop | None = None,
        disturb: Disturbance | None = None,
        normalization: normalize.Method | None = None,
    ) -> NetworkInput:
        """Read and normalise an image, without the network.

        Parameters
        ----------
        position, t, z
            Image, and the indices of time and plane.
        channels
            As for `channels`.
        crop
            The part that the network is shown; the whole field if None. Normalisation is by the whole field in any
            case, but the network's response norms are of what it is shown, so that a crop is not quite a part of the
            whole.
        disturb
            Done to the whole normalised field, (C_in, Y, X) float32, before it is cropped.
        normalization
            Another method than the network's own.

        Returns
        -------
        NetworkInput
            All arrays are of the crop.

        Raises
        ------
        UsageError
            The indices, the channels or the crop are not in the image.
        BlankFrameError
            The image is blank.
        DataError
            It cannot be read.
        """
        _require_inside(position, t, z, crop)
        inputs = self.channels(position, channels)
        method = normalization or self.normalization
        field = np.stack([self._plane(position, t, channel, z, method) for channel in inputs])
        outputs = [position.channels.index(name) for name in self.spec.output_channels if name in position.channels]
        truth = None
        if len(outputs) == len(self.spec.output_channels) and not set(outputs) & set(inputs):
            truth = _cut(np.stack([position.read(t, channel, z) for channel in outputs]), crop)
        names = tuple(position.channels[channel] for channel in inputs)
        return NetworkInput(_cut(disturb(field) if disturb else field, crop), names, truth)

    def see(self, shown: NetworkInput) -> View:
        """Return what the network makes of what it is shown; it is loaded first, if it has not been."""
        return View(shown.image, shown.image_channels, shown.truth, *self._extractor.extract(shown.image))

    def _plane(self, position: Position, t: int, channel: int, z: int, method: normalize.Method) -> NDArray[np.float32]:
        image = position.read(t, channel, z)
        if not normalize.is_valid(image):
            name = position.channels[channel]
            raise BlankFrameError(
                f"{position.path}: frame {t} (channel {name}, plane {z}) is blank, or not finite; choose another"
            )
        key = (str(position.path), channel, method)
        if key not in self._statistics:
            self._statistics[key] = field_statistics(position, channel, method)
        return normalize.apply(image, self._statistics[key])


def _cut(image: NDArray[Any], crop: Crop | None) -> NDArray[np.float32]:
    return np.ascontiguousarray(crop.of(image) if crop else image, dtype=np.float32)


def _require_inside(position: Position, t: int, z: int, crop: Crop | None) -> None:
    frames, _, depth, height, width = position.shape
    for what, index, count in (("frame", t, frames), ("plane", z, depth)):
        if not 0 <= index < count:
            raise UsageError(f"{what} {index} is not in {position.path}; it has 0 to {count - 1}")
    if crop and not (0 <= crop.y < crop.y + crop.height <= height and 0 <= crop.x < crop.x + crop.width <= width):
        raise UsageError(f"the crop {tuple(crop)} (Y, X, height, width) is not in {position.path}, {height} x {width}")
