"""Outputs mirror their input, whatever its layout, version and pyramid, and are read by other readers."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from iohub.ngff import open_ome_zarr
from support.stores import file_metric, phase, write_image, write_plate

from image_translation.errors import DataError
from image_translation.omezarr import output
from image_translation.omezarr.output import ImageSpec, create_store, finish_image
from image_translation.omezarr.plane_stack import PlaneStack, downsample_plane
from image_translation.omezarr.store import Position, open_store

WINDOW = {"min": 0.0, "max": 1.0, "start": 0.1, "end": 0.9}


def make(source: Path, target: Path, **options: object) -> list[ImageSpec]:
    store = open_store(source)
    images = []
    for name in store.names:
        like = store.position(name)
        settings = {"frames": range(like.shape[0]), "length": like.shape[0], "planes": (like.shape[2] // 2,)} | options
        images.append(ImageSpec(like, ("Nuclei", "Membrane"), **settings))
    create_store(target, store, images)
    for image in images:
        name = image.like.name
        finish_image(target if name == "fov" else target / name, image, [WINDOW] * 2, {"version": "1"})
    return images


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_image_mirrors_scales_units_and_levels(tmp_path: Path, version: str) -> None:
    source = write_image(
        tmp_path / "in.zarr",
        np.repeat(phase(5, (30, 45)), 4, axis=2),
        version=version,
        scale=(60, 1, 2, 0.5, 0.5),
        units={"t": "seconds", "y": "micrometer", "x": "parrot"},
        names=("a", "b"),
    )
    make(source, tmp_path / "out.ome.zarr", frames=range(1, 4), length=2, delay=0.5)
    out = open_store(tmp_path / "out.ome.zarr")
    position = out.position("fov")
    assert out.version == version
    assert [level.path for level in position.levels] == ["0", "1"]
    assert [level.shape for level in position.levels] == [(2, 2, 1, 30, 45), (2, 2, 1, 15, 23)]
    assert [level.scale for level in position.levels] == [(60, 1, 2, 0.5, 0.5), (60, 1, 2, 1, 1)]
    # It begins at frame 1, half an interval late, and holds plane 2.
    assert position.levels[0].translation == (90, 0, 4, 0, 0)
    assert position.units == {"t": "second", "y": "micrometer"}
    assert position.dtype == np.float32
    assert position.attributes["image_translation"] == {"version": "1"}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("layout", ["fov", "plate", "series"])
def test_layouts_are_kept_and_iohub_reads_them(tmp_path: Path, version: str, layout: str) -> None:
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
    images = make(source, target)
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


def test_frames_are_read_back_and_reduced_into_every_level(tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.zarr", phase(3, (6, 9)), names=("0", "1", "2"))
    (image,) = make(source, tmp_path / "out.ome.zarr")
    stack = PlaneStack(tmp_path / "out.ome.zarr", image, 0, write=True)
    data = np.random.default_rng(1).normal(size=(2, 6, 9)).astype(np.float32)
    stack.write(2, data)
    assert stack.settle() == 3
    np.testing.assert_array_equal(stack.read(2), data)
    position = open_store(tmp_path / "out.ome.zarr").position("fov")
    level = zarr.open_array(position.path / "1", mode="r")[2, 1, 0]
    np.testing.assert_allclose(level[:, :4], data[1, :, :8].reshape(3, 2, 4, 2).mean(axis=(1, 3)), rtol=1e-6)
    np.testing.assert_allclose(level[:, 4], data[1, :, 8].reshape(3, 2).mean(axis=1), rtol=1e-6)


def test_reducing_keeps_the_mean_and_marks_missing_frames() -> None:
    data = np.random.default_rng(2).normal(size=(2, 8, 12)).astype(np.float32)
    np.testing.assert_allclose(downsample_plane(data, (4, 6)).mean(), data.mean(), rtol=1e-4)
    np.testing.assert_allclose(downsample_plane(data, (8, 4))[0, 0, 0], data[0, 0, :3].mean(), rtol=1e-5)
    assert downsample_plane(data, (8, 12)) is data
    assert downsample_plane(data[:, :1, :1], (1, 1)).shape == (2, 1, 1)
    assert np.isnan(downsample_plane(np.full((2, 8, 12), np.nan, np.float32), (4, 6))).all()


def test_a_frame_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.zarr", phase(2))
    (image,) = make(source, tmp_path / "out.ome.zarr")
    stack = PlaneStack(tmp_path / "out.ome.zarr", image, 0, write=True)
    (tmp_path / "out.ome.zarr" / "0" / "1").write_text("in the way of a folder")
    stack.write(1, np.ones((2, 24, 36), np.float32))
    with pytest.raises(DataError, match="cannot write frame 1 of"):
        stack.settle()


def stained(frames: int, size: tuple[int, int] = (24, 36)) -> np.ndarray:
    """Two channels, (T, C, Y, X); frame 1 is all zero, and the last was dropped."""
    data = np.random.default_rng(3).normal(size=(frames, 2, *size)).astype(np.float32)
    data[1], data[-1] = 0, np.nan
    return data


def test_frames_share_shards_that_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_SHARD_FRAMES", 4)
    source = write_image(tmp_path / "in.zarr", np.repeat(phase(10), 2, axis=2), version="0.5", names=("0", "1"))
    target = tmp_path / "out.ome.zarr"
    (image,) = make(source, target, planes=(0, 1))
    data, before = stained(10), file_metric("write")
    for plane in (0, 1):
        stack, on_disk = PlaneStack(target, image, plane, write=True), []
        for number, frame in enumerate(data):
            stack.write(number, frame)
            on_disk.append(stack.settle())
        assert on_disk == [0, 0, 0, 4, 4, 4, 4, 8, 8, 10]
    files = {str(path.relative_to(target)) for path in target.rglob("c/*/*/*/*/*")}
    assert files == {f"{level}/c/{shard}/0/{plane}/0/0" for level in (0, 1) for shard in (0, 1, 2) for plane in (0, 1)}
    assert file_metric("write") - before == len(files)
    position = open_store(target).position("fov")
    with open_ome_zarr(target, mode="r") as read:
        assert (read["0"].shards, read["0"].chunks) == ((4, 2, 1, 24, 36), (1, 1, 1, 24, 36))
        assert (read["1"].shards, read["1"].chunks) == ((4, 2, 1, 12, 18), (1, 1, 1, 12, 18))
        for number, frame in enumerate(data):
            np.testing.assert_array_equal(stack.read(number), frame)
            np.testing.assert_array_equal(read["0"][number, :, 1], frame)
            np.testing.assert_array_equal(zarr.open_array(target / "0", mode="r")[number, :, 1], frame)
            np.testing.assert_array_equal(position.read(number, 1, 1), frame[1])
            np.testing.assert_array_equal(read["1"][number, :, 0], downsample_plane(frame, (12, 18)))


def test_a_shard_is_no_longer_than_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    like = open_store(write_image(tmp_path / "in.zarr", phase(5), version="0.5")).position("fov")
    old = open_store(write_image(tmp_path / "old.zarr", phase(5))).position("fov")
    frame = 4 * 2 * 24 * 36

    def shard(length: int, largest: int, of: Position = like) -> int:
        monkeypatch.setattr(output, "MAX_SHARD_BYTES", largest)
        return ImageSpec(of, ("Nuclei", "Membrane"), range(length), length, (0,)).shard

    assert shard(1000, 2**30) == output.MAX_SHARD_FRAMES
    assert shard(7, 2**30) == 7
    assert shard(1000, 3 * frame) == shard(1000, 4 * frame - 1) == 3
    assert shard(1000, frame - 1) == 1
    assert shard(1000, 2**30, old) == 1


def test_frames_out_of_order_are_not_lost(tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.zarr", phase(6), version="0.5")
    (image,) = make(source, tmp_path / "out.ome.zarr")
    data = stained(6)
    stack = PlaneStack(tmp_path / "out.ome.zarr", image, 0, write=True)
    for number in (2, 3, 0, 1, 4):
        stack.write(number, data[number])
    assert stack.flush() == 5
    for number in range(5):
        np.testing.assert_array_equal(stack.read(number), data[number])


def test_a_truncated_shard_is_said_in_one_line(tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.zarr", phase(4), version="0.5")
    target = tmp_path / "out.ome.zarr"
    (image,) = make(source, target)
    stack = PlaneStack(target, image, 0, write=True)
    for number, frame in enumerate(stained(4)):
        stack.write(number, frame)
    stack.settle()
    (shard,) = target.rglob("c/*/*/*/*/*")
    whole = shard.read_bytes()
    for kept in (0, 8, len(whole) // 2, len(whole) - 1):
        shard.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=r"^cannot read frame 2, channel 1, plane 0 of .*$"):
            open_store(target).position("fov").read(2, 1, 0)
        with pytest.raises(DataError, match=r"^cannot read frame 2 of .*$"):
            stack.read(2)
