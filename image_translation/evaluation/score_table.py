"""Paired scores as a table to read."""

from collections.abc import Sequence
from math import isnan

import numpy as np

from image_translation.metrics.rows import TRUTH, Row
from image_translation.metrics.score_names import EVERYWHERE, MEAN, OBJECTS, PIXELS

SMALL_IS_GOOD = frozenset({"mae", "count_error"})
_DIGITS = {"psnr": 1}


def format_scores(rows: Sequence[Row]) -> str:
    """Write down the mean of each score over all fields, one line a prediction; the best of several is starred.

    The error of the count is the mean of its size, whatever its sign.
    """
    return "\n\n".join(_table(rows, channel) for channel in dict.fromkeys(row.channel for row in rows))


def means(rows: Sequence[Row], channel: str) -> dict[str, dict[str, float]]:
    """Return by prediction the mean of each score of a channel over all fields, NaN where it is never defined."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row.channel == channel and row.position != EVERYWHERE:
            value = abs(row.value) if row.metric == "count_error" else row.value
            values.setdefault(row.method, {}).setdefault(row.metric, []).append(value)
    return {
        method: {name: _mean(found) for name, found in metrics.items()}
        for method, metrics in sorted(values.items(), key=lambda item: item[0] == MEAN)
    }


def _table(rows: Sequence[Row], channel: str) -> str:
    found = means(rows, channel)
    names = [name for name in (*PIXELS, *OBJECTS) if any(name in scores for scores in found.values())]
    fields = {(row.position, row.frame) for row in rows if row.channel == channel and row.position != EVERYWHERE}
    shared = {row.metric: row.value for row in rows if row.channel == channel and row.method == TRUTH}
    diameter = f", objects of {shared['diameter']:.0f} px" if "diameter" in shared else ""
    head = f"{channel}: {len(fields)} image{'s'[: len(fields) != 1]}, data range {shared['data_range']:.4g}{diameter}"
    width = max(len(method) for method in found)
    lines = [head, " " * width + "".join(f"{name:>13}" for name in names)]
    best = {name: _best(name, found) for name in names}
    for method, scores in found.items():
        cells = [_cell(name, scores.get(name, np.nan), starred=best[name] == method) for name in names]
        lines.append(f"{method:{width}}{''.join(cells)}")
    return "\n".join(lines)


def _best(name: str, found: dict[str, dict[str, float]]) -> str | None:
    """Return which prediction is the best in a score, of several."""
    scores = {m: s[name] for m, s in found.items() if m != MEAN and not isnan(s.get(name, np.nan))}
    if len(scores) < 2:
        return None
    return (min if name in SMALL_IS_GOOD else max)(scores, key=scores.__getitem__)


def _cell(name: str, value: float, *, starred: bool) -> str:
    if isnan(value):
        return f"{'-':>12} "
    text = f"{value:.4g}" if name == "mae" else f"{value:.{_DIGITS.get(name, 3)}f}"
    return f"{text:>12}{'*' if starred else ' '}"


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not isnan(value)]
    return float(np.mean(defined)) if defined else np.nan
