"""Sample data: the embedded movie, with its true stains as hidden layers."""

from typing import Any

import numpy as np

TRUTH = "truth"


def demo_movie() -> list[tuple[Any, dict[str, Any], str]]:
    """Return the layers of the embedded movie: the phase, and the true nuclei and membrane, which are hidden at first.

    Returns
    -------
    list of (ndarray, dict, str)
        Arrays of shape (T, Y, X), float32, options and type of each layer, as napari takes them. The movie is simulated
        when it is first used.
    """
    from image_translation.data.lookup import fetch
    from image_translation.napari_plugin.result_layers import color_of, layer_name
    from image_translation.omezarr.store import open_store

    store = open_store(fetch("demo_movie"))
    position = store.position(store.names[0])
    scale, translation = position.levels[0].scale, position.levels[0].translation
    layers = []
    for number, channel in enumerate(position.channels):
        movie = np.stack([position.read(t, number, 0) for t in range(position.shape[0])])
        window = position.attributes["omero"]["channels"][number]["window"]
        options = {
            "name": channel if number == 0 else layer_name(TRUTH, channel),
            "colormap": "gray" if number == 0 else color_of(channel, number),
            "blending": "additive",
            "contrast_limits": (window["start"], window["end"]),
            "visible": number == 0,
            "axis_labels": ("t", "y", "x"),
            "units": tuple(position.units[axis] for axis in "tyx"),
            "scale": tuple(scale[index] for index in (0, 3, 4)),
            "translate": tuple(translation[index] for index in (0, 3, 4)),
        }
        layers.append((movie, options, "image"))
    return layers
