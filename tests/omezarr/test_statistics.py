"""Normalisation statistics and display windows from samples of frames."""

from pathlib import Path

import numpy as np
import pytest
from support.stores import phase, write_image

from image_translation.errors import DataError
from image_translation.frame import Frame
from image_translation.omezarr.statistics import SAMPLED_FRAMES, DisplayWindows, field_statistics
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
