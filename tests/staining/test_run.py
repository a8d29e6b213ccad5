"""The main job end to end, in this process, on small movies with a random network."""

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import zarr
from scipy.signal import savgol_filter
from support.stores import file_metric, phase, write_image, write_plate

from image_translation.cli.commands import main
from image_translation.files import remove
from image_translation.metrics.rows import read_csv
from image_translation.network.predictor import Predictor
from image_translation.normalize import METHODS
from image_translation.omezarr.store import open_store
from image_translation.staining import plane_groups, task
from image_translation.staining import run as run_module
from image_translation.staining import stream as series_module
from image_translation.staining.journal import PARTIAL, Journal, Progress
from image_translation.temporal.filter import apply
from image_translation.temporal.motion_filter import MotionFilter

REAL = Path(__file__).parents[3] / "shared" / "data"
realdata = pytest.mark.skipif(not REAL.exists(), reason="the real data are not beside the checkout")


@pytest.fixture(autouse=True)
def _network_is_imported(network_class: Any) -> None:
    """Import VisCy where its warnings are not errors."""


@pytest.fixture
def draw_figures() -> None:
    """Asked for by tests that want figures, which take longer than all the rest."""


@pytest.fixture(autouse=True)
def _skip_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw_nothing(*arguments: Any) -> None:
        arguments[-1].mkdir()
        (arguments[-1] / "nothing.png").write_text("")

    if "draw_figures" not in request.fixturenames:
        monkeypatch.setattr(run_module, "write_figures", draw_nothing)


@pytest.fixture
def run(tiny_checkpoint: Path, tmp_path: Path) -> Any:
    """Run the command on a movie; return its exit code."""

    def run(movie: Path, *options: object, output: Path = tmp_path / "out") -> int:
        arguments = ["smooth", "-c", tiny_checkpoint, "-m", movie, "-o", output, "--device", "cpu", *options]
        return main([str(argument) for argument in arguments])

    return run


def pixels(output: Path, method: str, name: str = "fov") -> np.ndarray:
    position = open_store(output / f"{method}.ome.zarr").position(name)
    return np.asarray(zarr.open_array(position.path / "0", mode="r"))


def snapshot(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def require_noted_frames(cut: Path, whole: Path) -> dict[str, int]:
    """Check that the frames which a killed run has noted are on disk; return how many, by method and series."""
    noted: dict[str, int] = {}
    for path in (cut / PARTIAL / "positions").rglob("progress.json"):
        noted |= json.loads(path.read_text())
    noted.pop("finished", None)
    for key, count in noted.items():
        method, name, z = key.split(" ")
        plane = int(z.removeprefix("z"))
        position = open_store(whole / f"{method}.ome.zarr").position(name)
        partial = open_store(cut / PARTIAL / f"{method}.ome.zarr").position(name)
        for t in range(count):
            for c in range(position.shape[1]):
                np.testing.assert_array_equal(partial.read(t, c, plane), position.read(t, c, plane))
    return noted


SHARD = 5  # frames: its end lies within a batch of two


def test_results_are_the_network_and_its_filters(run: Any, tmp_path: Path, tiny_model: Any) -> None:
    data = phase(14, (23, 37))
    movie = write_image(tmp_path / "in.zarr", data, scale=(30, 1, 1, 0.5, 0.5))
    assert run(movie, "--normalization", "none") == 0
    spec, network = tiny_model
    expected = np.stack(Predictor(network, spec.stride, device="cpu").predict(list(data[:, :, 0])))
    raw = pixels(tmp_path / "out", "raw")
    assert raw.dtype == np.float32
    np.testing.assert_allclose(raw[:, :, 0], expected, atol=1e-5)
    np.testing.assert_allclose(pixels(tmp_path / "out", "window"), (raw[1:] + raw[:-1]) / 2, atol=1e-6)
    savgol = savgol_filter(raw, 11, 3, axis=0, mode="interp")
    np.testing.assert_allclose(pixels(tmp_path / "out", "savgol"), savgol, atol=1e-5)
    window = open_store(tmp_path / "out" / "window.ome.zarr").position("fov").levels[0]
    assert window.translation == (15, 0, 0, 0, 0)
    assert window.scale == (30, 1, 1, 0.5, 0.5)


def test_everything_is_there_and_tidy(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], draw_figures: None
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    stores = {"raw.ome.zarr", "window.ome.zarr", "savgol.ome.zarr", "motion.ome.zarr"}
    assert names == {*stores, "metrics.csv", "figures"}
    figures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"Nuclei_combined.png", "Membrane_combined.png", "corrcoef.png"} <= figures
    rows = read_csv(tmp_path / "out" / "metrics.csv")
    assert (tmp_path / "out" / "metrics.csv").read_text().startswith("position,method,channel,frame,metric,value\n")
    assert {row.method for row in rows} == {"phase", "raw", "window", "savgol", "motion"}
    assert {row.metric for row in rows} >= {"adjacent_pearson", "pearson_raw", "sharpness", "lag", "gain_flicker"}
    raw = pixels(tmp_path / "out", "raw")
    row = next(row for row in rows if (row.method, row.channel, row.frame) == ("raw", "Membrane", 3))
    expected = np.corrcoef(raw[3, 1, 0].ravel(), raw[4, 1, 0].ravel())[0, 1]
    adjacent = [
        r.value for r in rows if r.metric == "adjacent_pearson" and r.method == "raw" and r.channel == "Membrane"
    ]
    assert row.position == "fov"
    assert adjacent[3] == pytest.approx(expected, abs=1e-5)
    assert len(adjacent) == 13
    attributes = open_store(tmp_path / "out" / "savgol.ome.zarr").position("fov").attributes["image_translation"]
    assert attributes["request"]["methods"] == {"savgol": {"window": 11, "polyorder": 3}}
    assert attributes["normalization"]["source"] == "estimated"
    assert len(attributes["request"]["prediction"]["checkpoint"]) == 64


