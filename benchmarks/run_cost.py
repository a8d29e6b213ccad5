"""Time and peak memory of a pipeline, measured in a fresh process. Heavy modules are imported inside the functions."""

import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.job import Job, Pipeline


def run_seconds(pipeline: Pipeline, job: Job) -> float:
    """Return the time that a pipeline takes for the movie, without start-up."""
    from benchmarks.pipelines import prepare

    run = prepare(pipeline, job)
    with TemporaryDirectory(dir=job.movie.parent) as directory:
        start = time.perf_counter()
        run(Path(directory))
        return time.perf_counter() - start


def run_peak_memory(pipeline: Pipeline, job: Job) -> tuple[float, float]:
    """Return the peak memory of this process after the imports and at the end of the run, in MiB."""
    from benchmarks.pipelines import prepare

    imported = peak_memory()
    with TemporaryDirectory(dir=job.movie.parent) as directory:
        prepare(pipeline, job)(Path(directory))
    return imported, peak_memory()


def peak_memory() -> float:
    """Return the peak memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, getrusage includes the parent process
        high_water_mark = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(high_water_mark.split()[1]) / 2**10
    bytes_or_kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return bytes_or_kibibytes / (2**20 if sys.platform == "darwin" else 2**10)
