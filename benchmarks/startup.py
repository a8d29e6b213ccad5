"""How soon the command answers when there is nothing to compute, and how soon it has computed something."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks import first_frame
from benchmarks.table import Line

LIMIT = 0.5  # seconds
SMOOTH = ("smooth", "-c", "demo_ckpt", "-o", "results", "-m")
COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "--help": (("--help",), 0),
    "missing movie": ((*SMOOTH, "missing.ome.zarr"), 2),
    "even window": ((*SMOOTH, "demo_movie", "--window", "4"), 2),
    "bad frames": ((*SMOOTH, "demo_movie", "--frames", "5:2"), 2),
}
READY = "ready"
IMPORTS = (sys.executable, "-c", f"import torch, iohub.ngff; print({READY!r}, flush=True)")
TIMES_THE_IMPORTS = 2.0


def measure(directory: Path, movie: Path, repeats: int) -> Iterator[Line]:
    """Run the command as a user does; its first time, which fills the disk's cache, is dropped."""
    for what, (arguments, exit_code) in COMMANDS.items():
        times = [_seconds(arguments, exit_code, directory) for _ in range(repeats + 1)][1:]
        yield Line(f"answer to {what}", median(times), None, "s", LIMIT, "at most")
    runs: list[float] = []
    imports: list[float] = []
    for turn in range(repeats + 1):
        output = directory / f"first-frame-{turn}"  # another one each time: a run goes on where the last one stopped
        arguments = ("smooth", "-c", "demo_ckpt", "-m", str(movie), "-o", str(output), "--device", "cpu")
        runs.append(_seconds_until(first_frame.SAID, (sys.executable, "-m", first_frame.__name__, *arguments)))
        imports.append(_seconds_until(READY, IMPORTS))
    what = "first predicted frame, against the imports alone"
    yield Line(what, median(runs[1:]), median(imports[1:]), "s", TIMES_THE_IMPORTS, "at most")


def _seconds(arguments: tuple[str, ...], exit_code: int, directory: Path) -> float:
    program = Path(sys.executable).with_name("image-translation")
    start = time.perf_counter()
    done = subprocess.run([program, *arguments], cwd=directory, capture_output=True, text=True, check=False)
    passed = time.perf_counter() - start
    if done.returncode != exit_code:
        raise RuntimeError(f"image-translation {' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
    return passed


def _seconds_until(said: str, command: Sequence[str]) -> float:
    """Return the seconds from the start of a process to a line on its standard output; it ends soon after."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        passed = time.perf_counter() - start
        errors = process.communicate()[1]
    if line.strip() != said:
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}: {errors}")
    return passed
