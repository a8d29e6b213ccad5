"""The plan of an evaluation: every store opened, every frame paired; all errors of the options are found here."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from image_translation import data
from image_translation.errors import UsageError, listing
from image_translation.evaluation.alignment import (
    Movie,
    Planes,
    align,
    frame_numbers,
    lies_between_frames,
    matching_position,
    plane_numbers,
)
from image_translation.evaluation.nuclei import Nuclei, find_nuclei
from image_translation.evaluation.options import EvaluationOptions
from image_translation.evaluation.pairs import Pair, Pairing, find_pairs
from image_translation.evaluation.predictions import find_predictions, split_raw, stored_request
from image_translation.evaluation.registered import as_predicted, warn_if_otherwise, warn_if_unregistered
from image_translation.evaluation.source_movie import find_source
from image_translation.metrics.rows import RAW, TRUTH
from image_translation.omezarr.selection import select_channel
from image_translation.omezarr.store import Position, Store
from image_translation.sources.movie import open_movie

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Series:
    """One plane of one position over time, of the raw prediction and of what it is compared with.

    Attributes
    ----------
    position
        Name of the position.
    channels
        Names of the channels.
    frames
        Frame numbers of the raw prediction.
    planes
        Planes to read, by method; ``truth`` is among them where it is known.
    delays
        Delay of each smoothed movie, 0 or 0.5 frames.
    phase
        The phase, if it is known.
    nuclei
        Nuclei to track; None where tracks are not wanted.
    z
        Index of the plane, in the movie that the prediction was made from where that is known; None if the position has
        one plane.
    """

    position: str
    channels: tuple[str, ...]
    frames: range
    planes: dict[str, Planes]
    delays: dict[str, float]
    phase: Planes | None
    nuclei: Nuclei | None = None
    z: int | None = None


@dataclass(frozen=True)
class EvaluationPlan:
    """An evaluation that has been checked.

    Attributes
    ----------
    options
        Options, with paths instead of names.
    predictions
        All predictions, by name.
    series
        What is scored over time; empty for stills, and where none of several predictions is raw.
    pairs
        Images that are scored against their truth; empty without truth.
    """

    options: EvaluationOptions
    predictions: Mapping[str, Store]
    series: tuple[Series, ...]
    pairs: tuple[Pair, ...]


def make_plan(options: EvaluationOptions) -> EvaluationPlan:
    """Check options against their stores.

    Parameters
    ----------
    options
        Options that have passed their own ``check``.

    Returns
    -------
    EvaluationPlan
        Input of ``run.evaluate``.

    Raises
    ------
    UsageError
        If the stores do not match each other.
    DataError
        If one of them cannot be read.
    """
    options = _with_paths(options)
    listed = find_predictions(options.predictions)
    predictions = listed if options.raw is None else find_predictions((options.raw, *options.predictions))
    pairs = tuple(_pairs(options, predictions)) if options.truth else ()
    series = tuple(_all_series(options, listed)) if _is_over_time(options, listed) else ()
    if options.tracking and not any(len(one.frames) > 1 for one in series):
        raise UsageError(
            "--tracking: follows nuclei over time, and there is no movie that is compared with raw; give movies of "
            "several frames, and name the raw prediction with --raw STORE if none is called raw"
        )
    if options.tracking and not any(one.delays or TRUTH in one.planes for one in series):
        raise UsageError(
            "--tracking: there is nothing to compare the tracks in raw with; give other predictions or --truth STORE"
        )
    return EvaluationPlan(options, predictions, series, pairs)


def _with_paths(options: EvaluationOptions) -> EvaluationOptions:
    """Replace names by paths."""

    def resolve(path: Path | None) -> Path | None:
        return None if path is None else data.resolve(path, kind="movie")

    return replace(
        options,
        predictions=tuple(data.resolve(path, kind="movie") for path in options.predictions),
        raw=resolve(options.raw),
        truth=resolve(options.truth),
        phase=resolve(options.phase),
    )


def _is_over_time(options: EvaluationOptions, predictions: Mapping[str, Store]) -> bool:
    """Return whether metrics over time are wanted: not of stills, nor of several predictions of which none is raw.

    Without a truth there is nothing else to score.
    """
    if not options.truth:
        return True
    movies = any(store.position(name).shape[0] > 1 for store in predictions.values() for name in store.names)
    return movies and (options.raw is not None or RAW in predictions or len(predictions) == 1)


def _pairs(options: EvaluationOptions, predictions: Mapping[str, Store]) -> Iterator[Pair]:
    """Yield the images of all predictions that have a truth."""
    truth = open_movie(options.truth, options.metadata) if options.truth else None
    if truth is None:
        return
    known = {channel for store in predictions.values() for channel in store.position(store.names[0]).channels}
    for predicted, _ in options.same:
        if predicted not in known:
            raise UsageError(
                f"--same {predicted}=...: no prediction has such a channel; there are {listing(sorted(known))}"
            )
    wanted = Pairing(options.positions, options.channels, dict(options.same), options.every, options.by_number)
    for name, store in predictions.items():
        if len(predictions) > 1 and lies_between_frames(store, truth):
            _log.info(
                "%s lies half way between the frames of the truth: it is scored over time, not image by image", name
            )
            continue
        yield from find_pairs(name, store, stored_request(store), truth, wanted)


@dataclass(frozen=True)
class _References:
    """What the raw prediction is compared with.

    Attributes
    ----------
    truth, phase
        Stores; None where they are not known.
    channel
        Name of the label-free channel; None chooses the obvious one.
    truth_given
        Whether the user named the truth, so that its channels must be there.
    same
        Names that channels of the prediction have in the truth, where they differ.
    """

    truth: Store | None
    phase: Store | None
    channel: str | None
    truth_given: bool
    same: Mapping[str, str]


def _find_references(options: EvaluationOptions, raw: Store) -> _References:
    """Open truth and phase: as named in the options, else the movie that the raw prediction was made from."""
    truth = open_movie(options.truth, options.metadata) if options.truth else None
    phase = open_movie(options.phase, options.metadata) if options.phase else None
    given, same = truth is not None, dict(options.same)
    source = stored_request(raw).get("input", {})
    movie = find_source(stored_request(raw), raw.path) if truth is None or phase is None else None
    if movie:
        _log.info("the prediction was made from %s, which is used for what is not given", movie.path)
        return _References(truth or movie, phase or movie, options.channel or source.get("channel"), given, same)
    return _References(truth, phase, options.channel, given, same)


def _all_series(options: EvaluationOptions, predictions: Mapping[str, Store]) -> Iterator[Series]:
    raw, others = split_raw(predictions, options.raw)
    references = _find_references(options, raw)
    first = raw.position(raw.names[0])
    for what, store in (("the truth", options.truth and references.truth), ("the phase", references.phase)):
        if store:
            warn_if_unregistered(what, store, first)
    for name in raw.select(options.positions):
        yield from _series(name, raw, others, references, options)


def _series(
    name: str, raw_store: Store, predictions: Mapping[str, Store], references: _References, options: EvaluationOptions
) -> Iterator[Series]:
    """Yield the series of one position, plane by plane."""
    position = raw_store.position(name)
    channels = tuple(options.channels) or position.channels
    request = stored_request(raw_store)
    indices = _indices(position, channels, "the raw prediction")
    raw = Movie("the raw prediction", position, indices, plane_numbers(request))
    depth = position.shape[2]
    numbers = raw.planes if len(raw.planes) == depth else range(depth)
    frames = frame_numbers(raw, request)
    if len(frames) == 1:
        _log.warning("%s has one frame: metrics over time need two", position.path)
    others = {}
    for method, store in predictions.items():
        what = f"the prediction {method}"
        other = matching_position(store, name, what)
        warn_if_otherwise(what, other, position)
        others[method] = Movie(what, other, _indices(other, channels, what))
    truth, phase = None, None
    named = [references.same.get(channel, channel) for channel in channels]
    if references.truth:
        other = as_predicted(matching_position(references.truth, name, "the truth"), references.truth, position)
        if references.truth_given or set(named) <= set(other.channels):
            truth = Movie("the truth", other, _indices(other, named, "the truth"))
    if references.phase:
        other = as_predicted(matching_position(references.phase, name, "the phase"), references.phase, position)
        phase = Movie("the phase", other, (select_channel(other, references.channel),))
    for z in range(depth):
        planes = {RAW: Planes(raw, z, -frames.start)}
        if truth:
            planes[TRUTH] = align(truth, raw, z, frames, exact=False, by_number=options.by_number)[0]
        delays = {}
        for method, movie in others.items():
            planes[method], delays[method] = align(movie, raw, z, frames, exact=True, by_number=options.by_number)
        phase_planes = align(phase, raw, z, frames, exact=False, by_number=options.by_number)[0] if phase else None
        nuclei = None
        if options.tracking:
            nuclei = find_nuclei(
                named, options.objects, truth=truth, raw=raw, z=z, frames=frames, by_number=options.by_number
            )
        shown = numbers[z] if depth > 1 else None
        yield Series(position.name, channels, frames, planes, delays, phase_planes, nuclei, shown)


def _indices(position: Position, channels: Sequence[str], what: str) -> tuple[int, ...]:
    missing = [channel for channel in channels if channel not in position.channels]
    if missing:
        raise UsageError(
            f"{what} has no channel {', '.join(missing)}: {position.path} has {', '.join(position.channels)}; "
            "choose with --channels NAME ..."
        )
    return tuple(position.channels.index(channel) for channel in channels)
