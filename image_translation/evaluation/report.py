"""Predictions against the truth: stores in; a table, boxes, and the best, the median and the worst field out."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError, listing
from image_translation.evaluation.alignment import Movie, align, beside, frame_numbers
from image_translation.evaluation.options import SCORES, EvaluationOptions
from image_translation.evaluation.paired_scores import SEGMENTERS, PairedScores, score_pairs
from image_translation.evaluation.pairs import Field, Pair, Pairing, find_pairs
from image_translation.evaluation.predictions import find_predictions, provenance, resolved
from image_translation.staining.figure_directory import file_stems
from image_translation.figures.scores import FieldView, plot_boxes, plot_fields
from image_translation.metrics.rows import EVERYWHERE, MEAN, OBJECTS, PIXELS, TRUTH, Row, write_csv
from image_translation.omezarr.selection import select_channel
from image_translation.omezarr.store import Store, open_store

BOXES = "scores.png"

_DPI = 150


def pair_up(options: EvaluationOptions) -> list[Pair]:
    """Find the images of all predictions that have a truth.

    Parameters
    ----------
    options
        What to do, with a truth; their own ``check`` has passed.

    Raises
    ------
    UsageError
        If the stores do not fit each other.
    DataError
        If one of them cannot be read.
    """
    options = resolved(options)
    if options.truth is None:
        raise UsageError("--truth: is needed, to hold the predictions against")
    predictions, truth = find_predictions(_predictions(options)), open_store(options.truth)
    known = {channel for store in predictions.values() for channel in store.position(store.names[0]).channels}
    for mine, _ in options.same:
        if mine not in known:
            raise UsageError(f"--same {mine}=...: no prediction has such a channel; there are {listing(sorted(known))}")
    wanted = Pairing(options.positions, options.channels, dict(options.same), options.every)
    return [
        pair
        for name, store in predictions.items()
        for pair in find_pairs(name, store, provenance(store), truth, wanted)
    ]


def judge(options: EvaluationOptions, pairs: Sequence[Pair] | None = None) -> list[Row]:
    """Score predictions against the truth, and write tables and pictures if they are wanted.

    Parameters
    ----------
    options
        What to do, with a truth; their own ``check`` has passed.
    pairs
        What `pair_up` found, if that has been called.

    Returns
    -------
    list of Row
        The scores; see `paired_scores.PairedScores`.

    Raises
    ------
    UsageError
        If the stores do not fit each other.
    DataError
        If one of them cannot be read.
    """
    pairs = pair_up(options) if pairs is None else pairs
    options = resolved(options)
    scores = score_pairs(pairs, objects=options.objects, segment=SEGMENTERS[options.segmenter], rescale=options.rescale)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        write_csv(scores.rows, options.output / SCORES)
        plot_boxes(scores.rows).savefig(options.output / BOXES, dpi=_DPI)
        sources = _Sources(find_predictions(_predictions(options)), options)
        for channel, stem in zip(scores.pairs, file_stems(scores.pairs), strict=True):
            views = list(_views(scores, channel, sources))
            if views:
                plot_fields(views).savefig(options.output / f"fields_{stem}.png", dpi=_DPI)
    return scores.rows


def _predictions(options: EvaluationOptions) -> tuple[Path, ...]:
    return options.predictions if options.raw is None else (options.raw, *options.predictions)


def _views(scores: PairedScores, channel: str, sources: "_Sources") -> Iterator[FieldView]:
    """Show the fields of all predictions, if any, in which the first fares best, about average, and worst."""
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
    shown = {place: title for title, place in places.items()}  # fewer than three fields are shown once each
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
    """What the predictions were made from, where the first one says it, or the user does."""

    def __init__(self, predictions: Mapping[str, Store], options: EvaluationOptions) -> None:
        self._store, self._channel = None, options.channel
        self._requests = {name: provenance(store) for name, store in predictions.items()}
        stated: Mapping[str, Any] = next(iter(self._requests.values())).get("input", {})
        path = options.phase or Path(stated.get("movie", ""))
        if path.name and path.exists():
            self._store = open_store(path)
            self._channel = options.channel or stated.get("channel")

    def read(self, pair: Pair, field: Field) -> NDArray[np.float32] | None:
        """Read the source of a prediction, (Y, X) float32; None if it is not known, or is of another shape."""
        if self._store is None:
            return None
        raw = pair.predicted.movie
        try:
            position = beside(self._store, raw.position.name, "the phase")
            source = Movie("the phase", position, (select_channel(position, self._channel),))
            frames = frame_numbers(raw, self._requests[pair.method])
            return align(source, raw, pair.predicted.z, frames, whole=False)[0].read(field[1])[0]
        except UsageError:
            return None


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
