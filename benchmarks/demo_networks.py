"""``python -m benchmarks.demo_networks``: how well networks stain simulated movies that are in no training data."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from benchmarks.arguments import integer
from image_translation.cli.program import Parser
from image_translation.errors import ImageTranslationError, UsageError, first_line
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import CHANNELS, MovieSpec

if TYPE_CHECKING:
    from image_translation.network.loading import ModelSpec
    from image_translation.network.predictor import Predictor

DENSITIES, SPEEDS, SEEDS, FLICKERS = (0.1, 0.4, 0.7, 1.0), (0.5, 2.0, 4.0), (90_001, 90_002), (1.0, 3.0)
FRAMES = (0, 7)  # of 8
MIN_SIDE = 160  # pixels: some smaller fields have no cells, so that their correlation is undefined


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line for each checkpoint, flicker and density."""
    parser = Parser(prog="python -m benchmarks.demo_networks", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "checkpoints", nargs="*", default=["demo_ckpt", "demo_ckpt_fluor2phase"], help="paths or names (default: both)"
    )
    limits = integer(MIN_SIDE, reason="pixels: then every field has cells, as the correlation needs")
    parser.add_argument("--size", type=limits, default=320, help="side of the field, in pixels (default: 320)")
    arguments = parser.parse_args(argv)
    try:
        networks = {checkpoint: _load(checkpoint) for checkpoint in arguments.checkpoints}
    except ImageTranslationError as error:
        parser.error(f"argument checkpoints: {first_line(error)}")
    for checkpoint, (spec, predictor) in networks.items():
        print(
            f"\n{checkpoint}: Pearson correlation with the truth; "
            f"mean (and minimum) of {len(SPEEDS) * len(SEEDS)} movies"
        )
        for flicker in FLICKERS:
            print(f"flicker {flicker:g}")
            for line in _table(spec, predictor, arguments.size, flicker):
                print(line, flush=True)
    return 0


def _load(checkpoint: str) -> "tuple[ModelSpec, Predictor]":
    """Load a network; raise a ``UsageError`` if the simulation does not have its channels."""
    from image_translation.data.lookup import locate, resolve_checkpoint
    from image_translation.network.loading import build_network, read_spec
    from image_translation.network.predictor import Predictor

    locate(checkpoint, kind="checkpoint")
    spec, state = read_spec(resolve_checkpoint(checkpoint))
    for what, channels in (("input", spec.input_channels), ("output", spec.output_channels)):
        if not channels or not set(channels) <= set(CHANNELS):
            names = ", ".join(channels) or "unnamed"
            raise UsageError(f"{checkpoint}: its {what} channels are {names}; allowed are {', '.join(CHANNELS)}")
    return spec, Predictor(build_network(spec, state), spec.stride)


def _table(spec: "ModelSpec", predictor: "Predictor", size: int, flicker: float) -> Iterator[str]:
    from image_translation.training.simulated_fields import FLICKER

    scores: dict[float, list[np.ndarray]] = {}
    movies = list(itertools.product(DENSITIES, SPEEDS, SEEDS))
    for density, speed, seed in tqdm(movies, disable=None, leave=False):
        movie = MovieSpec(
            shape=(size, size), frames=max(FRAMES) + 1, seed=seed, density=density, speed=speed,
            **{cause: flicker * strength for cause, strength in FLICKER.items()},
        )  # fmt: skip
        scores.setdefault(density, []).append(_correlations(predictor, spec, movie))
    for density, values in scores.items():
        yield _line(f"density {density:g}", spec.output_channels, np.array(values))
    yield _line("all", spec.output_channels, np.concatenate([np.array(values) for values in scores.values()]))


def _correlations(predictor: "Predictor", spec: "ModelSpec", movie_spec: MovieSpec) -> np.ndarray:
    """Return the correlation of each output channel with the truth, as the mean over `FRAMES`."""
    from image_translation import normalize

    method = spec.normalization or normalize.DEFAULT_METHOD
    movie = Movie(movie_spec)
    frames = [dict(zip(CHANNELS, movie.frame(t), strict=True)) for t in range(max(FRAMES) + 1)]
    inputs = []
    for channel in spec.input_channels:
        statistics = normalize.estimate((normalize.grid_sample(frame[channel]) for frame in frames), method)
        inputs.append([normalize.apply(frames[t][channel], statistics) for t in FRAMES])
    correlations = []
    for t, image in zip(FRAMES, np.stack(inputs, axis=1), strict=True):
        (predicted,) = predictor.predict([image])
        pairs = zip(predicted, (frames[t][channel] for channel in spec.output_channels), strict=True)
        correlations.append([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])
    return np.mean(correlations, axis=0)


def _line(name: str, channels: tuple[str, ...], scores: np.ndarray) -> str:
    numbers = (
        f"{channel} {mean:.3f} ({minimum:.3f})"
        for channel, mean, minimum in zip(channels, scores.mean(axis=0), scores.min(axis=0), strict=True)
    )
    return f"  {name:12} " + "   ".join(numbers)


if __name__ == "__main__":
    sys.exit(main())
