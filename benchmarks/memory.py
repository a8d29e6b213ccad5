"""Peak memory of the main job: against its own on a longer movie, and against the usual script."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.isolated import FreshProcess
from benchmarks.measures import Contestant, Job, peak_growth, write_movie
from benchmarks.table import Line

LONGER = 4  # times
SMALL = 256  # pixels


def measure(job: Job, directory: Path, frames: int, size: tuple[int, int], every: int) -> Iterator[Line]:
    """Measure a short and a long movie of small frames, and the package and the usual script on large frames."""
    small = (min(SMALL, size[0]), min(SMALL, size[1]))
    short, long = (
        _growth("ours", replace(job, movie=write_movie(directory / f"{count}.ome.zarr", count, small)))
        for count in (frames, LONGER * frames)
    )
    what = f"memory for {LONGER * frames} against {frames} frames of {small[0]}x{small[1]}"
    yield Line(what, long, short, "MiB", 1.05, "at most")
    large = replace(job, movie=write_movie(directory / "large.ome.zarr", frames, size), every=every)
    what = f"memory for {frames} frames of {size[0]}x{size[1]}"
    yield Line(what, _growth("ours", large), _growth("fixed", large), "MiB", 0.2, "at most")


def _growth(name: Contestant, job: Job) -> float:
    with FreshProcess() as process:
        return process.call(peak_growth, name, job)
