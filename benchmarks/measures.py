"""What a fresh process measures. Nothing heavy is imported before it is called, and then on purpose."""

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from benchmarks.isolated import FreshProcess

Contestant = Literal["ours", "fixed", "stride", "forwards", "viscy_forwards"]


@dataclass(frozen=True)
class Job:
    """What every contestant is to do.

    Attributes
    ----------
    movie
        Store to stain.
    checkpoint
        Path or name.
    device, precision
        As the command takes them.
    every
        The network runs on every so manieth frame, and a copy of the frame is taken for the others; 1 is all.
    """

    movie: Path
    checkpoint: str
    device: str = "cpu"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    every: int = 1


def write_movie(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """Write a movie in a process of its own, so that this one stays small."""
    with FreshProcess() as process:
        return process.call(_write_movie, path, frames, size)


def seconds(name: Contestant, job: Job) -> float:
    """Return the time that a contestant takes for the movie, start-up left out."""
    from benchmarks.contestants import prepare

    run = prepare(name, job)
    with TemporaryDirectory(dir=job.movie.parent) as directory:
        start = time.perf_counter()
        run(Path(directory))
        return time.perf_counter() - start


def peaks(name: Contestant, job: Job) -> tuple[float, float]:
    """Return the peak memory of this process after the imports and at the end, in MiB."""
    from benchmarks.contestants import prepare

    imported = peak()
    with TemporaryDirectory(dir=job.movie.parent) as directory:
        prepare(name, job)(Path(directory))
    return imported, peak()


def _write_movie(path: Path, frames: int, size: tuple[int, int]) -> Path:
    from benchmarks import movies

    return movies.write_movie(path, frames, size)


def peak() -> float:
    """Return the peak memory of this process up to now, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, getrusage also counts the process that started this one
        high_water_mark = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(high_water_mark.split()[1]) / 2**10
    bytes_or_kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return bytes_or_kibibytes / (2**20 if sys.platform == "darwin" else 2**10)
