"""``python -m benchmarks.strengths FIGURE``: fidelity against flicker of every method, over its strength.

A blur of each frame is shown beside the methods: it lowers the flicker, too, but not the error.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.arguments import integer
from benchmarks.stained import Array
from benchmarks.table import format_markdown
from benchmarks.temporal import FRAMES, SIDE, along_true_motion, changes, list_jobs
from benchmarks.temporal_tables import CHANNELS, LIMIT, RAW
from benchmarks.worlds import Job, Stained, stain
from image_translation.cli.program import Parser

WORLDS = ("walk 0.9 px, focus", "still, noise", "stream 3.6 px, none", "domes 2 px, noise")
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "window": (3, 5, 7, 9), "savgol": (5, 7, 9, 11), "median": (3, 5, 7, 9), "motion": (3, 5, 7, 9, 11),
    "causal": (0, 1, 2, 3), "blur": (0.7, 1.0, 1.5, 2.0),
}  # fmt: skip

Point = NDArray[np.float64]
"""Flicker relative to raw, and Pearson with the truth: (2, C)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and draw the figure."""
    parser = Parser(prog="python -m benchmarks.strengths", description=__doc__, allow_abbrev=False)
    parser.add_argument("figure", type=Path, help="PNG file to write")
    parser.add_argument("--movies", type=integer(1), default=2, help="of each world (default: 2)")
    parser.add_argument("--second-network", metavar="CKPT", help="see python -m benchmarks.temporal --help")
    arguments = parser.parse_args(argv)
    jobs = list_jobs(argparse.Namespace(**vars(arguments), worlds=WORLDS, side=SIDE, frames=FRAMES))
    os.environ["OMP_NUM_THREADS"] = "1"
    by_world: dict[str, list[dict[str, Point]]] = defaultdict(list)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for job, points in zip(jobs, tqdm(pool.map(run, jobs), total=len(jobs), unit="movie"), strict=True):
            by_world[job.world.name].append(points)
    means = {
        world: {name: np.mean([movie[name] for movie in movies], axis=0) for name in movies[0]}
        for world, movies in by_world.items()
    }
    print(format_points(means))
    draw(means, arguments.figure)
    return 0


def run(job: Job) -> dict[str, Point]:
    """Simulate and stain a movie, and score each method at each strength."""
    stained = stain(job)
    reference = changes(stained.raw, stained)
    results = {RAW: stained.raw, LIMIT: along_true_motion(stained)}
    results |= {f"{name} {s:g}": _smoothed(stained, name, s) for name, values in STRENGTHS.items() for s in values}
    return {
        name: np.stack([changes(images, stained) / reference, _pearson(images, stained.truth)])
        for name, images in results.items()
    }


def format_points(by_world: Mapping[str, Mapping[str, Point]]) -> str:
    """Return the table of flicker and Pearson."""
    rows = [["method", *(f"{world}: {channel}" for world in by_world for channel in CHANNELS)]]
    for name in next(iter(by_world.values())):
        cells = [f"{flicker:.2f} / {r:.3f}" for points in by_world.values() for flicker, r in points[name].T]
        rows.append([name, *cells])
    return (
        "Flicker of the error (raw is 1) / Pearson with the truth. After the name: frames in the window; of causal,\n"
        f"frames after; of blur, the standard deviation in pixels.\n\n{format_markdown(rows)}"
    )


def draw(by_world: Mapping[str, Mapping[str, Point]], path: Path) -> None:
    """Draw the curves, a panel for each world and channel."""
    from matplotlib.figure import Figure

    figure = Figure((2.6 * len(by_world), 5), layout="constrained")
    panels = figure.subplots(len(CHANNELS), len(by_world), squeeze=False)
    for column, (world, points) in enumerate(by_world.items()):
        for c, channel in enumerate(CHANNELS):
            axes = panels[c, column]
            raw = points[RAW][:, c]
            for name, strengths in STRENGTHS.items():
                curve = np.array([raw, *(points[f"{name} {s:g}"][:, c] for s in strengths)])
                emphasis = 2.0 if name == "motion" else 1.0
                axes.plot(*curve.T, marker="o", markersize=3, linewidth=emphasis, label=name)
            axes.plot(*points[LIMIT][:, c], "k*", label=LIMIT)
            axes.plot(*raw, "ks", label=RAW)
            axes.axhline(raw[1], color="0.8", linewidth=0.8, zorder=0)
            axes.set_title(f"{world}\n{channel}", fontsize=8)
            axes.tick_params(labelsize=7)
    figure.supxlabel("flicker of the error along the true motion, relative to raw", fontsize=8)
    figure.supylabel("Pearson correlation with the truth", fontsize=8)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=8, fontsize=8)
    figure.savefig(path, dpi=120)


def _smoothed(stained: Stained, name: str, strength: float) -> Array:
    from scipy.ndimage import gaussian_filter

    from image_translation.staining.methods import SMOOTHING
    from image_translation.temporal.filter import apply

    if name == "blur":
        return gaussian_filter(stained.raw, (0, 0, strength, strength))
    parameter = "lag" if name == "causal" else "window"
    return apply(SMOOTHING[name].make(**{parameter: int(strength)}), stained.raw, phase=stained.phase)


def _pearson(images: Array, truth: Array) -> NDArray[np.float64]:
    """Return the mean correlation with the truth over the frames, (C,)."""
    from image_translation.metrics.correlation import describe, pearson

    return np.mean([pearson(describe(a), describe(b)) for a, b in zip(images, truth, strict=True)], axis=0)


if __name__ == "__main__":
    sys.exit(main())
