"""``python -m benchmarks.temporal``: score all smoothing methods on simulated movies, whose truth and motion are known.

The seeds of the movies were used neither to train the bundled network nor to tune the filters. There are three speeds
and two strengths of flicker, with densities from sparse to confluent. Flicker is measured along the true motion.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.arguments import integer
from benchmarks.movies import MIN_SIDE
from image_translation.cli.program import Parser

SPEEDS, FLICKERS = (0.9, 2.0, 3.6), (1.0, 3.0)
DENSITIES = (0.4, 0.55, 0.7, 0.85, 0.95)
FIRST_SEED = 770_000
CHANNELS = ("nuclei", "membrane")
METHODS = ("window", "savgol", "median", "motion", "causal")
TARGETS = {"nuclei": 0.90, "membrane": 0.75}  # of the achievable reduction of flicker, from raw to the limit
COLUMNS = (
    "pearson", "pearson_worst", "pearson_ends", "pearson_events", "pearson_fast", "ssim", "coherence", "detail",
    "sharpness", "over_smoothing", "lag",
)  # fmt: skip
GAINS = ("pearson", "pearson_worst", "pearson_events", "ssim", "coherence")
RAW, RECOMMENDED, LIMIT = "raw", "motion", "true motion"
MIN_FRAMES = 11  # window of the Savitzky-Golay filter

Array = NDArray[np.float32]
Result = dict[tuple[str, str], dict[str, float]]
"""Scores by method and channel."""


@dataclass(frozen=True)
class Condition:
    """Speed of the cells in pixels per frame, and strength of the flicker."""

    speed: float
    flicker: float

    def __str__(self) -> str:
        return f"{self.speed:g} px, flicker {self.flicker:g}"


@dataclass(frozen=True)
class Job:
    """One movie to simulate, and whether to predict it with test-time augmentation as well."""

    condition: Condition
    seed: int
    density: float
    side: int
    frames: int
    tta: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = Parser(prog="python -m benchmarks.temporal", description=__doc__, allow_abbrev=False)
    frames = integer(MIN_FRAMES, reason="the window of the Savitzky-Golay filter")
    side = integer(MIN_SIDE, reason="pixels, as the simulation needs")
    parser.add_argument("--movies", type=integer(1), default=5, help="for each condition (default: 5)")
    parser.add_argument("--frames", type=frames, default=24, help="of a movie (default: 24)")
    parser.add_argument("--side", type=side, default=256, help="of a frame, in pixels (default: 256)")
    parser.add_argument("--tta", action="store_true", help="also with test-time augmentation")
    parser.add_argument(
        "--workers", type=integer(1), default=os.cpu_count(), help="processes (default: one for each processor)"
    )
    arguments = parser.parse_args(argv)
    conditions = [Condition(*values) for values in product(SPEEDS, FLICKERS)]
    jobs = [
        Job(condition, FIRST_SEED + 1000 * number + movie, DENSITIES[movie % len(DENSITIES)], arguments.side,
            arguments.frames, arguments.tta)
        for number, condition in enumerate(conditions)
        for movie in range(arguments.movies)
    ]  # fmt: skip
    os.environ["OMP_NUM_THREADS"] = "1"  # for the workers: one movie each is faster than threads
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        results = list(tqdm(pool.map(run, jobs), total=len(jobs), unit="movie", disable=None))
    by_condition: dict[Condition, list[Result]] = defaultdict(list)
    for job, result in zip(jobs, results, strict=True):
        by_condition[job.condition].append(result)
    print(*(format_flicker(by_condition), format_quality(by_condition), format_methods(results)), sep="\n\n")
    return 0


def run(job: Job) -> Result:
    """Simulate, stain, smooth and score one movie."""
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
    phase = _normalise(images[:, 0])
    predictions = {RAW: _predict(phase, tta=False)} | ({"tta": _predict(phase, tta=True)} if job.tta else {})
    results = {**predictions, **_smooth(predictions[RAW], phase), LIMIT: _along_true_motion(predictions[RAW], movie)}
    if job.tta:
        results[f"tta + {RECOMMENDED}"] = _smooth(predictions["tta"], phase, (RECOMMENDED,))[RECOMMENDED]
    return _score(results, truth, phase, movie)


def format_flicker(by_condition: Mapping[Condition, list[Result]]) -> str:
    """Return the table of the flicker that the recommended method leaves in each condition."""
    rows = [["condition", "channel", RECOMMENDED, LIMIT, "of achievable", "target", "met?"]]
    for condition, results in by_condition.items():
        for channel in CHANNELS:
            flicker, limit = (_scores_of(results, method, channel, "flicker") for method in (RECOMMENDED, LIMIT))
            achieved, target = (1 - flicker) / (1 - limit), TARGETS[channel]
            met = "yes" if achieved.mean() >= target else "NO"
            rows.append(
                [str(condition), channel, *map(_mean_and_error, (flicker, limit, achieved)), f"{target:.2f}", met]
            )
    return (
        f"Flicker of {RECOMMENDED}: change of the error along the true motion, relative to raw. {LIMIT}: the same\n"
        "filter, given the true motion. Of achievable: reduction of flicker, relative to that with the true motion.\n"
        f"Mean and standard error over movies.\n\n{_table(rows)}"
    )


def format_quality(by_condition: Mapping[Condition, list[Result]]) -> str:
    """Return the table of fidelity, detail and lag of the recommended method in each condition."""
    names = [column.replace("pearson", "r") for column in GAINS]
    rows = [["condition", "channel", *names, "detail", "adj. r", "at equal blur", f"{LIMIT}'s", "lag"]]
    for condition, results in by_condition.items():
        for channel in CHANNELS:
            get = partial(_scores_of, results, channel=channel)
            gains = [get(RECOMMENDED, column=column) - get(RAW, column=column) for column in GAINS]
            over = [get(RECOMMENDED, column=column) for column in ("excess", "over_smoothing")]
            others = [*over, get(LIMIT, column="excess"), get(RECOMMENDED, column="lag")]
            cells = [
                *(_mean_and_error(gain, signed=True) for gain in gains),
                _mean_and_error(get(RECOMMENDED, column="detail")),
            ]
            rows.append([str(condition), channel, *cells, *(_mean_and_error(values, signed=True) for values in others)])
    return (
        f"Gain of {RECOMMENDED} over raw in fidelity to the truth: Pearson r (mean, 5th percentile, at events), SSIM,\n"
        "coherence in the bands. Detail: true detail kept, relative to raw. Adj. r: adjacent Pearson minus that of\n"
        f"the truth; at equal blur: minus that of the truth at the blur of the stain; {LIMIT}'s: adj. r of {LIMIT}.\n"
        f"Lag in frames.\n\n{_table(rows)}"
    )


def format_methods(results: list[Result]) -> str:
    """Return the table of all methods, over all movies."""
    methods = list(dict.fromkeys(method for method, _ in results[0]))
    rows = [["channel", "method", "flicker", *COLUMNS]]
    for channel in CHANNELS:
        for method in methods:
            own = [_scores_of(results, method, channel, column) for column in ("flicker", *COLUMNS)]
            rows.append([channel, method, *map(_mean_and_error, own)])
    return f"All methods, mean and standard error over all {len(results)} movies.\n\n{_table(rows)}"


@cache
def _predictor(*, tta: bool) -> Callable[[list[Array]], list[Array]]:
    from image_translation import data
    from image_translation.network import loading
    from image_translation.network.predictor import Predictor

    spec, weights = loading.read_spec(data.resolve("demo_ckpt"))
    return Predictor(loading.build_network(spec, weights), spec.stride, device="cpu", tta=tta).predict


def _predict(phase: Array, *, tta: bool) -> Array:
    predict = _predictor(tta=tta)
    return np.stack([predict([image[np.newaxis]])[0] for image in phase])


def _normalise(phase: Array) -> Array:
    from image_translation import normalize

    statistics = normalize.estimate([normalize.grid_sample(image) for image in phase], "mean_std")
    return np.stack([normalize.apply(image, statistics) for image in phase])


def _smooth(raw: Array, phase: Array, methods: tuple[str, ...] = METHODS) -> dict[str, Array]:
    from image_translation.staining.options import SmoothOptions
    from image_translation.temporal.filter import apply

    filters = SmoothOptions("demo_ckpt", "demo_movie", Path(), methods=methods).filters()
    return {method: apply(temporal_filter, raw, phase=phase) for method, temporal_filter in filters.items()}


def _along_true_motion(raw: Array, movie: object) -> Array:
    """Return the result of the motion filter, given the true motion: the limit of what it can achieve."""
    from image_translation.temporal import optical_flow
    from image_translation.temporal.motion_filter import TIME_SIGMA
    from image_translation.temporal.robust_mean import robust_mean

    results, start = [], optical_flow.pixel_grid(raw.shape[2:])
    for t in range(len(raw)):
        images, weights, confidence = [raw[t]], [1.0], [np.ones(raw.shape[2:], np.float32)]
        for other in range(max(0, t - 3), min(len(raw), t + 4)):
            if other != t:
                flow, valid = movie.displacement(t, other)
                positions = start + np.moveaxis(flow[::-1], 0, -1)
                images.append(np.stack([optical_flow.warp(channel, positions) for channel in raw[other]]))
                weights.append(np.exp(-0.5 * ((other - t) / TIME_SIGMA) ** 2))
                confidence.append(np.float32(valid))
        arguments = np.array(weights, np.float32), np.stack(confidence)
        results.append([robust_mean(np.stack(channel), *arguments) for channel in zip(*images, strict=True)])
    return np.array(results, np.float32)


def _score(results: Mapping[str, Array], truth: Array, phase: Array, movie: object) -> Result:
    from image_translation.frame import Frame
    from image_translation.metrics.evaluator import Evaluator
    from image_translation.metrics.rows import TRUTH
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
        changes = _relative_changes(images, results[RAW], truth, movie)
        for channel, change in zip(CHANNELS, changes, strict=True):
            scores[method, channel]["flicker"] = float(change)
    return scores


def _relative_changes(images: Array, raw: Array, truth: Array, movie: object) -> NDArray[np.float64]:
    """Return the frame-to-frame change of the error along the true motion, relative to that of raw."""
    from image_translation.metrics.flicker import change

    own, reference = [], []
    for t in range(len(truth) - 1):
        flow, valid = movie.displacement(t, t + 1)
        reference.append(change(raw[t] - truth[t], raw[t + 1] - truth[t + 1], flow, valid))
    if len(images) < len(truth):  # a mean of two frames is compared with the mean of their truth
        truth = (truth[1:] + truth[:-1]) / 2
    for t in range(len(images) - 1):
        flow, valid = movie.displacement(t, t + 1)
        own.append(change(images[t] - truth[t], images[t + 1] - truth[t + 1], flow, valid))
    return np.mean(own, axis=0) / np.mean(reference, axis=0)


def _scores_of(results: list[Result], method: str, channel: str, column: str) -> NDArray[np.float64]:
    return np.array([result[method, channel].get(column, np.nan) for result in results])


def _mean_and_error(values: NDArray[np.float64], *, signed: bool = False) -> str:
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
    sys.exit(main())
