"""Movies that grow, change or vanish: between runs, and during one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from support.runs import Killed, killed_at_batch, pixels, snapshot
from support.stores import phase, write_image, write_plate

from image_translation.network.predictor import Predictor
from image_translation.omezarr.store import open_store
from image_translation.staining import run as run_module
from image_translation.staining.journal import PARTIAL, Journal

METHODS = ("--methods", "raw", "window", "motion", "--normalization", "mean_std")


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images that the network gets, call by call."""
    numbers: list[int] = []
    predict = Predictor.start
    monkeypatch.setattr(Predictor, "start", lambda self, images: numbers.append(len(images)) or predict(self, images))
    return numbers


@pytest.fixture
def during_the_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Do something once, when the first images go to the network."""

    def do(action: Callable[[], object]) -> None:
        predict, left = Predictor.start, [action]

        def start(self: Predictor, images: Any) -> Any:
            while left:
                left.pop()()
            return predict(self, images)

        monkeypatch.setattr(Predictor, "start", start)

    return do


def replace_frames(movie: Path, data: np.ndarray, frames: list[int]) -> None:
    """Copy the chunks of frames from a store of other data."""
    other = write_image(movie.with_name("other.zarr"), data)
    for t in frames:
        chunk = Path("0") / str(t) / "0/0/0/0"
        shutil.copyfile(other / chunk, movie / chunk)
    shutil.rmtree(other)


def test_of_a_movie_that_has_grown_only_the_new_frames_are_stained(
    run: Any, tmp_path: Path, predicted: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    data = phase(30)
    movie = write_image(tmp_path / "in.zarr", data[:27])
    assert run(movie, *METHODS) == 0
    before = pixels(tmp_path / "out", "raw")
    chunks = {path: path.stat() for path in movie.rglob("*/0/0/0/0")}
    write_image(movie, data)
    for path, status in chunks.items():
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    predicted.clear()
    assert run(movie, *METHODS) == 0
    assert sum(predicted) == 3
    assert "the movie has changed" in caplog.text
    assert "3 of 30 frames are new, or have other pixels or statistics" in caplog.text
    after = pixels(tmp_path / "out", "raw")
    np.testing.assert_array_equal(after[:27], before)
    assert np.isfinite(after).all()
    assert len(pixels(tmp_path / "out", "motion")) == 30
    predicted.clear()
    caplog.clear()
    assert run(movie, *METHODS) == 0
    assert "holds these results already" in caplog.text
    assert not predicted


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_frames_with_other_pixels_are_stained_again(
    run: Any, tmp_path: Path, predicted: list[int], caplog: pytest.LogCaptureFixture, version: str
) -> None:
    """Neither the first, nor the middle, nor the last; a shard or chunk holds several frames."""
    data = phase(24)
    chunk = (8, 1, 1)
    movie = write_image(tmp_path / "in.zarr", data, version=version, chunk=chunk)
    assert run(movie, *METHODS) == 0
    data[[5, 19]] = phase(2, seed=9) * 1.01
    write_image(movie, data, version=version, chunk=chunk)  # with other times of change everywhere
    predicted.clear()
    assert run(movie, *METHODS) == 0
    assert sum(predicted) == 2
    assert "2 of 24 frames are new, or have other pixels or statistics" in caplog.text
    whole = tmp_path / "whole"
    assert run(movie, *METHODS, output=whole) == 0
    for method in ("raw", "motion", "window"):  # with statistics that differ by less than 2 %
        difference = pixels(tmp_path / "out", method) - pixels(whole, method)
        assert np.abs(difference).mean() < 0.005, method


def test_a_copied_movie_is_the_same(
    run: Any, tmp_path: Path, predicted: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(12))
    assert run(movie, *METHODS) == 0
    for path in movie.rglob("*"):
        os.utime(path, (1, 1))
    predicted.clear()
    assert run(movie, *METHODS) == 0
    assert "holds these results already" in caplog.text
    assert not predicted


def test_a_late_frame_is_stained(run: Any, tmp_path: Path, predicted: list[int]) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(12))
    chunk = movie / "0/4/0/0/0/0"
    chunk.rename(tmp_path / "later")
    assert run(movie, *METHODS) == 0
    assert np.isnan(pixels(tmp_path / "out", "raw")[4]).all()
    (tmp_path / "later").rename(chunk)
    predicted.clear()
    assert run(movie, *METHODS) == 0
    assert sum(predicted) == 1
    assert np.isfinite(pixels(tmp_path / "out", "raw")).all()


def test_other_statistics_stain_all_frames_anew(
    run: Any, tmp_path: Path, predicted: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    data = phase(12)
    movie = write_image(tmp_path / "in.zarr", data)
    assert run(movie, *METHODS) == 0
    replace_frames(movie, data + 5, [1, 3, 4])
    predicted.clear()
    assert run(movie, *METHODS) == 0
    assert sum(predicted) == 12
    assert "the statistics of the phase have changed" in caplog.text


def test_edited_statistics_of_the_store_are_noticed(run: Any, tmp_path: Path, predicted: list[int]) -> None:
    def state(mean: float) -> None:
        block = {"Phase3D": {"fov_statistics": {"mean": mean, "std": 1.0}}}
        zarr.open_group(movie, mode="r+").attrs["normalization"] = block

    movie = write_image(tmp_path / "in.zarr", phase(12))
    state(0.0)
    options = ("--methods", "raw", "--normalization", "mean_std", "--statistics", "stored")
    for mean, count in ((0.0, 12), (0.0, 0), (0.5, 12), (0.5, 0)):
        predicted.clear()
        state(mean)
        assert run(movie, *options) == 0
        assert sum(predicted) == count
    again = tmp_path / "again"
    assert run(movie, *options, output=again) == 0
    assert snapshot(again / "raw.ome.zarr" / "0") == snapshot(tmp_path / "out" / "raw.ome.zarr" / "0")


def test_another_movie_is_refused(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(12))
    assert run(movie, *METHODS) == 0
    before = snapshot(tmp_path / "out")
    write_image(movie, phase(12, seed=5))
    assert run(movie, *METHODS) == 2
    assert "was made from another movie (input.positions.fov.pixels:" in caplog.text
    assert "choose another -o, or replace it with --overwrite" in caplog.text
    assert snapshot(tmp_path / "out") == before
    assert run(movie, *METHODS, "--overwrite") == 0


def test_a_method_that_is_added_to_a_changed_movie_mixes_nothing(run: Any, tmp_path: Path) -> None:
    data = phase(12)
    movie = write_image(tmp_path / "in.zarr", data)
    assert run(movie, *METHODS) == 0
    replace_frames(movie, phase(12, seed=4), [2])
    assert run(movie, "--methods", "savgol", "--normalization", "mean_std") == 0
    raw, window, savgol = (pixels(tmp_path / "out", method) for method in ("raw", "window", "savgol"))
    np.testing.assert_allclose(window, (raw[1:] + raw[:-1]) / 2, atol=1e-6)
    assert savgol.shape == raw.shape


def test_methods_that_need_more_frames_are_left_out_until_the_movie_has_them(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = phase(12)
    movie = write_image(tmp_path / "in.zarr", data[:4])
    assert run(movie) == 0
    assert "savgol is left out: it needs 11 valid frames, and" in caplog.text
    assert "(channel Phase3D, plane 0) has 4 of 4" in caplog.text
    assert {path.name for path in (tmp_path / "out").glob("*.zarr")} == {
        f"{m}.ome.zarr" for m in ("raw", "window", "motion")
    }
    for asked in (("--methods", "savgol"), ("--savgol-window", "9")):
        assert run(movie, *asked, output=tmp_path / "refused") == 2
    write_image(movie, data)
    assert run(movie) == 0
    assert len(pixels(tmp_path / "out", "savgol")) == 12


def test_a_still_is_stained(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stack = np.ascontiguousarray(phase(12).transpose(2, 1, 0, 3, 4))
    assert run(write_image(tmp_path / "in.zarr", stack)) == 0
    assert "1 frame, 12 planes: if the planes are frames, store them along the axis t, or name it with" in caplog.text
    assert {path.name for path in (tmp_path / "out").glob("*.zarr")} == {"raw.ome.zarr", "motion.ome.zarr"}


def consistent(output: Path) -> bool:
    """Return whether the mean of two frames is that of the raw prediction beside it."""
    raw, window = pixels(output, "raw"), pixels(output, "window")
    return np.allclose(window, (raw[1:] + raw[:-1]) / 2, atol=1e-6)


def test_an_update_that_is_killed_while_it_is_published_is_published_whole(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(12))
    assert run(movie, *METHODS) == 0
    replace_frames(movie, phase(12, seed=4), [2])
    replace, moved = Journal._replace, []

    def dying(self: Journal, name: Path) -> None:
        if moved:
            raise Killed
        moved.append(name)
        replace(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_replace", dying)
        with pytest.raises(Killed):
            run(movie, *METHODS)
    assert not consistent(tmp_path / "out")
    assert run(movie, *METHODS) == 0
    assert consistent(tmp_path / "out")
    assert not (tmp_path / "out" / PARTIAL).exists()


@pytest.mark.parametrize("raw", ["never written", "deleted"])
def test_a_change_is_seen_without_the_raw_prediction(run: Any, tmp_path: Path, predicted: list[int], raw: str) -> None:
    methods = ("--methods", *(("raw",) if raw == "deleted" else ()), "window", "--normalization", "mean_std")
    movie = write_image(tmp_path / "in.zarr", phase(12))
    assert run(movie, *methods) == 0
    shutil.rmtree(tmp_path / "out/raw.ome.zarr", ignore_errors=True)
    replace_frames(movie, phase(12, seed=4), [2])
    predicted.clear()
    assert run(movie, *METHODS) == 0
    assert sum(predicted) == 12
    assert consistent(tmp_path / "out")


def test_a_changed_truth_is_scored_again(run: Any, tmp_path: Path) -> None:
    data = np.concatenate([phase(12, seed=seed) for seed in range(3)], axis=1)
    names = ("Phase3D", "Nuclei", "Membrane")
    movie = write_image(tmp_path / "in.zarr", data, channels=names)
    assert run(movie, *METHODS) == 0
    before = (tmp_path / "out/metrics.csv").read_text()
    data[4, 1] = data[7, 1]
    write_image(movie, data, channels=names)
    assert run(movie, *METHODS) == 0
    assert (tmp_path / "out/metrics.csv").read_text() != before


def test_a_truth_that_vanishes_is_an_error(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, during_the_run: Any
) -> None:
    data = np.concatenate([phase(12, seed=seed) for seed in range(3)], axis=1)
    movie = write_image(tmp_path / "in.zarr", data, channels=("Phase3D", "Nuclei", "Membrane"))

    def lose() -> None:
        for t in range(12):
            shutil.rmtree(movie / "0" / str(t) / "1")

    during_the_run(lose)
    assert run(movie, *METHODS) == 1
    assert "has changed while it was read, and chunk files are missing" in caplog.text


def test_damaged_frames_of_the_earlier_prediction_are_not_used(run: Any, tmp_path: Path, predicted: list[int]) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(12))
    assert run(movie, *METHODS) == 0
    shutil.rmtree(tmp_path / "out/raw.ome.zarr/0/4")
    replace_frames(movie, phase(12, seed=4), [2])
    predicted.clear()
    assert run(movie, *METHODS) == 0
    assert sum(predicted) == 2
    assert pixels(tmp_path / "out", "raw")[4].any()
    replace_frames(movie, phase(12, seed=5), [2])
    predicted.clear()
    assert run(movie, "--methods", "raw", "window", "--normalization", "mean_std", "--overwrite") == 0
    assert sum(predicted) == 12
    assert consistent(tmp_path / "out")


def test_a_well_that_changes_while_a_run_is_interrupted_is_stained_again(run: Any, tmp_path: Path) -> None:
    names = ["A/1/0", "A/2/0"]
    movie = write_plate(tmp_path / "in.zarr", {name: phase(12, seed=n) for n, name in enumerate(names)})
    with killed_at_batch(15):
        run(movie, *METHODS)
    chunk = Path("0/2/0/0/0/0")
    shutil.copyfile(movie / "A/2/0" / chunk, movie / "A/1/0" / chunk)
    assert run(movie, *METHODS) == 0
    assert run(movie, *METHODS, output=tmp_path / "whole") == 0
    for name in names:
        whole = pixels(tmp_path / "whole", "raw", name)
        np.testing.assert_array_equal(pixels(tmp_path / "out", "raw", name), whole)


def test_a_blank_frame_in_both_does_not_make_two_movies_one(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = phase(12), phase(12, seed=7)
    first[5] = second[5] = 0
    movie = write_image(tmp_path / "in.zarr", first)
    assert run(movie, *METHODS) == 0
    write_image(movie, second)
    assert run(movie, *METHODS) == 2
    assert "was made from another movie" in caplog.text


def test_results_of_frames_that_are_gone_are_kept(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(12))
    assert run(movie, *METHODS) == 0
    before = snapshot(tmp_path / "out")
    for t in (3, 4, 9):
        shutil.rmtree(movie / "0" / str(t))
    assert run(movie, *METHODS) == 1
    assert "the pixels of 3 frames of" in caplog.text
    assert "are gone: 3, 4, 9; is the movie complete? --overwrite replaces the results nonetheless" in caplog.text
    assert snapshot(tmp_path / "out") == before


def test_wells_that_have_not_changed_are_kept(
    run: Any, tmp_path: Path, predicted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wells = {f"A/{n}/0": phase(12, seed=n) for n in range(1, 4)}
    wells["A/1/0"][4] = 0  # an invalid frame
    movie = write_plate(tmp_path / "in.zarr", wells)
    assert run(movie, *METHODS) == 0
    replace_frames(movie / "A/2/0", phase(12, seed=9), [3])
    performed: list[str] = []
    attempt = run_module.attempt
    monkeypatch.setattr(run_module, "attempt", lambda task, *rest: performed.append(task.name) or attempt(task, *rest))
    predicted.clear()
    with killed_at_batch(0):
        run(movie, *METHODS)
    assert run(movie, *METHODS) == 0
    assert (performed, sum(predicted)) == (["A/2/0"] * 2, 1)
    assert run(movie, *METHODS) == 0  # holds these results
    assert run(movie, *METHODS, output=tmp_path / "anew") == 0
    assert len(performed) == 5
    kept = ("A/1/0", "A/3/0")
    for name in (f"{method}.ome.zarr/{well}/0" for method in METHODS[1:4] for well in kept):
        assert snapshot(tmp_path / "out" / name) == snapshot(tmp_path / "anew" / name)
    tables = [(tmp_path / place / "metrics.csv").read_text().splitlines() for place in ("out", "anew")]
    assert len(tables[0]) == len(tables[1])
    lines = [[line for line in table if line.startswith(kept)] for table in tables]
    assert lines[0] == lines[1]
    invalid = [open_store(tmp_path / place / "raw.ome.zarr").position("A/1/0") for place in ("out", "anew")]
    assert invalid[0].attributes["omero"] == invalid[1].attributes["omero"]


def test_a_fixed_well_is_taken_in(run: Any, tmp_path: Path, predicted: list[int]) -> None:
    movie = write_plate(tmp_path / "in.zarr", {f"A/{n}/0": phase(12, seed=n) for n in (1, 2)})
    well = movie / "A/2/.zattrs"
    content = well.read_text()
    well.write_text("{")
    assert run(movie, *METHODS) == 0
    first = pixels(tmp_path / "out", "raw", "A/1/0")
    well.write_text(content)
    predicted.clear()
    assert run(movie, *METHODS) == 0
    assert sum(predicted) == 12
    np.testing.assert_array_equal(pixels(tmp_path / "out", "raw", "A/1/0"), first)
    assert np.isfinite(pixels(tmp_path / "out", "motion", "A/2/0")).all()


@pytest.mark.parametrize("lost", ["", "0/.zarray", "0"])
def test_a_movie_that_vanishes_during_the_run_is_an_error(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, during_the_run: Any, lost: str
) -> None:
    """The whole store, the metadata of the array and its chunks, or the chunks only."""
    movie = write_image(tmp_path / "in.zarr", phase(24))
    whole = tmp_path / "whole"
    assert run(movie, *METHODS, output=whole) == 0
    away = tmp_path / "away"

    def unplug() -> None:
        if lost == "0/.zarray":
            shutil.copytree(movie, away, copy_function=shutil.copy2)
            shutil.rmtree(movie / "0")
        elif lost:
            shutil.copytree(movie, away, copy_function=shutil.copy2)
            for chunk in (movie / "0").glob("[0-9]*"):
                shutil.rmtree(chunk)
        else:
            movie.rename(away)

    during_the_run(unplug)
    assert run(movie, *METHODS) == 1
    assert "is its disk or network share still connected?" in caplog.text
    assert "Traceback" not in caplog.text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {PARTIAL}
    shutil.rmtree(movie, ignore_errors=True)
    away.rename(movie)
    assert run(movie, *METHODS) == 0
    assert snapshot(tmp_path / "out") == snapshot(whole)


def test_a_frame_that_comes_back_after_it_was_read_as_blank_is_an_error(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, during_the_run: Any
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(12))
    chunk = movie / "0/0/0/0/0/0"
    chunk.rename(tmp_path / "later")
    during_the_run(lambda: (tmp_path / "later").rename(chunk))
    assert run(movie, *METHODS) == 1
    assert "frame 0 of" in caplog.text
    assert "was blank when it was read, and has pixels now" in caplog.text
    assert run(movie, *METHODS) == 0
    assert np.isfinite(pixels(tmp_path / "out", "raw")).all()


def test_missing_tiles_are_named(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = phase(12, size=(24, 40))
    movie = write_image(tmp_path / "in.zarr", data)
    tiled = zarr.create_array(
        movie / "0",
        data=data,
        chunks=(1, 1, 1, 24, 20),
        zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": "/"},
        overwrite=True,
    )
    assert tiled.cdata_shape[-1] == 2
    for t in (3, 7):
        (movie / "0" / str(t) / "0/0/0/1").unlink()
    assert run(movie, *METHODS) == 0
    assert "2 frames lack some of their chunks, which were read as the fill value of the array" in caplog.text
    assert "fov z0: 3, 7" in caplog.text
