"""``python -m benchmarks.cheats``: methods that deceive single metrics, scored in every simulated world.

Each of them lowers the flicker, or raises the correlation of adjacent frames, and harms the movie. None may be ranked
above raw, with the truth or without.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from tqdm import tqdm

from benchmarks.arguments import integer
from benchmarks.movies import MIN_SIDE
from benchmarks.stained import Array, smooth
from benchmarks.table import format_markdown
from benchmarks.temporal import FRAMES, SIDE, list_jobs, score_card
from benchmarks.temporal_tables import RAW, RECOMMENDED
from benchmarks.worlds import Job, stain
from image_translation.cli.program import Parser

Found = dict[str, dict[bool, tuple[str, bool]]]
"""By cheat, with and without the truth: the columns that it fails or that are in doubt, and whether it is above raw."""


def frozen(raw: Array) -> Array:
    """Repeat the first frame."""
    return raw[:1].repeat(len(raw), axis=0)


def mean(raw: Array) -> Array:
    """Repeat the mean over time."""
    return raw.mean(axis=0, keepdims=True).repeat(len(raw), axis=0)


def blurred(raw: Array) -> Array:
    """Blur each frame."""
    return gaussian_filter(raw, (0, 0, 1.2, 1.2))


def ghosted(raw: Array) -> Array:
    """Average 7 frames, pixel by pixel."""
    padded = np.concatenate([raw[:1]] * 3 + [raw] + [raw[-1:]] * 3)
    return np.mean([padded[shift : shift + len(raw)] for shift in range(7)], axis=0, dtype=np.float32)


def with_gain_flicker(frames: Array) -> Array:
    """Change the brightness of each frame by 10 %."""
    return frames * np.random.default_rng(5).normal(1, 0.1, (len(frames), 1, 1, 1)).astype(np.float32)


def fading(raw: Array) -> Array:
    """Let the brightness drift."""
    return raw - np.linspace(0, 0.4 * raw.std(), len(raw), dtype=np.float32)[:, None, None, None]


def sharpened(raw: Array) -> Array:
    """Sharpen each frame."""
    return raw + 0.5 * (raw - gaussian_filter(raw, (0, 0, 1, 1)))


def shaken(raw: Array) -> Array:
    """Displace each frame by a false jitter of .6 pixels."""
    y, x = np.indices(raw.shape[2:])
    jitter = np.random.default_rng(7).normal(0, 0.6, (len(raw), 2))
    return np.stack(
        [
            [map_coordinates(image, [y + dy, x + dx], order=3, mode="nearest") for image in frame]
            for frame, (dy, dx) in zip(raw, jitter, strict=True)
        ]
    )


def half_a_frame_early(raw: Array, flow: Array) -> Array:
    """Warp each frame half of the way to the next one; the flow is (T - 1, 2, Y, X), (dy, dx) in pixels."""
    y, x = np.indices(raw.shape[2:])
    return np.stack(
        [
            [map_coordinates(image, [y - dy / 2, x - dx / 2], order=3, mode="nearest") for image in frame]
            for frame, (dy, dx) in zip(raw, [*flow, flow[-1]], strict=True)
        ]
    )


CHEATS: Mapping[str, Callable[[Array], Array]] = {
    "frozen": frozen, "mean": mean, "blurred": blurred, "ghosted": ghosted, "gain": with_gain_flicker,
    "fading": fading, "sharpened": sharpened, "shaken": shaken,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Score the cheats, and print what catches them."""
    parser = Parser(prog="python -m benchmarks.cheats", description=__doc__, allow_abbrev=False)
    parser.add_argument("--frames", type=integer(2), default=FRAMES, help=f"of a movie (default: {FRAMES})")
    parser.add_argument("--side", type=integer(MIN_SIDE), default=SIDE, help=f"of a frame, in pixels (default: {SIDE})")
    parser.add_argument("--second-network", metavar="CKPT", help="see python -m benchmarks.temporal --help")
    arguments = parser.parse_args(argv)
    jobs = list_jobs(argparse.Namespace(**vars(arguments), worlds=None, movies=1))
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        found = list(tqdm(pool.map(run, jobs), total=len(jobs), unit="movie", disable=None))
    print(format_cheats({job.world.name: each for job, each in zip(jobs, found, strict=True)}))
    return 0


def run(job: Job) -> Found:
    """Simulate and stain a movie, and score the cheats on it."""
    stained = stain(job)
    results = {RAW: stained.raw} | {name: cheat(stained.raw) for name, cheat in CHEATS.items()}
    flow = np.stack([stained.motion(t)[0] for t in range(len(stained.raw) - 1)])
    results["early"] = half_a_frame_early(stained.raw, flow)
    steady = smooth(stained.raw, stained.phase, (RECOMMENDED,))[RECOMMENDED]
    results["steady, gain"] = with_gain_flicker(steady)
    found: Found = {name: {} for name in results if name != RAW}
    for truth in (True, False):
        card = score_card(results, stained, truth=truth)
        for name in found:
            marked = [entry.failures or entry.doubts for entry in card.entries if entry.method == name]
            columns = ", ".join(dict.fromkeys(column for each in marked for column in each))
            found[name][truth] = columns, card.ranking.index(name) < card.ranking.index(RAW)
    return found


def format_cheats(by_world: Mapping[str, Found]) -> str:
    """Return the table of the worlds in which each cheat is ranked above raw, and of the columns that catch it."""
    rows = [["cheat", "above raw with truth", "without", "caught without truth by, in every world"]]
    for name in next(iter(by_world.values())):
        above = [[world for world, found in by_world.items() if found[name][truth][1]] for truth in (True, False)]
        columns = [set(found[name][False][0].split(", ")) for found in by_world.values()]
        always = sorted(set.intersection(*columns))
        rows.append([name, *(", ".join(worlds) or "never" for worlds in above), ", ".join(always) or "differs"])
    return f"Cheats in {len(by_world)} worlds, one movie each.\n\n{format_markdown(rows)}"


if __name__ == "__main__":
    sys.exit(main())
