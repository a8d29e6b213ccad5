"""Layers of results: names, colours, contrast, and the place in the world of the layer that was stained."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.napari_plugin.layer_axes import LayerAxes, as_layer
from image_translation.omezarr.output import COLORS, COLORS_BY_CHANNEL

METADATA_KEY = "image_translation"
"""Key of the metadata of a layer, under which the layers of one result share a `Result`."""


def layer_name(method: str, channel: str) -> str:
    """Return the name of the layer of a method and channel, such as ``motion: Nuclei``."""
    return f"{method}: {channel}"


def color_of(channel: str, number: int) -> str:
    """Return the colour of a channel as in the stores, ``#RRGGBB``.

    Parameters
    ----------
    channel
        Its name.
    number
        Its index among the output channels, for names without a colour of their own.
    """
    return f"#{COLORS_BY_CHANNEL.get(channel, COLORS[number % len(COLORS)])}"


def place(layer: Any, axes: LayerAxes, *, channel: int = 0, plane: int = 0) -> dict[str, Any]:
    """Return where results lie: scale, translation, rotation, shear, units and labels of axes, as of their source.

    Parameters
    ----------
    layer
        Layer that was stained.
    axes
        Its axes.
    channel, plane
        Indices in it of the first entry of the results along its axes of channels and of z.
    """
    offset = np.zeros(axes.n_dimensions)
    for axis, index in ((axes.c, channel), (axes.z, plane)):
        if axis is not None:
            offset[axis] = index * layer.scale[axis]
    return {
        "scale": layer.scale,
        "translate": layer.translate + layer.rotate @ offset,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def result_layer(
    stain: NDArray[np.float32],
    axes: LayerAxes,
    *,
    method: str,
    channel: tuple[int, str],
    contrast_limits: Sequence[float],
    metadata: Mapping[str, Any],
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return the array and the options of the layer of one method and channel, but for its `place`.

    Parameters
    ----------
    stain
        Stain of all channels, (T, C, Z, Y, X).
    axes
        Axes of the layer that was stained.
    method
        Name of the method.
    channel
        Index and name of the channel.
    contrast_limits
        Range of intensities that is shown.
    metadata
        Metadata of the layer.
    """
    number, name = channel
    options = {
        "name": layer_name(method, name),
        "colormap": color_of(name, number),
        "blending": "additive",
        "contrast_limits": list(contrast_limits),
        "metadata": dict(metadata),
    }
    return as_layer(stain[:, number], axes), options
