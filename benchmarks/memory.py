"""Peak memory of staining and smoothing a movie, against that of a longer movie and of the baseline script."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.fresh_process import FreshProcess
from benchmarks.job import Job, Pipeline
from benchmarks.movies import write_movie_in_fresh_process
from benchmarks.run_cost import run_peak_memory
from benchmarks.table import Measurement

LONGER = 4  # times as many frames
SMALL = 256  # pixels


def measure(job: Job, directory: Path, frames: int, size: tuple[int, int], every: int) -> Iterator[Measurement]:
    """Measure the package on a short and a long movie of small frames, and against the baseline on large frames."""
    small = (min(SMALL, size[0]), min(SMALL, size[1]))
    short, long = (
        _peaks("ours", replace(job, movie=write_movie_in_fresh_process(directory / f"{count}.ome.zarr", count, small)))
        for count in (frames, LONGER * frames)
    )
    what = f"peak memory, {LONGER * frames} against {frames} frames of {small[0]}x{small[1]}"
    yield Measurement(what, long[1], short[1], "MiB", 1.05, "at most")
    yield Measurement("the same, above the imports", long[1] - long[0], short[1] - short[0], "MiB", 1.05, "at most")
    movie = write_movie_in_fresh_process(directory / "large.ome.zarr", frames, size)
    large = replace(job, movie=movie, every=every)
    (ours, ours_end), (baseline, baseline_end) = _peaks("ours", large), _peaks("baseline_2048", large)
    what = f"memory above the imports, {frames} frames of {size[0]}x{size[1]}"
    yield Measurement(what, ours_end - ours, baseline_end - baseline, "MiB", 0.2, "at most")


def _peaks(pipeline: Pipeline, job: Job) -> tuple[float, float]:
    with FreshProcess() as process:
        return process.call(run_peak_memory, pipeline, job)
