"""Planes that share chunks are stained together, with the same pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.runs import SHARD, Killed, killed_at_batch, pixels, require_recorded_frames, snapshot
from support.stores import file_metric, phase, write_image

from image_translation.metrics.rows import read_csv
from image_translation.network.predictor import Predictor
from image_translation.omezarr.store import open_store
from image_translation.staining import plane_groups, task
from image_translation.staining import run as run_module
from image_translation.staining import stream as series_module
from image_translation.staining.journal import PARTIAL

CHANNELS = ("Phase3D", "Membrane", "Nuclei")


def volumes(frames: int = 14) -> np.ndarray:
    """Return phase, membrane and nuclei of four planes; some frames of one plane are invalid."""
    planes = [np.concatenate([phase(frames, seed=3 * z + c) for c in range(3)], axis=1) for z in range(4)]
    planes[1][[2, -1], 0] = 0
    return np.concatenate(planes, axis=2)


def test_every_plane(run: Any, tmp_path: Path) -> None:
    data = np.concatenate([phase(3, seed=i) for i in range(3)], axis=2)
    movie = write_image(tmp_path / "in.zarr", data, scale=(1, 1, 2, 1, 1))
    options = ("--methods", "raw", "--normalization", "none")
    assert run(movie, "--z", "all", *options, output=tmp_path / "all") == 0
    assert run(movie, "--z", "2", *options, output=tmp_path / "one") == 0
    assert pixels(tmp_path / "all", "raw").shape == (3, 2, 3, 24, 36)
    np.testing.assert_array_equal(pixels(tmp_path / "all", "raw")[:, :, 2:], pixels(tmp_path / "one", "raw"))
    assert open_store(tmp_path / "one" / "raw.ome.zarr").position("fov").levels[0].translation[2] == 4


def test_grouped_planes_give_the_same_pixels_as_single_planes(
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
    assert {row.z for row in read_csv(tmp_path / "plain" / "metrics.csv")} == {0, 1, 2, 3}
    # In batches of several, other images share a batch, and sums may be taken in another order.
    monkeypatch.setattr(plane_groups, "LARGEST_GROUP", 2**31)
    assert run(movie, "--z", "all", "--batch-size", "3", "--methods", "raw", output=tmp_path / "batches") == 0
    np.testing.assert_allclose(pixels(tmp_path / "batches", "raw"), pixels(tmp_path / "plain", "raw"), atol=1e-5)


def test_chunks_of_several_planes_are_read_once(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"normalization": {"Phase3D": {"fov_statistics": {"mean": 0.0, "std": 1.0, "median": 0.0, "iqr": 1.0}}}}
    movie = write_image(tmp_path / "in.zarr", volumes(30), channels=CHANNELS, chunk=(1, 1, 4), attributes=stored)
    size = sum(path.stat().st_size for path in (movie / "0").rglob("*") if path.is_file())

    def share_read(name: str) -> float:
        before = file_metric("bytes_read")
        options = "--z", "all", "--methods", "raw", "window", "--statistics", "stored"
        assert run(movie, *options, output=tmp_path / name) == 0
        return (file_metric("bytes_read") - before) / size

    assert 1 < share_read("together") < 1.3  # some frames are also read for the plan
    monkeypatch.setattr(plane_groups, "LARGEST_GROUP", 0)
    assert 4 < share_read("one_by_one") < 4.3


@pytest.mark.parametrize("after", [3, 14, 25])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_killed_groups_of_planes_resume_with_equal_results(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, after: int
) -> None:
    monkeypatch.setattr("image_translation.omezarr.output.MAX_SHARD_FRAMES", SHARD)
    movie = write_image(tmp_path / "in.zarr", volumes(13), version=version, channels=CHANNELS, chunk=(1, 1, 4))
    options = ("--z", "all", "--batch-size", "2", "--methods", "raw", "window", "savgol")
    assert run(movie, *options, output=tmp_path / "whole") == 0
    with killed_at_batch(after):
        run(movie, *options, output=tmp_path / "cut")
    recorded = require_recorded_frames(tmp_path / "cut", tmp_path / "whole")
    raw = {key: count for key, count in recorded.items() if key.startswith("raw ")}
    together = SHARD if version == "0.5" else 1
    frames_lost = series_module.AHEAD + 1 + together
    assert all(count % together == 0 or count == 13 for count in raw.values())
    assert all(count >= after // 2 - frames_lost for count in raw.values())
    assert max(raw.values(), default=0) <= after // 2 + 1
    assert run(movie, *options, output=tmp_path / "cut") == 0
    assert snapshot(tmp_path / "cut") == snapshot(tmp_path / "whole")


def test_a_lost_result_of_one_plane_is_recomputed(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = write_image(tmp_path / "in.zarr", volumes(), channels=CHANNELS, chunk=(1, 1, 4))
    assert run(movie, "--z", "all", output=tmp_path / "whole") == 0

    def cut(*arguments: Any, **_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_figures", cut)
        with pytest.raises(Killed):
            run(movie, "--z", "all")
    (tmp_path / "out" / PARTIAL / "positions" / "fov" / "result-2.json").unlink()
    monkeypatch.setattr(Predictor, "start", None)  # everything is on disk
    assert run(movie, "--z", "all") == 0
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")


def test_a_plane_has_the_same_pixels_alone_and_with_the_others(run: Any, tmp_path: Path) -> None:
    data = np.concatenate([phase(3, seed=i) * (i + 1) for i in range(3)], axis=2)
    movie = write_image(tmp_path / "in.zarr", data)
    assert run(movie, "--z", "all", "--methods", "raw", output=tmp_path / "all") == 0
    assert run(movie, "--z", "2", "--methods", "raw", output=tmp_path / "one") == 0
    np.testing.assert_array_equal(pixels(tmp_path / "all", "raw")[:, :, 2:], pixels(tmp_path / "one", "raw"))