def test_truth_in_the_movie_is_compared_with(run: Any, tmp_path: Path) -> None:
    data = np.concatenate([phase(seed=i) for i in range(3)], axis=1)
    assert run(write_image(tmp_path / "in.zarr", data, channels=("Phase3D", "Membrane", "Nuclei"))) == 0
    rows = read_csv(tmp_path / "out" / "metrics.csv")
    raw = pixels(tmp_path / "out", "raw")
    expected = np.corrcoef(raw[5, 0, 0].ravel(), data[5, 2, 0].ravel())[0, 1]
    wanted = ("raw", "Nuclei", 5, "pearson_truth")
    assert next(r for r in rows if (r.method, r.channel, r.frame, r.metric) == wanted).value == pytest.approx(
        expected, abs=1e-5
    )


@pytest.mark.parametrize("normalization", METHODS)
def test_phase_is_normalised_over_the_field_of_view(
    run: Any, tmp_path: Path, tiny_model: Any, normalization: str
) -> None:
    data = phase(12, (48, 48)) * 7 + 100
    center, scale = {
        "median_iqr": (np.median(data), np.subtract(*np.percentile(data, (75, 25)))),
        "mean_std": (data.mean(), data.std()),
        "none": (0.0, 1.0),
    }[normalization]
    assert run(write_image(tmp_path / "in.zarr", data), "--normalization", normalization, "--methods", "raw") == 0
    spec, network = tiny_model
    normal = ((data[:1, :, 0] - center) / scale).astype(np.float32)
    (expected,) = Predictor(network, spec.stride, device="cpu").predict(list(normal))
    np.testing.assert_allclose(pixels(tmp_path / "out", "raw")[0, :, 0], expected, atol=0.02)


def test_stored_statistics_are_used(run: Any, tmp_path: Path, tiny_model: Any) -> None:
    data = phase(3)
    stored = {"normalization": {"Phase3D": {"fov_statistics": {"mean": 2.0, "std": 4.0, "median": 9.0, "iqr": 9.0}}}}
    assert run(write_image(tmp_path / "in.zarr", data, attributes=stored), "--methods", "raw") == 0
    spec, network = tiny_model
    (expected,) = Predictor(network, spec.stride, device="cpu").predict([(data[0, :, 0] - 2) / 4])
    np.testing.assert_allclose(pixels(tmp_path / "out", "raw")[0, :, 0], expected, atol=1e-5)


