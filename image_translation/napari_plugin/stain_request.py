"""What was chosen for a staining, as arguments of `image_translation.stain_frames`."""

from dataclasses import dataclass
from typing import Any

from image_translation.errors import UsageError
from image_translation.napari_plugin.layer_axes import LayerAxes, as_movie, finest, interval, pixel_size

AUTOMATIC, ONE_PLANE, ALL_PLANES = "automatic", "one", "all"  # planes of a stack


@dataclass(frozen=True)
class StainRequest:
    """A staining of a layer.

    Attributes
    ----------
    layer
        Image layer of napari.
    axes
        Meaning of its axes.
    channels
        Indices of the input channels; None if the layer has no such axis.
    plane
        Index of the only plane to stain; None for the middle one, or all for a network of stacks.
    all_planes
        Whether all planes are stained.
    checkpoint
        Path or name.
    methods
        Filters besides the raw prediction.
    normalization
        Name; None for that of the checkpoint.
    device
        Name.
    """

    layer: Any
    axes: LayerAxes
    channels: tuple[int, ...] | None
    plane: int | None
    all_planes: bool
    checkpoint: str
    methods: tuple[str, ...]
    normalization: str | None
    device: str

    def arguments(self) -> dict[str, Any]:
        """Return keyword arguments of ``stain_frames``, with the movie as ``movie``."""
        layer, axes = self.layer, self.axes
        arguments: dict[str, Any] = {
            "movie": as_movie(layer.data, axes),
            "checkpoint": self.checkpoint,
            "axes": axes.letters,
            "normalization": self.normalization,
            "smooth": self.methods or None,
            "device": self.device,
            "pixel_size": pixel_size(layer.scale, layer.units, axes),
            "interval": interval(layer.scale, layer.units, axes),
        }
        if axes.c is not None and self.channels is not None:
            names = tuple(f"channel {number}" for number in range(finest(layer.data).shape[axes.c]))
            chosen = tuple(names[number] for number in self.channels)
            arguments |= {"channels": names, "channel": chosen[0] if len(chosen) == 1 else chosen}
        if self.plane is not None:
            arguments["z"] = str(self.plane)
        elif self.all_planes:
            arguments["z"] = "all"
        return arguments


def parse_channels(text: str, count: int) -> tuple[int, ...]:
    """Parse the numbers of channels, such as ``0`` or ``0, 1``.

    Parameters
    ----------
    text
        Numbers from 0, separated by commas.
    count
        Number of channels of the layer.

    Raises
    ------
    UsageError
        If it is not a number of a channel, or one is given twice.
    """
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or len(set(numbers)) < len(numbers) or not all(0 <= number < count for number in numbers):
        raise UsageError(f"channel {text!r:.40}: give numbers from 0 to {count - 1}, each once, separated by commas")
    return numbers
