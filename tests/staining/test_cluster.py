"""A plate on a Dask cluster: the same pixels, and a failure affects only its own position."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from support import jittered
from support.stores import phase, write_plate

from image_translation.cli.commands import main
from image_translation.errors import DataError
from image_translation.staining import cluster
from image_translation.staining.journal import PARTIAL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Dask's own
]
NAMES = ["A/1/0", "A/2/0", "B/1/0", "B/2/0"]
METHODS = ("raw", "window", "motion")
FAST = ("raw", "window")
WITHOUT_FIGURES = """
from image_translation.cli import run
from image_translation.staining import run as stain

stain.write_figures = lambda *arguments, **_: arguments[-1].mkdir()"""


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """Two processes of one thread, and their client."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def stain(tiny_checkpoint: Path, tmp_path: Path) -> Any:
    """Stain a plate; return the exit code."""

    def stain(movie: Path, *options: object, output: Path = tmp_path / "out", methods: Any = METHODS) -> int:
        arguments = ["smooth", "-c", tiny_checkpoint, "-m", movie, "-o", output, "--device", "cpu"]
        return main([str(one) for one in (*arguments, "--methods", *methods, *options)])

    return stain


def plate(path: Path, frames: int = 8, size: tuple[int, int] = (24, 36)) -> Path:
    return write_plate(path, {name: phase(frames, size, seed=i) for i, name in enumerate(NAMES)})


def pixels(output: Path, method: str, name: str) -> np.ndarray:
    return np.asarray(zarr.open_array(output / f"{method}.ome.zarr" / name / "0", mode="r"))


def same(one: Path, other: Path, methods: tuple[str, ...] = METHODS) -> bool:
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    return all(np.array_equal(pixels(one, m, n), pixels(other, m, n), equal_nan=True) for m in methods for n in NAMES)


def test_pixels_are_the_same_as_in_one_process(workers: Any, stain: Any, tmp_path: Path) -> None:
    movie = plate(tmp_path / "in.zarr")
    assert stain(movie, output=tmp_path / "alone") == 0
    assert stain(movie, "--scheduler", workers.scheduler.address) == 0
    assert same(tmp_path / "alone", tmp_path / "out")
    networks = workers.run(cluster._predictor.cache_info)
    assert all(info.misses == 1 for info in networks.values() if info.currsize)  # loaded once a worker
    assert sum(info.hits + info.misses for info in networks.values()) >= len(NAMES)


def test_workers_register_as_one_process_does(workers: Any, stain: Any, tmp_path: Path) -> None:
    movies = {name: jittered.movie(jittered.to_and_fro(), seed=i) for i, name in enumerate(NAMES)}
    source = write_plate(tmp_path / "in.zarr", movies)
    assert stain(source, "--register", output=tmp_path / "alone") == 0
    assert stain(source, "--register", "--scheduler", workers.scheduler.address) == 0
    assert same(tmp_path / "alone", tmp_path / "out")
    assert stain(source, "--register", output=tmp_path / "alone") == 0  # holds these results already


