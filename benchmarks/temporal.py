"""``python -m benchmarks.temporal``: what each method does to movies whose truth and true motion are known.

The movies are simulated from seeds that neither the bundled network nor the tuning of the filters has seen, at three
speeds and two strengths of flicker, with densities from sparse to confluent. Flicker is measured along the true motion.
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

SPEEDS, FLICKERS = (0.9, 2.0, 3.6), (1.0, 3.0)
DENSITIES = (0.4, 0.55, 0.7, 0.85, 0.95)
FIRST_SEED = 770_000
CHANNELS = ("nuclei", "membrane")
METHODS = ("window", "savgol", "median", "motion", "causal")
REACH = {"nuclei": 0.90, "membrane": 0.75}  # of the way from raw to the limit
COLUMNS = (
    "pearson", "pearson_worst", "pearson_ends", "pearson_events", "pearson_fast", "ssim", "coherence", "detail",
    "sharpness", "over_smoothing", "lag",
)  # fmt: skip
GAINS = ("pearson", "pearson_worst", "pearson_events", "ssim", "coherence")
RAW, BEST, LIMIT = "raw", "motion", "true motion"

Array = NDArray[np.float32]
Result = dict[tuple[str, str], dict[str, float]]
"""Numbers by method and channel."""


@dataclass(frozen=True)
class Condition:
    speed: float
    flicker: float

    def __str__(self) -> str:
        return f"{self.speed:g} px, flicker {self.flicker:g}"


@dataclass(frozen=True)
class Job:
    condition: Condition
    seed: int
    density: float
    side: int
    frames: int
    tta: bool


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.temporal", description=__doc__, allow_abbrev=False)
    parser.add_argument("--movies", type=int, default=5, help="for each condition (default: 5)")
    parser.add_argument("--frames", type=int, default=24, help="of a movie (default: 24)")
    parser.add_argument("--side", type=int, default=256, help="of a frame, in pixels (default: 256)")
    parser.add_argument("--tta", action="store_true", help="also with test-time augmentation")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a processor)")
    arguments = parser.parse_args()
    conditions = [Condition(*values) for values in product(SPEEDS, FLICKERS)]
    jobs = [
        Job(condition, FIRST_SEED + 1000 * number + movie, DENSITIES[movie % len(DENSITIES)], arguments.side,
            arguments.frames, arguments.tta)
        for number, condition in enumerate(conditions)
        for movie in range(arguments.movies)
    ]  # fmt: skip
    os.environ["OMP_NUM_THREADS"] = "1"  # of the workers: a movie each is faster than threads
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        results = list(tqdm(pool.map(run, jobs), total=len(jobs), unit="movie", disable=None))
    by_condition: dict[Condition, list[Result]] = defaultdict(list)
    for job, result in zip(jobs, results, strict=True):
        by_condition[job.condition].append(result)
    print(*(format_reach(by_condition), format_harm(by_condition), format_methods(results)), sep="\n\n")


def run(job: Job) -> Result:
    """Simulate, stain, filter and score one movie."""
    import cv2

    from image_translation.simulation.movie import Movie
    from image_translation.simulation.spec import MovieSpec

    cv2.setNumThreads(1)
    spec = MovieSpec(
        shape=(job.side, job.side), frames=job.frames, seed=job.seed, density=job.density,
        speed=job.condition.speed, flicker=job.condition.flicker,
    )  # fmt: skip
    movie = Movie(spec)
    images = np.stack([movie.frame(t) for t in range(spec.frames)])
    truth = images[:, 1:]
    phase = _normalised(images[:, 0])
    stained = {RAW: _predict(phase, tta=False)} | ({"tta": _predict(phase, tta=True)} if job.tta else {})
    results = {**stained, **_filtered(stained[RAW], phase), LIMIT: _along_true_motion(stained[RAW], movie)}
    if job.tta:
        results[f"tta + {BEST}"] = _filtered(stained["tta"], phase, (BEST,))[BEST]
    return _score(results, truth, phase, movie)


def format_reach(by_condition: Mapping[Condition, list[Result]]) -> str:
    """Return the table of how far the recommended method takes the flicker off in each condition."""
    rows = [["condition", "channel", BEST, LIMIT, "of the way", "reach", "met?"]]
    for condition, results in by_condition.items():
        for channel in CHANNELS:
            flicker, limit = (_values(results, method, channel, "flicker") for method in (BEST, LIMIT))
            way, reach = (1 - flicker) / (1 - limit), REACH[channel]
            met = "yes" if way.mean() >= reach else "NO"
            rows.append([str(condition), channel, *map(_spread, (flicker, limit, way)), f"{reach:.2f}", met])
    return (
        f"Flicker of {BEST}: change of the error along the true motion, raw is 1; {LIMIT}: the same filter, if it\n"
        f"knew the motion. Mean and standard error over movies.\n\n{_table(rows)}"
    )


def format_harm(by_condition: Mapping[Condition, list[Result]]) -> str:
    """Return the table of what the recommended method costs in each condition."""
    names = [column.replace("pearson", "r") for column in GAINS]
    rows = [["condition", "channel", *names, "detail", "adj. r", "at equal blur", f"{LIMIT}'s", "lag"]]
    for condition, results in by_condition.items():
        for channel in CHANNELS:
            get = partial(_values, results, channel=channel)
            gains = [get(BEST, column=column) - get(RAW, column=column) for column in GAINS]
            over = [get(BEST, column=column) for column in ("excess", "over_smoothing")]
            rest = [*over, get(LIMIT, column="excess"), get(BEST, column="lag")]
            cells = [*(_spread(gain, signed=True) for gain in gains), _spread(get(BEST, column="detail"))]
            rows.append([str(condition), channel, *cells, *(_spread(values, signed=True) for values in rest)])
    return (
        f"Gain of {BEST} over raw in likeness to the truth: mean, 5th percentile, where something happened, SSIM,\n"
        "coherence in the bands; true detail kept, raw is 1; adjacent Pearson less the truth's own, less that of the\n"
        f"truth at the blur of the stain, and less the truth's own for the {LIMIT}; lag in frames.\n\n{_table(rows)}"
    )


def format_methods(results: list[Result]) -> str:
    """Return the table of all methods over all movies."""
    methods = list(dict.fromkeys(method for method, _ in results[0]))
    rows = [["channel", "method", "flicker", *COLUMNS]]
    for channel in CHANNELS:
        for method in methods:
            own = [_values(results, method, channel, column) for column in ("flicker", *COLUMNS)]
            rows.append([channel, method, *map(_spread, own)])
    return f"All methods, mean and standard error over all {len(results)} movies.\n\n{_table(rows)}"


@cache
def _predictor(*, tta: bool) -> Callable[[list[Array]], list[Array]]:
    from image_translation import data
    from image_translation.network import loading
    from image_translation.network.predictor import Predictor

    spec, weights = loading.read_spec(data.resolve("demo_ckpt"))
    return Predictor(loading.build(spec, weights), spec.stride, device="cpu", tta=tta).predict


def _predict(phase: Array, *, tta: bool) -> Array:
    predict = _predictor(tta=tta)
    return np.stack([predict([image[np.newaxis]])[0] for image in phase])


def _normalised(phase: Array) -> Array:
    from image_translation import normalize

    statistics = normalize.estimate([normalize.grid_sample(image) for image in phase], "mean_std")
    return np.stack([normalize.apply(image, statistics) for image in phase])


def _filtered(raw: Array, phase: Array, methods: tuple[str, ...] = METHODS) -> dict[str, Array]:
    from image_translation.staining.options import SmoothOptions
    from image_translation.temporal.filter import apply

    filters = SmoothOptions("demo_ckpt", "demo_movie", Path(), methods=methods).filters()
    return {method: apply(temporal_filter, raw, phase=phase) for method, temporal_filter in filters.items()}


def _along_true_motion(raw: Array, movie: object) -> Array:
    """Return what the motion filter would give if it knew the motion: the limit of what it can reach."""
    from image_translation.temporal import optical_flow
    from image_translation.temporal.motion_filter import TIME
    from image_translation.temporal.robust_mean import robust_mean

    results, start = [], optical_flow.grid(raw.shape[2:])
    for t in range(len(raw)):
        images, weights, trust = [raw[t]], [1.0], [np.ones(raw.shape[2:], np.float32)]
        for other in range(max(0, t - 3), min(len(raw), t + 4)):
            if other != t:
                flow, valid = movie.displacement(t, other)
                places = start + np.moveaxis(flow[::-1], 0, -1)
                images.append(np.stack([optical_flow.warp(channel, places) for channel in raw[other]]))
                weights.append(np.exp(-0.5 * ((other - t) / TIME) ** 2))
                trust.append(np.float32(valid))
        known = np.array(weights, np.float32), np.stack(trust)
        results.append([robust_mean(np.stack(channel), *known) for channel in zip(*images, strict=True)])
    return np.array(results, np.float32)


def _score(results: Mapping[str, Array], truth: Array, phase: Array, movie: object) -> Result:
    from image_translation.frame import Frame
    from image_translation.metrics.evaluator import TRUTH, Evaluator
    from image_translation.metrics.score_card import score_cards

    delays = {method: 0.5 if method == "window" else 0.0 for method in results if method != RAW}
    evaluator = Evaluator("0", CHANNELS, delays, truth=True)
    rows = []
    for t, true in enumerate(truth):
        rows += evaluator.add(TRUTH, Frame(t, true))
        for method, images in results.items():
            if t < len(images):
                rows += evaluator.add(method, Frame(t, images[t], phase=phase[t] if method == RAW else None))
    (card,) = score_cards(rows + evaluator.finish())
    scores = {(entry.method, entry.channel): dict(entry.values) for entry in card.entries}
    for (method, channel), columns in scores.items():
        own, true = (
            [row.value for row in rows if (row.method, row.channel, row.metric) == (name, channel, "adjacent_pearson")]
            for name in (method, TRUTH)
        )
        columns["excess"] = float(np.mean(own) - np.mean(true))
    for method, images in results.items():
        changes = _true_changes(images, results[RAW], truth, movie)
        for channel, change in zip(CHANNELS, changes, strict=True):
            scores[method, channel]["flicker"] = float(change)
    return scores


def _true_changes(images: Array, raw: Array, truth: Array, movie: object) -> NDArray[np.float64]:
    """Return the change of the error from frame to frame along the true motion, over that of raw."""
    from image_translation.metrics.flicker import change

    own, reference = [], []
    for t in range(len(truth) - 1):
        flow, valid = movie.displacement(t, t + 1)
        reference.append(change(raw[t] - truth[t], raw[t + 1] - truth[t + 1], flow, valid))
    if len(images) < len(truth):  # the mean of two lies between two frames, and so does its truth
        truth = (truth[1:] + truth[:-1]) / 2
    for t in range(len(images) - 1):
        flow, valid = movie.displacement(t, t + 1)
        own.append(change(images[t] - truth[t], images[t + 1] - truth[t + 1], flow, valid))
    return np.mean(own, axis=0) / np.mean(reference, axis=0)


def _values(results: list[Result], method: str, channel: str, column: str) -> NDArray[np.float64]:
    return np.array([result[method, channel].get(column, np.nan) for result in results])


def _spread(values: NDArray[np.float64], *, signed: bool = False) -> str:
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{values.mean():{'+' if signed else ''}.3f} ±{error:.3f}"


def _table(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
