"""The score card of movies, in memory or on disk."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from image_translation.api.parameter_names import parameter_names
from image_translation.errors import UsageError, listing
from image_translation.evaluation.alignment import Movie, Planes
from image_translation.evaluation.options import EvaluationOptions
from image_translation.evaluation.over_time import score_over_time
from image_translation.evaluation.plan import Series
from image_translation.metrics.rows import PHASE, RAW, TRUTH, Row, write_csv
from image_translation.metrics.score_card import ScoreCard, score_cards
from image_translation.metrics.score_card_text import format_score_cards
from image_translation.omezarr.store import FOV_NAME, Position
from image_translation.sources.array import store_array

HALF_A_FRAME = 0.5


class Scores:
    """Metrics of a raw and of smoothed movies. ``print`` shows the score card.

    Parameters
    ----------
    rows
        Metrics over time, one value each, as in ``metrics.csv``.
    against_truth
        Scores of each image against its truth, as in ``scores.csv``; only for stores on disk.
    """

    def __init__(self, rows: Sequence[Row], against_truth: Sequence[Row] = ()) -> None:
        self.rows = list(rows)
        self.against_truth = list(against_truth)

    def __str__(self) -> str:
        return format_score_cards(self.cards, verbose=True)

    @cached_property
    def cards(self) -> list[ScoreCard]:
        """Score card of each position: its methods, ranked, with the columns that each of them fails."""
        return score_cards(self.rows)

    @property
    def ranking(self) -> tuple[str, ...]:
        """Methods of the first position, the best first; empty without a movie."""
        return self.cards[0].ranking if self.cards else ()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Save the metrics as CSV, ``position,method,channel,frame,metric,value``; return the path."""
        write_csv(self.rows, Path(path))
        return Path(path)


class Stained(Protocol):
    """A movie that scores itself, as `StainedMovie` does."""

    def evaluate(self) -> Scores:
        """Return its scores."""


@parameter_names()
def evaluate(
    movies: Mapping[str, NDArray[Any]] | Stained | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    phase: Any = None,
    truth: Any = None,
    channels: Sequence[str] = (),
    axes: str | None = None,
    **options: Any,
) -> Scores:
    """Score movies over time: flicker, fidelity, displacement, detail, lag and more; see ``docs/metrics.md``.

    Parameters
    ----------
    movies
        Arrays by the name of their method, of which one is ``raw``: (T, Y, X), (T, C, Y, X) or (T, C, Z, Y, X). Others
        have as many frames, or one fewer if they lie half a frame later. Or a `StainedMovie`. Or one or several paths
        of stores or of results of ``image-translation smooth``.
    phase
        Label-free movie, (T, Y, X) or (T, Z, Y, X), in any unit: without it or the truth, flicker is unknown. A path,
        if the movies are paths.
    truth
        True stain, with the axes of raw. A path, if the movies are paths.
    channels
        Names of the channels; for paths, those to score, all if not given.
    axes
        Axes of the arrays, if not told by their number: ``TZYX``.
    **options
        For paths: ``raw``, ``positions``, ``channel``, ``by_number``, ``same``, ``objects``, ``segmenter``, ``every``,
        ``rescale``, ``tracking``: as of ``image-translation evaluate``.

    Returns
    -------
    Scores
        Metrics, and the score card.

    Raises
    ------
    UsageError
        If the movies do not fit each other.
    DataError
        If a store cannot be read.
    """
    if hasattr(movies, "evaluate"):
        return movies.evaluate()
    if not isinstance(movies, Mapping):
        return _evaluate_stores(movies, phase=phase, truth=truth, channels=channels, options=options)
    if options:
        raise UsageError(f"{next(iter(options))}: applies to stores on disk, and arrays are given")
    return Scores(score_over_time(_series(movies, phase=phase, truth=truth, channels=channels, axes=axes)))


