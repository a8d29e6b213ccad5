"""Normalisation statistics and display windows from samples of frames."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from support.stores import phase, write_image, write_plate

from image_translation.errors import DataError, UsageError
from image_translation.frame import Frame
from image_translation.normalize import Statistics
from image_translation.omezarr.statistics import (
    SAMPLED_FRAMES,
    DisplayWindows,
    dataset_statistics,
    field_statistics,
    stored_dataset_statistics,
)
from image_translation.omezarr.store import open_store


def test_statistics_are_estimated_from_all_frames_and_planes(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(5, 2, (4, 1, 3, 64, 64)).astype(np.float32)
    position = open_store(write_image(tmp_path / "a.zarr", data)).position("fov")
    found = field_statistics(position, 0, "mean_std")
    assert found.center == pytest.approx(5, abs=0.05)
    assert found.scale == pytest.approx(2, abs=0.05)


def test_invalid_and_unreadable_frames_are_skipped(tmp_path: Path) -> None:
    data = phase(2 * SAMPLED_FRAMES, (64, 64))
    data[:-1] = 0
    path = write_image(tmp_path / "a.zarr", data, keep_zero_chunks=True)
    (path / "0" / "0" / "0" / "0" / "0" / "0").write_bytes(b"x")
    position = open_store(path).position("fov")
    expected = field_statistics(open_store(write_image(tmp_path / "b.zarr", data[-1:])).position("fov"), 0, "mean_std")
    assert field_statistics(position, 0, "mean_std") == expected


def test_a_movie_without_valid_frames_is_not_scaled(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", np.zeros((2, 1, 1, 8, 8), np.float32), keep_zero_chunks=True)
    found = field_statistics(open_store(path).position("fov"), 0, "median_iqr")
    assert (found.center, found.scale) == (0, 1)
    for file in path.glob("0/*/0/0/0/0"):
        file.write_bytes(b"x")
    with pytest.raises(DataError, match="cannot read frame 0"):
        field_statistics(open_store(path).position("fov"), 0, "median_iqr")


def two_wells(path: Path) -> Path:
    return write_plate(path, {"A/1/0": phase(6, (64, 64)), "A/2/0": phase(6, (64, 64), seed=1) + 8})


def state(path: Path, mean: float) -> None:
    block = {"Phase3D": {"dataset_statistics": {"mean": mean, "std": 4.0}}}
    zarr.open_group(path, mode="r+").attrs["normalization"] = block


def test_statistics_of_the_dataset_are_pooled_over_all_valid_frames_of_all_positions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = two_wells(tmp_path / "a.zarr")
    store = open_store(path)
    values = np.concatenate([phase(6, (64, 64)), phase(6, (64, 64), seed=1) + 8])
    found = dataset_statistics(store, "Phase3D", "mean_std")
    assert (found.center, found.scale) == pytest.approx((values.mean(), values.std()), rel=0.02)
    one = open_store(write_image(tmp_path / "b.zarr", phase(6)))
    assert dataset_statistics(one, "Phase3D", "mean_std") == field_statistics(one.position("fov"), 0, "mean_std")
    with pytest.raises(UsageError, match="holds no usable dataset_statistics for mean_std of the channel Phase3D"):
        dataset_statistics(store, "Phase3D", "mean_std", "stored")
    (path / "A/1/0/.zattrs").write_text("{")  # a position that cannot be opened
    assert dataset_statistics(store, "Phase3D", "mean_std").center == pytest.approx(8, abs=0.2)
    (path / "A/2/0/.zattrs").write_text("{")
    with pytest.raises(DataError, match="A/1/0"):
        dataset_statistics(store, "Phase3D", "mean_std")
    assert "disagree" not in caplog.text


@pytest.mark.parametrize("places", [(".",), ("A/1/0", "A/2/0")])
def test_statistics_of_the_dataset_are_read_from_the_root_or_from_all_positions(
    tmp_path: Path, places: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    path = two_wells(tmp_path / "a.zarr")
    for place in places:
        state(path / place, 4.25)
    store, stored = open_store(path), Statistics(4.25, 4.0, "metadata")
    assert stored_dataset_statistics(store, "Phase3D", "mean_std") == stored
    assert dataset_statistics(store, "Phase3D", "mean_std") == stored  # they agree with the pixels
    for place in places:
        state(path / place, 9.0)
    assert dataset_statistics(store, "Phase3D", "mean_std", "stored").center == 9
    assert dataset_statistics(store, "Phase3D", "mean_std").center == pytest.approx(4, abs=0.2)
    assert "all positions: the statistics that the store holds for Phase3D (centre 9, scale 4) disagree" in caplog.text


def test_positions_with_different_statistics_of_the_dataset_have_none(tmp_path: Path) -> None:
    path = two_wells(tmp_path / "a.zarr")
    state(path / "A/1/0", 4.0)
    state(path / "A/2/0", 5.0)
    assert stored_dataset_statistics(open_store(path), "Phase3D", "mean_std") is None


def test_display_windows_contain_the_range_and_the_percentiles() -> None:
    data = np.random.default_rng(0).random((3, 2, 64, 64), np.float32) * np.float32([1, 10])[:, None, None]
    windows = DisplayWindows(3)
    for t, frame in enumerate(data):
        windows.add(Frame(t, frame, valid=t != 1))
    low, high = windows.windows(2)
    valid = data[[0, 2]]
    assert (low["min"], low["max"]) == (valid[:, 0].min(), valid[:, 0].max())
    assert high["start"] == pytest.approx(0.05, abs=0.05)
    assert high["end"] == pytest.approx(9.98, abs=0.05)


def test_display_windows_without_valid_frames_are_0_to_1() -> None:
    windows = DisplayWindows(1)
    windows.add(Frame(0, np.zeros((1, 4, 4), np.float32), valid=False))
    assert windows.windows(1) == [{"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0}]
