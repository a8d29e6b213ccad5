"""What is chosen in the form, as arguments of `stain_frames`."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from image_translation.errors import UsageError
from image_translation.napari_plugin.layer_axes import LayerAxes
from image_translation.napari_plugin.stain_request import StainRequest, parse_channels

pint = pytest.importorskip("pint", reason="napari, which brings pint, is not installed")


def request(**changes: Any) -> StainRequest:
    units = pint.get_application_registry()
    layer = SimpleNamespace(
        data=np.zeros((4, 3, 5, 8, 9)),
        scale=(60, 1, 2, 0.5, 0.5),
        units=(units.second, units.pixel, *[units.micrometer] * 3),
    )
    known: dict[str, Any] = {
        "layer": layer,
        "axes": LayerAxes(5, t=0, c=1, z=2),
        "channels": (2,),
        "plane": None,
        "all_planes": False,
        "checkpoint": "demo_ckpt",
        "methods": ("motion",),
        "normalization": None,
        "device": "cpu",
    }
    return StainRequest(**known | changes)


def test_arguments() -> None:
    arguments = request().arguments()
    assert arguments.pop("movie") is not None
    assert arguments == {
        "checkpoint": "demo_ckpt",
        "axes": "TCZYX",
        "normalization": None,
        "smooth": ("motion",),
        "device": "cpu",
        "pixel_size": (2, 0.5, 0.5),
        "interval": 60,
        "channels": ("channel 0", "channel 1", "channel 2"),
        "channel": "channel 2",
    }


def test_choices() -> None:
    assert request(channels=(1, 0)).arguments()["channel"] == ("channel 1", "channel 0")
    assert request(plane=3).arguments()["z"] == "3"
    assert request(all_planes=True).arguments()["z"] == "all"
    assert request(methods=()).arguments()["smooth"] is None


def test_a_layer_without_channels() -> None:
    layer = request().layer
    single = SimpleNamespace(data=layer.data[:, 0, 0], scale=layer.scale[2:], units=layer.units[2:])
    arguments = request(layer=single, axes=LayerAxes(3, t=0), channels=None).arguments()
    assert arguments["axes"] == "TYX"
    assert not {"channel", "channels", "z"} & set(arguments)


@pytest.mark.parametrize("text", ["", "a", "3", "-1", "0,0", "0;1", "1.0"])
def test_channels_that_are_not_there(text: str) -> None:
    with pytest.raises(UsageError, match="give numbers from 0 to 2, each once, separated by commas"):
        parse_channels(text, 3)


def test_numbers_of_channels() -> None:
    assert parse_channels(" 2, 0", 3) == (2, 0)
