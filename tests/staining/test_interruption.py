"""Killed runs and full or locked disks: what is on disk is kept, and the same command finishes the run."""

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support.runs import SHARD, Killed, killed_at_batch, require_recorded_frames, snapshot
from support.stores import phase, write_image, write_plate

from image_translation.cli.commands import main
from image_translation.files import remove
from image_translation.network.predictor import Predictor
from image_translation.staining import run as run_module
from image_translation.staining import stream as series_module
from image_translation.staining.journal import PARTIAL, Progress


@pytest.mark.parametrize("after", [1, 4, 9, 13])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_killed_run_resumes_with_equal_results(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, after: int
) -> None:
    monkeypatch.setattr("image_translation.omezarr.output.MAX_SHARD_FRAMES", SHARD)
    names = ["A/1/0", "A/2/0"]
    movies = {name: phase(13, seed=i) for i, name in enumerate(names)}
    movies["A/1/0"][3] = 0
    movie = write_plate(tmp_path / "in.zarr", movies, version=version)
    assert run(movie, "--batch-size", "2", output=tmp_path / "whole") == 0
    with killed_at_batch(after):
        run(movie, "--batch-size", "2", output=tmp_path / "cut")
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {PARTIAL}
    recorded = require_recorded_frames(tmp_path / "cut", tmp_path / "whole")
    if version == "0.5":
        assert all(count % SHARD == 0 or count in (12, 13) for count in recorded.values())
    predict, calls = Predictor.start, []

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


@pytest.mark.parametrize(
    "lost", ["raw.ome.zarr", "savgol.ome.zarr", "positions/fov/result-0.json", "positions/fov/progress.json"]
)
def test_a_lost_partial_store_is_recomputed(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase())
    assert run(movie, output=tmp_path / "whole") == 0

    def cut(*arguments: Any, **_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_figures", cut)
        with pytest.raises(Killed):
            run(movie)
    remove(tmp_path / "out" / PARTIAL / lost)
    assert run(movie) == 0
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")


def test_a_full_disk_is_reported_and_the_run_resumes(
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


def test_a_run_resumes_when_a_full_disk_is_enlarged(
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
    """Return a directory of an unprivileged user, as whom the test runs."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o777)
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        yield directory
        if is_root:
            os.seteuid(0)
        for path in directory.iterdir():
            path.chmod(0o700)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_missing_permissions_are_one_line_errors(
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
