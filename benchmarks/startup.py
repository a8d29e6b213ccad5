"""Start-up time: of ``--help`` and usage errors, and until the first predicted frame."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks import first_frame
from benchmarks.table import Measurement

TARGET = 0.5  # seconds
WARM_UPS = 1  # runs before the timed ones, which fill the disk cache
SMOOTH = ("smooth", "-c", "demo_ckpt", "-o", "results", "-m")
COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "--help": (("--help",), 0),
    "missing movie": ((*SMOOTH, "missing.ome.zarr"), 2),
    "even window": ((*SMOOTH, "demo_movie", "--window", "4"), 2),
    "bad frames": ((*SMOOTH, "demo_movie", "--frames", "5:2"), 2),
}
READY = "ready"
IMPORTS = (sys.executable, "-c", f"import torch, iohub.ngff; print({READY!r}, flush=True)")
FIRST_FRAME_TARGET = 2.0  # times the time of the imports


def measure(directory: Path, movie: Path, repeats: int) -> Iterator[Measurement]:
    """Run the command as a user does."""
    for what, (arguments, exit_code) in COMMANDS.items():
        times = [_seconds(arguments, exit_code, directory) for _ in range(WARM_UPS + repeats)][WARM_UPS:]
        yield Measurement(f"response to {what}", median(times), None, "s", TARGET, "at most")
    runs: list[float] = []
    imports: list[float] = []
    for turn in range(WARM_UPS + repeats):
        output = directory / f"first-frame-{turn}"  # a new one each time, because a run resumes an earlier one
        arguments = ("smooth", "-c", "demo_ckpt", "-m", str(movie), "-o", str(output), "--device", "cpu")
        runs.append(_seconds_until(first_frame.MESSAGE, (sys.executable, "-m", first_frame.__name__, *arguments)))
        imports.append(_seconds_until(READY, IMPORTS))
    what = "first predicted frame, against the imports alone"
    yield Measurement(what, median(runs[WARM_UPS:]), median(imports[WARM_UPS:]), "s", FIRST_FRAME_TARGET, "at most")


def _seconds(arguments: tuple[str, ...], exit_code: int, directory: Path) -> float:
    program = Path(sys.executable).with_name("image-translation")
    start = time.perf_counter()
    result = subprocess.run([program, *arguments], cwd=directory, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - start
    if result.returncode != exit_code:
        raise RuntimeError(f"image-translation {' '.join(arguments)}: exit {result.returncode}: {result.stderr}")
    return elapsed


def _seconds_until(message: str, command: Sequence[str]) -> float:
    """Return the time from the start of a process to a message on its stdout, after which it ends."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        elapsed = time.perf_counter() - start
        errors = process.communicate()[1]
    if line.strip() != message:
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}: {errors}")
    return elapsed
