"""Complete runs on a movie whose stage jitters."""

import json
import logging
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.jittered import FRAMES, SIDE, movie, to_and_fro
from support.runs import killed_at_batch, pixels, snapshot
from support.stores import write_image, write_plate

from image_translation.cli.commands import main
from image_translation.metrics.rows import read_csv
from image_translation.omezarr.registered import Registration, stored_registration
from image_translation.omezarr.store import Position, open_store
from image_translation.staining.journal import PARTIAL

BORDER = 12


def registration(output: Path, method: str = "raw", name: str = "fov") -> Registration:
    found = stored_registration(open_store(output / f"{method}.ome.zarr").position(name))
    assert found is not None
    return found


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]


def test_the_stain_is_that_of_the_movie_without_jitter(run: Any, tmp_path: Path, draw_figures: None) -> None:
    still, moving = (
        write_image(tmp_path / "still.zarr", movie()),
        write_image(tmp_path / "in.zarr", movie(to_and_fro())),
    )
    before = snapshot(moving)
    options = ("--normalization", "none", "--methods", "raw", "motion")
    assert run(still, *options, output=tmp_path / "still") == 0
    assert run(moving, *options, output=tmp_path / "unregistered") == 0
    assert run(moving, *options, "--register") == 0
    assert snapshot(moving) == before
    inside = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    for method in ("raw", "motion"):
        wanted = pixels(tmp_path / "still", method)[inside]
        error, without = (
            np.sqrt(np.square(pixels(tmp_path / out, method)[inside] - wanted).mean())
            for out in ("out", "unregistered")
        )
        assert error < 0.1 * without
        found = registration(tmp_path / "out", method)
        np.testing.assert_allclose(found.shifts, -to_and_fro(), atol=0.1)
        assert found.channels == ("Phase3D",)
    attributes = open_store(tmp_path / "out" / "raw.ome.zarr").position("fov").attributes["image_translation"]
    assert attributes["request"]["prediction"]["registration"] == attributes["registration"]["method"]


def test_finished_and_killed_runs_are_known_again(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_image(tmp_path / "in.zarr", movie(to_and_fro()))
    options = ("--register", "--methods", "raw", "median")
    assert run(source, *options, output=tmp_path / "whole") == 0
    with killed_at_batch(6):
        run(source, *options)
    assert json.loads((tmp_path / "out" / PARTIAL / "positions" / "fov" / "registration.json").read_text())["shifts"]
    read, calls = Position.read, count()

    def counting(self: Position, *indices: int) -> Any:
        next(calls)
        return read(self, *indices)

    with monkeypatch.context() as patch:
        patch.setattr(Position, "read", counting)
        assert run(source, *options) == 0
    assert next(calls) < 3 * FRAMES + 10  # not read again to find the shifts, but for the fingerprints
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")
    assert run(source, *options) == 0
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")
    assert run(source, "--methods", "raw") == 2
    assert "registration" in errors(caplog)[-1]
    assert run(source, "--register", "--methods", "savgol") == 0  # a method more, on the same registered phase
    assert registration(tmp_path / "out", "savgol") == registration(tmp_path / "out")


def test_refusal_leaves_nothing_behind(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_image(tmp_path / "in.zarr", movie(to_and_fro())[:8])
    assert run(source, "--register", "--methods", "raw") == 1
    (message,) = errors(caplog)
    assert "--register" in message
    assert str(source) in message
    assert "8 valid frames" in message
    assert not list((tmp_path / "out").iterdir())
    assert run(source, "--methods", "raw") == 0


def test_positions_are_registered_or_refused_on_their_own(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).normal(size=(FRAMES, 1, 1, SIDE, SIDE)).astype(np.float32)
    movies = {"A/1/0": movie(to_and_fro()), "A/2/0": movie(), "A/3/0": np.zeros_like(noise), "A/4/0": noise}
    source = write_plate(tmp_path / "in.zarr", movies)
    options = ("--register", "--methods", "raw")
    assert run(source, *options) == 1
    assert any("A/4/0" in message and "texture" in message for message in errors(caplog))
    caplog.clear()
    assert run(source, *options, "--skip", "A/4/0") == 0
    assert registration(tmp_path / "out", name="A/1/0").displaces
    assert not registration(tmp_path / "out", name="A/2/0").displaces
    assert any("no jitter above 0.1 px found" in r.message and "A/2/0" in r.message for r in caplog.records)


def test_planes_share_the_shifts_of_the_middle_one(run: Any, tmp_path: Path) -> None:
    data = movie(to_and_fro(), depth=3)
    data[:, :, 0] = np.random.default_rng(0).normal(size=data[:, :, 0].shape)  # nothing to register by
    assert run(write_image(tmp_path / "in.zarr", data), "--register", "--methods", "raw", "--z", "all") == 0
    assert pixels(tmp_path / "out", "raw").shape[2] == 3
    np.testing.assert_allclose(registration(tmp_path / "out").shifts, -to_and_fro(), atol=0.1)


@pytest.mark.parametrize("stage", [True, False])
def test_the_truth_is_displaced_if_it_jitters_too(run: Any, tmp_path: Path, stage: bool) -> None:
    data = movie(to_and_fro(), channels=3)
    if not stage:  # lateral jitter of the label-free image alone
        data[:, 1:] = movie(channels=3)[:, 1:]
    source = write_image(tmp_path / "in.zarr", data, channels=("Phase3D", "Nuclei", "Membrane"))
    assert run(source, "--register", "--methods", "raw") == 0
    assert registration(tmp_path / "out").channels == (("Phase3D", "Nuclei", "Membrane") if stage else ("Phase3D",))
    rows = read_csv(tmp_path / "out" / "metrics.csv")
    steady = [r.value for r in rows if (r.method, r.metric) == ("truth", "adjacent_pearson")]
    assert len(steady) == 2 * (FRAMES - 1)
    assert min(steady) > 0.98
    # The command evaluate sees the same phase and the same truth.
    assert main(["evaluate", str(tmp_path / "out"), "-o", str(tmp_path / "scores")]) == 0
    again = read_csv(tmp_path / "scores" / "metrics.csv")
    kept = {(r.method, r.channel, r.frame, r.metric): r.value for r in rows}
    found = {(r.method, r.channel, r.frame, r.metric): r.value for r in again}
    assert found.keys() == kept.keys()
    np.testing.assert_allclose([found[key] for key in kept], list(kept.values()), rtol=1e-3, atol=1e-4)
