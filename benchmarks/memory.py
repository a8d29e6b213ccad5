"""Peak memory of the main job: against its own on a longer movie, and against the usual script."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.isolated import FreshProcess
from benchmarks.measures import Contestant, Job, peaks, write_movie
from benchmarks.table import Line

LONGER = 4  # times
SMALL = 256  # pixels


def measure(job: Job, directory: Path, frames: int, size: tuple[int, int], every: int) -> Iterator[Line]:
    """Measure a short and a long movie of small frames, and the package and the usual script on large frames."""
    small = (min(SMALL, size[0]), min(SMALL, size[1]))
    short, long = (
        _peaks("ours", replace(job, movie=write_movie(directory / f"{count}.ome.zarr", count, small)))
        for count in (frames, LONGER * frames)
    )
    what = f"peak memory, {LONGER * frames} against {frames} frames of {small[0]}x{small[1]}"
    yield Line(what, long[1], short[1], "MiB", 1.05, "at most")
    yield Line("the same, above the imports", long[1] - long[0], short[1] - short[0], "MiB", 1.05, "at most")
    large = replace(job, movie=write_movie(directory / "large.ome.zarr", frames, size), every=every)
    (ours, ours_end), (usual, usual_end) = _peaks("ours", large), _peaks("fixed", large)
    what = f"memory above the imports, {frames} frames of {size[0]}x{size[1]}"
    yield Line(what, ours_end - ours, usual_end - usual, "MiB", 0.2, "at most")


def _peaks(name: Contestant, job: Job) -> tuple[float, float]:
    with FreshProcess() as process:
        return process.call(peaks, name, job)
