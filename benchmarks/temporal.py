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
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.arguments import integer
from benchmarks.movies import MIN_SIDE
from benchmarks.stained import smooth
from benchmarks.temporal_tables import (
    CHANNELS,
    LIMIT,
    METHODS,
    RAW,
    RECOMMENDED,
    REGISTERED,
    TRUTH,
    Result,
    Scores,
    format_flicker,
    format_methods,
    format_rankings,
    format_reach,
    format_registered,
    format_tracks,
    format_video,
)
from benchmarks.video_metrics import TRACKS, Embedding, Nuclei, WarpingError, flow_difference
from benchmarks.worlds import DENSITIES, FIRST_SEED, WORLDS, Array, Job, Stained, register, stain
from image_translation.cli.program import Parser

FORMATS = (
    format_reach, format_flicker, format_registered, format_tracks, format_rankings, format_methods, format_video,
)  # fmt: skip
MIN_FRAMES = 11  # window of the Savitzky-Golay filter
FRAMES, SIDE = 16, 256  # of a movie, and of a frame in pixels


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
    parser.add_argument("--frames", type=frames, default=FRAMES, help=f"of a movie (default: {FRAMES})")
    parser.add_argument("--side", type=side, default=SIDE, help=f"of a frame, in pixels (default: {SIDE})")
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
    print(*(form(by_world) for form in FORMATS), sep="\n\n")
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
    cards = {truth: score_card(results, stained, truth=truth) for truth in (True, False)}
    scores = {(entry.method, entry.channel): dict(entry.values) for entry in cards[True].entries}
    limit = {LIMIT: along_true_motion(stained)}
    for entry in score_card({RAW: stained.raw, **limit}, stained, truth=True).entries:
        scores[entry.method, entry.channel] = dict(entry.values)
    reference = changes(stained.raw, stained)
    for method, images in (results | limit).items():
        _add(scores, method, "flicker", changes(images, stained) / reference)
    _score_as_video(scores, results | limit, stained)
    if job.world.registered:
        _score_registered(scores, stained, job.checkpoint, reference)
    above = {truth: frozenset(card.ranking[: card.ranking.index(RAW)]) for truth, card in cards.items()}
    return Result(scores, above, frozenset(filter(cards[False].in_doubt, METHODS)))


def _add(scores: Scores, method: str, column: str, values: NDArray[np.float64]) -> None:
    for channel, value in zip(CHANNELS, values, strict=True):
        scores.setdefault((method, channel), {})[column] = float(value)


def _score_as_video(scores: Scores, results: Mapping[str, Array], stained: Stained) -> None:
    """Add the measures of the literature on video, and of the tracks of nuclei."""
    truth, labels = stained.truth, np.stack([stained.movie.labels(t)[0] for t in range(len(stained.truth))])
    parents = {track.label: track.parent for track in stained.movie.lineage() if track.parent}
    warping, embedding = WarpingError(stained.phase), Embedding(truth, labels)
    nuclei = Nuclei(labels, parents, stained.raw[:, 0])
    raw_error = warping.measure(stained.raw)
    for method, images in (*results.items(), (TRUTH, truth)):
        if method != TRUTH:
            _add(scores, method, "flow_difference", flow_difference(images, truth))
            _add(scores, method, "warping_error", warping.measure(images) / raw_error)
        _add(scores, method, "embedding_change", embedding.measure(images))
        tracks = nuclei.measure(images[:, 0], is_truth=method == TRUTH)
        for column in TRACKS:
            scores[method, CHANNELS[0]][column] = tracks[column]


def _score_registered(scores: Scores, stained: Stained, checkpoint: str, reference: NDArray[np.float64]) -> None:
    from image_translation.temporal.registration import RegistrationRefusedError

    try:
        registered = register(stained, checkpoint)
    except RegistrationRefusedError:
        return
    images = smooth(registered.raw, registered.phase, (RECOMMENDED,))[RECOMMENDED]
    _add(scores, REGISTERED, "flicker", changes(images, registered) / reference)


def along_true_motion(stained: Stained) -> Array:
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


def score_card(results: Mapping[str, Array], stained: Stained, *, truth: bool) -> Any:
    """Return the score card of the methods."""
    from image_translation.frame import Frame
    from image_translation.metrics.evaluator import Evaluator
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


def changes(images: Array, stained: Stained) -> NDArray[np.float64]:
    """Return the frame-to-frame change of the error along the true motion, (C,) in the unit of the stain."""
    from image_translation.metrics.flicker import change

    truth = stained.truth
    if len(images) < len(truth):  # a mean of two frames is compared with the mean of their truth
        truth = (truth[1:] + truth[:-1]) / 2
    errors = images - truth
    return np.mean([change(errors[t], errors[t + 1], *stained.motion(t)) for t in range(len(errors) - 1)], axis=0)


if __name__ == "__main__":
    sys.exit(main())
