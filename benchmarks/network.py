"""One frame through the network, on the CPU: ours against VisCy's, and against what would compile ours."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import networks
from benchmarks.isolated import FreshProcess
from benchmarks.networks import Form, Subject
from benchmarks.table import Line

COMPILERS = ("c++", "g++", "clang++")
DISAGREEMENT: dict[Form, float] = {"ours": 1e-4, "inductor": 1e-4, "openvino": 1e-4, "ours_bf16": 1e-3}
TOLD: dict[Form, str] = {
    "ours": "ours", "ours_bf16": "ours in bf16", "inductor": "ours by torch.compile", "openvino": "ours by OpenVINO",
}  # fmt: skip


class Pair(NamedTuple):
    """What is compared with what, and what the ratio is to reach."""

    form: Form
    baseline: Form
    words: str


PAIRS = (
    Pair("ours", "viscy", "against VisCy's"),
    Pair("ours", "viscy_kept", "against VisCy's that keeps freed memory"),
    Pair("ours_bf16", "ours", "in bf16, against ours"),
    Pair("inductor", "ours", "by torch.compile, against ours"),
    Pair("openvino", "ours", "by OpenVINO, against ours"),
)


def measure(
    directory: Path, subject: Subject, reach: float, repeats: int, *, agreement: bool = False
) -> Iterator[Line]:
    """Run the forms of a network in turn, each in its own process.

    Parameters
    ----------
    directory
        For what a compiler keeps, so that it finds nothing of an earlier run.
    subject
        The network.
    reach
        How many times faster than VisCy's it is to be.
    repeats
        Frames of which the median is taken.
    agreement
        Whether to compare the images, too.
    """
    times: dict[Form, list[float]] = {form: [] for form in forms()}
    environment = {"TORCHINDUCTOR_CACHE_DIR": str(directory / "inductor")}
    with ExitStack() as stack:
        processes = {form: stack.enter_context(FreshProcess(environment)) for form in times}
        first = {form: process.call(networks.first_seconds, form, subject) for form, process in processes.items()}
        for _ in range(repeats + 1):
            for form, process in processes.items():
                times[form].append(process.call(networks.seconds, form, subject))
        # In the first turn the helpers of a compiler may still be busy.
        medians = {form: median(of_one[1:]) for form, of_one in times.items()}
        for form, baseline, words in PAIRS:
            if form in medians:
                limit = reach if baseline == "viscy" else None
                yield Line(f"{subject}, {words}", medians[form], medians[baseline], "s", limit, "at least")
        for form in ("inductor", "openvino"):
            if form in medians:
                yield Line(f"{subject}, first frame of {TOLD[form]}", first[form], None, "s", None, "at most")
        if agreement:
            yield from _disagreement(processes, subject)


def forms() -> list[Form]:
    """Return the forms that can be run here: OpenVINO is no dependency, and PyTorch compiles by a C++ compiler."""
    found: list[Form] = ["viscy", "viscy_kept", "ours", "ours_bf16"]
    if any(map(shutil.which, COMPILERS)):
        found.append("inductor")
    else:
        print("network: no C++ compiler here, torch.compile left out", file=sys.stderr)
    if find_spec("openvino"):
        found.append("openvino")
    return found


def _disagreement(processes: dict[Form, FreshProcess], subject: Subject) -> Iterator[Line]:
    """Compare with VisCy's float32 image: what lacks to a correlation of 1, which shows more digits than it would."""
    import numpy as np

    images = {form: process.call(networks.prediction, form, subject) for form, process in processes.items()}
    wanted = images["viscy"].ravel().astype(np.float64)
    for form, limit in DISAGREEMENT.items():
        if form in images:
            pearson = float(np.corrcoef(wanted, images[form].ravel().astype(np.float64))[0, 1])
            what = f"{subject}, 1 - Pearson of {TOLD[form]} and VisCy's"
            yield Line(what, max(0.0, 1 - pearson), None, "", limit, "at most")
