"""Report of scores against the truth: tables, box plots, and the best, the median and the worst field."""

from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.evaluation.alignment import Movie, align, frame_numbers, matching_position
from image_translation.evaluation.options import SCORES
from image_translation.evaluation.paired_scores import PairedScores
from image_translation.evaluation.pairs import Field, Pair
from image_translation.evaluation.plan import EvaluationPlan
from image_translation.evaluation.predictions import stored_request
from image_translation.evaluation.registered import as_predicted
from image_translation.evaluation.source_movie import find_source
from image_translation.figures.scores import FieldView, box_plot_figure, field_figure
from image_translation.files import file_stems
from image_translation.metrics.rows import (
    ALL_POSITIONS,
    MEAN_OF_TRUTH,
    OBJECT_METRICS,
    PIXEL_METRICS,
    TRUTH,
    Row,
    write_csv,
)
from image_translation.omezarr.selection import select_channel
from image_translation.sources.movie import open_movie

BOXES = "scores.png"

_DPI = 150


def write_report(plan: EvaluationPlan, scores: PairedScores, output: Path) -> None:
    """Write the scores against the truth as a table and box plots, and the best, the median and the worst field.

    Parameters
    ----------
    plan
        The evaluation.
    scores
        Its scores.
    output
        Directory to write into.

    Raises
    ------
    DataError
        If an image cannot be read.
    """
    write_csv(scores.rows, output / SCORES)
    box_plot_figure(scores.rows).savefig(output / BOXES, dpi=_DPI)
    sources = _Sources(plan)
    for channel, stem in zip(scores.pairs, file_stems(scores.pairs), strict=True):
        views = list(_views(scores, channel, sources))
        if views:
            field_figure(views).savefig(output / f"fields_{stem}.png", dpi=_DPI)


def _views(scores: PairedScores, channel: str, sources: "_Sources") -> Iterator[FieldView]:
    """Yield the fields in which the first prediction scores best, median and worst, with all predictions."""
    methods = scores.pairs[channel]
    first = next(iter(methods))
    common = [field for field in methods[first] if all(field in fields for fields in methods.values())]
    found = {
        (row.method, (row.position, row.frame)): row.value
        for row in scores.rows
        if row.channel == channel and row.metric == "pearson"
    }
    ranked = sorted(common, key=lambda field: np.nan_to_num(found[first, field], nan=-1.0), reverse=True)
    places = {"median": len(ranked) // 2, "worst": len(ranked) - 1, "best": 0}
    shown = {place: title for title, place in places.items()}  # with fewer than three fields, each is shown once
    for place in sorted(shown) if ranked else ():
        field = ranked[place]
        images = {method: scores.read(fields[field]) for method, fields in methods.items()}
        truth = images[first][1]
        predicted = {method: image for method, (image, _) in images.items()}
        objects = {name: scores.objects(channel, image) for name, image in {"": truth, **predicted}.items()}
        yield FieldView(
            title=f"{shown[place]}, {field[0]} {field[1]}",
            source=sources.read(methods[first][field], field),
            truth=truth,
            predicted=predicted,
            captions={method: _caption(method, found[method, field], len(methods)) for method in methods},
            objects={name: labels for name, labels in objects.items() if labels is not None},
        )


def _caption(method: str, pearson: float, count: int) -> str:
    return f"{method if count > 1 else 'predicted'}, r = {pearson:.3f}"


class _Sources:
    """Images that the predictions were made from, as the options or the provenance of the first prediction say."""

    def __init__(self, plan: EvaluationPlan) -> None:
        self._requests = {name: stored_request(store) for name, store in plan.predictions.items()}
        request, prediction = next(iter(self._requests.values())), next(iter(plan.predictions.values()))
        self._store = (
            open_movie(plan.options.phase, plan.options.metadata)
            if plan.options.phase
            else find_source(request, prediction.path)
        )
        self._channel = plan.options.channel or request.get("input", {}).get("channel")

    def read(self, pair: Pair, field: Field) -> NDArray[np.float32] | None:
        """Read the source of a prediction, (Y, X) float32; None if it is not known, or of another shape."""
        if self._store is None:
            return None
        raw = pair.predicted.movie
        try:
            found = matching_position(self._store, raw.position.name, "the phase")
            position = as_predicted(found, self._store, raw.position)
            source = Movie("the phase", position, (select_channel(position, self._channel),))
            frames = frame_numbers(raw, self._requests[pair.method])
            return align(source, raw, pair.predicted.z, frames, exact=False)[0].read(field[1])[0]
        except UsageError:
            return None


LOWER_IS_BETTER = frozenset({"mae", "count_error"})
_DIGITS = {"psnr": 1}


def format_scores(rows: Sequence[Row]) -> str:
    """Format the mean of each score over all fields, one line per prediction; the best of several is starred.

    Of the count error the mean absolute value is given.
    """
    return "\n\n".join(_table(rows, channel) for channel in dict.fromkeys(row.channel for row in rows))


def means(rows: Sequence[Row], channel: str) -> dict[str, dict[str, float]]:
    """Return the mean of each score of a channel over all fields, by prediction; NaN where it is never defined."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row.channel == channel and row.position != ALL_POSITIONS:
            value = abs(row.value) if row.metric == "count_error" else row.value
            values.setdefault(row.method, {}).setdefault(row.metric, []).append(value)
    return {
        method: {name: _mean(found) for name, found in metrics.items()}
        for method, metrics in sorted(values.items(), key=lambda item: item[0] == MEAN_OF_TRUTH)
    }


def _table(rows: Sequence[Row], channel: str) -> str:
    found = means(rows, channel)
    names = [name for name in (*PIXEL_METRICS, *OBJECT_METRICS) if any(name in scores for scores in found.values())]
    fields = {(row.position, row.frame) for row in rows if row.channel == channel and row.position != ALL_POSITIONS}
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
    """Return the name of the best prediction in a score, if there are several."""
    scores = {m: s[name] for m, s in found.items() if m != MEAN_OF_TRUTH and not isnan(s.get(name, np.nan))}
    if len(scores) < 2:
        return None
    return (min if name in LOWER_IS_BETTER else max)(scores, key=scores.__getitem__)


def _cell(name: str, value: float, *, starred: bool) -> str:
    if isnan(value):
        return f"{'-':>12} "
    text = f"{value:.4g}" if name == "mae" else f"{value:.{_DIGITS.get(name, 3)}f}"
    return f"{text:>12}{'*' if starred else ' '}"


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not isnan(value)]
    return float(np.mean(defined)) if defined else np.nan
