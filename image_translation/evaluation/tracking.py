"""Scores of the tracks of nuclei in predictions on disk: planned series in, rows out."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isnan
from textwrap import fill

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import remove_small_objects

from image_translation import normalize
from image_translation.evaluation.alignment import Planes
from image_translation.evaluation.nuclei import Nuclei
from image_translation.evaluation.plan import Series
from image_translation.metrics.objects import debris_area
from image_translation.metrics.rows import AGREEMENT_WITH_RAW, RAW, TRACK_METRICS, TRUTH, Row, summarize
from image_translation.metrics.segmentation import Segmentation, find_segmentation, sample_frames
from image_translation.metrics.tracking import Match, Movie, link_nuclei, match_nuclei, score_tracks
from image_translation.progress_bar import ProgressBar

_WIDTH = 110  # of lines, as of the score card

_log = logging.getLogger(__name__)


def score_tracking(series: Sequence[Series]) -> list[Row]:
    """Track the nuclei of each movie and compare their tracks with reference tracks, with a progress bar.

    The reference is the label image of the truth, else the true stain, segmented and linked like the predictions, else
    raw. Scores against raw are no accuracy; their names end with `AGREEMENT_WITH_RAW`. Images are read frame by frame.

    Parameters
    ----------
    series
        Series of a plan, with nuclei to track.

    Returns
    -------
    list of Row
        `TRACK_METRICS` of the complete movie, of raw and of each smoothed movie; with a label image also of the true
        stain, which shows the errors of segmentation and linking themselves.

    Raises
    ------
    DataError
        If a frame cannot be read.
    """
    work = [(one, one.nuclei, c) for one in series if one.nuclei for c in one.nuclei.channels]
    rows: list[Row] = []
    total = sum(len(one.frames) for one, _, _ in work)
    with ProgressBar(total, "tracking nuclei") as bar:
        for one, nuclei, channel in work:
            rows += _score(one, nuclei, channel, bar)
    return rows


def describe_references(rows: Iterable[Row]) -> str:
    """Say for each position and channel what the tracks were compared with; planes are averaged."""
    found: dict[tuple[str, str], dict[str, Mapping[str, float]]] = {}
    for row in summarize(rows):
        metric = row.metric.removesuffix(AGREEMENT_WITH_RAW)
        if metric in TRACK_METRICS and not isnan(row.value):
            methods = found.setdefault((row.position, row.channel), {})
            methods[row.method] = {**methods.get(row.method, {}), metric: row.value}
    lines = (f"{place}: tracks of {name}: {_describe(of)}" for (place, name), of in found.items())
    return "\n".join(fill(line, _WIDTH, subsequent_indent="  ") for line in lines)


def _describe(methods: Mapping[str, Mapping[str, float]]) -> str:
    if RAW not in methods:
        return "compared with those of raw: agreement with raw, not accuracy; give --truth for that"
    if TRUTH not in methods:
        return "compared with those of the true stain, segmented and linked in the same way"
    scores = methods[TRUTH]
    values = ", ".join(f"{name} {scores[name]:.4g}" for name in TRACK_METRICS if name in scores)
    return f"compared with the labels of the truth; the true stain itself has {values}"


class _Source:
    """One channel of a movie, whose nuclei are segmented frame by frame.

    Parameters
    ----------
    planes
        The movie.
    channel
        Index of the channel.
    numbers
        Numbers of its frames.
    is_truth
        Whether constant images are invalid.
    """

    def __init__(self, planes: Planes, channel: int, numbers: range, *, is_truth: bool = False) -> None:
        movie = replace(planes.movie, channels=(planes.movie.channels[channel],))
        self._planes, self.numbers = replace(planes, movie=movie), numbers
        self._is_valid = normalize.is_valid if is_truth else _is_finite

    def sample(self) -> list[NDArray[np.float32]]:
        """Read some valid frames, evenly spaced over the movie."""
        images = (self._read(number) for number in sample_frames(self.numbers))
        return [image for image in images if image is not None]

    def segment(self, number: int, segmentation: Segmentation) -> NDArray[np.int32] | None:
        """Segment the nuclei of a frame, (Y, X) int32; None if the movie has no such frame or it is invalid."""
        image = self._read(number) if number in self.numbers else None
        return None if image is None else segmentation.apply(image)

    def _read(self, number: int) -> NDArray[np.float32] | None:
        image = self._planes.read(number)[0]
        return image if self._is_valid(image) else None


def _is_finite(image: NDArray[np.float32]) -> bool:
    return bool(np.isfinite(image).all())


def _score(series: Series, nuclei: Nuclei, channel: int, bar: ProgressBar) -> list[Row]:
    sources = {
        method: _Source(
            series.planes[method],
            channel,
            series.frames[: len(series.frames) - bool(series.delays.get(method))],
            is_truth=method == TRUTH,
        )
        for method in (TRUTH, RAW, *series.delays)
        if method in series.planes
    }
    name = series.channels[channel]
    segmentations = _find_segmentations(sources)
    if not segmentations:
        _log.warning("%s: no nuclei are found in %s of raw; they are not tracked", series.position, name)
        bar.update(len(series.frames))
        return []
    diameter = segmentations[RAW].diameter
    stand_in = TRUTH if TRUTH in sources else RAW  # where there are no labels
    reference, movies = Movie(), {method: Movie() for method in sources if nuclei.labels or method != stand_in}
    matches: dict[str, dict[int, Match]] = {method: {} for method in movies}
    for number in series.frames:
        bar.update(1)
        if nuclei.labels:
            # Parts of nuclei at the edge that no prediction can keep are not judged.
            true = remove_small_objects(_read_labels(nuclei.labels, number), max_size=debris_area(diameter))
        elif (true := sources[stand_in].segment(number, segmentations[stand_in])) is None:
            continue
        reference.add(number, true)
        for method, movie in movies.items():
            found = sources[method].segment(number, segmentations[method])
            if found is not None:
                movie.add(number, found)
                matches[method][number] = match_nuclei(true, found)
    true_tracks = reference.tracks(nuclei.parents) if nuclei.labels else link_nuclei(reference, diameter)
    suffix = "" if nuclei.labels or stand_in == TRUTH else AGREEMENT_WITH_RAW
    return [
        Row(series.position, method, name, None, metric + suffix, value, series.z)
        for method, movie in movies.items()
        for metric, value in score_tracks(true_tracks, link_nuclei(movie, diameter), matches[method]).items()
    ]


def _find_segmentations(sources: Mapping[str, _Source]) -> dict[str, Segmentation]:
    """Find the segmentation of each movie; none if there are no nuclei in raw.

    All predictions have the threshold of raw, so that none hides a change of brightness; the truth has another unit.
    """
    raw = find_segmentation(sources[RAW].sample())
    if raw is None:
        return {}
    truth = find_segmentation(sources[TRUTH].sample(), raw.diameter) if TRUTH in sources else None
    return dict.fromkeys(sources, raw) | ({TRUTH: truth} if truth else {})


def _read_labels(planes: Planes, number: int) -> NDArray[np.int64]:
    """Read a label image, (Y, X) int64; `Planes.read` would round large labels."""
    return planes.read_channel(number, 0).astype(np.int64)
