"""Runs that normalise by the statistics of each frame, or of all positions: pixels, provenance, resuming, updates."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from support.runs import killed_at_batch, pixels, snapshot
from support.stores import phase, write_image, write_plate

from image_translation.cli.commands import main
from image_translation.network.predictor import Predictor
from image_translation.omezarr.output import PROVENANCE_KEY
from image_translation.omezarr.store import open_store
from image_translation.staining.phase_statistics import stored_statistics

BASE = ("--methods", "raw", "window", "--normalization", "mean_std")
TIMEPOINT = (*BASE, "--statistics-over", "timepoint")
WINDOW = (*TIMEPOINT, "--statistics-window", "3")
DATASET = (*BASE, "--statistics-over", "dataset")
GAINS = np.float32([1, 1.4, 0.7, 1.2, 0.8, 1.1, 0.9, 1.3, 0.6, 1.5, 1, 1.2])


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images that the network gets, call by call."""
    numbers: list[int] = []
    predict = Predictor.start
    monkeypatch.setattr(Predictor, "start", lambda self, images: numbers.append(len(images)) or predict(self, images))
    return numbers


def jittered(frames: int = 12) -> np.ndarray:
    """Return a movie whose gain jitters, and drifts up."""
    gains = GAINS[:frames] * np.linspace(1, 2, len(GAINS), dtype=np.float32)[:frames]
    return np.asarray((phase(frames) + 20) * gains[:, None, None, None, None])


def provenance(output: Path, name: str = "fov", method: str = "raw") -> dict[str, Any]:
    found = open_store(output / f"{method}.ome.zarr").position(name).attributes[PROVENANCE_KEY]
    return dict(found)


def test_a_gain_jitter_is_removed_by_statistics_of_frames_and_not_of_the_field(run: Any, tmp_path: Path) -> None:
    still = np.repeat(phase(1) + 20, 12, axis=0)
    movie = write_image(tmp_path / "in.zarr", still * GAINS[:, None, None, None, None])
    assert run(movie, *BASE, output=tmp_path / "fov") == 0
    assert run(movie, *TIMEPOINT) == 0
    changes = {name: np.abs(np.diff(pixels(tmp_path / name, "raw"), axis=0)).mean() for name in ("fov", "out")}
    spread = pixels(tmp_path / "out", "raw")[0].std()
    assert changes["out"] < 1e-3 * spread
    assert changes["fov"] > 0.1 * spread


