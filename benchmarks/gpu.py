"""The full network on a GPU: ours against VisCy's, against the peak of the card, and at the head of the whole job."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from inspect import signature
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal
from unittest.mock import patch

from benchmarks import networks
from benchmarks.isolated import FreshProcess
from benchmarks.measures import write_movie
from benchmarks.networks import Subject
from benchmarks.table import Line

Form = Literal["viscy", "ours", "ours_bf16", "predictor", "compiled"]

SIZE, FRAMES = (2048, 2048), 40
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Operations a second in bf16, of dense matrices, as the maker states them; of the cards that lie in SXM sockets."""

METHODS = ("raw", "window")
IN_MEMORY = Path("/dev/shm")
ROOM = 8  # planes for each one of the movie: itself, two channels by two methods, and some more
WARM_UP = 8  # frames: a batch
BATCH = 4  # frames that are timed at once, so that the device never waits
FASTER, SPEED_KEPT = 3.0, 0.9


@dataclass(frozen=True)
class Place:
    """Where a network runs, and on what.

    Attributes
    ----------
    subject
        The network, and the size of a frame.
    device
        As the command takes it.
    """

    subject: Subject
    device: str


def measure(
    directory: Path,
    repeats: int,
    *,
    device: str = "cuda",
    size: tuple[int, int] = SIZE,
    frames: int = FRAMES,
    architecture: dict[str, Any] | None = None,
) -> Iterator[Line]:
    """Run the forms of the full network in turn, then the whole job on a movie that lies in memory.

    Parameters
    ----------
    directory
        For the network, and for the movie where memory cannot be written to like a disk.
    repeats
        Of which the median is taken.
    device
        Where to run; nothing is measured where it is a CUDA device that is not there.
    size, frames
        Of the movie.
    architecture
        Of the network; VSCyto2D's when None.
    """
    with FreshProcess() as process:
        name = process.call(device_name, device)
        if name is None:
            print("gpu: no CUDA device here, left out", file=sys.stderr)
            return
        checkpoint = directory / "gpu.ckpt"
        process.call(networks.write_checkpoint, checkpoint, architecture or networks.FULL)
        place = Place(Subject("full network", str(checkpoint), size), device)
        operations, forms = process.call(operations_of, place.subject), process.call(forms_here)
    times: dict[Form, list[float]] = {form: [] for form in forms}
    with ExitStack() as stack:
        processes = {form: stack.enter_context(FreshProcess()) for form in forms}
        first = {form: process.call(first_seconds, form, place) for form, process in processes.items()}
        for _ in range(repeats):
            for form, process in processes.items():
                times[form].append(process.call(seconds, form, place))
    medians = {form: median(of_one) for form, of_one in times.items()}
    yield from _compare(f"{place.subject}, {name}", medians)
    if "compiled" in first:
        what = f"{place.subject}, {name}, first frame of ours compiled"
        yield Line(what, first["compiled"], None, "s", None, "at most")
    if peak := next((value for card, value in PEAKS.items() if card in name), None):
        what = f"{place.subject}, {name}, share of the peak of bf16"
        yield Line(what, operations / medians["ours_bf16"] / peak, None, "", None, "at least")
    with _in_memory(directory, frames, size) as folder, FreshProcess() as process:
        movie = write_movie(folder / "gpu.ome.zarr", frames, size)
        rate = median([process.call(frames_a_second, movie, frames, place) for _ in range(repeats)])
    what = f"movie of {frames} frames to stores, against our network alone, {name}, bf16"
    yield Line(what, rate, 1 / medians["ours_bf16"], "frames/s", SPEED_KEPT, "at least", more=True)


def device_name(device: str) -> str | None:
    """Return the name of the device, None if it is a CUDA device that is not there."""
    import torch

    if not device.startswith("cuda"):
        return device
    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else None


