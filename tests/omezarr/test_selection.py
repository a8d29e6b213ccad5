"""Selection of channels and planes."""

from pathlib import Path

import numpy as np
import pytest
from support.stores import phase, write_image

from image_translation.errors import UsageError
from image_translation.omezarr.selection import select_channel, select_planes
from image_translation.omezarr.store import open_store


def test_select_channel(tmp_path: Path) -> None:
    data = np.repeat(phase(1), 2, axis=1)
    with_phase = open_store(write_image(tmp_path / "a.zarr", data, channels=("DAPI", "Phase3D"))).position("fov")
    assert select_channel(with_phase, None) == 1
    assert select_channel(with_phase, "DAPI") == 0
    without = open_store(write_image(tmp_path / "b.zarr", data, channels=("DAPI", "GFP"))).position("fov")
    with pytest.raises(UsageError, match=r"has the channels DAPI, GFP; choose one with --channel"):
        select_channel(without, None)
    with pytest.raises(UsageError, match=r"--channel Phase is not in .*it has DAPI, GFP"):
        select_channel(without, "Phase")
    alone = open_store(write_image(tmp_path / "c.zarr", phase(1), channels=("Green",))).position("fov")
    assert select_channel(alone, None) == 0


def test_select_planes(tmp_path: Path) -> None:
    position = open_store(write_image(tmp_path / "a.zarr", np.repeat(phase(1), 5, axis=2))).position("fov")
    assert select_planes(position, "middle") == (2,)
    assert select_planes(position, "all") == (0, 1, 2, 3, 4)
    assert select_planes(position, "4") == (4,)
    assert select_planes(position, "1:3") == (1, 2)
    assert select_planes(position, ":2") == (0, 1)
    assert select_planes(position, "3:") == (3, 4)
    for wrong in ("5", "-1", "top", "04", "1.0", "\u0664", "", "3:3", "3:6", ":0", "5:", "-1:2", "a:b", "0:1:2"):
        with pytest.raises(
            UsageError, match=f"--z {wrong} is not in .*allowed are 0 to 4, a range such as 0:5, 'middle'"
        ):
            select_planes(position, wrong)
    with pytest.raises(UsageError, match=f"--z {'9' * 20} is not in"):
        select_planes(position, "9" * 5000)


def test_a_label_of_two_channels_cannot_be_selected(tmp_path: Path) -> None:
    data = np.repeat(phase(1), 2, axis=1)
    position = open_store(write_image(tmp_path / "a.zarr", data, channels=("Phase", "Phase"))).position("fov")
    assert position.channels == ("channel_0", "channel_1")
    with pytest.raises(UsageError, match="it has channel_0, channel_1, numbered because its labels are not unique"):
        select_channel(position, "Phase")
    with pytest.raises(UsageError, match=r"it has channel_0, channel_1$"):
        select_channel(position, "GFP")
