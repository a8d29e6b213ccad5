"""The benchmarks: their usual script gives the package's numbers, and their table says what is met."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as program
from benchmarks import (
    end_to_end,
    explorer,
    feature_map,
    filters,
    gpu,
    isolated,
    measures,
    network,
    networks,
    plates,
    storage,
    temporal,
)
from benchmarks.measures import Job
from benchmarks.movies import write_movie
from benchmarks.networks import Subject
from benchmarks.table import Line, format_lines
from image_translation.data.lookup import CACHE_VARIABLE
from image_translation.metrics.rows import read_csv
from image_translation.network.predictor import Predictor
from image_translation.omezarr.store import open_store

FRAMES, SIZE = 12, (32, 48)  # a multiple of the stride: then padding with zeros and by reflection are the same


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movie(tmp_path_factory.mktemp("benchmarks") / "movie.ome.zarr", FRAMES, SIZE)


@pytest.fixture
def job(movie: Path, tiny_checkpoint: Path) -> Job:
    return Job(movie, str(tiny_checkpoint))


class _ThisProcess(isolated.FreshProcess):
    """Stands in for a fresh process, which would import torch once more."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self._pool: Any = self

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    def shutdown(self) -> None:
        pass


def test_the_usual_script_gives_the_numbers_of_the_package(job: Job, tmp_path: Path) -> None:
    from benchmarks.contestants import prepare

    for name in ("ours", "stride"):
        (tmp_path / name).mkdir()
    prepare("ours", job)(tmp_path / "ours")
    metrics: Any = prepare("stride", job)(tmp_path / "stride")
    rows = {
        (row.method, row.channel, row.frame, row.metric): row.value for row in read_csv(tmp_path / "ours/metrics.csv")
    }
    assert set(metrics) <= set(rows)
    assert metrics == pytest.approx({key: rows[key] for key in metrics}, abs=1e-4)
    for method in ("raw", "window", "savgol"):
        ours, baseline = (
            open_store(tmp_path / name / f"{method}.ome.zarr").position("fov") for name in ("ours", "stride")
        )
        assert ours.shape == baseline.shape
        for t in (0, 4, ours.shape[0] - 1):
            np.testing.assert_allclose(ours.read(t, 1, 0), baseline.read(t, 1, 0), atol=1e-4)


def test_every_contestant_is_timed(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_to_end, "FreshProcess", _ThisProcess)
    monkeypatch.setattr("benchmarks.contestants.FIXED_SIDE", 64)
    lines = list(end_to_end.measure(job, repeats=1))
    assert [line.limit for line in lines] == [4.0, 1.2, 1.15, 1.15]
    assert all(line.ours > 0 and line.baseline for line in lines)


def test_the_network_may_run_on_some_frames_only() -> None:
    import torch

    from benchmarks.contestants import Sometimes

    network = Sometimes(torch.nn.Conv3d(1, 2, 1), every=3, n_outputs=2)
    image = torch.ones(1, 1, 1, 4, 4)
    is_copy = [bool((network(image) == 1).all()) for _ in range(6)]
    assert is_copy == [True, True, False, True, True, False]


def test_memory_that_was_taken_counts() -> None:
    with isolated.FreshProcess() as process:
        before = process.call(measures.peak)
        assert process.call(eval, "len(bytes(1) * 2**26)") == 64 * 2**20
        assert 60 < process.call(measures.peak) - before < 80


def test_filters_are_timed_with_one_thread() -> None:
    (line,) = filters.measure([(12, 2, 16, 16)], repeats=1)
    assert line.what == "Savitzky-Golay of 12x2x16x16"
    assert line.ours > 0
    assert line.baseline


def test_every_layout_is_read_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "FreshProcess", _ThisProcess)
    *rates, files, refused = storage.measure(tmp_path, FRAMES, SIZE, repeats=1)
    assert [line.what.split()[0] for line in rates] == ["write", "read"] * 3 + ["read"]
    assert all(line.ours > 0 and line.baseline and line.unit == "MB/s" for line in rates)
    assert (files.ours, files.baseline) == pytest.approx((1000 / FRAMES, 2000))
    assert refused.ours == len(storage.LAYOUTS)
    assert {path.name for path in tmp_path.iterdir()} == {f"storage-{n}.ome.zarr" for n in range(len(storage.LAYOUTS))}


