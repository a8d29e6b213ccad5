"""Time of the default filter and of its metrics, for one frame, against that of the network."""

import time
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from statistics import median
from typing import NamedTuple

from benchmarks.fresh_process import FreshProcess
from benchmarks.network_variants import Case, frame_seconds
from benchmarks.table import Measurement

_FRAMES = 12  # simulated, played forwards and backwards


class Seconds(NamedTuple):
    """Times of one frame."""

    filtering: float
    scoring: float


def measure(case: Case, repeats: int) -> Iterator[Measurement]:
    """Filter and score single frames of a simulated movie, in turn with the network, each in a process of its own."""
    with FreshProcess() as network, FreshProcess() as filters:
        times = [
            (network.call(frame_seconds, "ours", case), *filters.call(next_frame_seconds, case.size))
            for _ in range(repeats + 1)
        ]
    network_time, filtering, scoring = (median(values) for values in zip(*times[1:], strict=True))
    yield Measurement(f"motion, against the {case}", filtering, network_time, "s", 1.0, "at most")
    what = f"motion and metrics of raw and motion, against the {case}"
    yield Measurement(what, filtering + scoring, network_time, "s", 1.5, "at most")


def next_frame_seconds(size: tuple[int, int]) -> Seconds:
    """Add the next frame of a movie to the filter and to the metrics, and return both times."""
    return next(_movie(size))


@cache
def _movie(size: tuple[int, int]) -> Iterator[Seconds]:
    return _seconds(size)


def _seconds(size: tuple[int, int]) -> Iterator[Seconds]:
    """Yield the times of each frame, from the first one on that has all its neighbours."""
    import numpy as np

    from image_translation.frame import Frame
    from image_translation.metrics.evaluator import Evaluator
    from image_translation.simulation.movie import Movie
    from image_translation.simulation.spec import MovieSpec
    from image_translation.temporal.motion_filter import centred

    movie = Movie(MovieSpec(shape=size, frames=_FRAMES, flicker=1.0))
    images = np.stack([movie.frame(t) for t in range(_FRAMES)])
    motion, evaluator = centred(), Evaluator("", ("nuclei", "membrane"), {"motion": 0.0})
    for index, (phase, *stain) in enumerate(cycle((*images, *images[::-1]))):
        start = time.perf_counter()
        raw = Frame(index, np.stack(stain), phase=phase)
        done = motion.push(raw)
        filtered = time.perf_counter()
        evaluator.add("raw", raw)
        for frame in done:
            evaluator.add("motion", frame)
        if index >= _FRAMES:
            yield Seconds(filtered - start, time.perf_counter() - filtered)
