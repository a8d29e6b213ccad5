"""Scoring of predictions that lie on disk: stores in, rows and score cards out."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from image_translation import normalize
from image_translation.errors import UsageError
from image_translation.evaluation.alignment import Movie, Planes, align, beside, frame_numbers
from image_translation.evaluation.options import METRICS, SCORE_CARD, EvaluationOptions
from image_translation.evaluation.predictions import find_predictions, provenance, resolved
from image_translation.frame import Frame
from image_translation.metrics.evaluator import Evaluator
from image_translation.metrics.rows import RAW, TRUTH, Row, write_csv
from image_translation.metrics.score_card import score_cards, write_score_cards
from image_translation.omezarr.selection import select_channel
from image_translation.omezarr.store import Position, Store, open_store

_log = logging.getLogger(__name__)


def evaluate_stores(options: EvaluationOptions) -> list[Row]:
    """Score predictions, and write the tables if they are wanted.

    Parameters
    ----------
    options
        What to do; their own ``check`` has passed.

    Returns
    -------
    list of Row
        The metrics, as ``Evaluator`` gives them.

    Raises
    ------
    UsageError
        If the stores do not fit each other.
    DataError
        If one of them cannot be read.
    """
    options = resolved(options)
    predictions = find_predictions(options.predictions)
    raw = _choose_raw(options, predictions)
    yardsticks = _Yardsticks.find(options, raw)
    plans = [
        series
        for name in raw.select(options.positions)
        for series in _plan(name, raw, predictions, yardsticks, options.channels)
    ]
    if not any(series.phase or TRUTH in series.planes for series in plans):
        _log.warning("flicker is not known without the phase or the truth; give --phase or --truth")
    rows: list[Row] = []
    with tqdm(
        total=sum(len(series.frames) for series in plans),
        unit="frame",
        disable=None,
        dynamic_ncols=True,
        desc="scoring",
    ) as bar:
        for series in plans:
            for found in _score(series):
                rows += found
                bar.update(1)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        write_csv(rows, options.output / METRICS)
        write_score_cards(score_cards(rows), options.output / SCORE_CARD)
    return rows


@dataclass(frozen=True)
class _Series:
    """One movie of planes that is scored by itself: what its frames are, by the name of the method."""

    position: str
    channels: tuple[str, ...]
    frames: range
    planes: dict[str, Planes]
    delays: dict[str, float]
    phase: Planes | None


@dataclass(frozen=True)
class _Yardsticks:
    """Where truth and phase are; `asked` tells whether the user named the truth, `same` its names of channels."""

    truth: Store | None
    phase: Store | None
    channel: str | None
    asked: bool
    same: Mapping[str, str]

    @classmethod
    def find(cls, options: EvaluationOptions, raw: Store) -> "_Yardsticks":
        truth = open_store(options.truth) if options.truth else None
        phase = open_store(options.phase) if options.phase else None
        asked, same = truth is not None, dict(options.same)
        source = provenance(raw).get("input", {})
        path = Path(source.get("movie", ""))
        if (truth is None or phase is None) and source and path.exists():
            movie = open_store(path)
            _log.info("the prediction was made from %s, which is used as it is needed", path)
            return cls(truth or movie, phase or movie, options.channel or source.get("channel"), asked, same)
        return cls(truth, phase, options.channel, asked, same)


def _choose_raw(options: EvaluationOptions, predictions: dict[str, Store]) -> Store:
    """Take the raw prediction out of the others."""
    if options.raw:
        raw = open_store(options.raw)
        for name in [name for name, store in predictions.items() if store.path == options.raw.resolve()]:
            del predictions[name]
    elif RAW in predictions or len(predictions) == 1:
        raw = predictions.pop(RAW if RAW in predictions else next(iter(predictions)))
    else:
        raise UsageError(f"none of {', '.join(predictions)} is called raw; name the raw prediction with --raw STORE")
    for name in (RAW, TRUTH):
        if name in predictions:
            raise UsageError(f"a prediction is called {name}, which is another's name; rename {predictions[name].path}")
    return raw


def _plan(
    name: str, raw_store: Store, predictions: dict[str, Store], yardsticks: _Yardsticks, wanted: Sequence[str]
) -> Iterator[_Series]:
    """Say what is to be compared with what at one position, plane by plane."""
    position = raw_store.position(name)
    channels = tuple(wanted) or position.channels
    raw = Movie("the raw prediction", position, _indices(position, channels, "the raw prediction"))
    frames = frame_numbers(raw, provenance(raw_store))
    if len(frames) == 1:
        _log.warning("%s has one frame: metrics over time need two", position.path)
    others = {}
    for method, store in predictions.items():
        other = beside(store, name, f"the prediction {method}")
        others[method] = Movie(f"the prediction {method}", other, _indices(other, channels, f"the prediction {method}"))
    truth, phase = None, None
    if yardsticks.truth:
        other = beside(yardsticks.truth, name, "the truth")
        named = [yardsticks.same.get(channel, channel) for channel in channels]
        if yardsticks.asked or set(named) <= set(other.channels):
            truth = Movie("the truth", other, _indices(other, named, "the truth"))
    if yardsticks.phase:
        other = beside(yardsticks.phase, name, "the phase")
        phase = Movie("the phase", other, (select_channel(other, yardsticks.channel),))
    for z in range(position.shape[2]):
        planes = {RAW: Planes(raw, z, -frames.start)}
        if truth:
            planes[TRUTH] = align(truth, raw, z, frames, whole=False)[0]
        delays = {}
        for method, movie in others.items():
            planes[method], delays[method] = align(movie, raw, z, frames, whole=True)
        yield _Series(
            position.name,
            channels,
            frames,
            planes,
            delays,
            align(phase, raw, z, frames, whole=False)[0] if phase else None,
        )


def _indices(position: Position, channels: Sequence[str], what: str) -> tuple[int, ...]:
    missing = [channel for channel in channels if channel not in position.channels]
    if missing:
        raise UsageError(
            f"{what} has no channel {', '.join(missing)}: {position.path} has {', '.join(position.channels)}; "
            "choose with --channels NAME ..."
        )
    return tuple(position.channels.index(channel) for channel in channels)


def _score(series: _Series) -> Iterator[list[Row]]:
    """Yield the rows that each frame brings, those of the whole movie with the last."""
    evaluator = Evaluator(series.position, series.channels, series.delays, truth=TRUTH in series.planes)
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


def _phase(series: _Series, number: int) -> NDArray[np.float32] | None:
    if series.phase is None:
        return None
    image: NDArray[np.float32] = series.phase.read(number)[0]
    return image if normalize.is_valid(image) else None
