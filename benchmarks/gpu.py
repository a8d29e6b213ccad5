"""The full network on a GPU: against VisCy's, against the peak performance of the GPU, and within a complete run."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args
from unittest.mock import patch

from benchmarks.fresh_process import FreshProcess
from benchmarks.movies import write_movie_in_fresh_process
from benchmarks.network_variants import FULL, Case, build_ours, build_viscy, cell_image, read_stride, write_checkpoint
from benchmarks.table import Measurement

Variant = Literal["viscy", "ours", "ours_bf16", "predictor", "compiled"]

SIZE, FRAMES = (2048, 2048), 40
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Peak performance in bf16 with dense matrices, in FLOP/s, as the manufacturer states it for the SXM modules."""

METHODS = ("raw", "window")
IN_MEMORY = Path("/dev/shm")
ROOM = 8  # planes for each plane of the movie: itself, two channels by two methods, and a reserve
WARM_UP = 8  # frames
BATCH = 4  # frames timed together, so that the device never waits for the CPU
SPEED_UP_TARGET, RATE_TARGET = 3.0, 0.9


@dataclass(frozen=True)
class Setup:
    """A network, the size of its input frames, and the device.

    Attributes
    ----------
    case
        Network and size of a frame.
    device
        As in the command.
    """

    case: Case
    device: str


def measure(
    directory: Path,
    repeats: int,
    *,
    device: str = "cuda",
    size: tuple[int, int] = SIZE,
    frames: int = FRAMES,
    architecture: dict[str, Any] | None = None,
) -> Iterator[Measurement]:
    """Run the variants of the full network in turn, then a complete run on a movie in memory.

    Parameters
    ----------
    directory
        Directory for the checkpoint, and for the movie if there is no file system in memory.
    repeats
        Number of runs, of whose times the median is taken.
    device
        Device; nothing is measured if it is a CUDA device and there is none.
    size, frames
        Size of a frame (Y, X) and number of frames of the movie.
    architecture
        Architecture of the network; None is that of VSCyto2D.
    """
    with FreshProcess() as process:
        name = process.call(device_name, device)
        if name is None:
            print("gpu: there is no CUDA device; skipped", file=sys.stderr)
            return
        checkpoint = directory / "gpu.ckpt"
        process.call(write_checkpoint, checkpoint, architecture or FULL)
        setup = Setup(Case("full network", str(checkpoint), size), device)
        operations = process.call(count_operations, setup.case)
    times: dict[Variant, list[float]] = {variant: [] for variant in get_args(Variant)}
    with ExitStack() as stack:
        processes = {variant: stack.enter_context(FreshProcess()) for variant in times}
        first = {variant: process.call(first_seconds, variant, setup) for variant, process in processes.items()}
        for _ in range(repeats):
            for variant, process in processes.items():
                times[variant].append(process.call(frame_seconds, variant, setup))
    medians = {variant: median(seconds) for variant, seconds in times.items()}
    yield from _compare(f"{setup.case}, {name}", medians)
    what = f"{setup.case}, {name}, first frame of ours compiled"
    yield Measurement(what, first["compiled"], None, "s", None, "at most")
    if peak := next((value for gpu, value in PEAKS.items() if gpu in name), None):
        what = f"{setup.case}, {name}, share of the peak bf16 performance"
        yield Measurement(what, operations / medians["ours_bf16"] / peak, None, "", None, "at least")
    with _directory_in_memory(directory, frames, size) as in_memory, FreshProcess() as process:
        movie = write_movie_in_fresh_process(in_memory / "gpu.ome.zarr", frames, size)
        rate = median([process.call(frames_per_second, movie, frames, setup) for _ in range(repeats)])
    what = f"movie of {frames} frames to stores, against our network alone, {name}, bf16"
    yield Measurement(what, rate, 1 / medians["ours_bf16"], "frames/s", RATE_TARGET, "at least", higher_is_better=True)


def device_name(device: str) -> str | None:
    """Return the name of the device; None if it is a CUDA device and there is none."""
    import torch

    if not device.startswith("cuda"):
        return device
    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else None


