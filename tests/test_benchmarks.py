"""Tests of the benchmarks: equal results of the baseline script, their tables, and the checks of their arguments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.checkpoints import needs_viscy

from benchmarks import __main__ as program
from benchmarks import (
    cheats,
    demo_networks,
    end_to_end,
    explorer,
    feature_map,
    filters,
    flicker_agreement,
    fresh_process,
    gpu,
    motion,
    movies,
    network,
    network_variants,
    parts,
    plates,
    run_cost,
    startup,
    storage,
    strengths,
    temporal,
    temporal_tables,
)
from benchmarks.job import Job
from benchmarks.movies import write_movie
from benchmarks.network_variants import Case
from benchmarks.stained import smooth
from benchmarks.table import Measurement, format_table
from benchmarks.worlds import WORLDS, stain
from benchmarks.worlds import Job as WorldJob
from image_translation.data.lookup import CACHE_VARIABLE
from image_translation.errors import UsageError
from image_translation.metrics.rows import read_csv
from image_translation.network.predictor import Predictor
from image_translation.omezarr.store import open_store

FRAMES, SIZE = 12, (32, 48)  # multiples of the stride, so that nothing is padded


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movie(tmp_path_factory.mktemp("benchmarks") / "movie.ome.zarr", FRAMES, SIZE)


@pytest.fixture
def job(movie: Path, tiny_checkpoint: Path) -> Job:
    return Job(movie, str(tiny_checkpoint))


class _ThisProcess(fresh_process.FreshProcess):
    """Replacement of a fresh process, which would import torch once more."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self._pool: Any = self

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    def shutdown(self) -> None:
        pass


@needs_viscy
def test_baseline_script_and_package_give_the_same_results(job: Job, tmp_path: Path) -> None:
    from benchmarks.pipelines import prepare

    for name in ("ours", "baseline_stride"):
        (tmp_path / name).mkdir()
    prepare("ours", job)(tmp_path / "ours")
    metrics: Any = prepare("baseline_stride", job)(tmp_path / "baseline_stride")
    rows = {
        (row.method, row.channel, row.frame, row.metric): row.value for row in read_csv(tmp_path / "ours/metrics.csv")
    }
    assert set(metrics) <= set(rows)
    assert metrics == pytest.approx({key: rows[key] for key in metrics}, abs=1e-4)
    for method in ("raw", "window", "savgol"):
        ours, baseline = (
            open_store(tmp_path / name / f"{method}.ome.zarr").position("fov") for name in ("ours", "baseline_stride")
        )
        assert ours.shape == baseline.shape
        for t in (0, 4, ours.shape[0] - 1):
            np.testing.assert_allclose(ours.read(t, 1, 0), baseline.read(t, 1, 0), atol=1e-4)


@needs_viscy
def test_all_pipelines_are_timed(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_to_end, "FreshProcess", _ThisProcess)
    monkeypatch.setattr("benchmarks.pipelines.FIXED_SIDE", 64)
    lines = list(end_to_end.measure(job, repeats=1))
    assert [line.target for line in lines] == [4.0, 1.2, 1.15, 1.15]
    assert all(line.ours > 0 and line.baseline for line in lines)


@needs_viscy
def test_skipping_network_runs_on_every_nth_image() -> None:
    import torch

    from benchmarks.pipelines import SkippingNetwork

    network = SkippingNetwork(torch.nn.Conv3d(1, 2, 1), every=3, n_outputs=2)
    image = torch.ones(1, 1, 1, 4, 4)
    is_copy = [bool((network(image) == 1).all()) for _ in range(6)]
    assert is_copy == [True, True, False, True, True, False]


def test_peak_memory_counts_an_allocation() -> None:
    with fresh_process.FreshProcess() as process:
        before = process.call(run_cost.peak_memory)
        assert process.call(eval, "len(bytes(1) * 2**26)") == 64 * 2**20
        assert 60 < process.call(run_cost.peak_memory) - before < 80


def test_filters_are_timed_with_one_thread() -> None:
    (line,) = filters.measure([(12, 2, 16, 16)], repeats=1)
    assert line.what == "Savitzky-Golay of 12x2x16x16"
    assert line.ours > 0
    assert line.baseline


def test_the_default_filter_is_timed_beside_the_network(monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path) -> None:
    monkeypatch.setattr(motion, "FreshProcess", _ThisProcess)
    filtering, with_metrics = motion.measure(Case("tiny", str(tiny_checkpoint), (64, 64)), repeats=1)
    assert 0 < filtering.ours < with_metrics.ours
    assert filtering.baseline == with_metrics.baseline


