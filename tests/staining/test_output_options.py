"""Options for the programs that read the results: OME-Zarr version, blank frames as zeros, a suffix of channels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from support.runs import SHARD, killed_at_batch, pixels, snapshot
from support.stores import phase, write_image, write_plate

from image_translation.cli.commands import main
from image_translation.evaluation.options import EvaluationOptions
from image_translation.evaluation.plan import make_plan
from image_translation.evaluation.run import evaluate
from image_translation.network.predictor import Predictor
from image_translation.omezarr.store import open_store

BLANK = (3, 7)  # frames


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_translation.omezarr.output.MAX_SHARD_FRAMES", SHARD)


def with_blank_frames(frames: int = 14) -> np.ndarray:
    movie = phase(frames)
    movie[list(BLANK)] = 0
    return movie


def provenance(store: Path) -> dict[str, Any]:
    found: dict[str, Any] = open_store(store).position("fov").attributes["image_translation"]
    return found


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_blank_frames_are_zero_and_change_nothing_else(run: Any, tmp_path: Path, version: str) -> None:
    movie = write_image(tmp_path / "in.zarr", with_blank_frames(), version=version)
    assert run(movie, output=tmp_path / "nan") == 0
    assert run(movie, "--blank", "zero", output=tmp_path / "zero") == 0
    for method in ("raw", "window", "savgol", "motion"):
        ours, expected = (pixels(tmp_path / name, method) for name in ("zero", "nan"))
        blank = np.isnan(expected).any(axis=(1, 2, 3, 4))
        assert blank.any()
        assert np.array_equal(ours[~blank], expected[~blank])
        assert not ours[blank].any()
        known = [provenance(tmp_path / name / f"{method}.ome.zarr") for name in ("zero", "nan")]
        assert known[0]["invalid_frames"] == known[1]["invalid_frames"] == list(BLANK)
        assert known[0]["blank"] == known[0]["request"]["output"]["blank"] == "zero"
        assert "output" not in known[1]["request"]
        assert "blank" not in known[1]
    rows = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("zero", "nan")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_zeros_are_known_for_invalid_when_a_run_is_resumed(run: Any, tmp_path: Path, version: str) -> None:
    movie = write_image(tmp_path / "in.zarr", with_blank_frames(), version=version)
    options = ("--blank", "zero", "--batch-size", "2")
    assert run(movie, *options, output=tmp_path / "whole") == 0
    with killed_at_batch(6):
        run(movie, *options, output=tmp_path / "cut")
    assert run(movie, *options, output=tmp_path / "cut") == 0
    assert snapshot(tmp_path / "cut") == snapshot(tmp_path / "whole")


def test_zeros_are_known_for_invalid_when_methods_and_frames_are_added(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = write_image(tmp_path / "in.zarr", with_blank_frames())
    zero = ("--blank", "zero")
    assert run(movie, *zero, output=tmp_path / "at_once") == 0
    assert run(movie, *zero, "--methods", "raw") == 0
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "start", None)  # nothing is left to predict
        assert run(movie, *zero, "--methods", "raw", "window", "savgol", "motion") == 0
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "at_once")
    data = np.concatenate([with_blank_frames(), phase(1, seed=5)])
    write_image(movie, data)
    assert run(movie, *zero) == 0  # frames that have not changed are read back
    assert run(movie, *zero, output=tmp_path / "grown") == 0  # normalised by statistics that differ slightly
    assert provenance(tmp_path / "out" / "motion.ome.zarr")["invalid_frames"] == list(BLANK)
    for method in ("raw", "motion"):
        np.testing.assert_allclose(pixels(tmp_path / "out", method), pixels(tmp_path / "grown", method), atol=2e-2)
        assert not pixels(tmp_path / "out", method)[list(BLANK)].any()


def test_zeros_are_known_for_invalid_when_results_are_scored(run: Any, tmp_path: Path) -> None:
    truth = np.concatenate([with_blank_frames(), 1 + phase(14, seed=1), 2 + phase(14, seed=2)], axis=1)
    movie = write_image(tmp_path / "in.zarr", truth, channels=("Phase3D", "Nuclei", "Membrane"))
    suffix = ("--channel-suffix", "_prediction")
    assert run(movie, "--methods", "raw", "savgol", output=tmp_path / "nan") == 0
    assert run(movie, "--methods", "raw", "savgol", "--blank", "zero", *suffix, output=tmp_path / "zero") == 0
    found = [
        evaluate(make_plan(EvaluationOptions((tmp_path / name,), truth=movie, tracking=True)))
        for name in ("nan", "zero")
    ]
    assert repr(found[0].over_time) == repr(found[1].over_time)  # NaN, which is no score, differs from itself
    assert repr(found[0].against_truth) == repr(found[1].against_truth)
    assert {row.channel for row in found[1].against_truth} == {"Nuclei", "Membrane"}
    of_images = {row.frame for row in found[1].against_truth if row.method == "raw" and row.metric == "pearson"}
    assert of_images == set(range(14)) - set(BLANK)


def test_channels_have_a_suffix_in_the_stores_alone(run: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, output=tmp_path / "plain") == 0
    assert run(movie, "--channel-suffix", "_prediction") == 0
    for method in ("raw", "motion"):
        position = open_store(tmp_path / "out" / f"{method}.ome.zarr").position("fov")
        assert position.channels == ("Nuclei_prediction", "Membrane_prediction")
        assert position.attributes["multiscales"][0]["name"] == method
    assert (tmp_path / "out" / "metrics.csv").read_bytes() == (tmp_path / "plain" / "metrics.csv").read_bytes()
    assert provenance(tmp_path / "out" / "raw.ome.zarr")["request"]["output"] == {"channel_suffix": "_prediction"}


@pytest.mark.parametrize(("version", "other"), [("0.4", "0.5"), ("0.5", "0.4")])
def test_results_of_another_version_have_the_same_pixels(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str, other: str
) -> None:
    movie = write_plate(tmp_path / "in.zarr", {"A/1/0": phase(13), "B/2/0": phase(13, seed=1)}, version=version)
    assert run(movie, "--ome-zarr", version, "--methods", "raw", "motion", output=tmp_path / "same") == 0
    assert run(movie, "--ome-zarr", other, "--methods", "raw", "motion") == 0
    for method in ("raw", "motion"):
        store = open_store(tmp_path / "out" / f"{method}.ome.zarr")
        assert (store.version, store.names) == (other, ("A/1/0", "B/2/0"))
        assert store.metadata["plate"]["version"] == other
        for name in store.names:
            np.testing.assert_array_equal(
                pixels(tmp_path / "out", method, name), pixels(tmp_path / "same", method, name)
            )
    request = store.position("A/1/0").attributes["image_translation"]["request"]
    assert request["output"] == {"ome_zarr": other}
    # To name the version of the movie is the same as to name none.
    caplog.set_level("INFO")
    assert run(movie, "--methods", "raw", "motion", output=tmp_path / "same") == 0
    assert "holds these results already" in caplog.text
    assert run(movie, "--methods", "raw", "motion") == 2
    assert f"with other options (output: {{'ome_zarr': '{other}'}} there, None now)" in caplog.text


def test_volumes_are_written_with_all_options(
    tmp_path: Path, stack_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = np.random.default_rng(0).normal(size=(4, 1, 9, 24, 24)).astype(np.float32)
    data[1, 0, :6] = 0  # only the upper planes can be predicted
    movie = write_image(tmp_path / "in.zarr", data)
    written = {}
    for blank in ("nan", "zero"):
        options = ["--blank", blank, "--ome-zarr", "0.5", "--channel-suffix", "!", "--methods", "raw", "median"]
        out = tmp_path / blank
        arguments = ["smooth", "-c", stack_checkpoint, "-m", movie, "-o", out, "--normalization", "mean_std"]
        assert main([*map(str, arguments), *options, "--median-window", "3", "--device", "cpu"]) == 0
        written[blank] = {name: pixels(out, name) for name in ("raw", "median")}
    for name, expected in written["nan"].items():
        assert np.isnan(expected[1]).any()
        np.testing.assert_array_equal(written["zero"][name], np.nan_to_num(expected))
        stored = open_store(tmp_path / "zero" / f"{name}.ome.zarr").position("fov")
        for z in range(stored.shape[2]):
            assert np.isnan(stored.read(1, 0, z)).all() == np.isnan(expected[1, 0, z]).all()
    rows = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("nan", "zero")]
    assert rows[0] == rows[1]


def test_a_suffix_is_text(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, "--channel-suffix", "a\nb") == 2
    assert r"--channel-suffix 'a\nb': must be text that can be printed" in caplog.text


def test_a_dry_run_says_how_results_are_written(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, "--dry-run", "--ome-zarr", "0.5", "--blank", "zero") == 0
    assert "written with   ome zarr 0.5, blank zero\n" in capsys.readouterr().out


def test_results_without_a_pyramid_are_the_same(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Earlier versions wrote the levels of the movie alone, and named no image."""
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie) == 0
    for file in (tmp_path / "out").glob("*.ome.zarr/.zattrs"):
        content = json.loads(file.read_text())
        content["multiscales"][0]["name"] = "0"
        content["image_translation"]["request"]["input"]["movie"] = str(movie)
        file.write_text(json.dumps(content))
    monkeypatch.setattr("image_translation.omezarr.output.MAX_COARSEST_SIDE", 20)
    caplog.set_level("INFO")
    assert run(movie) == 0
    assert "holds these results already" in caplog.text
    assert run(movie, "--methods", "raw", "median") == 0  # raw is read, and the new method has a pyramid
    assert "1" in zarr.open_group(tmp_path / "out" / "median.ome.zarr", mode="r")
    assert "1" not in zarr.open_group(tmp_path / "out" / "raw.ome.zarr", mode="r")
