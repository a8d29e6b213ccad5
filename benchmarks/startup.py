"""How soon the command answers when there is nothing to compute."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.table import Line

LIMIT = 0.5  # seconds
SMOOTH = ("smooth", "-c", "demo_ckpt", "-o", "results", "-m")
COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "--help": (("--help",), 0),
    "missing movie": ((*SMOOTH, "missing.ome.zarr"), 2),
    "even window": ((*SMOOTH, "demo_movie", "--window", "4"), 2),
    "bad frames": ((*SMOOTH, "demo_movie", "--frames", "5:2"), 2),
}


def measure(directory: Path, repeats: int) -> Iterator[Line]:
    """Run the command as a user does; its first time, which fills the disk's cache, is dropped."""
    for what, (arguments, exit_code) in COMMANDS.items():
        times = [_seconds(arguments, exit_code, directory) for _ in range(repeats + 1)][1:]
        yield Line(f"answer to {what}", median(times), None, "s", LIMIT, "at most")


def _seconds(arguments: tuple[str, ...], exit_code: int, directory: Path) -> float:
    program = Path(sys.executable).with_name("image-translation")
    start = time.perf_counter()
    done = subprocess.run([program, *arguments], cwd=directory, capture_output=True, text=True, check=False)
    passed = time.perf_counter() - start
    if done.returncode != exit_code:
        raise RuntimeError(f"image-translation {' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
    return passed