def test_dropped_frames_are_marked_and_touch_nothing(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = phase(20)
    clean = write_image(tmp_path / "clean.zarr", data, attributes=(stored := {
        "normalization": {"Phase3D": {"fov_statistics": {"mean": 0.0, "std": 1.0, "median": 0.0, "iqr": 1.0}}}
    }))  # fmt: skip
    broken = data.copy()
    broken[3], broken[9], broken[10, ..., 0, 0], broken[19, ..., 4, 4] = 0, 7.5, np.nan, np.inf
    dirty = write_image(tmp_path / "dirty.zarr", broken, attributes=stored)
    assert run(clean, output=tmp_path / "a") == 0
    with caplog.at_level(logging.WARNING):
        assert run(dirty, output=tmp_path / "b") == 0
    messages = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert messages == [
        "4 frames without an image (zero, constant or not finite) are NaN in the results: fov z0: 3, 9, 10, 19"
    ]
    valid = np.setdiff1d(np.arange(20), [3, 9, 10, 19])
    raw = pixels(tmp_path / "b", "raw")
    np.testing.assert_array_equal(raw[valid], pixels(tmp_path / "a", "raw")[valid])
    savgol = pixels(tmp_path / "b", "savgol")
    for method in (raw, savgol):
        assert np.isnan(method[[3, 9, 10, 19]]).all()
        assert np.isfinite(method[valid]).all()
    window = pixels(tmp_path / "b", "window")
    assert [t for t in range(19) if np.isnan(window[t]).any()] == [2, 3, 8, 9, 10, 18]
    attributes = open_store(tmp_path / "b" / "raw.ome.zarr").position("fov").attributes["image_translation"]
    assert attributes["invalid_frames"] == [3, 9, 10, 19]


def test_a_chunk_that_a_writer_left_out_is_a_dropped_frame(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(5))
    (movie / "0" / "2" / "0" / "0" / "0" / "0").unlink()
    assert run(movie, "--methods", "raw") == 0
    assert np.isnan(pixels(tmp_path / "out", "raw")[2]).all()


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "<f2", "<f8", ">f4"])
def test_types_of_pixels(run: Any, tmp_path: Path, dtype: str) -> None:
    data = (np.abs(phase(2)) * 20).round()
    movie = write_image(tmp_path / "in.zarr", data.astype(dtype))
    reference = write_image(tmp_path / "reference.zarr", data.astype("f4"))
    assert run(movie, "--methods", "raw", output=tmp_path / "a") == 0
    assert run(reference, "--methods", "raw", output=tmp_path / "b") == 0
    np.testing.assert_allclose(pixels(tmp_path / "a", "raw"), pixels(tmp_path / "b", "raw"), atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (1, 50)])
def test_sizes_of_frames(run: Any, tmp_path: Path, size: tuple[int, int], draw_figures: None) -> None:
    assert run(write_image(tmp_path / "in.zarr", phase(12, size))) == 0
    for method in ("raw", "window", "savgol"):
        result = pixels(tmp_path / "out", method)
        assert result.shape[3:] == size
        assert np.isfinite(result).all()


def test_frames_are_cut_out_and_keep_their_time(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(20), scale=(10, 1, 1, 1, 1))
    assert run(movie, output=tmp_path / "all", ) == 0  # fmt: skip
    assert run(movie, "--frames", "5:17", output=tmp_path / "some") == 0
    np.testing.assert_allclose(pixels(tmp_path / "some", "raw"), pixels(tmp_path / "all", "raw")[5:17], atol=1e-5)
    assert open_store(tmp_path / "some" / "window.ome.zarr").position("fov").levels[0].translation[0] == 55
    frames = [row.frame for row in read_csv(tmp_path / "some" / "metrics.csv") if row.frame is not None]
    assert (min(frames), max(frames)) == (5, 16)