def test_a_failing_position_is_reported_and_the_others_are_finished(
    workers: Any, stain: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    movie = plate(tmp_path / "in.zarr")
    whole = tmp_path / "whole"
    assert stain(movie, output=whole) == 0
    chunk = movie / "A/2/0" / "0" / "2" / "0" / "0" / "0" / "0"  # neither first, middle nor last: found when it is read
    time, content = chunk.stat().st_mtime_ns, chunk.read_bytes()
    chunk.write_bytes(content[: len(content) // 2])
    assert stain(movie, "--scheduler", workers.scheduler.address) == 1
    assert "A/2/0: cannot read frame 2" in caplog.text
    assert "1 of 4 positions failed: A/2/0. The others are finished" in caplog.text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {PARTIAL}
    done = {name: stamps(tmp_path / "out", name) for name in NAMES}
    chunk.write_bytes(content)
    os.utime(chunk, ns=(time, time))  # recorded in the provenance
    assert stain(movie, "--scheduler", workers.scheduler.address) == 0
    assert same(whole, tmp_path / "out")
    for name in NAMES:
        again = {path: time for path, time in stamps(tmp_path / "out", name).items() if path in done[name]}
        assert (again == done[name]) is (name != "A/2/0"), name


def test_a_killed_worker_loses_only_unfinished_frames(workers: Any, stain: Any, tmp_path: Path) -> None:
    movie = plate(tmp_path / "in.zarr", frames=30, size=(64, 64))
    assert stain(movie, output=tmp_path / "whole", methods=FAST) == 0
    pids = list(workers.run(os.getpid).values())
    process = begin(movie, tmp_path, "--scheduler", workers.scheduler.address)
    first = wait_for_frames(tmp_path / "out", 10, process)
    os.kill(pids[0], signal.SIGKILL)
    killed = time.time()
    assert process.wait(timeout=180) == 0, process.communicate()
    workers.wait_for_workers(2, timeout=60)
    assert same(tmp_path / "whole", tmp_path / "out", FAST)
    earliest = tmp_path / "out" / "raw.ome.zarr" / first / "0" / "0"
    assert all(path.stat().st_mtime < killed for path in earliest.rglob("*"))  # what was on disk stayed


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_stops_its_workers_and_resumes(stain: Any, tmp_path: Path) -> None:
    movie = plate(tmp_path / "in.zarr", frames=30, size=(64, 64))
    process = begin(movie, tmp_path, "--scheduler", "local:2")
    wait_for_frames(tmp_path / "out", 5, process)
    children = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - asked < 8
    assert (out, "Traceback" in err) == ("", False)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    assert stain(movie, methods=FAST) == 0
    assert stain(movie, output=tmp_path / "whole", methods=FAST) == 0
    assert same(tmp_path / "whole", tmp_path / "out", FAST)


def test_an_unreachable_scheduler_is_an_error(
    stain: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 1)
    assert stain(plate(tmp_path / "in.zarr"), "--scheduler", "tcp://127.0.0.1:9") == 2
    assert "--scheduler tcp://127.0.0.1:9: no scheduler answers there" in caplog.text


def test_a_worker_refuses_a_changed_checkpoint(tiny_model: Any, tiny_checkpoint: Path) -> None:
    from dataclasses import replace

    from image_translation.staining.options import Inference

    spec, _ = tiny_model
    with pytest.raises(DataError, match="differs from the file that the run was started with"):
        cluster._predictor(replace(spec, sha256="0" * 64), Inference(device="cpu"))


def stamps(output: Path, name: str) -> dict[str, float]:
    """Return when each chunk of a position was written, in finished and unfinished stores."""
    found = {}
    for store in [*output.glob("*.ome.zarr"), *(output / PARTIAL).glob("*.ome.zarr")]:
        for path in (store / name).rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                found[f"{store.name}/{path.relative_to(store)}"] = path.stat().st_mtime
    return found


def begin(movie: Path, tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    checkpoint = next((tmp_path.parent).glob("checkpoints*/tiny.ckpt"))
    command = ["smooth", "-c", checkpoint, "-m", movie, "-o", tmp_path / "out", "--device", "cpu"]
    arguments = [str(one) for one in (*command, "--methods", *FAST, *options)]
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{WITHOUT_FIGURES}\nimport sys\nsys.argv[1:] = {arguments!r}\nrun()",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for_frames(output: Path, count: int, process: subprocess.Popen[str]) -> str:
    """Wait until a position has so many raw frames on disk; return its name."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        for name in NAMES:
            notes = output / PARTIAL / "positions" / name / "progress.json"
            if notes.exists() and json.loads(notes.read_text()).get(f"raw {name} z0", 0) >= count:
                return name
    raise AssertionError(f"the run ended before frame {count}: {process.communicate()}")


def descendants(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children}.union(*(descendants(int(child)) for child in children))
