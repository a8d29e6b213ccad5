"""Output stores have the layout, version and pyramid of their input, and are readable by other programs."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from iohub.ngff import open_ome_zarr
from support.stores import WINDOW, make_output, phase, write_image, write_plate

from image_translation.omezarr import output
from image_translation.omezarr.output import ImageSpec
from image_translation.omezarr.plane_stack import PlaneStack
from image_translation.omezarr.store import Position, open_store


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_scales_units_and_levels_of_the_input_are_copied(tmp_path: Path, version: str) -> None:
    source = write_image(
        tmp_path / "in.zarr",
        np.repeat(phase(5, (30, 45)), 4, axis=2),
        version=version,
        scale=(60, 1, 2, 0.5, 0.5),
        units={"t": "seconds", "y": "micrometer", "x": "parrot"},
        names=("a", "b"),
    )
    make_output(source, tmp_path / "out.ome.zarr", frames=range(1, 4), length=2, delay=0.5)
    out = open_store(tmp_path / "out.ome.zarr")
    position = out.position("fov")
    assert out.version == version
    assert [level.path for level in position.levels] == ["0", "1"]
    assert [level.shape for level in position.levels] == [(2, 2, 1, 30, 45), (2, 2, 1, 15, 23)]
    assert [level.scale for level in position.levels] == [(60, 1, 2, 0.5, 0.5), (60, 1, 2, 1, 1)]
    # It starts at frame 1 with a delay of half an interval, and contains plane 2.
    assert position.levels[0].translation == (90, 0, 4, 0, 0)
    assert position.units == {"t": "second", "y": "micrometer"}
    assert position.dtype == np.float32
    assert position.attributes["image_translation"] == {"version": "1"}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("layout", ["fov", "plate", "series"])
def test_layouts_are_copied_and_readable_by_iohub(tmp_path: Path, version: str, layout: str) -> None:
    source, target = tmp_path / "in.zarr", tmp_path / "out.ome.zarr"
    names = {"fov": ["fov"], "plate": ["A/1/0", "A/1/1", "B/03/0"], "series": ["0", "1"]}[layout]
    if layout == "fov":
        write_image(source, phase(2), version=version)
    elif layout == "plate":
        write_plate(source, {name: phase(2) for name in names}, version=version)
    else:
        group = zarr.open_group(source, mode="w", zarr_format=3 if version == "0.5" else 2)
        marker = {"bioformats2raw.layout": 3}
        group.attrs.update({"ome": marker} if version == "0.5" else marker)
        for name in names:
            write_image(source / name, phase(2), version=version)
    images = make_output(source, target)
    store = open_store(target)
    assert (store.layout, store.version, list(store.names)) == (layout, version, names)
    image_paths = [target if name == "fov" else target / name for name in names]
    data = np.random.default_rng(0).normal(size=(2, 24, 36)).astype(np.float32)
    stack = PlaneStack(image_paths[-1], images[-1], 0, write=True)
    stack.write(1, data)
    stack.flush()
    for path in image_paths:
        with open_ome_zarr(path, mode="r") as read:
            assert read.channel_names == ["Nuclei", "Membrane"]
            assert read.metadata.omero.channels[0].window == WINDOW
            assert read.metadata.omero.channels[1].color == "E69F00"
            expected = data if path == image_paths[-1] else np.zeros_like(data)
            np.testing.assert_array_equal(read["0"][1, :, 0], expected)
    if layout == "plate":
        with open_ome_zarr(target, mode="r") as plate:
            assert [name for name, _ in plate.positions()] == names


def test_the_size_of_a_shard_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    like = open_store(write_image(tmp_path / "in.zarr", phase(5), version="0.5")).position("fov")
    old = open_store(write_image(tmp_path / "old.zarr", phase(5))).position("fov")
    frame = 4 * 2 * 24 * 36

    def shard(length: int, largest: int, of: Position = like) -> int:
        monkeypatch.setattr(output, "MAX_SHARD_BYTES", largest)
        return ImageSpec(of, ("Nuclei", "Membrane"), range(length), length, (0,)).frames_per_shard

    assert shard(1000, 2**30) == output.MAX_SHARD_FRAMES
    assert shard(7, 2**30) == 7
    assert shard(1000, 3 * frame) == shard(1000, 4 * frame - 1) == 3
    assert shard(1000, frame - 1) == 1
    assert shard(1000, 2**30, old) == 1
