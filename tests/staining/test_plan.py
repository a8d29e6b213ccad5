"""Wrong options and unusable movies are reported before anything is written."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.runs import truncate
from support.stores import phase, write_image, write_plate

from image_translation.omezarr.store import open_store
from image_translation.staining.journal import PARTIAL


def test_skipped_positions_must_exist(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_plate(tmp_path / "in.zarr", {"A/1/0": phase(13)})
    assert run(movie, "--skip", "B/*") == 2
    assert "--skip B/* matches nothing" in caplog.text
    assert run(movie, "--skip", "A/*") == 2
    assert "--skip A/* leaves no position of A/1/0" in caplog.text


def test_dry_run_lists_unreadable_positions(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    movie = write_plate(tmp_path / "in.zarr", {name: phase(13) for name in ("A/1/0", "A/2/0")})
    truncate(movie / "A/2/0/0/0/0/0/0/0")
    assert run(movie, "--dry-run", "--scheduler", "local:2") == 0
    text = capsys.readouterr().out
    assert "positions      1: A/1/0\n" in text
    assert "cannot read    A/2/0: cannot read frame 0" in text
    assert "runs           on local:2\n" in text


def test_dry_run_writes_nothing(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(14))
    assert run(movie, "--dry-run") == 0
    text = capsys.readouterr().out
    assert "13 x 2 x 1 x 24 x 36 float32, 89.9 kB" in text
    assert "a random network for tests" in text
    assert not (tmp_path / "out").exists()


def broken_movies(tmp_path: Path) -> dict[str, tuple[Path, tuple[str, ...], int, str]]:
    """Return movies and options that must fail, with the exit code and a part of the message."""
    good = write_image(tmp_path / "good.zarr", phase(14))
    two = write_image(tmp_path / "two.zarr", np.repeat(phase(14), 2, axis=1), channels=("DAPI", "GFP"))
    cut = write_image(tmp_path / "cut.zarr", phase(14, (64, 64)))
    chunk = cut / "0" / "8" / "0" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    dark = write_image(tmp_path / "dark.zarr", np.zeros((14, 1, 1, 8, 8), "u2"))
    sparse = phase(14)
    sparse[2:] = 0
    short = write_image(tmp_path / "short.zarr", sparse)
    (tmp_path / "directory").mkdir()
    return {
        "missing movie": (tmp_path / "none.zarr", (), 2, "none.zarr"),
        "no zarr": (tmp_path / "directory", (), 1, "is not an OME-Zarr store"),
        "empty plate": (write_plate(tmp_path / "empty.zarr", {}), (), 1, "'wells' of the plate is []"),
        "position": (good, ("--position", "B/1/0"), 2, "B/1/0 matches nothing"),
        "channel": (good, ("--channel", "Phase"), 2, "it has Phase3D"),
        "open channel": (two, (), 2, "DAPI, GFP"),
        "plane": (good, ("--z", "3"), 2, "--z 3"),
        "frames": (good, ("--frames", "5:15"), 2, "0:14"),
        "no frames": (good, ("--frames", "5:5"), 2, "5:5"),
        "frames to 0": (good, ("--frames", ":0"), 2, "0:0"),
        "dry run": (short, ("--dry-run", "--methods", "savgol"), 2, "--savgol-window 11"),
        "short for savgol": (short, ("--methods", "raw", "savgol"), 2, "--savgol-window 11"),
        "short for window": (good, ("--frames", "3:4", "--methods", "window"), 2, "--window 2"),
        "even window": (good, ("--window", "4"), 2, "--window 4"),
        "even savgol": (good, ("--savgol-window", "10"), 2, "--savgol-window 10"),
        "order": (good, ("--savgol-window", "3"), 2, "--savgol-polyorder 3"),
        "dark": (dark, (), 1, "no valid frame"),
        "truncated chunk": (cut, (), 1, "frame 8"),
        "device": (good, ("--device", "cuda:9"), 2, "cuda:9"),
        "batch": (good, ("--batch-size", "0"), 2, "--batch-size 0"),
    }


def test_bad_input_is_a_one_line_error_and_writes_nothing(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for what, (movie, options, code, text) in broken_movies(tmp_path).items():
        caplog.clear()
        output = tmp_path / "results" / what
        assert run(movie, *options, output=output) == code, what
        (message,) = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
        assert text in message, what
        assert "\n" not in message, what
        assert not output.exists() or {path.name for path in output.iterdir()} <= {PARTIAL}, what


def test_output_must_not_overlap_the_input(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "raw.ome.zarr", phase())
    for output, text in {
        movie / "results": "lies inside the movie",
        movie: "lies inside the movie",
        movie / "0" / "0" / "results": "lies inside the movie",
        tmp_path: "would replace the movie",
    }.items():
        caplog.clear()
        assert run(movie, "--overwrite", output=output) == 2
        assert text in caplog.text
    (tmp_path / "file").write_text("")
    assert run(movie, output=tmp_path / "file") == 2
    assert "is a file" in caplog.text


def test_boolean_images_are_stained_as_zeros_and_ones(run: Any, tmp_path: Path) -> None:
    mask = phase(3) > 0
    for name, data in {"boolean": mask, "integer": mask.astype("u1")}.items():
        assert run(write_image(tmp_path / f"{name}.zarr", data), "--methods", "raw", output=tmp_path / name) == 0
    stained = [open_store(tmp_path / name / "raw.ome.zarr").position("fov") for name in ("boolean", "integer")]
    for t in range(3):
        np.testing.assert_array_equal(*(position.read(t, 0, 0) for position in stained))
