"""Complete runs in this process, on small movies with a random network."""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import savgol_filter
from support.runs import pixels, snapshot, truncate
from support.stores import phase, write_image, write_plate

from image_translation.metrics.rows import read_csv
from image_translation.network.predictor import Predictor
from image_translation.normalize import METHODS
from image_translation.omezarr.store import open_store
from image_translation.staining.journal import PARTIAL
from image_translation.staining.methods import SMOOTHING
from image_translation.temporal.filter import apply
from image_translation.temporal.motion_filter import MotionFilter

REAL = Path(__file__).parents[3] / "shared" / "data"
realdata = pytest.mark.skipif(not REAL.exists(), reason="the real data are not beside the checkout")


def test_results_equal_network_and_filters_in_memory(run: Any, tmp_path: Path, tiny_model: Any) -> None:
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


def test_all_outputs_exist_with_their_metadata(
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


def test_true_channels_of_the_movie_are_scored_against(run: Any, tmp_path: Path) -> None:
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
        "percentiles": (np.percentile(data, 1), np.subtract(*np.percentile(data, (99, 1)))),
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
    movie = write_image(tmp_path / "in.zarr", data, attributes=stored)
    assert run(movie, "--methods", "raw", "--statistics", "stored") == 0
    spec, network = tiny_model
    (expected,) = Predictor(network, spec.stride, device="cpu").predict([(data[0, :, 0] - 2) / 4])
    np.testing.assert_allclose(pixels(tmp_path / "out", "raw")[0, :, 0], expected, atol=1e-5)


def test_stored_statistics_that_blank_frames_have_spoiled_are_not_used(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As VisCy writes them, from all frames: half of these were dropped."""
    data = phase(24) + 10
    data[::2] = 0
    block = {"mean": float(data.mean()), "std": float(data.std()), "median": 0.0, "iqr": 10.0}
    spoiled = {"normalization": {"Phase3D": {"fov_statistics": block}}}
    without = write_image(tmp_path / "without.zarr", data)
    with_them = write_image(tmp_path / "with.zarr", data, attributes=spoiled)
    options = "--normalization", "mean_std", "--methods", "raw"
    assert run(without, *options, output=tmp_path / "a") == 0
    assert "disagree" not in caplog.text
    assert run(with_them, *options, output=tmp_path / "b") == 0
    assert "the statistics that the store holds for Phase3D (centre" in caplog.text
    np.testing.assert_array_equal(pixels(tmp_path / "a", "raw"), pixels(tmp_path / "b", "raw"))
    assert run(with_them, *options, "--statistics", "stored", output=tmp_path / "c") == 0
    assert not np.allclose(pixels(tmp_path / "a", "raw")[1], pixels(tmp_path / "c", "raw")[1], atol=0.1)
    assert run(without, *options, "--statistics", "stored", output=tmp_path / "d") == 2
    assert "--statistics stored:" in caplog.text
    assert "holds no usable statistics for mean_std of the channel Phase3D" in caplog.text
    assert run(with_them, *options, "--statistics", "stored", output=tmp_path / "b") == 2  # other pixels


def test_invalid_frames_are_marked_and_affect_no_other(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = phase(20)
    clean = write_image(tmp_path / "clean.zarr", data, attributes=(stored := {
        "normalization": {"Phase3D": {"fov_statistics": {"mean": 0.0, "std": 1.0, "median": 0.0, "iqr": 1.0}}}
    }))  # fmt: skip
    broken = data.copy()
    broken[3], broken[9], broken[10, ..., 0, 0], broken[19, ..., 4, 4] = 0, 7.5, np.nan, np.inf
    dirty = write_image(tmp_path / "dirty.zarr", broken, attributes=stored)
    assert run(clean, "--statistics", "stored", output=tmp_path / "a") == 0
    with caplog.at_level(logging.WARNING):
        assert run(dirty, "--statistics", "stored", output=tmp_path / "b") == 0
    messages = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert messages == ["4 invalid frames (zero, constant or not finite) are NaN in the results: fov z0: 3, 9, 10, 19"]
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


def test_a_missing_chunk_is_an_invalid_frame(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(5))
    (movie / "0" / "2" / "0" / "0" / "0" / "0").unlink()
    assert run(movie, "--methods", "raw") == 0
    assert np.isnan(pixels(tmp_path / "out", "raw")[2]).all()


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "<f2", "<f8", ">f4"])
def test_pixel_types(run: Any, tmp_path: Path, dtype: str) -> None:
    data = (np.abs(phase(2)) * 20).round()
    movie = write_image(tmp_path / "in.zarr", data.astype(dtype))
    reference = write_image(tmp_path / "reference.zarr", data.astype("f4"))
    assert run(movie, "--methods", "raw", output=tmp_path / "a") == 0
    assert run(reference, "--methods", "raw", output=tmp_path / "b") == 0
    np.testing.assert_allclose(pixels(tmp_path / "a", "raw"), pixels(tmp_path / "b", "raw"), atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (1, 50)])
def test_frame_sizes(run: Any, tmp_path: Path, size: tuple[int, int], draw_figures: None) -> None:
    assert run(write_image(tmp_path / "in.zarr", phase(12, size))) == 0
    for method in ("raw", "window", "savgol"):
        result = pixels(tmp_path / "out", method)
        assert result.shape[3:] == size
        assert np.isfinite(result).all()


def test_selected_frames_keep_their_time(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(20), scale=(10, 1, 1, 1, 1))
    assert run(movie, output=tmp_path / "all", ) == 0  # fmt: skip
    assert run(movie, "--frames", "5:17", output=tmp_path / "some") == 0
    np.testing.assert_allclose(pixels(tmp_path / "some", "raw"), pixels(tmp_path / "all", "raw")[5:17], atol=1e-5)
    assert open_store(tmp_path / "some" / "window.ome.zarr").position("fov").levels[0].translation[0] == 55
    frames = [row.frame for row in read_csv(tmp_path / "some" / "metrics.csv") if row.frame is not None]
    assert (min(frames), max(frames)) == (5, 16)


@pytest.mark.parametrize("frame", [0, 11])  # found when the plan is made, and when the position is stained
def test_a_failing_position_does_not_stop_the_others(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, frame: int
) -> None:
    names = ["A/1/0", "A/2/0", "A/3/0"]
    movie = write_plate(tmp_path / "in.zarr", {name: phase(13, seed=i) for i, name in enumerate(names)})
    assert run(movie, output=tmp_path / "whole") == 0
    assert run(movie, "--skip", "A/2/*", output=tmp_path / "without") == 0
    chunk = movie / "A/2/0/0" / str(frame) / "0/0/0/0"
    time, content = chunk.stat().st_mtime_ns, truncate(chunk)
    for output in ("fixed", "left_out"):
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
    os.utime(chunk, ns=(time, time))  # recorded in the provenance
    assert run(movie, output=tmp_path / "fixed") == 0
    assert len(calls) == 13
    assert snapshot(tmp_path / "fixed") == snapshot(tmp_path / "whole")


def test_all_positions_fail(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["A/1/0", "A/2/0"]
    movie = write_plate(tmp_path / "in.zarr", {name: phase(13, seed=i) for i, name in enumerate(names)})
    for name in names:
        truncate(movie / name / "0/2/0/0/0/0")
    assert run(movie) == 1  # already when the plan is made
    assert "cannot read frame 2" in caplog.text
    assert not (tmp_path / "out").exists()
    assert run(movie, "--methods", "raw") == 1
    assert "all 2 positions failed: A/1/0, A/2/0" in caplog.text


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


@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_short_movies_are_motion_filtered(run: Any, tmp_path: Path, n_frames: int) -> None:
    movie = write_image(tmp_path / "in.zarr", phase()[:n_frames])
    assert run(movie, "--methods", "raw", "median", "motion", "causal") == 0
    for method in ("median", "motion", "causal"):
        assert np.isfinite(pixels(tmp_path / "out", method)).all()
        assert pixels(tmp_path / "out", method).shape[0] == n_frames


def test_motion_equals_the_filter_in_memory(run: Any, tmp_path: Path) -> None:
    movie = phase()
    movie[6] = 0
    assert run(write_image(tmp_path / "in.zarr", movie), "--methods", "raw", "motion", "--motion-window", "5") == 0
    raw, steady = (pixels(tmp_path / "out", method)[:, :, 0] for method in ("raw", "motion"))
    assert np.isnan(steady[6]).all()
    valid = [bool(np.isfinite(frame).all()) for frame in raw]
    images = movie[:, 0, 0].astype(np.float32)
    expected = apply(MotionFilter(before=2, after=2), raw, valid, phase=images - images[valid].mean())
    np.testing.assert_allclose(steady[valid], expected[valid], atol=2e-2 * np.nanstd(raw))


def test_results_of_another_version_of_a_method_are_kept(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    with monkeypatch.context() as earlier:
        earlier.setitem(SMOOTHING, "motion", replace(SMOOTHING["motion"], version=1))
        assert run(movie, "--methods", "raw", "motion") == 0
    before = pixels(tmp_path / "out", "motion")
    for methods, text in (
        (["raw", "motion"], "motion.ome.zarr exists with other options (methods.motion.version: None there, 3 now)"),
        (["raw", "median"], "motion.ome.zarr was made by another version of this method; choose another -o"),
    ):
        assert run(movie, "--methods", *methods) == 2
        assert text in caplog.text
    np.testing.assert_array_equal(pixels(tmp_path / "out", "motion"), before)
    assert run(movie, "--methods", "raw", "motion", "--overwrite", "--keep-shake") == 0  # which has no effect


def test_a_network_without_finite_predictions_is_an_error(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    monkeypatch.setattr(
        Predictor, "start", lambda self, images: lambda: [np.full((2, 24, 36), np.inf, np.float32)] * len(images)
    )
    assert run(movie) == 1
    assert "the network gave no finite image" in caplog.text


def test_a_frame_of_extreme_pixels_is_named(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And there is no warning of NumPy, which would be an error here."""
    data = phase(6)
    data[1], data[4, ..., 2, 2] = 0, 3e38
    movie = write_image(tmp_path / "in.zarr", data)
    assert run(movie, "--methods", "raw", "motion", "--normalization", "none") == 0
    assert "because the network gave no finite image (look for extreme pixels): fov z0: 4" in caplog.text
    assert "1 invalid frames (zero, constant or not finite) are NaN in the results: fov z0: 1" in caplog.text


def test_a_blank_position_does_not_stop_a_plate(run: Any, tmp_path: Path) -> None:
    movies = {"A/1/0": phase(), "A/2/0": np.zeros_like(phase())}
    assert run(write_plate(tmp_path / "in.zarr", movies)) == 0
    assert np.isfinite(pixels(tmp_path / "out", "savgol", "A/1/0")).all()
    assert np.isnan(pixels(tmp_path / "out", "savgol", "A/2/0")).all()


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
        ("foreign/ome_zarr_py_bf2raw/plate-rows-2.zarr", (), 0),  # stills: only what needs one frame
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