def truncated(chunk: Path) -> bytes:
    """Cut a chunk short; return what it was."""
    content = chunk.read_bytes()
    chunk.write_bytes(content[: len(content) // 2])
    return content


@pytest.mark.parametrize("frame", [0, 11])  # found when the plan is made, and when the position is stained
def test_a_position_that_fails_does_not_stop_the_others(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, frame: int
) -> None:
    names = ["A/1/0", "A/2/0", "A/3/0"]
    movie = write_plate(tmp_path / "in.zarr", {name: phase(13, seed=i) for i, name in enumerate(names)})
    assert run(movie, output=tmp_path / "whole") == 0
    assert run(movie, "--skip", "A/2/*", output=tmp_path / "without") == 0
    chunk = movie / "A/2/0/0" / str(frame) / "0/0/0/0"
    content = truncated(chunk)
    for output in ("mended", "left_out"):
        caplog.clear()
        assert run(movie, output=tmp_path / output) == 1
        assert f"A/2/0: cannot read frame {frame}" in caplog.text
        assert "1 of 3 positions failed: A/2/0. The others are finished" in caplog.text
        assert "leave them out with --skip A/2/0" in caplog.text
        assert {path.name for path in (tmp_path / output).iterdir()} == {PARTIAL}
    predict, calls = Predictor.start, []
    monkeypatch.setattr(Predictor, "start", lambda self, images: calls.append(1) or predict(self, images))
    assert run(movie, "--position", "A/1/0", output=tmp_path / "left_out") == 2  # nothing is given up unasked
    assert run(movie, "--skip", "A/2/0", output=tmp_path / "left_out") == 0
    assert not calls
    assert snapshot(tmp_path / "left_out") == snapshot(tmp_path / "without")
    chunk.write_bytes(content)
    assert run(movie, output=tmp_path / "mended") == 0
    assert len(calls) == 13
    assert snapshot(tmp_path / "mended") == snapshot(tmp_path / "whole")


def test_a_dry_run_tells_what_cannot_be_read(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    movie = write_plate(tmp_path / "in.zarr", {name: phase(13) for name in ("A/1/0", "A/2/0")})
    truncated(movie / "A/2/0/0/0/0/0/0/0")
    assert run(movie, "--dry-run", "--scheduler", "local:2") == 0
    text = capsys.readouterr().out
    assert "positions      1: A/1/0\n" in text
    assert "cannot read    A/2/0: cannot read frame 0" in text
    assert "runs           on local:2\n" in text


def test_all_positions_fail(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["A/1/0", "A/2/0"]
    movie = write_plate(tmp_path / "in.zarr", {name: phase(13, seed=i) for i, name in enumerate(names)})
    for name in names:
        truncated(movie / name / "0/2/0/0/0/0")
    assert run(movie) == 1  # already when the plan is made
    assert "cannot read frame 2" in caplog.text
    assert not (tmp_path / "out").exists()
    assert run(movie, "--methods", "raw") == 1
    assert "all 2 positions failed: A/1/0, A/2/0" in caplog.text


def test_what_is_to_be_left_out_must_be_there(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_plate(tmp_path / "in.zarr", {"A/1/0": phase(13)})
    assert run(movie, "--skip", "B/*") == 2
    assert "--skip B/* matches nothing" in caplog.text
    assert run(movie, "--skip", "A/*") == 2
    assert "--skip A/* leaves no position of A/1/0" in caplog.text


def test_every_plane(run: Any, tmp_path: Path) -> None:
    data = np.concatenate([phase(3, seed=i) for i in range(3)], axis=2)
    movie = write_image(tmp_path / "in.zarr", data, scale=(1, 1, 2, 1, 1))
    options = ("--methods", "raw", "--normalization", "none")
    assert run(movie, "--z", "all", *options, output=tmp_path / "all") == 0
    assert run(movie, "--z", "2", *options, output=tmp_path / "one") == 0
    assert pixels(tmp_path / "all", "raw").shape == (3, 2, 3, 24, 36)
    np.testing.assert_array_equal(pixels(tmp_path / "all", "raw")[:, :, 2:], pixels(tmp_path / "one", "raw"))
    assert open_store(tmp_path / "one" / "raw.ome.zarr").position("fov").levels[0].translation[2] == 4


def volumes(frames: int = 14) -> np.ndarray:
    """Phase, membrane and nuclei of four planes; some frames of one plane were dropped."""
    planes = [np.concatenate([phase(frames, seed=3 * z + c) for c in range(3)], axis=1) for z in range(4)]
    planes[1][[2, -1], 0] = 0
    return np.concatenate(planes, axis=2)


CHANNELS = ("Phase3D", "Membrane", "Nuclei")


def test_planes_are_stained_alike_together_and_one_by_one(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = write_image(tmp_path / "in.zarr", volumes(), channels=CHANNELS, chunk=(1, 1, 4))
    options = ("--z", "all", "--batch-size", "1")
    sizes = []
    stain = task.stain

    def counting(plan: Any, group: Any, *arguments: Any, **options: Any) -> Any:
        sizes.append(len(group))
        return stain(plan, group, *arguments, **options)

    monkeypatch.setattr(task, "stain", counting)
    assert run(movie, *options, output=tmp_path / "together") == 0
    one = plane_groups.plane_bytes
    monkeypatch.setattr(plane_groups, "plane_bytes", lambda *arguments: plane_groups.LARGEST_GROUP // 3)
    assert run(movie, *options, output=tmp_path / "in_twos") == 0
    monkeypatch.setattr(plane_groups, "plane_bytes", one)
    monkeypatch.setattr(plane_groups, "LARGEST_GROUP", 0)
    assert run(movie, *options, output=tmp_path / "one_by_one") == 0
    assert sizes == [4, 2, 2, 1, 1, 1, 1]
    assert snapshot(tmp_path / "together") == snapshot(tmp_path / "in_twos") == snapshot(tmp_path / "one_by_one")
    plain = write_image(tmp_path / "plain.zarr", volumes(), channels=CHANNELS)
    assert run(plain, *options, output=tmp_path / "plain") == 0
    assert sizes[7:] == [1, 1, 1, 1]
    metrics = [(tmp_path / name / "metrics.csv").read_text() for name in ("plain", "together")]
    assert metrics[0] == metrics[1]
    # In batches of several, other images share a batch, and sums may be taken in another order.
    monkeypatch.setattr(plane_groups, "LARGEST_GROUP", 2**31)
    assert run(movie, "--z", "all", "--batch-size", "3", "--methods", "raw", output=tmp_path / "batches") == 0
    np.testing.assert_allclose(pixels(tmp_path / "batches", "raw"), pixels(tmp_path / "plain", "raw"), atol=1e-5)


def test_the_chunks_of_all_planes_are_read_once(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"normalization": {"Phase3D": {"fov_statistics": {"mean": 0.0, "std": 1.0, "median": 0.0, "iqr": 1.0}}}}
    movie = write_image(tmp_path / "in.zarr", volumes(30), channels=CHANNELS, chunk=(1, 1, 4), attributes=stored)
    size = sum(path.stat().st_size for path in (movie / "0").rglob("*") if path.is_file())

    def share_read(name: str) -> float:
        before = file_metric("bytes_read")
        assert run(movie, "--z", "all", "--methods", "raw", "window", output=tmp_path / name) == 0
        return (file_metric("bytes_read") - before) / size

    assert 1 < share_read("together") < 1.3  # some frames are also looked at before
    monkeypatch.setattr(plane_groups, "LARGEST_GROUP", 0)
    assert 4 < share_read("one_by_one") < 4.3


@pytest.mark.parametrize("after", [3, 14, 25])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_killed_planes_go_on_together_and_end_the_same(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, after: int
) -> None:
    monkeypatch.setattr("image_translation.omezarr.output.LONGEST_SHARD", SHARD)
    movie = write_image(tmp_path / "in.zarr", volumes(13), version=version, channels=CHANNELS, chunk=(1, 1, 4))
    options = ("--z", "all", "--batch-size", "2", "--methods", "raw", "window", "savgol")
    assert run(movie, *options, output=tmp_path / "whole") == 0
    predict, calls = Predictor.start, []

    def dying(self: Predictor, images: Any) -> Any:
        if len(calls) == after:
            raise Killed
        calls.append(len(images))
        return predict(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "start", dying)
        with pytest.raises(Killed):
            run(movie, *options, output=tmp_path / "cut")
    noted = require_noted_frames(tmp_path / "cut", tmp_path / "whole")
    raw = {key: count for key, count in noted.items() if key.startswith("raw ")}
    together = SHARD if version == "0.5" else 1
    frames_lost = series_module.AHEAD + 1 + together
    assert all(count % together == 0 or count == 13 for count in raw.values())
    assert all(count >= after // 2 - frames_lost for count in raw.values())
    assert max(raw.values(), default=0) <= after // 2 + 1
    assert run(movie, *options, output=tmp_path / "cut") == 0
    assert snapshot(tmp_path / "cut") == snapshot(tmp_path / "whole")


def test_a_lost_note_of_one_plane_is_made_again(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = write_image(tmp_path / "in.zarr", volumes(), channels=CHANNELS, chunk=(1, 1, 4))
    assert run(movie, "--z", "all", output=tmp_path / "whole") == 0

    def cut(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_figures", cut)
        with pytest.raises(Killed):
            run(movie, "--z", "all")
    (tmp_path / "out" / PARTIAL / "positions" / "fov" / "result-2.json").unlink()
    monkeypatch.setattr(Predictor, "start", None)  # everything is on disk
    assert run(movie, "--z", "all") == 0
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")


def test_plate_positions_by_pattern(run: Any, tmp_path: Path) -> None:
    movies = {name: phase(3, (20 + i, 24), seed=i) for i, name in enumerate(["A/1/0", "A/2/0", "B/2/0"])}
    plate = write_plate(tmp_path / "in.zarr", movies, version="0.5")
    assert run(plate, "--position", "*/2/0", "--methods", "raw", "window") == 0
    out = open_store(tmp_path / "out" / "raw.ome.zarr")
    assert (out.layout, out.version, out.names) == ("plate", "0.5", ("A/2/0", "B/2/0"))
    assert pixels(tmp_path / "out", "raw", "B/2/0").shape == (3, 2, 1, 22, 24)
    assert {row.position for row in read_csv(tmp_path / "out" / "metrics.csv")} == {"A/2/0", "B/2/0"}


def test_test_time_augmentation_and_batches(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(5))
    results = {}
    for name, options in {"plain": (), "batch": ("--batch-size", "3"), "tta": ("--tta",)}.items():
        assert run(movie, "--methods", "raw", *options, output=tmp_path / name) == 0
        results[name] = pixels(tmp_path / name, "raw")
    np.testing.assert_allclose(results["batch"], results["plain"], atol=1e-5)
    assert np.abs(results["tta"] - results["plain"]).max() > 1e-3


def test_dry_run_writes_nothing(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(14))
    assert run(movie, "--dry-run") == 0
    text = capsys.readouterr().out
    assert "13 x 2 x 1 x 24 x 36 float32, 89.9 kB" in text
    assert "a random network for tests" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("after", [1, 4, 9, 13])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_killed_run_goes_on_and_ends_the_same(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, after: int
) -> None:
    monkeypatch.setattr("image_translation.omezarr.output.LONGEST_SHARD", SHARD)
    names = ["A/1/0", "A/2/0"]
    movies = {name: phase(13, seed=i) for i, name in enumerate(names)}
    movies["A/1/0"][3] = 0
    movie = write_plate(tmp_path / "in.zarr", movies, version=version)
    assert run(movie, "--batch-size", "2", output=tmp_path / "whole") == 0
    predict, calls = Predictor.start, []

    def dying(self: Predictor, images: Any) -> Any:
        if len(calls) == after:
            raise Killed
        calls.append(len(images))
        return predict(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "start", dying)
        with pytest.raises(Killed):
            run(movie, "--batch-size", "2", output=tmp_path / "cut")
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {PARTIAL}
    noted = require_noted_frames(tmp_path / "cut", tmp_path / "whole")
    if version == "0.5":
        assert all(count % SHARD == 0 or count in (12, 13) for count in noted.values())
    calls.clear()

    def counting(self: Predictor, images: Any) -> Any:
        calls.append(len(images))
        return predict(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "start", counting)
        assert run(movie, "--batch-size", "2", output=tmp_path / "cut") == 0
    # The batches in flight may be lost, and those of a shard that is not full; no others.
    lost = series_module.AHEAD + 1 + (SHARD // 2 if version == "0.5" else 0)
    assert 14 - after <= len(calls) <= 14 - after + lost
    assert snapshot(tmp_path / "cut") == snapshot(tmp_path / "whole")


def test_a_finished_output_is_left_as_it_is(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_short_movies_are_steadied_along_their_motion(run: Any, tmp_path: Path, n_frames: int) -> None:
    movie = write_image(tmp_path / "in.zarr", phase()[:n_frames])
    assert run(movie, "--methods", "raw", "median", "motion", "causal") == 0
    for method in ("median", "motion", "causal"):
        assert np.isfinite(pixels(tmp_path / "out", method)).all()
        assert pixels(tmp_path / "out", method).shape[0] == n_frames


def test_motion_is_what_the_filter_gives(run: Any, tmp_path: Path) -> None:
    movie = phase()
    movie[6] = 0
    assert run(write_image(tmp_path / "in.zarr", movie), "--methods", "raw", "motion", "--motion-window", "5") == 0
    raw, steady = (pixels(tmp_path / "out", method)[:, :, 0] for method in ("raw", "motion"))
    assert np.isnan(steady[6]).all()
    valid = [bool(np.isfinite(frame).all()) for frame in raw]
    images = movie[:, 0, 0].astype(np.float32)
    expected = apply(MotionFilter(before=2, after=2), raw, valid, phase=images - images[valid].mean())
    np.testing.assert_allclose(steady[valid], expected[valid], atol=2e-2 * np.nanstd(raw))


def test_one_shake_for_all_motion_filters(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, "--methods", "raw", "motion", "--keep-shake") == 0
    assert run(movie, "--methods", "causal") == 2
    assert "motion.ome.zarr was made with keep_shake True; give the same option" in caplog.text
    assert run(movie, "--methods", "causal", "--keep-shake") == 0


def test_raw_is_not_kept_unless_asked_for(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, "--methods", "savgol") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"savgol.ome.zarr", "metrics.csv", "figures"}


def test_methods_that_are_there_stay_in_metrics_and_figures(run: Any, tmp_path: Path) -> None:
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


def test_stores_of_two_movies_never_lie_side_by_side(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
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


def test_files_of_others_are_never_replaced(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    figures = tmp_path / "out" / "figures"
    figures.mkdir(parents=True)
    (figures / "paper.pdf").write_text("somebody's")
    assert run(movie) == 2
    assert "figures is there, but no store that it is about" in caplog.text
    assert (figures / "paper.pdf").read_text() == "somebody's"


def test_an_overwriting_run_cut_while_publishing_is_not_called_finished(
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


@pytest.mark.parametrize(
    "lost", ["raw.ome.zarr", "savgol.ome.zarr", "positions/fov/result-0.json", "positions/fov/progress.json"]
)
def test_a_partial_result_that_was_lost_is_made_again(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, output=tmp_path / "whole") == 0

    def cut(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_figures", cut)
        with pytest.raises(Killed):
            run(movie)
    remove(tmp_path / "out" / PARTIAL / lost)
    assert run(movie) == 0
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")


def test_a_network_without_finite_answers_is_an_error(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    monkeypatch.setattr(
        Predictor, "start", lambda self, images: lambda: [np.full((2, 24, 36), np.inf, np.float32)] * len(images)
    )
    assert run(movie) == 1
    assert "the network gave no finite image" in caplog.text


def test_a_blank_position_does_not_stop_a_plate(run: Any, tmp_path: Path) -> None:
    movies = {"A/1/0": phase(), "A/2/0": np.zeros_like(phase())}
    assert run(write_plate(tmp_path / "in.zarr", movies)) == 0
    assert np.isfinite(pixels(tmp_path / "out", "savgol", "A/1/0")).all()
    assert np.isnan(pixels(tmp_path / "out", "savgol", "A/2/0")).all()


def test_a_plane_is_stained_alike_alone_and_with_the_others(run: Any, tmp_path: Path) -> None:
    data = np.concatenate([phase(3, seed=i) * (i + 1) for i in range(3)], axis=2)
    movie = write_image(tmp_path / "in.zarr", data)
    assert run(movie, "--z", "all", "--methods", "raw", output=tmp_path / "all") == 0
    assert run(movie, "--z", "2", "--methods", "raw", output=tmp_path / "one") == 0
    np.testing.assert_array_equal(pixels(tmp_path / "all", "raw")[:, :, 2:], pixels(tmp_path / "one", "raw"))


def test_half_precision_agrees(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(3))
    for precision in ("fp32", "bf16"):
        options = ("--methods", "raw", "--precision", precision)
        assert run(movie, *options, output=tmp_path / precision) == 0
    full, half = (pixels(tmp_path / precision, "raw").ravel() for precision in ("fp32", "bf16"))
    assert 0.999 < np.corrcoef(full, half)[0, 1] < 1


def test_the_input_is_never_written_to(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    before = snapshot(movie)
    assert run(movie) == 0
    assert snapshot(movie) == before


def broken_movies(tmp_path: Path) -> dict[str, tuple[Path, tuple[str, ...], int, str]]:
    """Movies and options that cannot be done: exit code and what the message must name."""
    good = write_image(tmp_path / "good.zarr", phase(14))
    two = write_image(tmp_path / "two.zarr", np.repeat(phase(14), 2, axis=1), channels=("DAPI", "GFP"))
    cut = write_image(tmp_path / "cut.zarr", phase(14, (64, 64)))
    chunk = cut / "0" / "8" / "0" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    dark = write_image(tmp_path / "dark.zarr", np.zeros((14, 1, 1, 8, 8), "u2"))
    sparse = phase(14)
    sparse[2:] = 0
    short = write_image(tmp_path / "short.zarr", sparse)
    (tmp_path / "folder").mkdir()
    return {
        "missing movie": (tmp_path / "none.zarr", (), 2, "none.zarr"),
        "no zarr": (tmp_path / "folder", (), 1, "no OME-Zarr store"),
        "empty plate": (write_plate(tmp_path / "empty.zarr", {}), (), 1, "'wells' of the plate is []"),
        "position": (good, ("--position", "B/1/0"), 2, "B/1/0 matches nothing"),
        "channel": (good, ("--channel", "Phase"), 2, "it has Phase3D"),
        "open channel": (two, (), 2, "DAPI, GFP"),
        "plane": (good, ("--z", "3"), 2, "--z 3"),
        "frames": (good, ("--frames", "5:15"), 2, "0:14"),
        "no frames": (good, ("--frames", "5:5"), 2, "5:5"),
        "frames to 0": (good, ("--frames", ":0"), 2, "0:0"),
        "dry run": (short, ("--dry-run",), 2, "--savgol-window 11"),
        "short for savgol": (short, (), 2, "--savgol-window 11"),
        "short for window": (good, ("--frames", "3:4", "--methods", "window"), 2, "--window 2"),
        "even window": (good, ("--window", "4"), 2, "--window 4"),
        "even savgol": (good, ("--savgol-window", "10"), 2, "--savgol-window 10"),
        "order": (good, ("--savgol-window", "3"), 2, "--savgol-polyorder 3"),
        "dark": (dark, (), 1, "no valid frame"),
        "truncated chunk": (cut, (), 1, "frame 8"),
        "device": (good, ("--device", "cuda:9"), 2, "cuda:9"),
        "batch": (good, ("--batch-size", "0"), 2, "--batch-size 0"),
    }


def test_bad_input_gets_one_line_and_leaves_nothing(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for what, (movie, options, code, text) in broken_movies(tmp_path).items():
        caplog.clear()
        output = tmp_path / "results" / what
        assert run(movie, *options, output=output) == code, what
        (message,) = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
        assert text in message, what
        assert "\n" not in message, what
        assert not output.exists() or {path.name for path in output.iterdir()} <= {PARTIAL}, what


def test_output_and_input_are_kept_apart(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "raw.ome.zarr", phase())
    for output, text in {
        movie / "results": "lies inside the store",
        movie: "lies inside the store",
        movie / "0" / "0" / "results": "lies inside the store",
        tmp_path: "would replace the movie",
    }.items():
        caplog.clear()
        assert run(movie, "--overwrite", output=output) == 2
        assert text in caplog.text
    (tmp_path / "file").write_text("")
    assert run(movie, output=tmp_path / "file") == 2
    assert "is a file" in caplog.text


def test_a_disk_that_is_full_is_said_and_the_run_resumes(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    mark, calls = Progress.mark, []

    def full(self: Any, *arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise OSError(28, "No space left on device", "progress.json")
        mark(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "mark", full)
        assert run(movie) == 1
    assert "No space left on device" in caplog.text
    assert run(movie) == 0
    shutil.rmtree(tmp_path / "out" / "figures")
    assert json.loads((tmp_path / "out" / "raw.ome.zarr" / ".zattrs").read_text())["image_translation"]


def test_a_real_disk_that_is_full_can_be_enlarged(
    run: Any, tmp_path: Path, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(14, (64, 64)))
    assert run(movie, output=tmp_path / "whole") == 0
    assert run(movie, output=small_disk / "out") == 1
    (message,) = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert "No space left on device" in message
    assert {path.name for path in (small_disk / "out").iterdir()} == {PARTIAL}
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    assert run(movie, output=small_disk / "out") == 0
    assert snapshot(small_disk / "out") == snapshot(tmp_path / "whole")


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of somebody without rights, who runs the test."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        yield folder
        if is_root:
            os.seteuid(0)
        for path in folder.iterdir():
            path.chmod(0o700)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_missing_permissions_are_said_in_one_line(
    tiny_checkpoint: Path, unprivileged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    movie = write_image(unprivileged / "in.zarr", phase())
    network = unprivileged / "net.ckpt"
    somebody = os.geteuid()
    os.seteuid(os.getuid())  # may read the checkpoint
    content = tiny_checkpoint.read_bytes()
    os.seteuid(somebody)
    network.write_bytes(content)
    (unprivileged / "locked").mkdir(mode=0o555)

    def run_as_nobody(output: Path) -> str:
        caplog.clear()
        assert main(["smooth", "-c", str(network), "-m", str(movie), "-o", str(output), "--device", "cpu"]) == 1
        (message,) = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
        return message

    assert "cannot write to the output directory" in run_as_nobody(unprivileged / "locked" / "out")
    network.chmod(0)
    assert "Permission denied" in run_as_nobody(unprivileged / "out")
    network.chmod(0o600)
    movie.chmod(0)
    assert "ermission" in run_as_nobody(unprivileged / "out")
    assert not (unprivileged / "out").exists()


@pytest.mark.realdata
@realdata
@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("livecyte_phase.ome.zarr", ("--frames", "0:12"), 0),
        ("foreign/ngio_tubhiswt4D_tczyx_v04.zarr", ("--methods", "raw", "window"), 0),
        ("foreign/omezarrpy_plate_v05.zarr", (), 0),
        ("foreign/fractal_cardiomyocyte_mip_plate_v04.zarr", ("--methods", "raw"), 0),
        ("foreign/ome_zarr_py_bf2raw/fake-series-2.zarr", ("--methods", "raw"), 0),
        ("foreign/ome_zarr_py_bf2raw/plate-rows-2.zarr", ("--methods", "raw"), 0),
        ("foreign/ome_zarr_py_bf2raw/plate-rows-2.zarr", (), 2),
        ("foreign/ngio_tubhiswt4D_tczyx_v04.zarr/labels", (), 1),
        ("isl_neurons_paired.ome.zarr", ("--methods", "raw", "--channel", "Phase"), 0),
        ("isl_neurons_paired.ome.zarr", (), 2),
    ],
)
def test_stores_of_other_writers(run: Any, tmp_path: Path, name: str, options: tuple[str, ...], code: int) -> None:
    assert run(REAL / name, *options) == code
    if code == 0:
        source, out = open_store(REAL / name), open_store(tmp_path / "out" / "raw.ome.zarr")
        assert (out.names, out.layout, out.version) == (source.names, source.layout, source.version)
        for position in out.names:
            like, image = source.position(position), out.position(position)
            assert [level.shape[3:] for level in image.levels] == [level.shape[3:] for level in like.levels]
            assert np.isfinite(image.read(0, 0, 0)).all()
