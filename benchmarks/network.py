"""Time of one frame on the CPU: our network against VisCy's, and compiled."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.fresh_process import FreshProcess
from benchmarks.network_variants import Case, Variant, first_seconds, frame_seconds, prediction
from benchmarks.table import Measurement

COMPILERS = ("c++", "g++", "clang++")
MAX_DISAGREEMENT: dict[Variant, float] = {"ours": 1e-4, "inductor": 1e-4, "openvino": 1e-4, "ours_bf16": 1e-3}
NAMES: dict[Variant, str] = {
    "ours": "ours", "ours_bf16": "ours in bf16", "inductor": "ours by torch.compile", "openvino": "ours by OpenVINO",
}  # fmt: skip


class Pair(NamedTuple):
    """Two variants to compare, and the description of the comparison."""

    variant: Variant
    baseline: Variant
    what: str


PAIRS = (
    Pair("ours", "viscy", "against VisCy's"),
    Pair("ours", "viscy_kept", "against VisCy's with freed memory kept"),
    Pair("ours_bf16", "ours", "in bf16, against ours"),
    Pair("inductor", "ours", "by torch.compile, against ours"),
    Pair("openvino", "ours", "by OpenVINO, against ours"),
)


def measure(
    directory: Path, case: Case, target: float, repeats: int, *, agreement: bool = False
) -> Iterator[Measurement]:
    """Run the variants of a network in turn, each in its own process.

    Parameters
    ----------
    directory
        Directory for the cache of the compiler, so that it reuses nothing of an earlier run.
    case
        Network and size of a frame.
    target
        Speed-up against VisCy's to reach.
    repeats
        Number of frames, of whose times the median is taken.
    agreement
        Whether to compare the predictions as well.
    """
    times: dict[Variant, list[float]] = {variant: [] for variant in available_variants()}
    environment = {"TORCHINDUCTOR_CACHE_DIR": str(directory / "inductor")}
    with ExitStack() as stack:
        processes = {variant: stack.enter_context(FreshProcess(environment)) for variant in times}
        first = {variant: process.call(first_seconds, variant, case) for variant, process in processes.items()}
        for _ in range(repeats + 1):
            for variant, process in processes.items():
                times[variant].append(process.call(frame_seconds, variant, case))
        # In the first turn, processes of a compiler may still be busy.
        medians = {variant: median(seconds[1:]) for variant, seconds in times.items()}
        for variant, baseline, what in PAIRS:
            if variant in medians:
                pair_target = target if baseline == "viscy" else None
                yield Measurement(f"{case}, {what}", medians[variant], medians[baseline], "s", pair_target, "at least")
        for variant in ("inductor", "openvino"):
            if variant in medians:
                yield Measurement(
                    f"{case}, first frame of {NAMES[variant]}", first[variant], None, "s", None, "at most"
                )
        if agreement:
            yield from _disagreement(processes, case)


def available_variants() -> list[Variant]:
    """Return the variants that can run here: OpenVINO is optional, and torch.compile needs a C++ compiler."""
    variants: list[Variant] = ["viscy", "viscy_kept", "ours", "ours_bf16"]
    if any(map(shutil.which, COMPILERS)):
        variants.append("inductor")
    else:
        print("network: there is no C++ compiler; torch.compile is skipped", file=sys.stderr)
    if find_spec("openvino"):
        variants.append("openvino")
    return variants


def _disagreement(processes: dict[Variant, FreshProcess], case: Case) -> Iterator[Measurement]:
    """Compare with VisCy's float32 prediction, as 1 - correlation, which shows more digits than the correlation."""
    import numpy as np

    images = {variant: process.call(prediction, variant, case) for variant, process in processes.items()}
    expected = images["viscy"].ravel().astype(np.float64)
    for variant, maximum in MAX_DISAGREEMENT.items():
        if variant in images:
            pearson = float(np.corrcoef(expected, images[variant].ravel().astype(np.float64))[0, 1])
            what = f"{case}, 1 - Pearson of {NAMES[variant]} and VisCy's"
            yield Measurement(what, max(0.0, 1 - pearson), None, "", maximum, "at most")
