"""Writing of frames in shards and at all levels, and reading them back."""

from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import zarr
from iohub.ngff import open_ome_zarr
from support.stores import file_metric, make_output, phase, write_image

from image_translation.errors import DataError
from image_translation.omezarr import output
from image_translation.omezarr.blank_frames import MARK
from image_translation.omezarr.plane_stack import PlaneStack, downsample_plane
from image_translation.omezarr.store import open_store


def test_frames_are_read_back_and_downsampled_to_every_level(tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.zarr", phase(3, (6, 9)), names=("0", "1", "2"))
    (image,) = make_output(source, tmp_path / "out.ome.zarr")
    stack = PlaneStack(tmp_path / "out.ome.zarr", image, 0, write=True)
    data = np.random.default_rng(1).normal(size=(2, 6, 9)).astype(np.float32)
    stack.write(2, data)
    assert stack.wait() == 3
    np.testing.assert_array_equal(stack.read(2), data)
    position = open_store(tmp_path / "out.ome.zarr").position("fov")
    level = zarr.open_array(position.path / "1", mode="r")[2, 1, 0]
    np.testing.assert_allclose(level[:, :4], data[1, :, :8].reshape(3, 2, 4, 2).mean(axis=(1, 3)), rtol=1e-6)
    np.testing.assert_allclose(level[:, 4], data[1, :, 8].reshape(3, 2).mean(axis=1), rtol=1e-6)


def test_downsampling_keeps_the_mean_and_nan() -> None:
    data = np.random.default_rng(2).normal(size=(2, 8, 12)).astype(np.float32)
    np.testing.assert_allclose(downsample_plane(data, (4, 6)).mean(), data.mean(), rtol=1e-4)
    np.testing.assert_allclose(downsample_plane(data, (8, 4))[0, 0, 0], data[0, 0, :3].mean(), rtol=1e-5)
    assert downsample_plane(data, (8, 12)) is data
    assert downsample_plane(data[:, :1, :1], (1, 1)).shape == (2, 1, 1)
    assert np.isnan(downsample_plane(np.full((2, 8, 12), np.nan, np.float32), (4, 6))).all()


def test_a_frame_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.zarr", phase(2))
    (image,) = make_output(source, tmp_path / "out.ome.zarr")
    stack = PlaneStack(tmp_path / "out.ome.zarr", image, 0, write=True)
    (tmp_path / "out.ome.zarr" / "0" / "1").write_text("in place of a directory")
    stack.write(1, np.ones((2, 24, 36), np.float32))
    with pytest.raises(DataError, match="cannot write frame 1 of"):
        stack.wait()


def stained(frames: int, size: tuple[int, int] = (24, 36)) -> np.ndarray:
    """Return a movie of two channels, (T, C, Y, X), with zeros in frame 1 and NaN in the last."""
    data = np.random.default_rng(3).normal(size=(frames, 2, *size)).astype(np.float32)
    data[1], data[-1] = 0, np.nan
    return data


def test_each_shard_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_SHARD_FRAMES", 4)
    source = write_image(tmp_path / "in.zarr", np.repeat(phase(10), 2, axis=2), version="0.5", names=("0", "1"))
    target = tmp_path / "out.ome.zarr"
    (image,) = make_output(source, target, planes=(0, 1))
    data, before = stained(10), file_metric("write")
    for plane in (0, 1):
        stack, on_disk = PlaneStack(target, image, plane, write=True), []
        for number, frame in enumerate(data):
            stack.write(number, frame)
            on_disk.append(stack.wait())
        assert on_disk == [0, 0, 0, 4, 4, 4, 4, 8, 8, 10]
    files = {str(path.relative_to(target)) for path in target.rglob("c/*/*/*/*/*")}
    places = product((0, 1), (0, 1, 2), (0, 1), (0, 1))
    assert files == {f"{level}/c/{shard}/{channel}/{plane}/0/0" for level, shard, channel, plane in places}
    assert file_metric("write") - before == len(files)
    position = open_store(target).position("fov")
    with open_ome_zarr(target, mode="r") as read:
        assert (read["0"].shards, read["0"].chunks) == ((4, 1, 1, 24, 36), (1, 1, 1, 24, 36))
        assert (read["1"].shards, read["1"].chunks) == ((4, 1, 1, 12, 18), (1, 1, 1, 12, 18))
        for number, frame in enumerate(data):
            np.testing.assert_array_equal(stack.read(number), frame)
            np.testing.assert_array_equal(read["0"][number, :, 1], frame)
            np.testing.assert_array_equal(zarr.open_array(target / "0", mode="r")[number, :, 1], frame)
            np.testing.assert_array_equal(position.read(number, 1, 1), frame[1])
            np.testing.assert_array_equal(read["1"][number, :, 0], downsample_plane(frame, (12, 18)))


def test_frames_out_of_order_are_written(tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.zarr", phase(6), version="0.5")
    (image,) = make_output(source, tmp_path / "out.ome.zarr")
    data = stained(6)
    stack = PlaneStack(tmp_path / "out.ome.zarr", image, 0, write=True)
    for number in (2, 3, 0, 1, 4):
        stack.write(number, data[number])
    assert stack.flush() == 5
    for number in range(5):
        np.testing.assert_array_equal(stack.read(number), data[number])


def test_a_truncated_shard_is_an_error(tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.zarr", phase(4), version="0.5")
    target = tmp_path / "out.ome.zarr"
    (image,) = make_output(source, target)
    stack = PlaneStack(target, image, 0, write=True)
    for number, frame in enumerate(stained(4)):
        stack.write(number, frame)
    stack.wait()
    (shard,) = target.rglob("c/*/1/*/*/*")  # of the second channel
    complete = shard.read_bytes()
    for kept in (0, 8, len(complete) // 2, len(complete) - 1):
        shard.write_bytes(complete[:kept])
        with pytest.raises(DataError, match=r"^cannot read frame 2, channel 1, plane 0 of .*$"):
            open_store(target).position("fov").read(2, 1, 0)
        with pytest.raises(DataError, match=r"^cannot read frame 2 of .*$"):
            stack.read(2)


def test_shards_and_levels_are_those_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unfinished run of an earlier version goes on: its shards held all channels, and large frames had one level."""
    source = write_image(tmp_path / "in.zarr", phase(6), version="0.5")
    target = tmp_path / "out.ome.zarr"
    (image,) = make_output(source, target)
    zarr.open_group(target, mode="r+").create_array(
        "0", shape=(6, 2, 1, 24, 36), dtype="f4", chunks=(1, 1, 1, 24, 36), shards=(3, 2, 1, 24, 36), overwrite=True
    )
    monkeypatch.setattr(output, "MAX_COARSEST_SIDE", 20)
    assert len(image.levels) == 2
    data, stack = stained(6), PlaneStack(target, image, 0, write=True)
    on_disk = []
    for number, frame in enumerate(data):
        stack.write(number, frame)
        on_disk.append(stack.wait())
    assert on_disk == [0, 0, 3, 3, 3, 6]
    np.testing.assert_array_equal(np.asarray(zarr.open_array(target / "0", mode="r"))[:, :, 0], data)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_blank_frames_are_zero_on_disk_and_nan_when_read(tmp_path: Path, version: Literal["0.4", "0.5"]) -> None:
    source = write_image(tmp_path / "in.zarr", phase(4), version=version, names=("0", "1"))
    target = tmp_path / "out.ome.zarr"
    (image,) = make_output(source, target, blank="zero")
    data, stack = stained(4), PlaneStack(target, image, 0, write=True)  # frame 1 is valid, and zero
    data[2, 1, 5, 5] = np.inf
    data[0, 1] = 0
    for number, frame in enumerate(data):
        stack.write(number, frame)
    stack.flush()
    stored = np.asarray(zarr.open_array(target / "0", mode="r"))[:, :, 0]
    assert not stored[2:].any()
    np.testing.assert_allclose(stored[:2], data[:2], atol=2 * MARK)
    assert np.isfinite(np.asarray(zarr.open_array(target / "1", mode="r"))).all()
    position = open_store(target).position("fov")
    for number in (0, 1):
        np.testing.assert_array_equal(stack.read(number), data[number])
        for channel in (0, 1):
            np.testing.assert_array_equal(position.read(number, channel, 0), data[number, channel])
    for number in (2, 3):
        assert np.isnan(stack.read(number)).all()
        assert np.isnan(position.read(number, 1, 0)).all()