def operations_of(subject: Subject) -> int:
    """Count the additions and multiplications of one frame in convolutions and products of matrices."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network, stride = networks.ours(subject.checkpoint).to("meta"), networks.stride(subject.checkpoint)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 1, 1, *(-(-side // stride) * stride for side in subject.size), device="meta"))
    return int(counter.get_total_flops())


def forms_here() -> list[Form]:
    """Return the forms that can be run; the last one if the package has learnt to compile."""
    from image_translation.network.predictor import Predictor

    forms: list[Form] = ["viscy", "ours", "ours_bf16", "predictor"]
    return [*forms, "compiled"] if "backend" in signature(Predictor).parameters else forms


def first_seconds(form: Form, place: Place) -> float:
    """Return the seconds of the first frame, with what is compiled for it."""
    return _ready(form, place)[1]


def seconds(form: Form, place: Place) -> float:
    """Return the seconds of a further frame, a few of them in a row."""
    predict, _ = _ready(form, place)
    start = time.perf_counter()
    for _ in range(BATCH):
        predict()
    _wait(place.device)
    return (time.perf_counter() - start) / BATCH


def frames_a_second(movie: Path, frames: int, place: Place) -> float:
    """Return the frames a second of the whole job; some frames went this way before, and figures are left out."""
    from image_translation.staining.options import SmoothOptions
    from image_translation.staining.plan import make_plan
    from image_translation.staining.run import smooth_movie

    network = networks.ours(place.subject.checkpoint).to(place.device)
    options = SmoothOptions(
        place.subject.checkpoint, str(movie), Path(), methods=METHODS, device=place.device, precision="bf16",
        normalization="mean_std",
    )  # fmt: skip
    plans = [make_plan(replace(options, frames=(0, stop))) for stop in (min(WARM_UP, frames), frames)]
    with (
        patch("image_translation.network.loading.build", return_value=network),
        patch("image_translation.staining.run.write_figures"),
        TemporaryDirectory(dir=movie.parent) as output,
    ):
        for number, plan in enumerate(plans):
            start = time.perf_counter()
            smooth_movie(replace(plan, options=replace(plan.options, output=Path(output, str(number)))))
            passed = time.perf_counter() - start
    return frames / passed


def _compare(what: str, medians: Mapping[Form, float]) -> Iterator[Line]:
    yield Line(
        f"{what}, bf16, against VisCy's in fp32", medians["ours_bf16"], medians["viscy"], "s", FASTER, "at least"
    )
    yield Line(f"{what}, fp32, against VisCy's in fp32", medians["ours"], medians["viscy"], "s", None, "at least")
    to_and_fro = f"{what}, bf16, to the device and back, against the network alone"
    yield Line(to_and_fro, medians["predictor"], medians["ours_bf16"], "s", None, "at most")
    if "compiled" in medians:
        compiled = f"{what}, bf16, to the device and back, compiled, against not compiled"
        yield Line(compiled, medians["compiled"], medians["predictor"], "s", None, "at least")


@cache
def _ready(form: Form, place: Place) -> tuple[Callable[[], object], float]:
    predict = _through_predictor(form, place) if form in ("predictor", "compiled") else _alone(form, place)
    start = time.perf_counter()
    predict()
    _wait(place.device)
    return predict, time.perf_counter() - start


def _alone(form: Form, place: Place) -> Callable[[], object]:
    """Run a network on a frame that lies on the device, where its result stays."""
    import torch

    from image_translation.network.predictor import pad

    checkpoint = place.subject.checkpoint
    network = (networks.viscys if form == "viscy" else networks.ours)(checkpoint).to(place.device)
    padded, _ = pad(networks.cells(place.subject.size), networks.stride(checkpoint))
    frame = torch.from_numpy(padded)[None, :, None].to(place.device)

    def predict() -> object:
        kind = torch.device(place.device).type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=form == "ours_bf16"):
            return network(frame)

    return predict


def _through_predictor(form: Form, place: Place) -> Callable[[], object]:
    from image_translation.network.predictor import Predictor

    checkpoint, options = place.subject.checkpoint, {"backend": "compile"} if form == "compiled" else {}
    predictor: Any = Predictor(
        networks.ours(checkpoint), networks.stride(checkpoint), device=place.device, precision="bf16", **options
    )
    frame = networks.cells(place.subject.size)
    return lambda: predictor.predict([frame])


def _wait(device: str) -> None:
    """Wait until the device has done what it was told to."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


@contextmanager
def _in_memory(directory: Path, frames: int, size: tuple[int, int]) -> Iterator[Path]:
    """Give a folder for a movie and its stains that lies in memory, if the system has that and there is room."""
    needed = ROOM * 4 * frames * size[0] * size[1]
    fits = IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > needed
    with TemporaryDirectory(dir=IN_MEMORY if fits else directory) as folder:
        yield Path(folder)
