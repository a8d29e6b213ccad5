import pytest

from image_translation.errors import UsageError
from image_translation.simulation.spec import MovieSpec


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"density": 1.5}, "density is 1.5; it must lie between 0.01 and 1"),
        ({"flicker": -1.0}, "flicker is -1"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"motion": "swim"}, "motion is 'swim'; give one of walk, stream"),
        ({"cells": "flat"}, "cells is 'flat'; give one of spread, domes"),
        ({"optics": "none"}, "optics is 'none'; give one of path, reconstructed"),
        ({"frames": 0}, "frames is 0"),
        ({"planes": 0}, "planes is 0; a frame has at least 1"),
        ({"planes": 10**9}, "a frame of 256 x 256 pixels in 1000000000 planes: needs"),
        ({"plane_spacing": 0.0}, "plane_spacing is 0.0; it must lie between 0.1 and 100"),
        ({"seed": -1}, "seed is -1"),
        ({"shape": (8, 64)}, r"shape is \(8, 64\)"),
        ({"dropped": (3, 12), "frames": 12}, r"dropped names the frames \[12\]"),
    ],
)
def test_error_states_the_value_and_the_limits(parameters, message):
    with pytest.raises(UsageError, match=message):
        MovieSpec(**parameters)