def test_statistics_are_in_request_and_provenance_only_where_they_are_not_of_the_field(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = jittered()
    data[4] = 0
    movie = write_image(tmp_path / "in.zarr", data)
    assert run(movie, *BASE, output=tmp_path / "fov") == 0
    assert run(movie, *BASE, "--statistics-over", "fov", output=tmp_path / "fov") == 0  # the same request
    fov = provenance(tmp_path / "fov")
    assert set(fov["request"]["prediction"]) == {"checkpoint", "normalization", "precision", "tta"}
    assert set(fov["normalization"]) == {"center", "scale", "source", "degenerate"}
    assert "frame_statistics" not in fov
    assert run(movie, *WINDOW) == 0
    found = provenance(tmp_path / "out")
    prediction = {"statistics_over": "timepoint", "statistics_window": 3}
    assert found["request"]["prediction"] == fov["request"]["prediction"] | prediction
    assert set(found["normalization"]) == set(fov["normalization"])  # which earlier versions read
    means, frames = data.mean(axis=(1, 2, 3, 4)), found["frame_statistics"]
    assert (frames["start"], frames["center"].pop(4), frames["scale"].pop(4)) == (0, None, None)
    windows = [means[max(t - 1, 0) : t + 2] for t in range(12) if t != 4]
    assert frames["center"] == pytest.approx([np.median(window[window > 0]) for window in windows], rel=1e-4)
    assert run(movie, *TIMEPOINT) == 2  # other pixels
    capsys.readouterr()
    assert run(movie, *WINDOW, "--dry-run") == 0
    assert "mean_std over each frame, medians of 3 frames (--normalization)" in capsys.readouterr().out


def test_a_window_needs_statistics_of_frames(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(12))
    for options in (("--statistics-window", "3"), ("--statistics-over", "dataset", "--statistics-window", "3")):
        assert run(movie, *BASE, *options) == 2
        assert "--statistics-window 3: needs --statistics-over timepoint, not" in caplog.text
    for window in ("4", "0", "-3"):
        assert run(movie, *TIMEPOINT, "--statistics-window", window) == 2
        assert f"--statistics-window {window}: must be odd, 1 or more" in caplog.text
    assert not (tmp_path / "out").exists()


def test_the_checkpoint_says_what_statistics_are_of_and_the_option_overrides_it(
    tiny_checkpoint: Path, run: Any, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "net.ckpt"
    shutil.copyfile(tiny_checkpoint, checkpoint)
    checkpoint.with_name("net.ckpt.json").write_text(json.dumps({"statistics_over": "timepoint"}))
    movie = write_image(tmp_path / "in.zarr", jittered())

    def stain(output: str, *options: str) -> np.ndarray:
        command = ["smooth", "-c", str(checkpoint), "-m", str(movie), "-o", str(tmp_path / output), *options, *BASE]
        assert main([*command, "--device", "cpu"]) == 0
        return pixels(tmp_path / output, "raw")

    assert run(movie, *TIMEPOINT, output=tmp_path / "timepoint") == 0
    assert run(movie, *BASE, output=tmp_path / "fov") == 0
    np.testing.assert_array_equal(stain("a"), pixels(tmp_path / "timepoint", "raw"))
    np.testing.assert_array_equal(stain("b", "--statistics-over", "fov"), pixels(tmp_path / "fov", "raw"))


@pytest.mark.parametrize("options", [TIMEPOINT, WINDOW, DATASET])
def test_an_interrupted_run_is_resumed_with_the_same_statistics(
    run: Any, tmp_path: Path, predicted: list[int], options: tuple[str, ...]
) -> None:
    names = ("A/1/0", "A/2/0")
    movie = write_plate(tmp_path / "in.zarr", {name: jittered() * n for n, name in enumerate(names, 1)})
    assert run(movie, *options, output=tmp_path / "whole") == 0
    with killed_at_batch(17):
        run(movie, *options)
    predicted.clear()
    assert run(movie, *options) == 0
    assert sum(predicted) < 12
    for method in ("raw", "window"):
        for name in names:
            whole = tmp_path / "whole" / f"{method}.ome.zarr" / name
            assert snapshot(tmp_path / "out" / f"{method}.ome.zarr" / name) == snapshot(whole)


@pytest.mark.parametrize(("options", "count"), [(TIMEPOINT, 2), (WINDOW, 3)])
def test_of_a_movie_that_has_grown_frames_whose_statistics_have_changed_are_stained_too(
    run: Any, tmp_path: Path, predicted: list[int], options: tuple[str, ...], count: int
) -> None:
    """The window of the last frame now holds one more."""
    data = jittered()
    movie = write_image(tmp_path / "in.zarr", data[:10])
    assert run(movie, *options) == 0
    write_image(movie, data)
    predicted.clear()
    assert run(movie, *options) == 0
    assert sum(predicted) == count
    assert run(movie, *options, output=tmp_path / "whole") == 0
    for method in ("raw", "window"):
        np.testing.assert_array_equal(pixels(tmp_path / "out", method), pixels(tmp_path / "whole", method))
    found = [
        stored_statistics(open_store(tmp_path / name / "raw.ome.zarr").position("fov")) for name in ("out", "whole")
    ]
    assert found[0] == found[1]
    assert found[0] is not None


def test_edited_statistics_of_a_frame_are_noticed(run: Any, tmp_path: Path, predicted: list[int]) -> None:
    means = dict.fromkeys(range(12), 1.0)

    def state() -> None:
        blocks = {str(t): {"mean": mean, "std": 1.0} for t, mean in means.items()}
        zarr.open_group(movie, mode="r+").attrs["normalization"] = {"Phase3D": {"timepoint_statistics": blocks}}

    movie = write_image(tmp_path / "in.zarr", phase(12))
    for mean, count in ((1.0, 12), (1.0, 0), (1.5, 1), (1.5, 0)):
        means[7] = mean
        state()
        predicted.clear()
        assert run(movie, *TIMEPOINT, "--statistics", "stored") == 0
        assert sum(predicted) == count
    del means[3]
    state()
    assert run(movie, *TIMEPOINT, "--statistics", "stored", output=tmp_path / "other") == 2


def test_positions_are_normalised_by_their_common_statistics(run: Any, tmp_path: Path, tiny_model: Any) -> None:
    wells = {"A/1/0": phase(12, (48, 48)), "A/2/0": 3 * phase(12, (48, 48), seed=1) + 5}
    movie = write_plate(tmp_path / "in.zarr", wells)
    assert run(movie, *DATASET, "--position", "A/1/0") == 0
    values = np.concatenate(list(wells.values()))
    spec, network = tiny_model
    normal = ((wells["A/1/0"][0, :, 0] - values.mean()) / values.std()).astype(np.float32)
    (expected,) = Predictor(network, spec.stride, device="cpu").predict([normal])
    np.testing.assert_allclose(pixels(tmp_path / "out", "raw", "A/1/0")[0, :, 0], expected, atol=0.02)
    assert run(movie, *DATASET, output=tmp_path / "both") == 0
    alone, both = (pixels(tmp_path / name, "raw", "A/1/0") for name in ("out", "both"))
    np.testing.assert_array_equal(alone, both)


@pytest.mark.parametrize(("offset", "count"), [(0.0, 12), (9.0, 36)])
def test_a_position_that_changes_the_common_statistics_stains_all_anew(
    run: Any, tmp_path: Path, predicted: list[int], offset: float, count: int
) -> None:
    wells = {f"A/{n}/0": phase(12, (48, 48), seed=n) for n in range(1, 3)}
    movie = write_plate(tmp_path / "in.zarr", wells)
    assert run(movie, *DATASET) == 0
    before = provenance(tmp_path / "out", "A/1/0")["normalization"]
    wells["A/3/0"] = phase(12, (48, 48), seed=3) + offset
    write_plate(movie, wells)
    predicted.clear()
    with killed_at_batch(4):
        run(movie, *DATASET)
    assert run(movie, *DATASET) == 0
    assert count <= sum(predicted) <= count + 2  # the batch at the kill
    after = [provenance(tmp_path / "out", name)["normalization"] for name in wells]
    assert all(each == after[0] for each in after)
    assert (after[0] == before) == (offset == 0)


def test_stored_statistics_of_the_dataset_are_used(run: Any, tmp_path: Path, predicted: list[int]) -> None:
    movie = write_plate(tmp_path / "in.zarr", {f"A/{n}/0": phase(12, seed=n) for n in range(1, 3)})
    options = (*DATASET, "--statistics", "stored")
    assert run(movie, *options) == 2
    for mean, count in ((0.25, 24), (0.25, 0), (0.5, 24)):
        block = {"Phase3D": {"dataset_statistics": {"mean": mean, "std": 2.0}}}
        zarr.open_group(movie, mode="r+").attrs["normalization"] = block
        predicted.clear()
        assert run(movie, *options) == 0
        assert sum(predicted) == count
        for name in ("A/1/0", "A/2/0"):
            found = stored_statistics(open_store(tmp_path / "out/raw.ome.zarr").position(name))
            assert found is not None
            assert (found.overall.center, found.overall.scale, found.overall.source) == (mean, 2.0, "metadata")
