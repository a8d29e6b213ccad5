"""Results that have been tracked: their labels lie within stores that ``smooth`` compares, keeps and replaces."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.runs import killed_at_batch, pixels, snapshot
from support.stores import phase, write_image, write_plate

from image_translation.cli.commands import main
from image_translation.omezarr.store import open_store

METHODS = ("--normalization", "mean_std", "--methods", "raw", "window")


def track(output: Path, *options: str) -> int:
    return main(["track", str(output), "--method", "raw", *options])


def has_labels(output: Path, name: str = "fov") -> bool:
    return open_store(output / "raw.ome.zarr").position(name).labels("nuclei") is not None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_repeated_run_leaves_tracked_results_as_they_are(run: Any, tmp_path: Path, version: str) -> None:
    movie, out = write_image(tmp_path / "in.zarr", phase(6), version=version), tmp_path / "out"
    assert run(movie, *METHODS) == 0
    before = pixels(out, "raw")
    assert track(out) == 0
    assert has_labels(out)
    tracked = snapshot(out)
    assert run(movie, *METHODS) == 0
    assert snapshot(out) == tracked
    assert run(movie, *METHODS, "savgol", "--savgol-window", "5") == 0  # one more method
    kept = snapshot(out)
    assert {name: kept[name] for name in tracked if "ome.zarr" in name or name.startswith("tracks")} == {
        name: content for name, content in tracked.items() if "ome.zarr" in name or name.startswith("tracks")
    }
    np.testing.assert_array_equal(pixels(out, "raw"), before)
    assert main(["evaluate", str(out)]) == 0


def test_an_interrupted_run_beside_tracked_results_is_resumed(run: Any, tmp_path: Path) -> None:
    data, out = phase(8), tmp_path / "out"
    movie = write_image(tmp_path / "in.zarr", data[:6])
    assert run(movie, *METHODS) == 0
    write_image(movie, data)
    with killed_at_batch(0):
        run(movie, *METHODS)
    shutil.copytree(out, tmp_path / "untracked")
    assert track(out) == 0
    for output in (out, tmp_path / "untracked"):
        assert run(movie, *METHODS, output=output) == 0
    for method in ("raw", "window"):
        assert len(pixels(out, method)) == 8 - (method == "window")
        np.testing.assert_array_equal(pixels(out, method), pixels(tmp_path / "untracked", method))


def test_labels_of_a_movie_that_has_grown_are_not_kept(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of positions that have not changed are."""
    data, out = phase(8)[:, :, 0], tmp_path / "out"
    movie = write_plate(tmp_path / "in.zarr", {"A/1/0": data[:6, :, None], "A/2/0": data[:6, :, None]})
    assert run(movie, *METHODS) == 0
    assert track(out) == 0
    write_image(movie / "A/2/0", data[:, :, None])
    assert run(movie, *METHODS) == 0
    assert has_labels(out, "A/1/0")
    assert not has_labels(out, "A/2/0")
    assert track(out) == 2
    assert "A/2/0 has tracks of other options or images (the image has changed)" in caplog.text
    assert track(out, "--overwrite") == 0
    assert has_labels(out, "A/2/0")