def _evaluate_stores(
    paths: Stained | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    phase: Any,
    truth: Any,
    channels: Sequence[str],
    options: Mapping[str, Any],
) -> Scores:
    from image_translation.evaluation.plan import make_plan
    from image_translation.evaluation.run import evaluate as evaluate_plan

    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(given, Sequence) or not all(isinstance(path, str | os.PathLike) for path in given):
        kind = type(paths).__name__
        raise UsageError(
            f"movies of type {kind}: give a dictionary of arrays such as {{'raw': ...}}, or paths of stores"
        )
    known = EvaluationOptions.__dataclass_fields__.keys() - {"predictions", "output", "overwrite"}
    if unknown := [name for name in options if name not in known]:
        raise UsageError(f"unknown option {unknown[0]!r}; allowed are {', '.join(sorted(known))}")
    given_options: dict[str, Any] = {name: Path(value) if name == "raw" else value for name, value in options.items()}
    chosen = EvaluationOptions(
        predictions=tuple(Path(path) for path in given),
        phase=None if phase is None else Path(phase),
        truth=None if truth is None else Path(truth),
        channels=tuple(channels),
        **given_options,
    )
    chosen.check()
    found = evaluate_plan(make_plan(chosen))
    return Scores(found.over_time, found.against_truth)


def _series(
    movies: Mapping[str, Any], *, phase: Any, truth: Any, channels: Sequence[str], axes: str | None
) -> list[Series]:
    """Return each plane of some arrays over time; ``UsageError`` if they do not fit each other."""
    if RAW not in movies:
        raise UsageError(f"movies named {listing(list(movies))}: one must be named 'raw', the prediction itself")
    found = {name: _position(name, movie, axes) for name, movie in movies.items()}
    raw = found[RAW]
    for name, position in found.items():
        if position.shape[1:] != raw.shape[1:] or position.shape[0] not in (raw.shape[0], raw.shape[0] - 1):
            raise UsageError(
                f"{name} has shape {position.shape}, raw {raw.shape}: T, C, Z, Y, X must be equal, or T one less"
            )
    if truth is not None:
        found[TRUTH] = _position(TRUTH, truth, axes)
        _require_shape(TRUTH, found[TRUTH], raw.shape)
    seen = None if phase is None else _position(PHASE, phase, (axes or "").replace("C", "") or _axes_of_phase(phase))
    if seen:
        _require_shape(PHASE, seen, (raw.shape[0], 1, *raw.shape[2:]))
    names = tuple(channels) or raw.channels
    if len(names) != len(raw.channels):
        raise UsageError(f"channels {listing(names)}: the movies have {len(raw.channels)}; name each of them once")
    delays = {name: HALF_A_FRAME * (raw.shape[0] - position.shape[0]) for name, position in found.items()}
    return [
        Series(
            position=FOV_NAME,
            channels=names,
            frames=range(raw.shape[0]),
            planes={name: _planes(position, z) for name, position in found.items()},
            delays={name: delay for name, delay in delays.items() if name not in {RAW, TRUTH}},
            phase=_planes(seen, z) if seen else None,
            z=z if raw.shape[2] > 1 else None,
        )
        for z in range(raw.shape[2])
    ]


def _position(name: str, movie: Any, axes: str | None) -> Position:
    return store_array(movie, name=name, axes=axes).position(FOV_NAME)


def _planes(position: Position, z: int) -> Planes:
    return Planes(Movie(str(position.path), position, tuple(range(len(position.channels)))), z, shift=0)


def _axes_of_phase(phase: Any) -> str | None:
    """Return the axes of a phase of four dimensions, which has planes and no channels."""
    return "TZYX" if np.ndim(phase) == len("TZYX") else None


def _require_shape(name: str, position: Position, shape: tuple[int, ...]) -> None:
    if position.shape != shape:
        raise UsageError(f"the {name} has shape {position.shape}; it must fit raw: T, C, Z, Y, X are {shape}")
