"""Metrics over time of predictions on disk: planned series in, rows out."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.evaluation.plan import Series
from image_translation.frame import Frame
from image_translation.metrics.evaluator import Evaluator
from image_translation.metrics.rows import RAW, TRUTH, Row
from image_translation.progress_bar import ProgressBar


def score_over_time(series: Sequence[Series]) -> list[Row]:
    """Score series over time, with a progress bar.

    Parameters
    ----------
    series
        Series of a plan.

    Returns
    -------
    list of Row
        The metrics, as ``Evaluator`` returns them.

    Raises
    ------
    DataError
        If a frame cannot be read.
    """
    rows: list[Row] = []
    total = sum(len(one.frames) for one in series)
    with ProgressBar(total, "scoring") as bar:
        for one in series:
            for new in _score(one):
                rows += new
                bar.update(1)
    return rows


def _score(series: Series) -> Iterator[list[Row]]:
    """Yield the rows that become known with each frame, those of the whole movie with the last."""
    evaluator = Evaluator(series.position, series.channels, series.delays, truth=TRUTH in series.planes, z=series.z)
    for number in series.frames:
        rows: list[Row] = []
        for method in (TRUTH, RAW, *series.delays):
            if method not in series.planes or number >= series.frames.stop - bool(series.delays.get(method)):
                continue
            data = series.planes[method].read(number)
            valid = normalize.is_valid(data) if method == TRUTH else bool(np.isfinite(data).all())
            phase = _phase(series, number) if method == RAW and valid else None
            rows += evaluator.add(method, Frame(number, data, valid, phase))
        if number == series.frames[-1]:
            rows += evaluator.finish()
        yield rows


def _phase(series: Series, number: int) -> NDArray[np.float32] | None:
    if series.phase is None:
        return None
    image: NDArray[np.float32] = series.phase.read(number)[0]
    return image if normalize.is_valid(image) else None
