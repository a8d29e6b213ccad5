"""``python -m benchmarks``: one table of what was measured and what is to be reached.

Imports nothing heavy: a fresh process imports this module before it is told how many threads to use.
"""

import argparse
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from benchmarks import end_to_end, filters, gpu, memory, network, networks, plates, startup, storage
from benchmarks.measures import Job, write_movie
from benchmarks.networks import Subject
from benchmarks.table import Line, format_lines

PARTS = {
    "end-to-end": """\
movie to stores: raw, window 2 and savgol 11/3 are written and scored. In all contestants alike the network is built
  and run once beforehand; in ours the plan is made beforehand and figures are left out. VisCy's network is the bundled
  one as VisCy runs it, also in the usual script; ours is of the same weights, in plain PyTorch. The
  script padded to 2048 takes most of the time, far from its limit, and runs in the first turn only.""",
    "memory": """\
memory: of the process. On large frames, in both contestants alike, the network runs on every
  {every}th frame only; a copy of the frame stands in for the prediction of the others (--every 1: it runs on all).""",
    "filters": "Savitzky-Golay: window 11, order 3, float32, one thread each.",
    "storage": """\
storage: MB (10^6 bytes) of float32 pixels a second, before compression. Ours reads and writes by tensorstore, the
  baseline is zarr-python on equal stores, in default settings; both read what the system has in its memory, plane by
  plane. Of a shard zarr-python is given all frames at once.""",
    "network": """\
network: one frame on the CPU, padded by reflection, as an array and back; the first two frames of each process are
  left out. The bundled network, and one of random weights in the architecture of VSCyto2D. VisCy's runs in a process
  as Python starts it, or as ours does in one that keeps freed memory. torch.compile and OpenVINO (if it is installed;
  both in float32) are what is not used: beside the time of a frame stands what the first one takes.""",
    "plates": f"""\
plates: a simulated plate, raw and window 2, on Dask clusters whose workers have one thread and one processor each;
  they have stained some of it before. Timed from connecting to the scheduler to the end of the last task; the plan,
  metrics.csv and figures are left out. The scheduler and the client share the processors of the workers where there
  are no others. The scheduler's own time is that of {plates.MANY} such tasks in which nothing is stained, on two
  workers; its share is that of what a position takes on one worker, with frames as small as these.""",
    "gpu": """\
gpu: the architecture of VSCyto2D with random weights, one frame at a time that lies on the device, its result, too.
  Operations are those of convolutions and matrix products. The movie lies in memory where the system has a disk
  there; some of it was stained before, the plan is made beforehand, and figures are left out.""",
    "startup": """\
answers: the whole process, from its start to its exit. The first predicted frame: from the start of the command's
  process until its network, the bundled one, has returned a frame of the movie; the imports are those of torch and
  iohub.ngff in a process of their own. What the disk has to load is loaded before.""",
}


def main() -> None:
    """Measure what is asked for, and print the table."""
    arguments = _parser().parse_args()
    parts = arguments.parts or list(PARTS)
    with tempfile.TemporaryDirectory() as directory:
        lines = list(_measure(parts, arguments, Path(directory)))
    print(
        f"\n{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}, "
        f"torch {version('torch')}, device {arguments.device}, {arguments.precision}\n"
    )
    print(format_lines(lines))
    print("\nTimes are medians of interleaved runs, each contestant in a process of its own.")
    for part in parts:
        print(PARTS[part].format(every=arguments.every))


def _measure(parts: list[str], arguments: argparse.Namespace, directory: Path) -> Iterator[Line]:
    frames, size, repeats = arguments.frames, arguments.size or (1000, 1100), arguments.repeats
    movie = directory / "movie.ome.zarr"
    job = Job(movie, arguments.checkpoint, arguments.device, arguments.precision)
    if "end-to-end" in parts:
        write_movie(movie, frames or 20, size)
        yield from end_to_end.measure(job, repeats)
    if "memory" in parts:
        yield from memory.measure(job, directory, frames or 100, size, arguments.every)
    if "filters" in parts:
        reduced = frames or arguments.size
        yield from filters.measure([(frames or 20, 2, *size)] if reduced else filters.SHAPES, repeats)
    if "storage" in parts:
        yield from storage.measure(directory, frames or 30, size, repeats)
    if "network" in parts:
        yield from network.measure(
            directory, Subject("bundled network", arguments.checkpoint, size), 1.3, repeats, agreement=True
        )
        full = networks.write_full(directory / "full.ckpt")
        yield from network.measure(
            directory, Subject("full network", str(full), arguments.size or (512, 512)), 1.6, repeats
        )
    if "plates" in parts:
        shape = (plates.POSITIONS, frames or plates.FRAMES, arguments.size or plates.SIZE)
        yield from plates.measure(directory, arguments.checkpoint, shape, plates.MANY, repeats)
    if "gpu" in parts:
        chosen = arguments.device if arguments.device.startswith("cuda") else "cuda"
        yield from gpu.measure(
            directory, repeats, device=chosen, size=arguments.size or gpu.SIZE, frames=frames or gpu.FRAMES
        )
    if "startup" in parts:
        if not movie.exists():
            write_movie(movie, frames or 20, size)
        yield from startup.measure(directory, movie, repeats)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("parts", nargs="*", type=_part, metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--frames", type=int, help="frames of a movie (default: as is usual for the part)")
    parser.add_argument("--size", type=_size, metavar="HEIGHTxWIDTH", help="of a frame (default: the same)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the median time is taken (default: 3)")
    parser.add_argument("--every", type=int, default=20, help="memory: frames for each that the network sees")
    parser.add_argument("--checkpoint", default="demo_ckpt", help="path or name (default: demo_ckpt)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps (default: cpu)")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"], help="(default: fp32)")
    return parser


def _part(text: str) -> str:
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(PARTS)}")
    return text


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 256x256")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    main()
