"""Existing results in the output directory: kept, extended, replaced or refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import savgol_filter
from support.runs import Killed, killed_at_batch, pixels, snapshot
from support.stores import phase, write_image

from image_translation.metrics.rows import read_csv
from image_translation.network.predictor import Predictor
from image_translation.staining.journal import PARTIAL, Journal


def test_finished_results_are_not_touched(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie) == 0
    before = snapshot(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "start", None)
        assert run(movie) == 0
    assert snapshot(tmp_path / "out") == before


def test_other_options_are_an_error_unless_overwritten(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie) == 0
    before = snapshot(tmp_path / "out")
    assert run(movie, "--savgol-window", "7") == 2
    assert "savgol.ome.zarr exists with other options (methods.savgol.window: 11 there, 7 now)" in caplog.text
    assert run(movie, "--normalization", "none") == 2
    assert snapshot(tmp_path / "out") == before
    assert run(movie, "--savgol-window", "7", "--overwrite") == 0
    savgol = savgol_filter(pixels(tmp_path / "out", "raw"), 7, 3, axis=0, mode="interp")
    np.testing.assert_allclose(pixels(tmp_path / "out", "savgol"), savgol, atol=1e-5)
    assert not (tmp_path / "out" / PARTIAL).exists()


def test_a_method_is_added_from_the_raw_store(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, "--methods", "raw", "window") == 0
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "start", None)  # nothing is left to predict
        assert run(movie, "--methods", "raw", "window", "savgol", "motion") == 0
    assert run(movie, output=tmp_path / "at_once") == 0
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "at_once")


def test_raw_is_kept_only_if_requested(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, "--methods", "savgol") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"savgol.ome.zarr", "metrics.csv", "figures"}


def test_existing_methods_stay_in_metrics_and_figures(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, "--methods", "raw", "window", "--window", "5") == 0
    assert run(movie, "--methods", "savgol") == 0
    rows = read_csv(tmp_path / "out" / "metrics.csv")
    assert {row.method for row in rows} == {"phase", "raw", "window", "savgol"}
    shutil.rmtree(tmp_path / "out" / "figures")
    assert run(movie, "--methods", "savgol") == 0
    assert (tmp_path / "out" / "figures").exists()
    raw = pixels(tmp_path / "out", "raw")
    np.testing.assert_allclose(pixels(tmp_path / "out", "window")[7], raw[5:10].mean(axis=0), atol=1e-6)


def test_results_of_two_movies_are_never_mixed(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, two = (write_image(tmp_path / f"{seed}.zarr", phase(seed=seed)) for seed in (1, 2))
    assert run(one, "--methods", "raw", "window") == 0
    assert run(two, "--methods", "savgol") == 2
    assert "raw.ome.zarr exists with other options (input.movie" in caplog.text
    assert run(two, "--methods", "raw", "--overwrite") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"raw.ome.zarr", "metrics.csv", "figures"}
    # The same path and shape, but other pixels.
    write_image(tmp_path / "2.zarr", phase(seed=3))
    assert run(two, "--methods", "raw") == 2
    assert "input.positions.fov.pixels" in caplog.text


def test_a_movie_that_was_moved_is_the_same(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "here" / "in.zarr", phase())
    assert run(movie, "--methods", "raw") == 0
    (tmp_path / "there").mkdir()
    caplog.set_level("INFO")
    assert run(movie.rename(tmp_path / "there" / "in.zarr"), "--methods", "raw") == 0
    assert "holds these results already" in caplog.text


def test_another_movie_of_the_same_name_is_refused(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, two = (write_image(tmp_path / str(seed) / "in.zarr", phase(seed=seed)) for seed in (1, 2))
    with killed_at_batch(6):
        run(one, "--methods", "raw")
    assert run(two, "--methods", "raw") == 2  # the unfinished work is not discarded
    assert "holds an unfinished run with other options (input.positions.fov.pixels: " in caplog.text
    assert run(one, "--methods", "raw") == 0
    assert run(two, "--methods", "raw") == 2
    assert "was made from another movie (input.positions.fov.pixels: " in caplog.text


def test_foreign_files_are_never_replaced(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    figures = tmp_path / "out" / "figures"
    figures.mkdir(parents=True)
    (figures / "paper.pdf").write_text("somebody's")
    assert run(movie) == 2
    assert "figures exists without a store that it belongs to" in caplog.text
    assert (figures / "paper.pdf").read_text() == "somebody's"


def test_an_interrupted_publication_is_not_reported_as_finished(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie) == 0

    def cut(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "clear", cut)
        with pytest.raises(Killed):
            run(movie, "--savgol-window", "7", "--overwrite")
    assert run(movie) == 2
    assert run(movie, "--savgol-window", "7", "--overwrite") == 0
    assert not (tmp_path / "out" / PARTIAL).exists()
    assert run(movie, "--savgol-window", "7", output=tmp_path / "at_once") == 0
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "at_once")