def test_all_layouts_are_read_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "FreshProcess", _ThisProcess)
    *rates, files, truncated = storage.measure(tmp_path, FRAMES, SIZE, repeats=1)
    assert [line.what.split()[0] for line in rates] == ["write", "read"] * 3 + ["read"]
    assert all(line.ours > 0 and line.baseline and line.unit == "MB/s" for line in rates)
    assert (files.ours, files.baseline) == pytest.approx((2 * 1000 / FRAMES, 2000))  # a shard for each channel
    assert truncated.ours == len(storage.LAYOUTS)
    assert {path.name for path in tmp_path.iterdir()} == {f"storage-{n}.ome.zarr" for n in range(len(storage.LAYOUTS))}


@pytest.mark.slow
def test_startup_is_timed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "WARM_UPS", 0)
    assert program.main(["startup", "--repeats", "1", "--frames", str(FRAMES), "--size", "32x48"]) == 0
    table = capsys.readouterr().out
    assert all(f"response to {what}" in table for what in ("--help", "missing movie", "even window", "bad frames"))
    assert "first predicted frame" in table


def test_the_network_is_timed_and_compared(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network_class: Any
) -> None:
    monkeypatch.setattr(network, "FreshProcess", _ThisProcess)
    monkeypatch.setattr(
        network, "available_variants", lambda: ["viscy", "viscy_kept", "ours", "ours_bf16"]
    )  # no compilers
    case = Case("tiny", str(tiny_checkpoint), (40, 50))
    *times, ours, bf16 = network.measure(tmp_path, case, 1.3, repeats=1, agreement=True)
    assert [line.target for line in times] == [1.3, None, None]
    assert all(line.ours > 0 and line.baseline for line in times)
    assert ours.met
    assert 0 < bf16.ours < 0.01


def test_variants_that_cannot_run_are_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(network, "COMPILERS", ())
    monkeypatch.setattr(network, "find_spec", lambda _: None)
    assert network.available_variants() == ["viscy", "viscy_kept", "ours", "ours_bf16"]
    assert "torch.compile is skipped" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # Dask's own
def test_a_plate_is_timed_on_one_worker_and_on_two(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plates, "FreshProcess", _ThisProcess)
    lines = list(plates.measure(tmp_path, str(tiny_checkpoint), (6, 4, (32, 48)), n_empty=20, repeats=1))
    assert [(line.target, line.unit) for line in lines] == [(1.8, "s"), (10, "ms"), (0.05, "")]
    assert all(line.ours > 0 for line in lines)
    assert lines[2].ours < 1
    assert {"warm-up-1", "warm-up-2", "stained-1-0", "stained-2-0"} < {path.name for path in tmp_path.iterdir()}


class _NotCompiling(Predictor):
    """Replacement of a predictor that compiles, which takes a minute."""

    def __init__(self, *args: Any, backend: str = "eager", **kwargs: Any) -> None:
        assert backend in ("eager", "compile")
        super().__init__(*args, **kwargs)


def test_the_gpu_benchmark_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network_class: Any) -> None:
    for module in (gpu, movies):
        monkeypatch.setattr(module, "FreshProcess", _ThisProcess)
    monkeypatch.setattr(gpu, "PEAKS", {"cpu": 1e12})
    monkeypatch.setattr("image_translation.network.predictor.Predictor", _NotCompiling)
    architecture = {**network_variants.FULL, "encoder_blocks": (1, 1), "dims": (8, 16), "decoder_conv_blocks": 1}
    lines = list(gpu.measure(tmp_path, 1, device="cpu", size=(32, 46), frames=6, architecture=architecture))
    assert all(line.ours > 0 for line in lines)
    assert lines[0].target == gpu.SPEED_UP_TARGET
    assert lines[-1].target == gpu.RATE_TARGET
    assert sum("compiled" in line.what for line in lines) == 2
    (share,) = (line.ours for line in lines if "share of the peak" in line.what)
    assert share < 1


def test_number_of_operations_of_the_full_network(tmp_path: Path) -> None:
    network_variants.write_checkpoint(tmp_path / "full.ckpt", network_variants.FULL)
    case = Case("full", str(tmp_path / "full.ckpt"), (2048, 2048))
    assert gpu.count_operations(case) == pytest.approx(3.67e12, rel=0.01)


def test_gpu_benchmark_is_skipped_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "FreshProcess", _ThisProcess)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert list(gpu.measure(tmp_path, 1)) == []
    assert capsys.readouterr().err == "gpu: there is no CUDA device; skipped\n"


