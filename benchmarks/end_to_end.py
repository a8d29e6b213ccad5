"""Time of staining and smoothing a movie, against the baseline script and against the forward passes alone."""

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import get_args

from benchmarks.fresh_process import FreshProcess
from benchmarks.job import Job, Pipeline
from benchmarks.run_cost import run_seconds
from benchmarks.table import Bound, Measurement

BASELINES: dict[Pipeline, tuple[str, float, Bound]] = {
    "baseline_2048": ("movie to stores, against the baseline script padded to 2048", 4.0, "at least"),
    "baseline_stride": ("movie to stores, against the baseline script padded to the stride", 1.2, "at least"),
    "viscy_network_only": ("movie to stores, against forward passes of VisCy's network alone", 1.15, "at most"),
    "network_only": ("movie to stores, against forward passes of our network alone", 1.15, "at most"),
}


def measure(job: Job, repeats: int) -> Iterator[Measurement]:
    """Run the pipelines in turn, several times, each in its own process, and compare the median times.

    The script that pads to 2048 takes most of the time and is far from its target: it runs in the first turn only.
    """
    times: dict[Pipeline, list[float]] = {pipeline: [] for pipeline in get_args(Pipeline)}
    with ExitStack() as stack:
        processes = {pipeline: stack.enter_context(FreshProcess()) for pipeline in times}
        for turn in range(repeats):
            for pipeline, process in processes.items():
                if turn and pipeline == "baseline_2048":
                    continue
                times[pipeline].append(process.call(run_seconds, pipeline, job))
    medians = {pipeline: median(seconds) for pipeline, seconds in times.items()}
    for pipeline, (what, target, bound) in BASELINES.items():
        yield Measurement(what, medians["ours"], medians[pipeline], "s", target, bound)