@pytest.mark.slow
def test_the_command_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["startup", "--repeats", "1", "--frames", str(FRAMES), "--size", "32x48"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    program.main()
    table = capsys.readouterr().out
    assert all(f"answer to {what}" in table for what in ("--help", "missing movie", "even window", "bad frames"))
    assert "first predicted frame" in table


def test_the_network_is_timed_and_compared(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network_class: Any
) -> None:
    monkeypatch.setattr(network, "FreshProcess", _ThisProcess)
    monkeypatch.setattr(network, "forms", lambda: ["viscy", "viscy_kept", "ours", "ours_bf16"])  # no compilers
    subject = Subject("tiny", str(tiny_checkpoint), (40, 50))
    *times, ours, bf16 = network.measure(tmp_path, subject, 1.3, repeats=1, agreement=True)
    assert [line.limit for line in times] == [1.3, None, None]
    assert all(line.ours > 0 and line.baseline for line in times)
    assert ours.met
    assert 0 < bf16.ours < 0.01


def test_only_what_can_be_run_is_compared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(network, "COMPILERS", ())
    monkeypatch.setattr(network, "find_spec", lambda _: None)
    assert network.forms() == ["viscy", "viscy_kept", "ours", "ours_bf16"]
    assert "torch.compile left out" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # Dask's own
def test_a_plate_is_timed_on_one_worker_and_on_two(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plates, "FreshProcess", _ThisProcess)
    lines = list(plates.measure(tmp_path, str(tiny_checkpoint), (6, 4, (32, 48)), many=20, repeats=1))
    assert [(line.limit, line.unit) for line in lines] == [(1.8, "s"), (10, "ms"), (0.05, "")]
    assert all(line.ours > 0 for line in lines)
    assert lines[2].ours < 1
    assert {"few-1", "few-2", "stained-1-0", "stained-2-0"} < {path.name for path in tmp_path.iterdir()}


class _Compiling(Predictor):
    """Stands in for a predictor that has learnt to compile."""

    def __init__(self, *args: Any, backend: str = "eager", **kwargs: Any) -> None:
        assert backend in ("eager", "compile")
        super().__init__(*args, **kwargs)


@pytest.mark.parametrize("compiles", [False, True])
def test_the_gpu_is_measured_as_a_cpu_would_be(
    compiles: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network_class: Any
) -> None:
    for module in (gpu, measures):
        monkeypatch.setattr(module, "FreshProcess", _ThisProcess)
    monkeypatch.setattr(gpu, "PEAKS", {"cpu": 1e12})
    if compiles:
        monkeypatch.setattr("image_translation.network.predictor.Predictor", _Compiling)
    architecture = {**networks.FULL, "encoder_blocks": (1, 1), "dims": (8, 16), "decoder_conv_blocks": 1}
    lines = list(gpu.measure(tmp_path, 1, device="cpu", size=(32, 46), frames=6, architecture=architecture))
    assert all(line.ours > 0 for line in lines)
    told = [line.limit for line in lines]
    assert told[:1] == [gpu.FASTER]
    assert told[-1:] == [gpu.SPEED_KEPT]
    assert sum("compiled" in line.what for line in lines) == 2 * ("compiled" in gpu.forms_here())
    (share,) = (line.ours for line in lines if "share of the peak" in line.what)
    assert share < 1


def test_the_operations_of_the_full_network_are_known(tmp_path: Path) -> None:
    networks.write_checkpoint(tmp_path / "full.ckpt", networks.FULL)
    subject = Subject("full", str(tmp_path / "full.ckpt"), (2048, 2048))
    assert gpu.operations_of(subject) == pytest.approx(3.67e12, rel=0.01)


def test_without_a_gpu_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "FreshProcess", _ThisProcess)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert list(gpu.measure(tmp_path, 1)) == []
    assert capsys.readouterr().err == "gpu: no CUDA device here, left out\n"


