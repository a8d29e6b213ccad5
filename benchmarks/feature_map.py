"""Principal components of all stages of the bundled network against scikit-learn's on all pixels and components.

``python -m benchmarks.feature_map [SIDE [REPEATS]]`` prints the table for a frame of SIDE x SIDE pixels (1024).
"""

import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.isolated import FreshProcess
from benchmarks.table import Line, format_lines

SIDE = 1024
# "auto" is what PCA() chooses: since scikit-learn 1.5 the covariance where pixels are many; before, it was "full".
SOLVERS = ("full", "auto")


def main() -> None:
    """Measure, and print the table."""
    numbers = [int(text) for text in sys.argv[1:]]
    print(format_lines(list(measure(*numbers))))


def measure(side: int = SIDE, repeats: int = 3, checkpoint: str = "demo_ckpt") -> Iterator[Line]:
    """Fit the first three components of each stage, and all of them by scikit-learn, in turn."""
    with FreshProcess() as process:
        seconds, angle = process.call(seconds_and_angle, side, repeats, checkpoint)
    for solver in SOLVERS:
        what = f"PCA of all stages at {side}x{side}, PCA(svd_solver={solver!r})"
        yield Line(what, seconds["ours"], seconds[solver], "s", 5.0, "at least")
    yield Line("largest angle of the first three components", angle, None, "rad", 0.01, "at most")


def seconds_and_angle(side: int, repeats: int, checkpoint: str) -> tuple[dict[str, float], float]:
    """Return the summed median times of all stages, and the largest angle to the components of all pixels."""
    import numpy as np
    from sklearn.decomposition import PCA

    from image_translation.explorer.principal_components import fit_basis

    times: dict[str, list[list[float]]] = {name: [] for name in ("ours", *SOLVERS)}
    angle = 0.0
    for features in _maps(side, checkpoint):
        pixels = features.reshape(len(features), -1).T
        fits: dict[str, Any] = {"ours": lambda features=features: fit_basis([features]).components}
        for solver in SOLVERS:
            fits[solver] = lambda pixels=pixels, solver=solver: PCA(svd_solver=solver).fit(pixels).components_
        for times_of_stage in times.values():
            times_of_stage.append([])
        found = {}
        for _ in range(repeats):
            for name, fit in fits.items():
                start = time.perf_counter()
                found[name] = fit()
                times[name][-1].append(time.perf_counter() - start)
        ours = found["ours"].astype(np.float64)
        theirs = found["full"][: len(ours)].astype(np.float64)
        theirs *= np.sign(np.vecdot(ours, theirs))[:, np.newaxis]
        angle = max(angle, float(2 * np.arcsin(np.linalg.norm(ours - theirs, axis=1) / 2).max()))
    return {name: sum(map(median, stages)) for name, stages in times.items()}, angle


def _maps(side: int, checkpoint: str) -> list[Any]:
    """Return what each stage of a network makes of a simulated frame, (C, H, W) each."""
    import numpy as np

    from image_translation import data
    from image_translation.network import loading
    from image_translation.network.features import FeatureExtractor
    from image_translation.simulation.movie import Movie
    from image_translation.simulation.spec import MovieSpec

    spec, weights = loading.read_spec(data.resolve(checkpoint))
    phase = Movie(MovieSpec(shape=(side, side), frames=1)).frame(0)[:1]  # without the fluorescence
    image = (phase - phase.mean()) / phase.std()
    extractor = FeatureExtractor(loading.build(spec, weights), spec.stride, device="cpu")
    return list(extractor.extract(image.astype(np.float32))[1].values())


if __name__ == "__main__":
    main()