@pytest.mark.parametrize(
    ("line", "ratio", "met"),
    [
        (Measurement("faster", 2.0, 8.0, "s", 4.0, "at least"), 4.0, True),
        (Measurement("too slow", 3.0, 8.0, "s", 4.0, "at least"), 8 / 3, False),
        (Measurement("lean", 100.0, 1000.0, "MiB", 0.2, "at most"), 0.1, True),
        (Measurement("grows", 110.0, 100.0, "MiB", 1.05, "at most"), 1.1, False),
        (Measurement("at once", 0.4, None, "s", 0.5, "at most"), 0.4, True),
        (Measurement("a rate", 300.0, 200.0, "MB/s", 1.0, "at least", higher_is_better=True), 1.5, True),
        (Measurement("too low a rate", 100.0, 200.0, "MB/s", 1.0, "at least", higher_is_better=True), 0.5, False),
    ],
)
def test_measurements_and_their_targets(line: Measurement, ratio: float, *, met: bool) -> None:
    assert line.ratio == pytest.approx(ratio)
    assert line.met is met
    assert line.what in format_table([line]).splitlines()[2]
    assert format_table([line]).endswith("yes" if met else "NO")


def test_measurement_without_a_target() -> None:
    gain = Measurement("known", 2.0, 1.0, "s", None, "at least")
    assert gain.cells() == ("known", "2 s", "1 s", "0.50", "", "")
    assert Measurement("a share", 0.25, None, "", None, "at most").cells() == ("a share", "0.25", "", "", "", "")
    assert gain.met


@pytest.mark.slow
def test_temporal_benchmark_scores_all_methods() -> None:
    world = WORLDS["walk 0.9 px, focus"]
    result = temporal.run(WorldJob(world, seed=5, density=0.7, side=96, frames=12, checkpoint="demo_ckpt"))
    methods = {"raw", *temporal_tables.METHODS}
    assert {method for method, _ in result.scores} == {*methods, "true motion", "truth"}
    assert {"motion"} <= result.above_raw[True] < methods
    assert not result.above_raw[False] & result.in_doubt
    for channel in temporal_tables.CHANNELS:
        flicker = {method: result.scores[method, channel]["flicker"] for method in (*methods, "true motion")}
        assert flicker["raw"] == 1
        assert flicker["true motion"] < flicker["motion"] < 0.8
        assert result.scores["window", channel]["lag"] == pytest.approx(-0.5, abs=0.05)
        raw, motion, truth = (result.scores[method, channel] for method in ("raw", "motion", "truth"))
        assert motion["pearson"] > raw["pearson"]
        assert motion["warping_error"] < raw["warping_error"] == 1
        assert motion["flow_difference"] < raw["flow_difference"]
        assert motion["embedding_change"] < raw["embedding_change"] < 1
        assert truth["embedding_change"] < raw["embedding_change"]
    assert result.scores["truth", "nuclei"]["complete_tracks"] > 0.5
    tables = {world.name: [result, result]}
    left, limit = (result.scores[method, "nuclei"]["flicker"] for method in ("motion", "true motion"))
    assert f"{(1 - left) / (1 - limit):.2f}" in temporal_tables.format_flicker(tables)
    assert world.name in temporal_tables.format_reach(tables)
    assert "over all 2 movies" in temporal_tables.format_methods(tables)
    assert all(world.name in form(tables) or "| nuclei" in form(tables) for form in temporal.FORMATS[3:])


def scores(**values: float) -> dict[tuple[str, str], dict[str, float]]:
    """Return scores in which raw has 0 everywhere, and the motion filter the given values, with some defaults."""
    own = dict.fromkeys(temporal_tables.COLUMNS, 0.0) | {"detail": 1.0, "flicker": 0.3} | values
    raw, limit = dict.fromkeys(temporal_tables.COLUMNS, 0.0), {"flicker": 0.2}
    by_method = {"raw": raw, "motion": own, "true motion": limit}
    return {(method, channel): found for method, found in by_method.items() for channel in temporal_tables.CHANNELS}


def test_temporal_benchmark_names_what_is_missed() -> None:
    results = [temporal_tables.Result(scores(flicker=flicker), {}, frozenset()) for flicker in (0.3, 0.48)]
    nuclei, membrane = temporal_tables.format_flicker({"walk, focus": results}).splitlines()[-2:]
    assert "0.76       | 0.85   | NO" in nuclei
    assert "0.76       | 0.75   | yes" in membrane
    kept = temporal_tables.Result(scores(pearson_events=-0.004), {}, frozenset())
    harmed = temporal_tables.Result(scores(pearson=-0.01, detail=0.9, displacement=0.2), {}, frozenset())
    lines = temporal_tables.format_reach({"one": [kept], "other": [harmed]}).splitlines()[-4:]
    assert [line.split("|")[-2].strip() for line in lines] == ["-", "-", *["r, detail, displaced"] * 2]


