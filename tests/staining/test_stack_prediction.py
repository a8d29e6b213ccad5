"""Runs with a network that takes stacks, on small stacks."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.runs import Killed, pixels, require_recorded_frames, snapshot
from support.stores import phase, write_image, write_plate

from image_translation.cli.commands import main
from image_translation.metrics.rows import read_csv
from image_translation.network.loading import build_network, read_spec
from image_translation.network.predictor import Predictor
from image_translation.network.sliding_window import StackPrediction, StackWindow
from image_translation.omezarr.store import open_store
from image_translation.staining.journal import PARTIAL
from image_translation.staining.stack_prediction import _RawVolumes

DEPTH = 5  # planes that the network takes
OPTIONS = "--methods", "raw", "window", "--normalization", "none"


@pytest.fixture
def stain(stack_checkpoint: Path, tmp_path: Path) -> Callable[..., int]:
    """Run the command on a movie; return its exit code."""

    def stain(movie: Path, *options: object, output: str = "out") -> int:
        arguments = ["smooth", "-c", stack_checkpoint, "-m", movie, "-o", tmp_path / output, "--device", "cpu"]
        return main([str(argument) for argument in [*arguments, *options]])

    return stain


def stacks(frames: int = 3, planes: int = 8, size: tuple[int, int] = (23, 30)) -> np.ndarray:
    return np.concatenate([phase(frames, size, seed) for seed in range(planes)], axis=2)


def expected(checkpoint: Path, volume: np.ndarray, *, planes: range | None = None, **options: Any) -> np.ndarray:
    """Predict planes of a volume (C, Z, Y, X) in memory."""
    spec, state = read_spec(checkpoint)
    window = StackWindow(DEPTH, DEPTH, **options)
    planes = planes or window.predictable(volume.shape[1])
    prediction = StackPrediction(Predictor(build_network(spec, state), spec.stride, device="cpu"), window, 1)
    found = [one for z in window.sources(planes, volume.shape[1]) for one in prediction.push(volume[:, z].copy())]
    found += prediction.finish()
    images = {z: found[place] for place, z in window.wanted(planes, volume.shape[1]).items()}
    return np.stack([image() for _, image in sorted(images.items()) if image], axis=1)


def test_each_volume_is_normalised_by_its_own_statistics(stain: Any, tmp_path: Path, stack_checkpoint: Path) -> None:
    data = stacks(size=(48, 48)) * np.float32([1, 3, 0.5])[:, None, None, None, None] + 7
    movie = write_image(tmp_path / "in.zarr", data)
    options = ("--methods", "raw", "--normalization", "mean_std", "--statistics-over", "timepoint")
    assert stain(movie, *options) == 0
    normal = np.stack([(volume - volume.mean()) / volume.std() for volume in data])
    raw = np.stack([expected(stack_checkpoint, volume) for volume in normal])
    np.testing.assert_allclose(pixels(tmp_path / "out", "raw"), raw, atol=1e-3)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_volumes_are_predicted_and_smoothed(
    stain: Any, tmp_path: Path, stack_checkpoint: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = stacks()
    movie = write_image(tmp_path / "in.zarr", data, scale=(30, 1, 2, 0.5, 0.5), version=version, names=("0", "1"))
    assert stain(movie, *OPTIONS) == 0
    raw = pixels(tmp_path / "out", "raw")
    assert raw.shape == (3, 2, 8, 23, 30)
    np.testing.assert_allclose(raw, np.stack([expected(stack_checkpoint, volume) for volume in data]), atol=1e-5)
    np.testing.assert_allclose(pixels(tmp_path / "out", "window"), (raw[1:] + raw[:-1]) / 2, atol=1e-6)
    position = open_store(tmp_path / "out" / "raw.ome.zarr").position("fov")
    assert position.levels[0].scale == (30, 1, 2, 0.5, 0.5)
    assert position.levels[1].shape == (3, 2, 8, 12, 15)
    assert position.chunks == (1, 1, 1, 23, 30)
    assert "NaN" not in caplog.text
    before = snapshot(tmp_path / "out")
    assert stain(movie, *OPTIONS) == 0
    assert snapshot(tmp_path / "out") == before


def test_selected_planes_are_those_of_the_whole_stack(stain: Any, tmp_path: Path) -> None:
    movie = write_image(tmp_path / "in.zarr", stacks())
    for name, options in {"all": (), "range": ("--z", "3:5"), "one": ("--z", "7")}.items():
        assert stain(movie, *OPTIONS, *options, output=name) == 0
    whole = pixels(tmp_path / "all", "raw")
    np.testing.assert_allclose(pixels(tmp_path / "range", "raw"), whole[:, :, 3:5], atol=1e-6)
    np.testing.assert_allclose(pixels(tmp_path / "one", "raw"), whole[:, :, 7:], atol=1e-6)
    position = open_store(tmp_path / "range" / "raw.ome.zarr").position("fov")
    assert position.levels[0].translation[2] == 3


def test_few_planes_are_extended_on_request(stain: Any, tmp_path: Path, stack_checkpoint: Path, caplog: Any) -> None:
    data = stacks(planes=3)
    movie = write_image(tmp_path / "in.zarr", data)
    assert stain(movie, *OPTIONS) == 2
    assert "has 3 planes, and the network takes stacks of 5; --z-pad extends the stacks by reflection" in caplog.text
    assert stain(movie, *OPTIONS, "--z-pad") == 0
    raw = pixels(tmp_path / "out", "raw")
    np.testing.assert_allclose(raw[1], expected(stack_checkpoint, data[1], pad=True), atol=1e-5)


def test_planes_in_reverse_order(stain: Any, tmp_path: Path, stack_checkpoint: Path) -> None:
    data = stacks()
    movie = write_image(tmp_path / "in.zarr", data)
    assert stain(movie, *OPTIONS, "--z-reversed") == 0
    reverse = expected(stack_checkpoint, data[2, :, ::-1])[:, ::-1]
    np.testing.assert_allclose(pixels(tmp_path / "out", "raw")[2], reverse, atol=1e-5)
    assert stain(movie, *OPTIONS) == 2  # another request than that of the results


def test_a_movie_of_single_planes_is_refused(stain: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert stain(movie, "--z-pad") == 2
    assert "has a single plane, and the network takes stacks of 5; choose a network for single planes" in caplog.text


def test_an_invalid_plane_spoils_the_windows_that_hold_it(
    stain: Any, tmp_path: Path, stack_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = stacks(planes=12)
    data[1, 0, 2, 5, 5] = np.nan
    assert stain(write_image(tmp_path / "in.zarr", data), *OPTIONS) == 0
    raw = pixels(tmp_path / "out", "raw")
    assert np.isnan(raw[1, :, :3]).all()
    # Windows from plane 3 on are whole; planes 3 to 6 lack those that hold plane 2.
    np.testing.assert_allclose(raw[1, :, 3:], expected(stack_checkpoint, data[1, :, 3:]), atol=1e-5)
    assert np.isfinite(raw[[0, 2]]).all()
    (warning,) = [record.message for record in caplog.records if "NaN" in record.message]
    assert "fov: 3 planes of the frames 1; invalid planes in 1" in warning
    rows = read_csv(tmp_path / "out" / "metrics.csv")
    assert {row.frame for row in rows if (row.method, row.metric) == ("raw", "adjacent_pearson")} >= {0, 1}


def test_a_stack_without_enough_valid_planes_is_an_error(stain: Any, tmp_path: Path, caplog: Any) -> None:
    data = stacks()
    data[:, :, 3] = 0
    assert stain(write_image(tmp_path / "in.zarr", data), *OPTIONS) == 1
    assert "whether enough consecutive ones are valid, for it takes stacks of 5" in caplog.text


@pytest.mark.parametrize(("version", "planes"), [("0.4", 3), ("0.5", 13), ("0.4", 21)])
def test_a_killed_run_continues(stain: Any, tmp_path: Path, version: str, planes: int) -> None:
    """Killed in the second volume of the prediction, or in the smoothing after it."""
    movie = write_image(tmp_path / "in.zarr", stacks(), version=version)
    assert stain(movie, *OPTIONS, output="whole") == 0
    written, write = count(), _RawVolumes.write

    def dying(self: _RawVolumes, *arguments: Any) -> None:
        if next(written) >= planes:
            raise Killed
        write(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_RawVolumes, "write", dying)
        with pytest.raises(Killed):
            stain(movie, *OPTIONS)
    recorded = require_recorded_frames(tmp_path / "out", tmp_path / "whole")
    assert version == "0.5" or {recorded.get(f"raw fov z{z}", 0) for z in range(8)} == {planes // 8}
    assert (tmp_path / "out" / PARTIAL).exists()
    assert stain(movie, *OPTIONS) == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out", "raw"), pixels(tmp_path / "whole", "raw"))
    np.testing.assert_array_equal(pixels(tmp_path / "out", "window"), pixels(tmp_path / "whole", "window"))
    assert (tmp_path / "out" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


def test_frames_that_are_appended_are_predicted_alone(stain: Any, tmp_path: Path, monkeypatch: Any) -> None:
    data = stacks(5)
    movie = write_image(tmp_path / "in.zarr", data[:3])
    statistics = ("--methods", "raw", "window", "--normalization", "none")
    assert stain(movie, *statistics) == 0
    write_image(tmp_path / "in.zarr", data)
    numbers: list[int] = []
    push = StackPrediction.push

    def counted(self: StackPrediction, plane: Any) -> Any:
        numbers.append(1)
        return push(self, plane)

    monkeypatch.setattr(StackPrediction, "push", counted)
    assert stain(movie, *statistics) == 0
    assert len(numbers) == 2 * 8
    assert stain(movie, *statistics, output="whole") == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out", "raw"), pixels(tmp_path / "whole", "raw"))


@pytest.mark.parametrize("changed", [0, 2])
def test_a_frame_that_has_changed_among_others_is_predicted_anew(stain: Any, tmp_path: Path, changed: int) -> None:
    data = stacks(5)
    movie = write_image(tmp_path / "in.zarr", data)
    assert stain(movie, *OPTIONS) == 0
    data[changed, 0, 3] += 1
    write_image(tmp_path / "in.zarr", data)
    assert stain(movie, *OPTIONS) == 0
    assert stain(movie, *OPTIONS, output="whole") == 0
    for method in ("raw", "window"):
        np.testing.assert_array_equal(pixels(tmp_path / "out", method), pixels(tmp_path / "whole", method))


def test_a_frame_that_is_spoiled_among_others_that_are_kept_is_no_error(stain: Any, tmp_path: Path) -> None:
    data = stacks(5)
    movie = write_image(tmp_path / "in.zarr", data)
    assert stain(movie, *OPTIONS) == 0
    data[0, 0, 4] = 0  # in every stack of 5 of its 8 planes
    write_image(tmp_path / "in.zarr", data, keep_zero_chunks=True)
    assert stain(movie, *OPTIONS) == 0
    assert np.isnan(pixels(tmp_path / "out", "raw")).all((1, 2, 3, 4)).tolist() == [True] + 4 * [False]


def test_a_change_of_a_plane_around_the_selected_one_is_noticed(stain: Any, tmp_path: Path) -> None:
    data = stacks()
    movie = write_image(tmp_path / "in.zarr", data)
    assert stain(movie, *OPTIONS, "--z", "4") == 0
    data[1, 0, 6] += 1
    write_image(tmp_path / "in.zarr", data)
    assert stain(movie, *OPTIONS, "--z", "4") == 0
    assert stain(movie, *OPTIONS, "--z", "4", output="whole") == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out", "raw"), pixels(tmp_path / "whole", "raw"))


def test_a_plate_on_processes(stain: Any, tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in.zarr", {"A/1/0": stacks(2), "A/2/0": stacks(2) + 1})
    assert stain(plate, *OPTIONS) == 0
    assert stain(plate, *OPTIONS, "--scheduler", "local:1", output="cluster") == 0
    for name in ("A/1/0", "A/2/0"):
        np.testing.assert_allclose(
            pixels(tmp_path / "cluster", "raw", name), pixels(tmp_path / "out", "raw", name), atol=1e-6
        )


def test_options_of_stacks_are_in_the_request_of_such_networks_only(stain: Any, tmp_path: Path, run: Any) -> None:
    movie = write_image(tmp_path / "in.zarr", stacks())
    assert stain(movie, *OPTIONS, "--z-pad", output="stacks") == 0
    assert run(movie, *OPTIONS, "--z-pad", output=tmp_path / "planes") == 0
    for name, planes in {"stacks": list(range(8)), "planes": [4]}.items():
        stored = open_store(tmp_path / name / "raw.ome.zarr").position("fov").attributes["image_translation"]
        assert stored["request"]["input"]["z"] == planes
        assert ("z_pad" in stored["request"]["prediction"]) == (name == "stacks")
        json.dumps(stored)
