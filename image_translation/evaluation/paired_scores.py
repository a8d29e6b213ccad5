"""Scores of predictions against their truth, image by image: pairs in, rows out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import UsageError
from image_translation.evaluation.image_scores import Scale, ScaleFit, Segment, object_scores, pearson, pixel_scores
from image_translation.evaluation.pairs import Field, Pair
from image_translation.metrics.objects import (
    Labels,
    find_objects,
    find_objects_with_cellpose,
    is_nuclear,
    typical_diameter,
)
from image_translation.metrics.rows import ALL_POSITIONS, MEAN_OF_TRUTH, TRUTH, Row
from image_translation.metrics.similarity import RANGE_PERCENTILES
from image_translation.progress_bar import ProgressBar

SEGMENTERS: dict[str, Segment] = {"threshold": find_objects, "cellpose": find_objects_with_cellpose}

_MEASURED_IMAGES = 8  # images from which the diameter of the objects is estimated


@dataclass(frozen=True)
class PairedScores:
    """Scores of all predictions.

    Attributes
    ----------
    rows
        One score each. Rows of the position ``*`` apply to all images: ``data_range``, ``gain``, ``offset`` and
        ``diameter``.
    pairs
        Images, by channel, method and field.
    scales
        Scale that converts a prediction to the unit of the truth, by channel and method.
    diameters
        Diameter of a typical object in pixels, by channel; only of channels with objects.
    segment
        Function that finds the objects.
    """

    rows: list[Row]
    pairs: dict[str, dict[str, dict[Field, Pair]]]
    scales: dict[tuple[str, str], Scale]
    diameters: dict[str, float]
    segment: Segment

    def read(self, pair: Pair) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read a prediction, in the unit of the truth, and its truth, (Y, X) float32 each."""
        images = pair.read()
        assert images is not None  # it was scored  # noqa: S101
        return self.scales[pair.channel, pair.method].apply(images[0]), images[1]

    def objects(self, channel: str, image: NDArray[np.float32]) -> Labels | None:
        """Find the objects of an image, if its channel has any."""
        diameter = self.diameters.get(channel)
        return None if diameter is None else self.segment(image, diameter)


def score_pairs(
    pairs: Sequence[Pair],
    *,
    objects: Sequence[str] | None = None,
    segment: Segment = find_objects,
    rescale: bool = True,
) -> PairedScores:
    """Score each prediction against its truth.

    Parameters
    ----------
    pairs
        The images.
    objects
        Channels of the truth in which objects are found; None takes those with names of nuclei.
    segment
        Function that finds the objects.
    rescale
        Rescale each prediction to the unit of the truth by one gain and offset for all images.

    Raises
    ------
    UsageError
        A prediction has no valid image beside a valid one of the truth, or there is no such channel.
    DataError
        An image cannot be read.
    """
    channels = dict.fromkeys(pair.channel for pair in pairs)
    unknown = [name for name in objects or () if name not in channels]
    if unknown:
        raise UsageError(f"--objects {unknown[0]}: is not among the channels that are scored: {', '.join(channels)}")
    scores = PairedScores([], {}, {}, {}, segment)
    with ProgressBar(2 * len(pairs), "scoring images", "image") as bar:
        for channel in channels:
            own = [pair for pair in pairs if pair.channel == channel]
            has_objects = channel in objects if objects is not None else is_nuclear(channel)
            shared = _measure(scores, own, bar, rescale=rescale, objects=has_objects)
            _score(scores, own, bar, *shared)
    return scores


def _measure(
    scores: PairedScores, pairs: Sequence[Pair], bar: ProgressBar, *, rescale: bool, objects: bool
) -> tuple[float, float]:
    """Estimate what all images of a channel share; return the data range and the mean of the truth."""
    channel = pairs[0].channel
    fits: dict[str, ScaleFit] = {pair.method: ScaleFit() for pair in pairs}
    samples: dict[Field, NDArray[np.float64]] = {}
    images: list[NDArray[np.float32]] = []
    for pair, predicted, truth in _valid(pairs, bar):
        fits[pair.method].add(predicted, truth)
        scores.pairs.setdefault(channel, {}).setdefault(pair.method, {})[pair.field] = pair
        if pair.field not in samples:
            samples[pair.field] = normalize.grid_sample(truth)
            if objects and len(images) < _MEASURED_IMAGES:
                images.append(truth)
    for method, fit in fits.items():
        if method not in scores.pairs.get(channel, {}):
            raise UsageError(f"{method}: no valid image of {channel} lies beside a valid one of the truth")
        scale = fit.scale() if rescale else Scale()
        scores.scales[channel, method] = scale
        scores.rows.append(Row(ALL_POSITIONS, method, channel, None, "gain", scale.gain))
        scores.rows.append(Row(ALL_POSITIONS, method, channel, None, "offset", scale.offset))
    values = np.concatenate(list(samples.values()))
    low, high = np.percentile(values, RANGE_PERCENTILES)
    scores.rows.append(Row(ALL_POSITIONS, TRUTH, channel, None, "data_range", float(high - low)))
    diameter = typical_diameter(images)
    if isfinite(diameter):
        scores.diameters[channel] = diameter
        scores.rows.append(Row(ALL_POSITIONS, TRUTH, channel, None, "diameter", diameter))
    return float(high - low), float(values.mean())


def _score(scores: PairedScores, pairs: Sequence[Pair], bar: ProgressBar, data_range: float, mean: float) -> None:
    known: set[Field] = set()
    for pair, predicted, truth in _valid(pairs, bar):
        scaled = scores.scales[pair.channel, pair.method].apply(predicted)
        found = pixel_scores(scaled, truth, data_range)
        found["pearson"] = pearson(predicted, truth)  # unscaled, where small variations are not lost
        diameter = scores.diameters.get(pair.channel)
        if diameter is not None:
            found |= object_scores(scaled, truth, diameter, scores.segment)[0]
        scores.rows.extend(_rows(pair, pair.method, found))
        if pair.field not in known:
            known.add(pair.field)
            scores.rows.extend(_rows(pair, MEAN_OF_TRUTH, pixel_scores(np.full_like(truth, mean), truth, data_range)))


def _valid(pairs: Iterable[Pair], bar: ProgressBar) -> Iterator[tuple[Pair, NDArray[np.float32], NDArray[np.float32]]]:
    for pair in pairs:
        images = pair.read()
        bar.update(1)
        if images is not None:
            yield pair, *images


def _rows(pair: Pair, method: str, scores: Mapping[str, float]) -> Iterator[Row]:
    place, frame = pair.field
    yield from (Row(place, method, pair.channel, frame, name, value) for name, value in scores.items())
