"""``python -m benchmarks``: time, memory and throughput, in one table of measurements and targets.

Imports nothing heavy: fresh processes import this module before their number of threads is set.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import end_to_end, filters, gpu, memory, motion, network, network_variants, plates, startup, storage
from benchmarks.arguments import integer
from benchmarks.job import Job
from benchmarks.movies import write_movie_in_fresh_process
from benchmarks.network_variants import Case
from benchmarks.parts import PARTS, check_networks, check_sizes
from benchmarks.table import Measurement, format_table
from image_translation.cli.arguments import parse_size
from image_translation.cli.program import Parser
from image_translation.errors import UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen parts, and print the table.

    Parameters
    ----------
    argv
        Arguments; those of the process when None.

    Returns
    -------
    int
        Exit code 0; wrong usage exits with 2.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    parts = arguments.parts or list(PARTS)
    with tempfile.TemporaryDirectory() as directory:
        movie = Path(directory) / "movie.ome.zarr"
        job = Job(movie, arguments.checkpoint, arguments.device, arguments.precision)
        try:
            check_sizes(parts, arguments.frames, arguments.size)
            job = check_networks(parts, job)
        except UsageError as error:
            parser.error(str(error))
        measurements = list(_measure(parts, arguments, job, Path(directory)))
    print(
        f"\n{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}, "
        f"torch {version('torch')}, device {job.device}, {job.precision}\n"
    )
    print(format_table(measurements))
    print("\nTimes are medians of interleaved runs, each in a process of its own.")
    for part in parts:
        print(PARTS[part].notes.format(every=arguments.every))
    return 0


def _measure(parts: list[str], arguments: argparse.Namespace, job: Job, directory: Path) -> Iterator[Measurement]:
    frames, size, repeats = arguments.frames, arguments.size or (1000, 1100), arguments.repeats
    if "end-to-end" in parts:
        write_movie_in_fresh_process(job.movie, frames or 20, size)
        yield from end_to_end.measure(job, repeats)
    if "memory" in parts:
        yield from memory.measure(job, directory, frames or 100, size, arguments.every)
    if "filters" in parts:
        given = frames or arguments.size
        yield from filters.measure([(frames or 20, 2, *size)] if given else filters.SHAPES, repeats)
    if "motion" in parts:
        yield from motion.measure(Case("bundled network", job.checkpoint, size), repeats)
    if "storage" in parts:
        yield from storage.measure(directory, frames or 30, size, repeats)
    if "network" in parts:
        bundled = Case("bundled network", job.checkpoint, size)
        yield from network.measure(directory, bundled, 1.3, repeats, agreement=True)
        full = network_variants.write_full(directory / "full.ckpt")
        yield from network.measure(
            directory, Case("full network", str(full), arguments.size or (512, 512)), 1.6, repeats
        )
    if "plates" in parts:
        shape = (plates.POSITIONS, frames or plates.FRAMES, arguments.size or plates.SIZE)
        yield from plates.measure(directory, job.checkpoint, shape, plates.N_EMPTY_TASKS, repeats)
    if "gpu" in parts:
        device = job.device if job.device.startswith("cuda") else "cuda"
        yield from gpu.measure(
            directory, repeats, device=device, size=arguments.size or gpu.SIZE, frames=frames or gpu.FRAMES
        )
    if "startup" in parts:
        if not job.movie.exists():
            write_movie_in_fresh_process(job.movie, frames or 20, size)
        yield from startup.measure(directory, job.movie, repeats)


def _parser() -> Parser:
    parser = Parser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("parts", nargs="*", type=_part, metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--frames", type=integer(1), help="of a movie (default: depends on the part)")
    parser.add_argument(
        "--size", type=parse_size, metavar="HEIGHTxWIDTH", help="of a frame (default: depends on the part)"
    )
    parser.add_argument("--repeats", type=integer(1), default=3, help="runs, whose median time counts (default: 3)")
    parser.add_argument(
        "--every", type=integer(1), default=20, help="memory: the network runs on every n-th frame (default: 20)"
    )
    parser.add_argument("--checkpoint", default="demo_ckpt", help="path or name (default: demo_ckpt)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, cuda:1, mps (default: cpu)")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"], help="(default: fp32)")
    return parser


def _part(text: str) -> str:
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(PARTS)}")
    return text


if __name__ == "__main__":
    sys.exit(main())