@pytest.mark.parametrize(
    ("line", "ratio", "met"),
    [
        (Line("faster", 2.0, 8.0, "s", 4.0, "at least"), 4.0, True),
        (Line("too slow", 3.0, 8.0, "s", 4.0, "at least"), 8 / 3, False),
        (Line("lean", 100.0, 1000.0, "MiB", 0.2, "at most"), 0.1, True),
        (Line("grows", 110.0, 100.0, "MiB", 1.05, "at most"), 1.1, False),
        (Line("at once", 0.4, None, "s", 0.5, "at most"), 0.4, True),
        (Line("a rate", 300.0, 200.0, "MB/s", 1.0, "at least", more=True), 1.5, True),
        (Line("too low a rate", 100.0, 200.0, "MB/s", 1.0, "at least", more=True), 0.5, False),
    ],
)
def test_a_line_says_whether_it_is_met(line: Line, ratio: float, *, met: bool) -> None:
    assert line.ratio == pytest.approx(ratio)
    assert line.met is met
    assert line.what in format_lines([line]).splitlines()[2]
    assert format_lines([line]).endswith("yes" if met else "NO")


def test_a_line_without_a_reach_is_neither_met_nor_missed() -> None:
    gain = Line("known", 2.0, 1.0, "s", None, "at least")
    assert gain.cells() == ("known", "2 s", "1 s", "0.50", "", "")
    assert Line("a share", 0.25, None, "", None, "at most").cells() == ("a share", "0.25", "", "", "", "")
    assert gain.met


@pytest.mark.slow
def test_the_temporal_benchmark_scores_all_methods_along_the_true_motion() -> None:
    condition = temporal.Condition(1.0, 3.0)
    result = temporal.run(temporal.Job(condition, seed=5, density=0.7, side=96, frames=12, tta=False))
    assert {method for method, _ in result} == {"raw", "window", "savgol", "median", "motion", "causal", "true motion"}
    for channel in temporal.CHANNELS:
        flicker = {method: values["flicker"] for (method, of), values in result.items() if of == channel}
        assert flicker["raw"] == 1
        assert flicker["true motion"] < flicker["motion"] < 0.8
        assert result["window", channel]["lag"] == pytest.approx(-0.5, abs=0.05)
    reach = temporal.format_reach({condition: [result, result]})
    way = (1 - result["motion", "nuclei"]["flicker"]) / (1 - result["true motion", "nuclei"]["flicker"])
    assert f"{way:.3f} ±0.000" in reach
    assert "1 px, flicker 3" in temporal.format_harm({condition: [result]})
    assert "over all 1 movies" in temporal.format_methods([result])


def test_the_temporal_benchmark_says_what_is_missed() -> None:
    condition = temporal.Condition(1.0, 3.0)
    results = [
        {(m, c): {"flicker": f} for c in temporal.CHANNELS for m, f in (("motion", motion), ("true motion", 0.2))}
        for motion in (0.3, 0.5)
    ]
    nuclei, membrane = temporal.format_reach({condition: results}).splitlines()[-2:]
    assert "0.750 ±0.125" in nuclei
    assert "0.90  | NO" in nuclei
    assert "0.75  | yes" in membrane


def test_components_of_all_stages_are_those_of_all_pixels(tiny_checkpoint: Path) -> None:
    seconds, angle = feature_map.seconds_and_angle(32, 1, str(tiny_checkpoint))
    assert set(seconds) == {"ours", *feature_map.SOLVERS}
    assert all(value > 0 for value in seconds.values())
    assert 0 <= angle < 0.01


@pytest.mark.slow
def test_the_explorer_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network_class: Any) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(explorer, "FreshProcess", _ThisProcess)
    monkeypatch.setattr(explorer, "find_chromium", lambda: None)
    (line,) = explorer.measure(repeats=1)
    assert 0 < line.ours < 60
    assert line.limit == 0.5
