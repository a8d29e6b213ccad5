"""Tasks on a Dask cluster (https://distributed.dask.org): the positions of a plate side by side.

Workers read the movie and write the results themselves, so both must be visible to all of them under the same path.
Only the tasks, a few kilobytes each, and their progress pass through the scheduler.
"""

import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from time import monotonic
from typing import Any

from distributed import Client, KilledWorker, LocalCluster, as_completed, get_worker

from image_translation.errors import DataError, UsageError, first_line
from image_translation.network.devices import limit_threads, spread_over_gpus
from image_translation.network.loading import ModelSpec, read_spec
from image_translation.network.predictor import Predictor
from image_translation.staining.options import LOCAL, Inference
from image_translation.staining.task import Failure, Task, attempt, make_predictor

THREADS = "IMAGE_TRANSLATION_THREADS"  # CPU threads of each worker of a local cluster
REPORT_INTERVAL = 0.5  # seconds between reports of progress
CONNECT_TIMEOUT = 20  # seconds

_interrupted: set[str] = set()  # interrupted runs that a worker knows of
_network_lock = threading.Lock()  # a worker of several threads still has one network and one GPU


class Interrupted(BaseException):
    """Raised in a worker when the run of its task was interrupted."""


def perform_on_cluster(
    tasks: Sequence[Task], scheduler: str, on_frames: Callable[[int], object]
) -> Iterator[Failure | None]:
    """Perform tasks on a cluster, and yield the failure of each, if any, as they end.

    If a worker dies, another one resumes its position from the frames on disk.

    Parameters
    ----------
    tasks
        Tasks for `task.perform`; all workers must see the output directory and the movie.
    scheduler
        ``local:N`` or the address of a scheduler.
    on_frames
        Called with the number of frames that were processed; negative where a task starts again.

    Raises
    ------
    UsageError
        If no scheduler answers at that address.
    """
    run = f"stain-{uuid.uuid4().hex[:8]}"
    counted: dict[str, int] = {}
    ended: set[str] = set()

    def count(position: str, done: int) -> None:
        if position not in ended:  # reports may arrive late
            on_frames(done - counted.get(position, 0))
            counted[position] = done

    with _connected(scheduler, len(tasks)) as client:
        client.subscribe_topic(run, lambda event: count(*event[1]))
        futures = {
            client.submit(_work, task, run, key=f"{run}-{number}", pure=False): task
            for number, task in enumerate(tasks)
        }
        try:
            for future in as_completed(futures):
                task = futures[future]
                failure = _outcome(future, task)
                if failure is None:
                    count(task.name, task.frames)
                ended.add(task.name)
                future.release()
                yield failure
        except BaseException:  # Ctrl-C, or the consumer closes the generator
            with suppress(Exception):
                client.run(_interrupt, run, wait=False)
                client.cancel(list(futures))
            raise


def _outcome(future: Any, task: Task) -> Failure | None:
    try:
        outcome: Failure | None = future.result()
    except KilledWorker:
        reason = "several workers died; see their logs for the reason, usually too little memory"
        return Failure(task.name, DataError(reason))
    except Exception as error:  # noqa: BLE001 - an error of Dask itself: the other positions continue
        return Failure(task.name, DataError(f"{type(error).__name__}: {first_line(error)}"))
    return outcome


@contextmanager
def _connected(scheduler: str, most: int) -> Iterator[Any]:
    """Connect to a cluster, or start a local one for as long as it is needed."""
    if not scheduler.startswith(LOCAL):
        try:
            client = Client(scheduler, timeout=CONNECT_TIMEOUT)
        except (OSError, ValueError) as error:
            raise UsageError(f"--scheduler {scheduler}: no scheduler answers there ({first_line(error)})") from error
        with client:
            yield client
        return
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # messages of our own cluster are of no use
    workers = min(int(scheduler.removeprefix(LOCAL)), most)
    threads = max(1, _processors() // workers)
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=":0",  # with None, a second cluster on the machine requests the port of the first
            memory_limit=0,  # the memory of a task is bounded by its window of frames
            silence_logs=50,
            env={THREADS: str(threads)},
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _work(task: Task, run: str) -> Failure | None:
    """Perform a task in a worker."""
    worker, plan = get_worker(), task.plan
    done, reported = 0, 0.0

    def on_frames(frames: int) -> None:
        nonlocal done, reported
        done += frames
        if run in _interrupted:
            raise Interrupted
        if monotonic() - reported > REPORT_INTERVAL:
            worker.log_event(run, (task.name, done))
            reported = monotonic()

    if threads := os.environ.get(THREADS):
        limit_threads(int(threads))
    inference = replace(plan.options.inference, device=spread_over_gpus(plan.options.device, worker.name))
    with _network_lock:
        return attempt(task, lambda: _predictor(plan.spec, inference), on_frames)


def _interrupt(run: str) -> None:
    _interrupted.add(run)


@lru_cache(maxsize=1)  # a worker keeps one network, in the memory of one GPU
def _predictor(spec: ModelSpec, inference: Inference) -> Predictor:
    found, weights = read_spec(spec.path, head_pool=spec.architecture.head_pool)
    if found.sha256 != spec.sha256:
        msg = f"{spec.path}: differs from the file that the run was started with, or has changed since"
        raise DataError(msg)
    return make_predictor(spec, weights, inference)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # as limited by a batch system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
