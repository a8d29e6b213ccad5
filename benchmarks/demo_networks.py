"""How well a network stains simulated movies that no training sees: ``python -m benchmarks.demo_networks``."""

import argparse
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import CHANNELS, MovieSpec

if TYPE_CHECKING:
    from image_translation.network.loading import ModelSpec
    from image_translation.network.predictor import Predictor

DENSITIES, SPEEDS, SEEDS, FLICKERS = (0.1, 0.4, 0.7, 1.0), (0.5, 2.0, 4.0), (90_001, 90_002), (1.0, 3.0)
FRAMES = (0, 7)  # of 8


def main() -> None:
    """Print one line for each checkpoint, flicker, density and channel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="*", default=["demo_ckpt", "demo_ckpt_fluor2phase"])
    parser.add_argument("--size", type=int, default=320, help="side of the field, in pixels")
    arguments = parser.parse_args()
    for checkpoint in arguments.checkpoints:
        print(
            f"\n{checkpoint}: Pearson correlation with the truth; mean (and least) of {len(SPEEDS) * len(SEEDS)} movies"
        )
        for flicker in FLICKERS:
            print(f"flicker {flicker:g}")
            for line in _table(checkpoint, arguments.size, flicker):
                print(line, flush=True)


def _table(checkpoint: str, size: int, flicker: float) -> Iterator[str]:
    from image_translation.data.lookup import resolve_checkpoint
    from image_translation.network.loading import build, read_spec
    from image_translation.network.predictor import Predictor

    spec, state = read_spec(resolve_checkpoint(checkpoint))
    predictor = Predictor(build(spec, state), spec.stride)
    scores: dict[float, list[np.ndarray]] = {}
    movies = list(itertools.product(DENSITIES, SPEEDS, SEEDS))
    for density, speed, seed in tqdm(movies, disable=None, leave=False):
        movie = MovieSpec(
            shape=(size, size), frames=max(FRAMES) + 1, seed=seed, density=density, speed=speed, flicker=flicker
        )
        scores.setdefault(density, []).append(_correlations(predictor, spec, movie))
    for density, found in scores.items():
        yield _line(f"density {density:g}", spec.output_channels, np.array(found))
    yield _line("all", spec.output_channels, np.concatenate([np.array(found) for found in scores.values()]))


def _correlations(predictor: "Predictor", spec: "ModelSpec", simulated: MovieSpec) -> np.ndarray:
    from image_translation import normalize

    movie = Movie(simulated)
    frames = [dict(zip(CHANNELS, movie.frame(t), strict=True)) for t in range(max(FRAMES) + 1)]
    inputs = []
    for channel in spec.input_channels:
        statistics = normalize.estimate((normalize.grid_sample(frame[channel]) for frame in frames), spec.normalization)
        inputs.append([normalize.apply(frames[t][channel], statistics) for t in FRAMES])
    correlations = []
    for t, image in zip(FRAMES, np.stack(inputs, axis=1), strict=True):
        (predicted,) = predictor.predict([image])
        pairs = zip(predicted, (frames[t][channel] for channel in spec.output_channels), strict=True)
        correlations.append([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])
    return np.mean(correlations, axis=0)


def _line(name: str, channels: tuple[str, ...], scores: np.ndarray) -> str:
    numbers = (
        f"{c} {m:.3f} ({w:.3f})" for c, m, w in zip(channels, scores.mean(axis=0), scores.min(axis=0), strict=True)
    )
    return f"  {name:12} " + "   ".join(numbers)


if __name__ == "__main__":
    main()