def test_temporal_benchmark_counts_wrong_rankings() -> None:
    above = {True: frozenset({"motion", "savgol"}), False: frozenset({"median", "motion"})}
    result = temporal_tables.Result({}, above, frozenset({"savgol", "causal"}))
    table = temporal_tables.format_rankings({"one": [result]})
    assert "Wrongly above raw: median 1." in table
    assert table.splitlines()[-1].split() == ["|", "all", "|", "5", "|", "1", "|", "1", "|", "2", "|", "1", "|"]


def test_temporal_benchmark_with_registration() -> None:
    done, refused = scores(flicker=0.8), scores(flicker=0.9)
    done |= {("registered, motion", channel): {"flicker": 0.4} for channel in temporal_tables.CHANNELS}
    results = [temporal_tables.Result(found, {}, frozenset()) for found in (done, refused)]
    line = temporal_tables.format_registered({"lateral": results}).splitlines()[-1]
    assert "1 of 2" in line
    assert "0.75       | 0.8    | NO" in line  # of .6 to .8


@pytest.mark.slow
def test_fidelity_is_drawn_against_flicker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strengths, "STRENGTHS", {"window": (3,), "motion": (5,), "causal": (0,), "blur": (1.5,)})
    world = WORLDS["walk 0.9 px, focus"]
    points = strengths.run(WorldJob(world, seed=5, density=0.7, side=96, frames=12, checkpoint="demo_ckpt"))
    np.testing.assert_array_equal(points["raw"][0], 1)
    assert (points["motion 5"] < points["raw"])[0].all()
    assert (points["motion 5"] > points["raw"])[1].all()
    assert (points["blur 1.5"] < points["raw"]).all()
    assert "motion 5" in strengths.format_points({world.name: points})
    strengths.draw({world.name: points}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.slow
def test_flicker_along_an_estimated_flow_agrees_with_that_along_the_true_one() -> None:
    world = WORLDS["walk 2 px, noise"]
    found = flicker_agreement.run(WorldJob(world, seed=5, density=0.7, side=96, frames=12, checkpoint="demo_ckpt"))
    error = {name: np.abs(by_truth[True]).mean() for name, by_truth in found.items()}
    assert error["Farneback, half resolution"] < 0.3 * error["none"]
    assert len(flicker_agreement.format_agreement([found]).splitlines()) == 2 + len(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["walk 0.9 px, focus", "walk 2 px, noise", "walk 3.6 px, none", "walk 2 px, gain"])
def test_what_the_card_without_truth_ranks_above_raw_is_better_with_truth(name: str) -> None:
    """Sixty pairs of world and method, cheats among them. What a few events lose cannot be seen without truth."""
    stained = stain(WorldJob(WORLDS[name], seed=11, density=0.7, side=128, frames=12, checkpoint="demo_ckpt"))
    raw = stained.raw
    results = {"raw": raw, **smooth(raw, stained.phase, temporal_tables.METHODS)}
    results |= {cheat: deceive(raw) for cheat, deceive in cheats.CHEATS.items()}
    results["early"] = cheats.half_a_frame_early(raw, np.stack([stained.motion(t)[0] for t in range(len(raw) - 1)]))
    results["steady, gain"] = cheats.with_gain_flicker(results["motion"])
    assert len(results) == 16
    with_truth, without = (temporal.score_card(results, stained, truth=truth) for truth in (True, False))
    above = without.ranking[: without.ranking.index("raw")]
    assert "motion" in above
    assert set(above) <= {"motion", "causal"}
    failures = {column for entry in with_truth.entries if entry.method in above for column in entry.failures}
    assert failures <= {"pearson_events"}


@pytest.mark.slow
def test_cheats_are_caught_in_a_world() -> None:
    world = WORLDS["stream 2 px, focus"]
    found = cheats.run(WorldJob(world, seed=5, density=0.7, side=96, frames=12, checkpoint="demo_ckpt"))
    assert not any(above for by_truth in found.values() for _, above in by_truth.values())
    lines = cheats.format_cheats({world.name: found}).splitlines()
    assert len(lines) == 4 + len(found)
    assert any(line.startswith("| gain ") and "gain_flicker" in line for line in lines)


def test_principal_components_agree_with_scikit_learn(tiny_checkpoint: Path) -> None:
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
    assert line.target == 0.5


USAGE_ERRORS = [
    (["filters", "--frames", "8"], "--frames 8: filters needs at least 11"),
    (["end-to-end", "--frames", "10"], "--frames 10: end-to-end needs at least 11"),
    (["memory", "--frames", "8"], "--frames 8: memory needs at least 11"),
    (["startup", "--frames", "2"], "--frames 2: startup needs at least 11"),
    (["gpu", "--frames", "1"], "--frames 1: gpu needs at least 2"),
    (["storage", "plates", "--frames", "1"], "--frames 1: plates needs at least 2"),
    (["--frames", "10"], "--frames 10: end-to-end needs at least 11"),
    (["storage", "--frames", "0"], "argument --frames: '0' is not a whole number of at least 1"),
    (["storage", "--frames", "1e3"], "argument --frames: '1e3' is not a whole number"),
    (["storage", "--size", "15x64"], "--size 15x64: storage needs height and width of at least 16 pixels"),
    (["filters", "--size", "0x4"], "--size 0x4: filters needs height and width of at least 1 pixels"),
    (["storage", "--size", "64"], "argument --size: '64' is not HEIGHTxWIDTH"),
    (["storage", "--repeats", "0"], "argument --repeats: '0' is not a whole number of at least 1"),
    (["memory", "--every", "0"], "argument --every: '0' is not a whole number of at least 1"),
    (["memory", "--precision", "int8"], "argument --precision: invalid choice: 'int8'"),
    (["network", "--checkpoint", "nothing.ckpt"], "--checkpoint nothing.ckpt: "),
    (["plates", "--checkpoint", "demo_movie"], "--checkpoint demo_movie: "),
    (["network", "--checkpoint", "demo_ckpt_fluor2phase"], "the network needs 2 channels"),
    (["end-to-end", "--device", "abacus"], "--device abacus: "),
    (["gpu", "--device", "cuda:99"], "--device cuda:99: "),
    (["end-to-end", "--precision", "fp16"], "--precision fp16: "),
    (["speed"], "'speed' is none of end-to-end, memory, filters"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE_ERRORS)
def test_unusable_arguments_are_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parts, "FreshProcess", _ThisProcess)
    monkeypatch.setattr(program, "_measure", _must_not_run)
    assert message in _usage_error(program.main, arguments, capsys)


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (temporal, ["--frames", "10"], "argument --frames: '10' is not a whole number of at least 11"),
        (temporal, ["--side", "8"], "argument --side: '8' is not a whole number of at least 16"),
        (temporal, ["--movies", "0"], "argument --movies: '0' is not a whole number of at least 1"),
        (cheats, ["--side", "8"], "argument --side: '8' is not a whole number of at least 16"),
        (flicker_agreement, ["--frames", "8"], "argument --frames: '8' is not a whole number of at least 11"),
        (temporal, ["--workers", "-1"], "argument --workers: '-1' is not a whole number of at least 1"),
        (explorer, ["0"], "argument repeats: '0' is not a whole number from 1 to 31"),
        (explorer, ["32"], "from 1 to 31 (the embedded movie has 32 frames)"),
        (explorer, ["many"], "argument repeats: 'many' is not a whole number"),
        (feature_map, ["16"], "argument side: '16' is not a whole number of at least 17"),
        (feature_map, ["64", "0"], "argument repeats: '0' is not a whole number of at least 1"),
        (feature_map, ["64", "1", "1"], "unrecognized arguments: 1"),
        (demo_networks, ["--size", "128"], "argument --size: '128' is not a whole number of at least 160"),
        (demo_networks, ["nothing.ckpt"], "argument checkpoints: nothing.ckpt: "),
    ],
)
def test_unusable_arguments_of_other_benchmarks_are_one_line(
    module: Any, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in _usage_error(module.main, arguments, capsys)


def test_networks_of_other_channels_are_refused(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str], network_class: Any
) -> None:
    with pytest.raises(UsageError, match=r"must have 3 output channels, and has Nuclei, Membrane"):
        parts.require_channels(str(tiny_checkpoint), 3)


def test_smallest_sizes_are_accepted(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "FreshProcess", _ThisProcess)
    parts.check_sizes(list(parts.PARTS), 11, (16, 16))
    parts.check_sizes(["filters"], 11, (1, 1))
    parts.check_sizes(["storage"], 1, None)
    job = Job(Path("movie.ome.zarr"), "demo_ckpt", device="auto")
    assert parts.check_networks(["storage", "startup"], job) is job
    assert parts.check_networks(["memory", "network"], job).device != "auto"


def _usage_error(main: Callable[[list[str]], int], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def _must_not_run(*_: object) -> None:
    raise AssertionError("something was measured")
