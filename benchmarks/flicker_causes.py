"""``python -m benchmarks.flicker_causes``: what changes from frame to frame in real movies, cause by cause.

The procedure is first applied to simulated movies of one cause each, whose strength is known; then to real movies, and
to the stain that the bundled network predicts from one of them.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.arguments import integer
from benchmarks.causes import CAUSES, SERIES, Change, Image, Strengths, attribute, changes, half_way, jitter
from benchmarks.movies import MIN_SIDE
from benchmarks.table import format_markdown
from image_translation.cli.program import Parser
from image_translation.errors import UsageError
from image_translation.simulation.flicker import Cause, fluctuation
from image_translation.simulation.spec import MovieSpec

DATA = Path(__file__).parents[2] / "shared" / "data"
REAL = {"Livecyte": "livecyte_phase", "bacteria": "bacteria_phase_annotated", "HeLa (stain)": "hela_nuclei_annotated"}
STAINED = "livecyte_phase"
CHANNELS = ("nuclei", "membrane")
SPEEDS = (1.0, 2.5)
ONE_CAUSE: Mapping[str, tuple[str, float]] = {
    "none": ("noise", 0.02),
    "gain": ("gain_jitter", 0.03),
    "background": ("background_jitter", 0.05),
    "lateral": ("lateral_jitter", 0.5),
    "focus": ("focus_jitter", 0.3),
    "halo": ("halo_jitter", 0.3),
    "noise": ("noise", 0.06),
    "texture": ("texture_jitter", 1.0),
}
"""Field of `MovieSpec` and its strength, by cause."""

_LEAST_SIDE, _LEAST_FRAMES = max(64, MIN_SIDE), 4
_SHARES = (*CAUSES, "noise", "rest")


@dataclass(frozen=True)
class Simulated:
    """Result for a simulated movie of one cause.

    Attributes
    ----------
    strengths
        The result.
    true
        True strength in this movie, estimated from its true fluctuations as it is from the measured ones: in a few
        frames it may differ from the specified one. That of the specification for background, noise and texture.
    slope
        Slope of the measured changes against the true ones; NaN where these are not single numbers.
    """

    strengths: Strengths
    true: float
    slope: float


def main(argv: list[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = Parser(prog="python -m benchmarks.flicker_causes", description=__doc__, allow_abbrev=False)
    frames, side = integer(_LEAST_FRAMES, reason="covariances in time"), integer(_LEAST_SIDE, reason="pixels")
    parser.add_argument("--frames", type=frames, default=160, help="of a real movie, at most (default: 160)")
    parser.add_argument("--simulated-frames", type=frames, default=40, help="of a simulated movie (default: 40)")
    parser.add_argument("--side", type=side, default=256, help="of a simulated frame, in pixels (default: 256)")
    parser.add_argument("--stained", type=frames, default=24, help="frames to stain (default: 24)")
    parser.add_argument("--data", type=Path, default=DATA, help=f"directory of the real movies (default: {DATA})")
    arguments = parser.parse_args(argv)
    spec = MovieSpec(shape=(arguments.side, arguments.side), frames=arguments.simulated_frames, seed=880_000)
    print(format_simulated({(cause, speed): measure_simulated(spec, cause, speed) for cause, speed in _conditions()}))
    real = {}
    for name, file in REAL.items():
        path = arguments.data / f"{file}.ome.zarr"
        if path.exists():
            real[name] = measure(read_frames(path, arguments.frames))
        else:
            print(f"flicker_causes: {path} does not exist; {name} is skipped", file=sys.stderr)
    if real:
        print("", format_shares(real), "", format_strengths(real), sep="\n")
    path = arguments.data / f"{STAINED}.ome.zarr"
    if path.exists():
        from benchmarks.stained import normalise, predictor

        phase = normalise(np.stack(list(read_frames(path, arguments.stained))))
        print("", format_stain(stain_shares(phase, predictor("demo_ckpt"))), sep="\n")
    return 0


def measure(frames: Iterable[Image]) -> Strengths:
    """Measure the causes in a movie of frames (Y, X), float32."""
    strengths = Strengths()
    for change in changes(frames):
        strengths.add(change)
    return strengths


def measure_simulated(spec: MovieSpec, cause: str, speed: float) -> Simulated:
    """Measure the causes in a simulated movie of one cause."""
    from image_translation.simulation.movie import Movie

    field, strength = ONE_CAUSE[cause]
    movie = Movie(replace(spec, speed=speed, **{field: strength}))
    strengths = measure(movie.phase(t) for t in range(spec.frames))
    if cause not in SERIES:
        return Simulated(strengths, strength, np.nan)
    name, count = {"gain": ("gain", 1), "lateral": ("lateral", 2), "focus": ("defocus", 1), "halo": ("halo", 1)}[cause]
    fluctuations = [fluctuation(movie.spec, cast(Cause, name), t, count) for t in range(spec.frames)]
    true, found = np.diff(fluctuations, axis=0), strengths.series(cause)
    return Simulated(strengths, jitter(true)[0], float((true * found).sum() / (true**2).sum()))


def read_frames(path: Path, frames: int, channel: int = 0) -> Iterator[Image]:
    """Read the first frames of a channel of a store, (Y, X) float32."""
    from image_translation.omezarr.store import open_store

    store = open_store(path)
    position = store.position(store.names[0])
    for t in range(min(frames, position.shape[0])):
        yield np.asarray(position.read(t, channel, 0), np.float32)


def stain_shares(phase: Image, predict: Callable[[Image], Image]) -> list[dict[str, float]]:
    """Explain the changes of a stain by those of the phase.

    The network stains the phase of a frame with what each cause adds to it until the next; what that changes explains
    the change of the stain along the motion, as in `causes.attribute`.

    Parameters
    ----------
    phase
        Normalised phase, (T, Y, X) float32.
    predict
        Returns the stain (C, Y, X) of a phase (Y, X).

    Returns
    -------
    list of dict
        Mean share of each cause, of the rest of the phase ("rest"), and of nothing of it ("unexplained"), by channel.
    """
    stains = [predict(image) for image in phase]
    shares = [_explain_stain(change, *stains[t : t + 2], predict) for t, change in enumerate(changes(phase))]
    return [
        {name: float(np.mean([frame[channel][name] for frame in shares])) for name in shares[0][channel]}
        for channel in range(len(stains[0]))
    ]


def format_simulated(results: Mapping[tuple[str, float], Simulated]) -> str:
    """Return the table of the movies of one cause each."""
    header = ["simulated", "px per frame", "true", "found", "at most", "slope", "share", "of change", "largest other"]
    rows = [header]
    for (cause, speed), result in results.items():
        floor, shares = results["none", speed].strengths.shares, result.strengths.shares
        key = {"lateral": "shift", "none": "rest", "texture": "rest"}.get(cause, cause)
        above = {name: shares[name] - floor[name] for name in _SHARES if name not in (key, "rest")}
        other = max(above, key=lambda name: above[name])
        table = result.strengths.table()
        found, error, limit = table.get(cause, (np.nan, np.nan, np.nan))
        rows.append([
            cause, f"{speed:g}", "-" if cause == "none" else f"{result.true:.3f}",
            f"{found:.3f} ±{error:.3f}" if cause in table else "-", f"{limit:.3f}" if cause in table else "-",
            f"{result.slope:.2f}" if np.isfinite(result.slope) else "-",
            f"{shares[key]:.3f} ({key})", f"{result.strengths.change:.3f}", f"{above[other]:+.3f} ({other})",
        ])  # fmt: skip
    return (
        "Simulated movies of one cause each: strength, in the unit of simulate's option, with its standard error and\n"
        "an upper limit; slope of the measured changes against the true ones; share of the cause in the variance of\n"
        "the change along the motion; change relative to the contrast of cells; largest share of another cause, above\n"
        f"that in the movie without.\n\n{format_markdown(rows)}"
    )


def format_shares(results: Mapping[str, Strengths]) -> str:
    """Return the table of the shares of each cause in movies."""
    rows = [["movie", "px per frame", "change", *_SHARES]]
    for name, strengths in results.items():
        shares = [f"{strengths.shares[cause]:.3f}" for cause in _SHARES]
        rows.append([name, f"{strengths.speed:.1f}", f"{strengths.change:.3f}", *shares])
    return (
        "Real movies: change along the motion, relative to the contrast of cells, and the share of each cause in its\n"
        "variance. Noise: new in each frame. Rest: texture, deformation and errors of the flow.\n\n"
        f"{format_markdown(rows)}"
    )


def format_strengths(results: Mapping[str, Strengths]) -> str:
    """Return the table of the strengths of each cause in movies."""
    tables = {name: strengths.table() for name, strengths in results.items()}
    rows = [["cause", *(f"{name}{end}" for name in tables for end in ("", ", at most"))]]
    for cause in next(iter(tables.values())):
        cells = []
        for table in tables.values():
            found, error, limit = table[cause]
            cells += [f"{found:.3f} ±{error:.3f}", f"{limit:.3f}"]
        rows.append([cause, *cells])
    return (
        "Real movies: strength of each cause in the unit of simulate's options, with its standard error, and an\n"
        f"upper limit, which contains errors of the flow and of the fit.\n\n{format_markdown(rows)}"
    )


def format_stain(shares: list[dict[str, float]]) -> str:
    """Return the table of the shares in the change of a stain."""
    rows = [["stain of Livecyte", *shares[0]]]
    rows += [[name, *(f"{value:.3f}" for value in own.values())] for name, own in zip(CHANNELS, shares, strict=True)]
    return (
        "Predicted stain: share of each cause of the phase in the variance of its change along the motion. Rest:\n"
        f"noise, texture, deformation and errors of the flow in the phase.\n\n{format_markdown(rows)}"
    )


def _conditions() -> Iterator[tuple[str, float]]:
    return ((cause, speed) for speed in SPEEDS for cause in ONE_CAUSE)


def _explain_stain(
    change: Change, before: Image, after: Image, predict: Callable[[Image], Image]
) -> list[dict[str, float]]:
    base = predict(change.first)
    parts = change.parts | {"rest": change.rest}
    effects: dict[str, NDArray[np.float32]] = {
        name: predict(change.first + part) - base for name, part in parts.items()
    }
    results = []
    for channel in range(len(before)):
        first, second = half_way(before[channel], after[channel], change.flow)
        explanations = {name: effect[channel] for name, effect in effects.items()}
        shares = attribute(second - first, explanations, change.valid)
        results.append(shares | {"unexplained": 1 - sum(shares.values())})
    return results


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UsageError as error:
        sys.exit(f"flicker_causes: {error}")
