"""``python -m benchmarks.feature_map``: PCA of the features of all stages, against scikit-learn's.

For the bundled network on a frame of SIDE x SIDE pixels; scikit-learn computes all components, the package three.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.arguments import integer
from benchmarks.fresh_process import FreshProcess
from benchmarks.table import Measurement, format_table
from image_translation.cli.program import Parser

SIDE, MIN_SIDE = 1024, 17  # pixels
# "auto" is the default of PCA(): for many pixels, since scikit-learn 1.5, the covariance; before, it was "full".
SOLVERS = ("full", "auto")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = Parser(prog="python -m benchmarks.feature_map", description=__doc__, allow_abbrev=False)
    limits = integer(MIN_SIDE, reason="pixels: then the coarsest stage has 4, enough for 3 components")
    parser.add_argument("side", nargs="?", type=limits, default=SIDE, help=f"of the frame (default: {SIDE} pixels)")
    parser.add_argument("repeats", nargs="?", type=integer(1), default=3, help="fits; their median time (default: 3)")
    arguments = parser.parse_args(argv)
    print(format_table(list(measure(arguments.side, arguments.repeats))))
    return 0


def measure(side: int = SIDE, repeats: int = 3, checkpoint: str = "demo_ckpt") -> Iterator[Measurement]:
    """Fit three components of each stage, and all components by scikit-learn, in turn."""
    with FreshProcess() as process:
        seconds, angle = process.call(seconds_and_angle, side, repeats, checkpoint)
    for solver in SOLVERS:
        what = f"PCA of all stages at {side}x{side}, PCA(svd_solver={solver!r})"
        yield Measurement(what, seconds["ours"], seconds[solver], "s", 5.0, "at least")
    yield Measurement("largest angle of the first three components", angle, None, "rad", 0.01, "at most")


def seconds_and_angle(side: int, repeats: int, checkpoint: str) -> tuple[dict[str, float], float]:
    """Return the median times, summed over the stages, and the largest angle between the components, in radians."""
    import numpy as np
    from sklearn.decomposition import PCA

    from image_translation.explorer.principal_components import fit_basis

    times: dict[str, list[list[float]]] = {name: [] for name in ("ours", *SOLVERS)}
    angle = 0.0
    for features in _stage_features(side, checkpoint):
        pixels = features.reshape(len(features), -1).T
        fits: dict[str, Any] = {"ours": lambda features=features: fit_basis([features]).components}
        for solver in SOLVERS:
            fits[solver] = lambda pixels=pixels, solver=solver: PCA(svd_solver=solver).fit(pixels).components_
        for stage_times in times.values():
            stage_times.append([])
        components = {}
        for _ in range(repeats):
            for name, fit in fits.items():
                start = time.perf_counter()
                components[name] = fit()
                times[name][-1].append(time.perf_counter() - start)
        ours = components["ours"].astype(np.float64)
        theirs = components["full"][: len(ours)].astype(np.float64)
        theirs *= np.sign(np.vecdot(ours, theirs))[:, np.newaxis]
        angle = max(angle, float(2 * np.arcsin(np.linalg.norm(ours - theirs, axis=1) / 2).max()))
    return {name: sum(map(median, stages)) for name, stages in times.items()}, angle


def _stage_features(side: int, checkpoint: str) -> list[Any]:
    """Return the features of each stage of a network for a simulated frame, (C, H, W) each."""
    import numpy as np

    from image_translation import data
    from image_translation.network import loading
    from image_translation.network.features import FeatureExtractor
    from image_translation.simulation.movie import Movie
    from image_translation.simulation.spec import MovieSpec

    spec, weights = loading.read_spec(data.resolve(checkpoint))
    phase = Movie(MovieSpec(shape=(side, side), frames=1, flicker=1.0)).frame(0)[:1]  # without the fluorescence
    image = (phase - phase.mean()) / phase.std()
    extractor = FeatureExtractor(loading.build_network(spec, weights), spec.stride, device="cpu")
    return list(extractor.extract(image.astype(np.float32))[1].values())


if __name__ == "__main__":
    sys.exit(main())