def count_operations(case: Case) -> int:
    """Count the floating-point operations of one frame in convolutions and matrix products."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network, stride = build_ours(case.checkpoint).to("meta"), read_stride(case.checkpoint)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 1, 1, *(-(-side // stride) * stride for side in case.size), device="meta"))
    return int(counter.get_total_flops())


def first_seconds(variant: Variant, setup: Setup) -> float:
    """Return the time of the first frame in seconds, compilation included."""
    return _ready(variant, setup)[1]


def frame_seconds(variant: Variant, setup: Setup) -> float:
    """Return the time of a further frame in seconds, as the mean of `BATCH` frames."""
    predict, _ = _ready(variant, setup)
    start = time.perf_counter()
    for _ in range(BATCH):
        predict()
    _wait(setup.device)
    return (time.perf_counter() - start) / BATCH


def frames_per_second(movie: Path, frames: int, setup: Setup) -> float:
    """Return the frame rate of a complete run without figures, after a warm-up with some frames."""
    from image_translation.staining.options import SmoothOptions
    from image_translation.staining.plan import make_plan
    from image_translation.staining.run import smooth_movie

    network = build_ours(setup.case.checkpoint).to(setup.device)
    options = SmoothOptions(
        setup.case.checkpoint, str(movie), Path(), methods=METHODS, device=setup.device, precision="bf16",
        normalization="mean_std",
    )  # fmt: skip
    plans = [make_plan(replace(options, frames=(0, stop))) for stop in (min(WARM_UP, frames), frames)]
    with (
        patch("image_translation.network.loading.build_network", return_value=network),
        patch("image_translation.staining.run.write_figures"),
        TemporaryDirectory(dir=movie.parent) as output,
    ):
        for number, plan in enumerate(plans):
            start = time.perf_counter()
            smooth_movie(replace(plan, options=replace(plan.options, output=Path(output, str(number)))))
            elapsed = time.perf_counter() - start
    return frames / elapsed


def _compare(what: str, medians: Mapping[Variant, float]) -> Iterator[Measurement]:
    viscy = medians["viscy"]
    yield Measurement(
        f"{what}, bf16, against VisCy's in fp32", medians["ours_bf16"], viscy, "s", SPEED_UP_TARGET, "at least"
    )
    yield Measurement(f"{what}, fp32, against VisCy's in fp32", medians["ours"], viscy, "s", None, "at least")
    round_trip = f"{what}, bf16, to the device and back, against the network alone"
    yield Measurement(round_trip, medians["predictor"], medians["ours_bf16"], "s", None, "at most")
    compiled = f"{what}, bf16, to the device and back, compiled, against not compiled"
    yield Measurement(compiled, medians["compiled"], medians["predictor"], "s", None, "at least")


@cache
def _ready(variant: Variant, setup: Setup) -> tuple[Callable[[], object], float]:
    make = _through_predictor if variant in ("predictor", "compiled") else _network_only
    predict = make(variant, setup)
    start = time.perf_counter()
    predict()
    _wait(setup.device)
    return predict, time.perf_counter() - start


def _network_only(variant: Variant, setup: Setup) -> Callable[[], object]:
    """Return the forward pass of a frame that is on the device, as its result is."""
    import torch

    from image_translation.network.predictor import pad

    checkpoint = setup.case.checkpoint
    network = (build_viscy if variant == "viscy" else build_ours)(checkpoint).to(setup.device)
    padded, _ = pad(cell_image(setup.case.size), read_stride(checkpoint))
    frame = torch.from_numpy(padded)[None, :, None].to(setup.device)

    def predict() -> object:
        kind = torch.device(setup.device).type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=variant == "ours_bf16"):
            return network(frame)

    return predict


def _through_predictor(variant: Variant, setup: Setup) -> Callable[[], object]:
    from image_translation.network.predictor import Predictor

    checkpoint = setup.case.checkpoint
    predictor = Predictor(
        build_ours(checkpoint),
        read_stride(checkpoint),
        device=setup.device,
        precision="bf16",
        backend="compile" if variant == "compiled" else "eager",
    )
    frame = cell_image(setup.case.size)
    return lambda: predictor.predict([frame])


def _wait(device: str) -> None:
    """Wait until the device has finished all its work."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


@contextmanager
def _directory_in_memory(directory: Path, frames: int, size: tuple[int, int]) -> Iterator[Path]:
    """Yield a temporary directory, in memory if the system has a file system there with enough space."""
    needed = ROOM * 4 * frames * size[0] * size[1]
    fits = IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > needed
    with TemporaryDirectory(dir=IN_MEMORY if fits else directory) as temporary:
        yield Path(temporary)
