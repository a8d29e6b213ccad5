"""Output stores have the layout, version and pyramid of their input, and are readable by other programs."""

from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from iohub.ngff import open_ome_zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models import open_ome_zarr as validate
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
    chunk = 4 * 24 * 36

    def shard(length: int, largest: int, of: Position = like) -> int:
        monkeypatch.setattr(output, "MAX_SHARD_BYTES", largest)
        return ImageSpec(of, ("Nuclei", "Membrane"), range(length), length, (0,)).frames_per_shard

    assert shard(1000, 2**30) == output.MAX_SHARD_FRAMES
    assert shard(7, 2**30) == 7
    assert shard(1000, 3 * chunk) == shard(1000, 4 * chunk - 1) == 3
    assert shard(1000, chunk - 1) == 1
    assert shard(1000, 2**30, old) == 1
    monkeypatch.setattr(output, "MAX_BUFFER_BYTES", 2 * 5 * chunk)  # of both channels
    assert shard(1000, 2**30) == 5


def test_large_frames_have_a_pyramid_after_the_levels_of_the_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "MAX_COARSEST_SIDE", 10)
    scale = (60.0, 1.0, 2.0, 0.5, 0.25)
    source = write_image(tmp_path / "in.zarr", phase(2, (40, 61)), names=("a", "b"), scale=scale)
    (image,) = make_output(source, tmp_path / "out.ome.zarr")
    position = open_store(tmp_path / "out.ome.zarr").position("fov")
    assert [level.shape[3:] for level in position.levels] == [(40, 61), (20, 31), (10, 16), (5, 8)]
    assert [level.scale[3:] for level in position.levels] == [(0.5, 0.25), (1, 0.5), (2, 1), (4, 2)]
    # The input does not say that the pixels of its second level are centred between those of the first.
    assert [level.translation[3:] for level in position.levels] == [(0, 0), (0, 0), (0.5, 0.25), (1.5, 0.75)]
    stack = PlaneStack(tmp_path / "out.ome.zarr", image, 0, write=True)
    ramp = np.broadcast_to(np.arange(61, dtype=np.float32), (2, 40, 61))
    stack.write(0, ramp)
    stack.flush()
    coarse = np.asarray(zarr.open_array(position.path / "3", mode="r")[0, 0, 0])
    np.testing.assert_array_equal(coarse[:, :7], np.broadcast_to(np.arange(7) * 8 + 3.5, (5, 7)))


def test_a_frame_at_the_limit_has_no_pyramid(tmp_path: Path) -> None:
    for width, levels in ((output.MAX_COARSEST_SIDE, 1), (output.MAX_COARSEST_SIDE + 1, 2)):
        like = open_store(write_image(tmp_path / f"{width}.zarr", phase(1, (1, width)))).position("fov")
        image = ImageSpec(like, ("Nuclei",), range(1), 1, (0,))
        assert len(image.levels) == levels
    assert image.levels[1].shape[3:] == (1, 513)
    assert image.levels[1].scale[3:] == (1, 2)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_are_named_and_channels_may_have_a_suffix(tmp_path: Path, version: str) -> None:
    source = write_image(tmp_path / "in.zarr", phase(2), version=version)
    make_output(source, tmp_path / "out.ome.zarr", name="motion", suffix="_prediction")
    with open_ome_zarr(tmp_path / "out.ome.zarr", mode="r") as read:
        assert read.metadata.multiscales[0].name == "motion"
        assert read.channel_names == ["Nuclei_prediction", "Membrane_prediction"]
        assert read.metadata.omero.channels[0].color == "0072B2"  # that of nuclei
    assert open_store(tmp_path / "out.ome.zarr").position("fov").attributes["image_translation"] == {
        "version": "1",
        "channel_suffix": "_prediction",
    }


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_xarray_names_the_axes(tmp_path: Path, version: str) -> None:
    source = write_plate(tmp_path / "in.zarr", {"A/1/0": phase(3)}, version=version)
    (image,) = make_output(source, tmp_path / "out.ome.zarr")
    stack = PlaneStack(tmp_path / "out.ome.zarr" / "A/1/0", image, 0, write=True)
    stack.write(2, np.ones((2, 24, 36), np.float32))
    stack.flush()
    zarr_format = 3 if version == "0.5" else 2
    with xarray.open_zarr(
        tmp_path / "out.ome.zarr", group="A/1/0", consolidated=False, zarr_format=zarr_format, mask_and_scale=False
    ) as read:
        assert dict(read["0"].sizes) == {"t": 3, "c": 2, "z": 1, "y": 24, "x": 36}
        assert read["0"].chunks is not None
        np.testing.assert_array_equal(read["0"].isel(c=0).mean(["z", "y", "x"]), [0, 0, 1])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("written", [None, "0.4", "0.5"])
@pytest.mark.parametrize("layout", ["fov", "plate"])
def test_stores_are_valid_in_either_version(tmp_path: Path, layout: str, version: str, written: str | None) -> None:
    """Validated by ome-zarr-models, and read by ome-zarr-py and iohub."""
    source, target, expected = tmp_path / "in.zarr", tmp_path / "out.ome.zarr", written or version
    if layout == "plate":
        write_plate(source, {name: phase(2) for name in ("A/1/0", "B/2/0", "B/2/1")}, version=version)
    else:
        write_image(source, phase(2), version=version, names=("0", "1"))
    make_output(source, target, version=written, name="motion", frames=range(1, 2), length=1)
    store = open_store(target)
    assert store.version == expected
    validated = validate(zarr.open_group(target, mode="r"))
    assert validated.ome_zarr_version == expected
    if layout == "plate":
        assert store.metadata["plate"]["version"] == expected  # of 0.5, too
        assert store.names == ("A/1/0", "B/2/0", "B/2/1")
    first = target if layout == "fov" else target / "B/2/1"
    (node,) = Reader(parse_url(first))()
    assert node.data[0].shape == (1, 2, 1, 24, 36)
    assert node.metadata["name"] == "motion"
    with open_ome_zarr(target, mode="r") as read:
        positions = [position for _, position in read.positions()] if layout == "plate" else [read]
        assert [position.channel_names for position in positions] == [["Nuclei", "Membrane"]] * len(store.names)
        assert positions[-1].version == expected
