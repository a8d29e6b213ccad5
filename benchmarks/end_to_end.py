"""Time of the main job against the usual script, and against the network alone."""

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import get_args

from benchmarks.isolated import FreshProcess
from benchmarks.measures import Contestant, Job, seconds
from benchmarks.table import Line

BASELINES: dict[Contestant, tuple[str, float, bool]] = {
    "fixed": ("movie to stores, usual script padded to 2048", 4.0, True),
    "stride": ("movie to stores, usual script padded to stride", 1.2, True),
    "viscy_forwards": ("movie to stores, forwards of VisCy's network alone", 1.15, False),
    "forwards": ("movie to stores, forwards of our network alone", 1.15, False),
}


def measure(job: Job, repeats: int) -> Iterator[Line]:
    """Run the contestants in turn, several times, each in its own process, and compare the medians of their times.

    The script that pads to a fixed size takes most of the time, far from its limit: it runs in the first turn only.
    """
    times: dict[Contestant, list[float]] = {name: [] for name in get_args(Contestant)}
    with ExitStack() as stack:
        processes = {name: stack.enter_context(FreshProcess()) for name in times}
        for turn in range(repeats):
            for name, process in processes.items():
                if turn and name == "fixed":
                    continue
                times[name].append(process.call(seconds, name, job))
    medians = {name: median(of_one) for name, of_one in times.items()}
    for name, (what, limit, is_gain) in BASELINES.items():
        yield Line(what, medians["ours"], medians[name], "s", limit, "at least" if is_gain else "at most")
