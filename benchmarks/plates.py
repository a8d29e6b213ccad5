"""A plate on a Dask cluster: what a second worker gains, and what the scheduler costs a position."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.isolated import FreshProcess
from benchmarks.table import Line

if TYPE_CHECKING:
    from image_translation.staining.plan import Plan
    from image_translation.staining.task import Task

POSITIONS, FRAMES, SIZE = 24, 20, (256, 256)
MANY = 10_000  # positions that only go through the scheduler
METHODS = ("raw", "window")
GAIN = 1.8
MOST_MILLISECONDS, MOST_SHARE = 10.0, 0.05
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def measure(
    directory: Path, checkpoint: str, shape: tuple[int, int, tuple[int, int]], many: int, repeats: int
) -> Iterator[Line]:
    """Stain a plate on clusters of one worker and of two, in turn; then send tasks that do nothing.

    Parameters
    ----------
    directory
        For the plate and its results.
    checkpoint
        Path or name.
    shape
        Positions, frames of each, and height and width of a frame.
    many
        Tasks that do nothing.
    repeats
        Runs of which the median is taken.
    """
    positions, frames, _ = shape
    with FreshProcess() as process:
        if not process.call(_two_processors):
            print("plates: fewer than two processors here, left out", file=sys.stderr)
            return
        plate = process.call(write_plate, directory / "plate.ome.zarr", shape)
        times, idle = process.call(seconds, plate, checkpoint, many, repeats)
    one, two = (median(times[workers]) for workers in (1, 2))
    yield Line(f"{positions} positions, two workers against one", two, one, "s", GAIN, "at least")
    each = idle / many
    yield Line(f"scheduler, a position of {many}", 1000 * each, None, "ms", MOST_MILLISECONDS, "at most")
    what = f"scheduler, share of a position of {frames} frames"
    yield Line(what, each / (each + one / positions), None, "", MOST_SHARE, "at most")


def write_plate(path: Path, shape: tuple[int, int, tuple[int, int]]) -> Path:
    """Simulate a plate."""
    from image_translation.data.simulated import simulated_positions, write_simulated_plate
    from image_translation.simulation.spec import MovieSpec

    positions, frames, size = shape
    write_simulated_plate(simulated_positions(MovieSpec(shape=size, frames=frames, seed=7), positions), path)
    return path


def seconds(plate: Path, checkpoint: str, many: int, repeats: int) -> tuple[dict[int, list[float]], float]:
    """Return the times of the plate by the number of workers, and that of tasks that do nothing."""
    from image_translation.staining.options import SmoothOptions
    from image_translation.staining.plan import make_plan

    options = SmoothOptions(checkpoint, str(plate), Path(), methods=METHODS, device="cpu")
    plan = make_plan(options)
    few = make_plan(replace(options, positions=tuple(list(plan.groups)[:4])))  # for a worker to have loaded everything
    times: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as stack:
        clients = {workers: stack.enter_context(_cluster(workers)) for workers in times}
        for workers, client in clients.items():
            _run(few, client, plate.with_name(f"few-{workers}"))
            assert all(client.run(_has_worked).values()), "a worker is not warm"
        for turn in range(repeats):
            for workers, client in clients.items():
                passed, tasks = _run(plan, client, plate.with_name(f"stained-{workers}-{turn}"))
                times[workers].append(passed)
        return times, _idle_seconds(clients[2], [tasks[number % len(tasks)] for number in range(many)])


@contextmanager
def _cluster(workers: int) -> Iterator[Any]:
    """Start workers of one thread, each on a processor of its own, and give their client."""
    from distributed import Client, LocalCluster

    from image_translation.staining.cluster import THREADS

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=0, silence_logs=50,
            dashboard_address=":0",  # with None, the second cluster would ask for the port of the first
            env={**ONE_THREAD, THREADS: "1"},
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        client.wait_for_workers(workers)
        for number, address in enumerate(client.scheduler_info()["workers"]):
            client.run(_confine, number, workers=[address])
        yield client


def _run(plan: "Plan", client: Any, output: Path) -> tuple[float, "Sequence[Task]"]:
    """Stain a plate; return the seconds from the submission to the end of the last task, and the tasks."""
    from image_translation.staining import cluster
    from image_translation.staining.run import smooth_movie

    perform = cluster.perform_on_cluster
    seen: list[tuple[float, Sequence[Task]]] = []

    def timed(tasks: "Sequence[Task]", scheduler: str, progress: Callable[[int], object]) -> Iterator[Any]:
        start = time.perf_counter()
        yield from perform(tasks, scheduler, progress)
        seen.append((time.perf_counter() - start, tasks))

    options = replace(plan.options, output=output, scheduler=client.scheduler.address)
    with (
        patch("image_translation.staining.cluster.perform_on_cluster", timed),
        patch("image_translation.staining.run.write_figures"),
    ):
        smooth_movie(replace(plan, options=options))
    return seen[0]


def _idle_seconds(client: Any, tasks: "Sequence[Task]") -> float:
    """Return the seconds that tasks take which are sent, told and forgotten as always, but do nothing."""
    from image_translation.staining.cluster import perform_on_cluster

    client.run(_do_nothing)
    start = time.perf_counter()
    failures = list(perform_on_cluster(tasks, client.scheduler.address, lambda _: None))
    passed = time.perf_counter() - start
    assert len(failures) == len(tasks)
    assert not any(failures)
    return passed


def _two_processors() -> bool:
    return len(_processors()) > 1


def _processors() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _confine(number: int) -> None:
    """Let all threads of this worker share one processor: it reads, predicts and filters in several."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        processor = _processors()[number]
        for thread in Path("/proc/self/task").iterdir():  # those to come do as the one that starts them
            os.sched_setaffinity(int(thread.name), {processor})


def _has_worked() -> bool:
    return "image_translation.staining.cluster" in sys.modules


def _do_nothing() -> None:
    from image_translation.staining import cluster

    cluster.attempt = lambda *_: None  # type: ignore[assignment]
