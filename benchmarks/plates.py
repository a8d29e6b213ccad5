"""A plate on a Dask cluster: speed-up by a second worker, and cost of the scheduler for each position."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.fresh_process import ONE_THREAD, FreshProcess
from benchmarks.table import Measurement

if TYPE_CHECKING:
    from image_translation.staining.plan import Plan
    from image_translation.staining.task import Task

POSITIONS, FRAMES, SIZE = 24, 20, (256, 256)
N_EMPTY_TASKS = 10_000  # positions that only pass through the scheduler
METHODS = ("raw", "window")
SPEED_UP_TARGET = 1.8
MAX_MILLISECONDS, MAX_SHARE = 10.0, 0.05  # of the scheduler, for each position


def measure(
    directory: Path, checkpoint: str, shape: tuple[int, int, tuple[int, int]], n_empty: int, repeats: int
) -> Iterator[Measurement]:
    """Stain a plate on clusters of one and of two workers, in turn; then submit tasks that do nothing.

    Parameters
    ----------
    directory
        Directory for the plate and its results.
    checkpoint
        Path or name.
    shape
        Number of positions, frames of each, and height and width of a frame.
    n_empty
        Number of tasks that do nothing.
    repeats
        Number of runs, of whose times the median is taken.
    """
    positions, frames, _ = shape
    if find_spec("distributed") is None:
        print("plates: Dask is not installed (uv sync --extra cluster); skipped", file=sys.stderr)
        return
    with FreshProcess() as process:
        if not process.call(_has_two_processors):
            print("plates: there are fewer than two processors; skipped", file=sys.stderr)
            return
        plate = process.call(write_plate, directory / "plate.ome.zarr", shape)
        times, empty_seconds = process.call(plate_seconds, plate, checkpoint, n_empty, repeats)
    one, two = (median(times[workers]) for workers in (1, 2))
    yield Measurement(f"{positions} positions, two workers against one", two, one, "s", SPEED_UP_TARGET, "at least")
    each = empty_seconds / n_empty
    yield Measurement(f"scheduler, a position of {n_empty}", 1000 * each, None, "ms", MAX_MILLISECONDS, "at most")
    what = f"scheduler, share of a position of {frames} frames"
    yield Measurement(what, each / (each + one / positions), None, "", MAX_SHARE, "at most")


def write_plate(path: Path, shape: tuple[int, int, tuple[int, int]]) -> Path:
    """Simulate a plate."""
    from image_translation.data.simulated import simulated_positions, write_simulated_plate
    from image_translation.simulation.spec import MovieSpec

    positions, frames, size = shape
    write_simulated_plate(
        simulated_positions(MovieSpec(shape=size, frames=frames, seed=7, flicker=1.0), positions), path
    )
    return path


def plate_seconds(plate: Path, checkpoint: str, n_empty: int, repeats: int) -> tuple[dict[int, list[float]], float]:
    """Return the times of the plate by number of workers, and the time of the tasks that do nothing."""
    from image_translation.staining.options import SmoothOptions
    from image_translation.staining.plan import make_plan

    options = SmoothOptions(checkpoint, str(plate), Path(), methods=METHODS, device="cpu")
    plan = make_plan(options)
    warm_up = make_plan(replace(options, positions=tuple(list(plan.groups)[:4])))
    times: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as stack:
        clients = {workers: stack.enter_context(_cluster(workers)) for workers in times}
        for workers, client in clients.items():
            _run(warm_up, client, plate.with_name(f"warm-up-{workers}"))
            assert all(client.run(_has_worked).values()), "a worker is not warm"
        for turn in range(repeats):
            for workers, client in clients.items():
                elapsed, tasks = _run(plan, client, plate.with_name(f"stained-{workers}-{turn}"))
                times[workers].append(elapsed)
        return times, _empty_task_seconds(clients[2], [tasks[number % len(tasks)] for number in range(n_empty)])


@contextmanager
def _cluster(workers: int) -> Iterator[Any]:
    """Start workers of one thread, each pinned to its own processor, and yield their client."""
    from distributed import Client, LocalCluster

    from image_translation.staining.cluster import THREADS

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=0, silence_logs=50,
            dashboard_address=":0",  # with None, the second cluster would try to use the port of the first
            env={**ONE_THREAD, THREADS: "1"},
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        client.wait_for_workers(workers)
        for number, address in enumerate(client.scheduler_info()["workers"]):
            client.run(_pin_to_processor, number, workers=[address])
        yield client


def _run(plan: "Plan", client: Any, output: Path) -> tuple[float, "Sequence[Task]"]:
    """Stain a plate; return the time from the submission to the end of the last task, and the tasks."""
    from image_translation.staining import cluster
    from image_translation.staining.run import smooth_movie

    perform = cluster.perform_on_cluster
    results: list[tuple[float, Sequence[Task]]] = []

    def timed(tasks: "Sequence[Task]", scheduler: str, progress: Callable[[int], object]) -> Iterator[Any]:
        start = time.perf_counter()
        yield from perform(tasks, scheduler, progress)
        results.append((time.perf_counter() - start, tasks))

    options = replace(plan.options, output=output, scheduler=client.scheduler.address)
    with (
        patch("image_translation.staining.cluster.perform_on_cluster", timed),
        patch("image_translation.staining.run.write_figures"),
    ):
        smooth_movie(replace(plan, options=options))
    return results[0]


def _empty_task_seconds(client: Any, tasks: "Sequence[Task]") -> float:
    """Return the time of tasks that are submitted and collected as usual, but do nothing."""
    from image_translation.staining.cluster import perform_on_cluster

    client.run(_do_nothing)
    start = time.perf_counter()
    failures = list(perform_on_cluster(tasks, client.scheduler.address, lambda _: None))
    elapsed = time.perf_counter() - start
    assert len(failures) == len(tasks)
    assert not any(failures)
    return elapsed


def _has_two_processors() -> bool:
    return len(_processors()) > 1


def _processors() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _pin_to_processor(number: int) -> None:
    """Pin all threads of this worker to one processor: it reads, predicts and filters in several threads."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        processor = _processors()[number]
        for thread in Path("/proc/self/task").iterdir():  # later threads inherit it
            os.sched_setaffinity(int(thread.name), {processor})


def _has_worked() -> bool:
    return "image_translation.staining.cluster" in sys.modules


def _do_nothing() -> None:
    from image_translation.staining import cluster

    cluster.attempt = lambda *_: None  # type: ignore[assignment]
