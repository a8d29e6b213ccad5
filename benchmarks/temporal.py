"""``python -m benchmarks.temporal``: score all smoothing methods in simulated worlds, whose truth and motion are known.

Each world has one cause of flicker; see `benchmarks.worlds`. The second simulator needs a network trained on it:

    image-translation simulate -o data/domes.ome.zarr --cells domes --optics reconstructed --flicker 0.5 \\
        --positions 24 --frames 2 --density 1 --seed 9100
    image-translation train data/domes.ome.zarr --source Phase3D --target Nuclei Membrane -o data/domes \\
        --from demo_ckpt --steps 2400 --patch 128 --loss 0.1 0.9 0 --rate 2e-3
    python -m benchmarks.temporal --second-network data/domes/best.ckpt
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.arguments import integer
from benchmarks.movies import MIN_SIDE
from benchmarks.stained import smooth
from benchmarks.table import format_markdown
from benchmarks.worlds import DENSITIES, FIRST_SEED, WORLDS, Array, Job, Stained, stain
from image_translation.cli.program import Parser

CHANNELS = ("nuclei", "membrane")
METHODS = ("window", "savgol", "median", "motion", "causal")
TARGETS = {"nuclei": 0.85, "membrane": 0.75}  # of the reduction of flicker with the true motion
COLUMNS = (
    "flicker", "pearson", "pearson_worst", "pearson_events", "ssim", "coherence", "detail", "displacement",
    "displacement_local", "over_smoothing", "lag",
)  # fmt: skip
TOLERANCES = {"pearson": 0.0, "pearson_worst": 0.0, "ssim": 0.0, "coherence": 0.0, "pearson_events": 0.005}
RAW, RECOMMENDED, LIMIT = "raw", "motion", "true motion"
MAX_DISPLACEMENT, MIN_DETAIL = 0.1, 0.95
MIN_FRAMES = 11  # window of the Savitzky-Golay filter

Scores = dict[tuple[str, str], dict[str, float]]
"""Scores by method and channel."""


@dataclass(frozen=True)
class Result:
    """Scores of the methods on one movie, and their rankings with and without the truth, best first."""

    scores: Scores
    with_truth: tuple[str, ...]
    without_truth: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = Parser(
        prog="python -m benchmarks.temporal",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    frames = integer(MIN_FRAMES, reason="the window of the Savitzky-Golay filter")
    side = integer(MIN_SIDE, reason="pixels, as the simulation needs")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, metavar="WORLD", help=f"of {'; '.join(WORLDS)}")
    parser.add_argument("--movies", type=integer(1), default=5, help="of each world (default: 5)")
    parser.add_argument("--frames", type=frames, default=20, help="of a movie (default: 20)")
    parser.add_argument("--side", type=side, default=256, help="of a frame, in pixels (default: 256)")
    parser.add_argument("--second-network", metavar="CKPT", help="of the second simulator; left out if not given")
    parser.add_argument(
        "--workers", type=integer(1), default=os.cpu_count(), help="processes (default: one for each processor)"
    )
    arguments = parser.parse_args(argv)
    jobs = list_jobs(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"  # for the workers: one movie each is faster than threads
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        results = list(tqdm(pool.map(run, jobs), total=len(jobs), unit="movie", disable=None))
    by_world: dict[str, list[Result]] = defaultdict(list)
    for job, result in zip(jobs, results, strict=True):
        by_world[job.world.name].append(result)
    tables = (format_reach(by_world), format_flicker(by_world), format_rankings(by_world), format_methods(by_world))
    print(*tables, sep="\n\n")
    return 0


def list_jobs(arguments: argparse.Namespace) -> list[Job]:
    """Return the movies to simulate: seeds and densities differ between the movies of a world."""
    jobs = []
    for number, world in enumerate(WORLDS.values()):
        checkpoint = arguments.second_network if world.second else "demo_ckpt"
        if checkpoint is None or (arguments.worlds and world.name not in arguments.worlds):
            continue
        for movie in range(arguments.movies):
            seed, density = FIRST_SEED + 1000 * number + movie, DENSITIES[movie % len(DENSITIES)]
            jobs.append(Job(world, seed, density, arguments.side, arguments.frames, checkpoint))
    return jobs


def run(job: Job) -> Result:
    """Simulate, stain, smooth and score one movie."""
    import cv2

    cv2.setNumThreads(1)
    stained = stain(job)
    results = {RAW: stained.raw, **smooth(stained.raw, stained.phase, METHODS)}
    cards = {truth: _card(results, stained, truth=truth) for truth in (True, False)}
    scores = {(entry.method, entry.channel): dict(entry.values) for entry in cards[True].entries}
    limit = {LIMIT: _along_true_motion(stained)}
    for entry in _card({RAW: stained.raw, **limit}, stained, truth=True).entries:
        scores[entry.method, entry.channel] = dict(entry.values)
    for method, images in (results | limit).items():
        for channel, change in zip(CHANNELS, _relative_changes(images, stained), strict=True):
            scores[method, channel]["flicker"] = float(change)
    return Result(scores, cards[True].ranking, cards[False].ranking)


def format_reach(by_world: Mapping[str, list[Result]]) -> str:
    """Return the table of what the recommended method does to the fidelity in each world, with what is missed."""
    names = [column.replace("pearson", "r") for column in TOLERANCES]
    rows = [["world", "channel", *names, "detail", "displaced", "missed"]]
    for world, results in by_world.items():
        for channel in CHANNELS:
            gains = {
                column: _column(results, RECOMMENDED, channel, column) - _column(results, RAW, channel, column)
                for column in TOLERANCES
            }
            detail = _column(results, RECOMMENDED, channel, "detail")
            displaced = _column(results, RECOMMENDED, channel, "displacement")
            missed = [
                name
                for name, (column, tolerance) in zip(names, TOLERANCES.items(), strict=True)
                if _mean(gains[column]) < -tolerance - 5e-4  # as it is printed
            ]
            missed += ["detail"] * (_mean(detail) < MIN_DETAIL) + ["displaced"] * (_mean(displaced) > MAX_DISPLACEMENT)
            cells = [*(_mean_and_error(gain, signed=True) for gain in gains.values())]
            cells += [_mean_and_error(detail), _mean_and_error(displaced), ", ".join(missed) or "-"]
            rows.append([world, channel, *cells])
    return (
        f"Gain of {RECOMMENDED} over raw in fidelity to the truth: Pearson r (mean, 5th percentile), SSIM, coherence\n"
        f"in the bands, r at events. Detail kept, raw is 1. Displaced: against raw, pixels.\n\n{format_markdown(rows)}"
    )


def format_flicker(by_world: Mapping[str, list[Result]]) -> str:
    """Return the table of the flicker that the recommended method leaves in each world."""
    rows = [["world", "channel", RECOMMENDED, LIMIT, "of the way", "target", "met?"]]
    for world, results in by_world.items():
        for channel in CHANNELS:
            flicker, limit = (_column(results, method, channel, "flicker") for method in (RECOMMENDED, LIMIT))
            reached = (1 - flicker.mean()) / (1 - limit.mean()) if limit.mean() < 1 else np.nan
            judged = "focus" in world or "noise" in world or "gain" in world
            met = ("yes" if reached >= TARGETS[channel] else "NO") if judged else "-"
            target = f"{TARGETS[channel]:.2f}" if judged else "-"
            cells = [_mean_and_error(flicker), _mean_and_error(limit), f"{reached:.2f}", target, met]
            rows.append([world, channel, *cells])
    return (
        f"Flicker: change of the error along the true motion, relative to raw. {LIMIT}: a robust mean over the same\n"
        "window along the true motion of the material. Of the way: reduction of flicker relative to it.\n"
        f"Mean and standard error over movies.\n\n{format_markdown(rows)}"
    )


def format_rankings(by_world: Mapping[str, list[Result]]) -> str:
    """Return the table of methods that the card ranks above raw without the truth, and below it with the truth."""
    rows = [["world", "pairs", "above raw, rightly", "above raw, wrongly", "below raw, though better"]]
    total = np.zeros(4, int)
    wrong_methods: dict[str, int] = defaultdict(int)
    for world, results in by_world.items():
        counts = np.zeros(4, int)
        for result in results:
            for method in METHODS:
                said, true = (_above_raw(ranking, method) for ranking in (result.without_truth, result.with_truth))
                counts += (1, said and true, said and not true, true and not said)
                wrong_methods[method] += said and not true
        rows.append([world, *map(str, counts)])
        total += counts
    rows.append(["all", *map(str, total)])
    wrong = ", ".join(f"{method} {count}" for method, count in wrong_methods.items() if count) or "none"
    return (
        "Ranking of each method and raw by the card without the truth, judged by the card with it, movie by movie.\n"
        f"Wrongly above raw: {wrong}.\n\n{format_markdown(rows)}"
    )


def format_methods(by_world: Mapping[str, list[Result]]) -> str:
    """Return the table of all methods, over all movies."""
    results = [result for several in by_world.values() for result in several]
    methods = list(dict.fromkeys(method for method, _ in results[0].scores))
    rows = [["channel", "method", *COLUMNS]]
    for channel in CHANNELS:
        for method in methods:
            own = [_column(results, method, channel, column) for column in COLUMNS]
            rows.append([channel, method, *map(_mean_and_error, own)])
    return f"All methods, mean and standard error over all {len(results)} movies.\n\n{format_markdown(rows)}"


def _above_raw(ranking: Sequence[str], method: str) -> bool:
    return ranking.index(method) < ranking.index(RAW)


def _along_true_motion(stained: Stained) -> Array:
    """Return the robust mean over 7 frames along the true motion of the material."""
    from image_translation.temporal import optical_flow
    from image_translation.temporal.motion_filter import TIME_SIGMA
    from image_translation.temporal.robust_mean import robust_mean

    raw = stained.raw
    results, start = [], optical_flow.pixel_grid(raw.shape[2:])
    for t in range(len(raw)):
        images, weights, confidence = [raw[t]], [1.0], [np.ones(raw.shape[2:], np.float32)]
        for other in range(max(0, t - 3), min(len(raw), t + 4)):
            if other != t:
                flow, valid = stained.movie.displacement(t, other)
                positions = start + np.moveaxis(flow[::-1], 0, -1)
                images.append(np.stack([optical_flow.warp(channel, positions) for channel in raw[other]]))
                weights.append(np.exp(-0.5 * ((other - t) / TIME_SIGMA) ** 2))
                confidence.append(np.float32(valid))
        arguments = np.array(weights, np.float32), np.stack(confidence)
        results.append([robust_mean(np.stack(channel), *arguments) for channel in zip(*images, strict=True)])
    return np.array(results, np.float32)


def _card(results: Mapping[str, Array], stained: Stained, *, truth: bool) -> Any:
    """Return the score card of the methods."""
    from image_translation.frame import Frame
    from image_translation.metrics.evaluator import Evaluator
    from image_translation.metrics.rows import TRUTH
    from image_translation.metrics.score_card import score_cards

    delays = {method: 0.5 if method == "window" else 0.0 for method in results if method != RAW}
    evaluator = Evaluator("0", CHANNELS, delays, truth=truth)
    rows = []
    for t, true in enumerate(stained.truth):
        if truth:
            rows += evaluator.add(TRUTH, Frame(t, true))
        for method, images in results.items():
            if t < len(images):
                rows += evaluator.add(method, Frame(t, images[t], phase=stained.phase[t] if method == RAW else None))
    (card,) = score_cards(rows + evaluator.finish())
    return card


def _relative_changes(images: Array, stained: Stained) -> NDArray[np.float64]:
    """Return the frame-to-frame change of the error along the true motion, relative to that of raw."""
    from image_translation.metrics.flicker import change

    raw, truth = stained.raw, stained.truth
    motion = [stained.movie.displacement(t, t + 1) for t in range(len(truth) - 1)]
    reference = [change(raw[t] - truth[t], raw[t + 1] - truth[t + 1], *motion[t]) for t in range(len(truth) - 1)]
    if len(images) < len(truth):  # a mean of two frames is compared with the mean of their truth
        truth = (truth[1:] + truth[:-1]) / 2
    own = [change(images[t] - truth[t], images[t + 1] - truth[t + 1], *motion[t]) for t in range(len(images) - 1)]
    return np.mean(own, axis=0) / np.mean(reference, axis=0)


def _column(results: Sequence[Result], method: str, channel: str, column: str) -> NDArray[np.float64]:
    return np.array([result.scores[method, channel].get(column, np.nan) for result in results])


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _mean_and_error(values: NDArray[np.float64], *, signed: bool = False) -> str:
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{values.mean():{'+' if signed else ''}.3f} ±{error:.3f}"


if __name__ == "__main__":
    sys.exit(main())
