"""The positions of a plate, side by side on a Dask cluster (https://distributed.dask.org): one position is one task.

Workers read the movie and write the results themselves, so that both must lie where all of them find them under the
same path; through the scheduler go the tasks, a few kilobytes each, and how far they are.
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

import cv2
import torch
from distributed import Client, KilledWorker, LocalCluster, as_completed, get_worker

from image_translation.errors import DataError, UsageError, first_line
from image_translation.network.loading import ModelSpec, read_spec
from image_translation.network.predictor import Predictor
from image_translation.staining.options import LOCAL, Inference
from image_translation.staining.task import Failure, Task, attempt, make_predictor

THREADS = "IMAGE_TRANSLATION_THREADS"  # tells the workers of a cluster on this machine their share of it
TELL_EVERY = 0.5  # seconds
ANSWER_WITHIN = 20  # seconds

_stopped: set[str] = set()  # runs that were interrupted, in a worker
_one_at_a_time = threading.Lock()  # a worker of several threads still has one network and one card


class Stopped(BaseException):
    """The run that a task belongs to was interrupted."""


def perform_on_cluster(
    tasks: Sequence[Task], scheduler: str, progress: Callable[[int], object]
) -> Iterator[Failure | None]:
    """Perform tasks on a cluster, and yield what went wrong with each, as they end.

    A worker that dies costs the frames of its position that are not on disk: another one goes on with it.

    Parameters
    ----------
    tasks
        Tasks for `task.perform`; the output directory and the movie are where every worker finds them.
    scheduler
        ``local:N`` or the address of a scheduler.
    progress
        Told the number of frames that went through; negative where a task begins again.

    Raises
    ------
    UsageError
        If no scheduler answers at that address.
    """
    run = f"stain-{uuid.uuid4().hex[:8]}"
    counted: dict[str, int] = {}
    ended: set[str] = set()

    def count(position: str, done: int) -> None:
        if position not in ended:  # what a worker tells may come late
            progress(done - counted.get(position, 0))
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
        except BaseException:  # Ctrl-C, and a consumer that has heard enough
            with suppress(Exception):
                client.run(_stop, run, wait=False)
                client.cancel(list(futures))
            raise


def _outcome(future: Any, task: Task) -> Failure | None:
    try:
        outcome: Failure | None = future.result()
    except KilledWorker:
        times = "several workers died of it; their logs say why, and too little memory is the usual reason"
        return Failure(task.name, DataError(times))
    except Exception as error:  # noqa: BLE001 - of Dask itself: the other positions go on
        return Failure(task.name, DataError(f"{type(error).__name__}: {first_line(error)}"))
    return outcome


@contextmanager
def _connected(scheduler: str, most: int) -> Iterator[Any]:
    """Connect to a cluster; a local one lives as long as it is needed."""
    if not scheduler.startswith(LOCAL):
        try:
            client = Client(scheduler, timeout=ANSWER_WITHIN)
        except (OSError, ValueError) as error:
            raise UsageError(f"--scheduler {scheduler}: no scheduler answers there ({first_line(error)})") from error
        with client:
            yield client
        return
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # of no one's concern where the cluster is our own
    workers = min(int(scheduler.removeprefix(LOCAL)), most)
    threads = max(1, _processors() // workers)
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=":0",  # with None, a second cluster on the machine asks for the port of the first
            memory_limit=0,  # a task takes what a window takes, whatever Dask thinks of it
            silence_logs=50,
            env={THREADS: str(threads)},
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _work(task: Task, run: str) -> Failure | None:
    """Perform a task in a worker."""
    worker, plan = get_worker(), task.plan
    done, told = 0, 0.0

    def progress(frames: int) -> None:
        nonlocal done, told
        done += frames
        if run in _stopped:
            raise Stopped
        if monotonic() - told > TELL_EVERY:
            worker.log_event(run, (task.name, done))
            told = monotonic()

    if threads := os.environ.get(THREADS):
        torch.set_num_threads(int(threads))
        cv2.setNumThreads(int(threads))
    how = replace(plan.options.inference, device=_device(plan.options.device, worker.name))
    with _one_at_a_time:
        return attempt(task, lambda: _predictor(plan.spec, how), progress)


def _stop(run: str) -> None:
    _stopped.add(run)


@lru_cache(maxsize=1)  # a worker keeps one network, in the memory of one GPU
def _predictor(spec: ModelSpec, how: Inference) -> Predictor:
    found, weights = read_spec(spec.path)
    if found.sha256 != spec.sha256:
        msg = f"{spec.path}: is another file here than where the run was started, or has changed since"
        raise DataError(msg)
    return make_predictor(spec, weights, how)


def _device(name: str, worker: Any) -> str:
    """Spread the workers of this machine over its GPUs; elsewhere the cluster shows each worker its own."""
    count = torch.cuda.device_count() if name in {"auto", "cuda"} and torch.cuda.is_available() else 0
    return f"cuda:{worker % count}" if count > 1 and isinstance(worker, int) else name


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # what a batch system leaves of the machine
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
