"""Speed of the Savitzky-Golay filter against SciPy's, with one thread each."""

import time
from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.fresh_process import ONE_THREAD, FreshProcess
from benchmarks.table import Measurement

SHAPES = ((64, 2, 512, 512), (20, 2, 1000, 1100))
WINDOW, POLYORDER = 11, 3


def measure(shapes: Sequence[tuple[int, ...]], repeats: int) -> Iterator[Measurement]:
    """Filter arrays of the given shapes (T, C, Y, X) with both, in turn."""
    for shape in shapes:
        with FreshProcess(ONE_THREAD) as process:
            ours, scipys = process.call(filter_seconds, shape, repeats)
        what = f"Savitzky-Golay of {'x'.join(map(str, shape))}"
        yield Measurement(what, ours, scipys, "s", 8.0, "at least")


def filter_seconds(shape: tuple[int, ...], repeats: int) -> tuple[float, float]:
    """Return the median times of the package's filter, whose output frames are discarded, and of SciPy's."""
    import numpy as np
    from scipy.signal import savgol_filter

    from image_translation.frame import Frame
    from image_translation.temporal.linear import SavitzkyGolay

    movie = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def ours() -> None:
        stream = SavitzkyGolay(WINDOW, POLYORDER)
        for t, image in enumerate(movie):
            stream.push(Frame(t, image))
        stream.flush()

    def scipys() -> None:
        savgol_filter(movie, WINDOW, POLYORDER, axis=0, mode="interp")

    times: dict[str, list[float]] = {"ours": [], "scipys": []}
    for _ in range(repeats):
        for function in (ours, scipys):
            start = time.perf_counter()
            function()
            times[function.__name__].append(time.perf_counter() - start)
    return median(times["ours"]), median(times["scipys"])
