"""``python -m benchmarks.flicker_agreement``: flicker along an estimated flow against that along the true motion.

With truth, the flow is that of the truth, and the change is that of the error; without, the flow is that of the phase,
and the change is that of the stain. Both are relative to raw, as in the metrics.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.registration import optical_flow_ilk, optical_flow_tvl1
from tqdm import tqdm

from benchmarks.arguments import integer
from benchmarks.cheats import blurred, with_gain_flicker
from benchmarks.movies import MIN_SIDE
from benchmarks.stained import Array, smooth
from benchmarks.table import format_markdown
from benchmarks.temporal import FRAMES, MIN_FRAMES, SIDE, along_true_motion, changes, list_jobs
from benchmarks.temporal_tables import METHODS
from benchmarks.worlds import Job, stain
from image_translation.cli.program import Parser
from image_translation.metrics.flicker import change
from image_translation.temporal.optical_flow import FlowEstimator

WORLDS = ("walk 0.9 px, focus", "walk 3.6 px, focus", "walk 2 px, noise", "stream 2 px, focus", "walk 2 px, lateral")
Grey = NDArray[np.uint8]
Found = dict[str, dict[bool, list[float]]]
"""By flow, with and without truth: logarithms of the ratio to the flicker along the true motion."""


def farneback(before: Grey, after: Grey) -> Array:
    """Return Farneback's flow, with the settings of the metrics, (2, Y, X): (dy, dx)."""
    found = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 4, 11, 3, 5, 1.1, 0)  # type: ignore[call-overload]
    return np.moveaxis(found, -1, 0)[::-1]


def inverse_search(before: Grey, after: Grey) -> Array:
    """Return the flow of the filters, (2, Y, X): (dy, dx)."""
    return np.moveaxis(FlowEstimator().estimate(before, after), -1, 0)[::-1]


def ilk(before: Grey, after: Grey) -> Array:
    """Return the flow of the iterative Lucas-Kanade method, (2, Y, X): (dy, dx)."""
    return optical_flow_ilk(np.float32(before) / 255, np.float32(after) / 255)


def tvl1(before: Grey, after: Grey) -> Array:
    """Return the flow of TV-L1, (2, Y, X): (dy, dx)."""
    return optical_flow_tvl1(np.float32(before) / 255, np.float32(after) / 255)


FLOWS: Mapping[str, tuple[Callable[[Grey, Grey], Array], int]] = MappingProxyType({
    "none": (lambda before, _: np.zeros((2, *before.shape), np.float32), 2),
    "Farneback, full resolution": (farneback, 1),
    "Farneback, half resolution": (farneback, 2),
    "ILK, half resolution": (ilk, 2),
    "TV-L1, half resolution": (tvl1, 2),
    "dense inverse search, full resolution": (inverse_search, 1),
})  # fmt: skip
"""Estimators of the flow, and the reduction of the frames."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = Parser(prog="python -m benchmarks.flicker_agreement", description=__doc__, allow_abbrev=False)
    parser.add_argument("--frames", type=integer(MIN_FRAMES), default=FRAMES, help=f"of a movie (default: {FRAMES})")
    parser.add_argument("--side", type=integer(MIN_SIDE), default=SIDE, help=f"of a frame, in pixels (default: {SIDE})")
    parser.add_argument(
        "--worlds", nargs="+", choices=WORLDS, default=WORLDS, metavar="WORLD", help="default: all five"
    )
    arguments = parser.parse_args(argv)
    jobs = list_jobs(argparse.Namespace(**vars(arguments), second_network=None, movies=1))
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        found = list(tqdm(pool.map(run, jobs), total=len(jobs), unit="movie", disable=None))
    print(format_agreement(found))
    return 0


def run(job: Job) -> Found:
    """Simulate, stain and smooth one movie, and compare the flicker of each method along each flow."""
    stained = stain(job)
    raw, truth, phase = stained.raw, stained.truth, stained.phase
    results = smooth(raw, phase, tuple(method for method in METHODS if method != "window"))
    results |= {"true motion": along_true_motion(stained), "blurred": blurred(raw), "gain": with_gain_flicker(raw)}
    true_ratios = [changes(images, stained) / changes(raw, stained) for images in results.values()]
    found: Found = {name: {} for name in FLOWS}
    for name, (estimate, reduction) in FLOWS.items():
        for with_truth, texture in ((True, truth.sum(axis=1)), (False, phase)):
            flows, offset = _flows(texture, estimate, reduction), truth * with_truth
            raw_change = _mean_change(raw - offset, flows)
            ratios = [_mean_change(images - offset, flows) / raw_change for images in results.values()]
            found[name][with_truth] = np.log(np.divide(ratios, true_ratios)).ravel().tolist()
    return found


def format_agreement(found: Sequence[Found]) -> str:
    """Return the table of the mean and the maximum absolute logarithm of each flow."""
    rows = [["flow", "with truth, flow of the truth", "without truth, flow of the phase"]]
    for name in FLOWS:
        absolute = (np.abs(np.concatenate([each[name][truth] for each in found])) for truth in (True, False))
        rows.append([name, *(f"{values.mean():.3f} ({values.max():.2f})" for values in absolute)])
    return format_markdown(rows)


def _flows(images: Array, estimate: Callable[[Grey, Grey], Array], reduction: int) -> list[Array]:
    """Return the flow between adjacent images (T, Y, X), each (2, Y, X) in pixels."""
    height, width = images.shape[1:]
    prepare, reduced = FlowEstimator().prepare, (width // reduction, height // reduction)
    grey = [cv2.resize(prepare(image)[0], reduced, interpolation=cv2.INTER_AREA) for image in images]
    flows = (reduction * np.ascontiguousarray(estimate(*pair), np.float32) for pair in pairwise(grey))
    return [np.stack([cv2.resize(component, (width, height)) for component in flow]) for flow in flows]


def _mean_change(images: Array, flows: Sequence[Array]) -> NDArray[np.float64]:
    everywhere = np.ones(images.shape[2:], bool)
    return np.mean(
        [change(*pair, flow, everywhere) for pair, flow in zip(pairwise(images), flows, strict=True)], axis=0
    )


if __name__ == "__main__":
    sys.exit(main())
