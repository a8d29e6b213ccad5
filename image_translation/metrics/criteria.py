"""Criteria of the score card: its columns, their limits, and which of them a method violates."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt
from statistics import median

import numpy as np

from image_translation.metrics.rows import AGREEMENT_WITH_RAW, BANDS, PHASE, RAW, TRACK_METRICS, TRUTH, Row

Values = Mapping[int | None, float]
"""Values of one metric, method and channel, by frame."""
Statistic = Callable[[Collection[float]], float]

TRACK_COLUMNS = (*TRACK_METRICS, *(metric + AGREEMENT_WITH_RAW for metric in TRACK_METRICS))
COLUMNS = (
    "flicker", "flicker_fast", "pearson", "pearson_worst", "pearson_min", "pearson_ends", "pearson_events",
    "pearson_fast", "ssim", "coherence", "displacement", "displacement_local", "detail", "sharpness", "over_smoothing",
    "lag", "drift", "gain_flicker", "count_jitter", "area_jitter", "intensity_jitter", *TRACK_COLUMNS,
)  # fmt: skip

ENDS = 3  # frames at the beginning and at the end, of ``pearson_ends``
WORST_PERCENTILE = 5  # of ``pearson_worst``

# Accepted loss of fidelity, for chance: a fifth of .01, the smallest gain worth having. Events are few pixels: there,
# twice the standard error of the difference from raw is added.
FIDELITY_TOLERANCE = 0.002
EVENTS_TOLERANCE = 0.005
EVENTS_DOUBT = 0.02  # difference from raw at events, 1 - r, beyond that everywhere, that only a truth could judge
FLICKER_LIMIT = 1.02
DISPLACEMENT_LIMIT = 0.25  # pixels
LOCAL_DISPLACEMENT_LIMIT = 0.5  # pixels, without truth; in doubt from the other limit on
DETAIL_LIMIT = 0.95
SHARPNESS_LIMIT = 1.15
LAG_LIMIT = 0.1
OVER_SMOOTHING_LIMIT = 0.02
DRIFT_LIMIT = 0.1
GAIN_FACTOR, GAIN_TOLERANCE = 1.1, 0.01


@dataclass(frozen=True)
class Entry:
    """Entry of a score card: the scores of one method in one channel.

    Attributes
    ----------
    method, channel
        Names.
    values
        Value of each column; NaN where it is not known.
    failures
        Columns that violate their limit. Empty for the raw prediction, the baseline of the limits.
    judged
        Columns that have a limit here; which ones depends on whether there is a truth.
    doubts
        Columns in which the method differs from raw in a way that only a truth could judge.
    """

    method: str
    channel: str
    values: Mapping[str, float]
    failures: tuple[str, ...]
    judged: frozenset[str] = frozenset()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scores:
    """Scores of one method in one channel of one plane.

    Attributes
    ----------
    values
        Value of each column; NaN where it is not known.
    margins
        By how much each column with a known value keeps its limit; negative where it violates it. A column may have
        several limits, by the name of a part, such as an octave band.
    doubt_margins
        By how much each column differs less from raw than a difference that only a truth could judge.
    judged
        Columns that have a limit here, with or without a value.
    """

    values: Mapping[str, float]
    margins: Mapping[tuple[str, str], float]
    doubt_margins: Mapping[str, float]
    judged: frozenset[str]


class MetricTable:
    """Values of one plane of a position by method, channel, metric and frame; planes without a number are averaged."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], dict[int | None, list[float]]] = {}

    def add(self, row: Row) -> None:
        """Add a row, unless its value is NaN."""
        if not isnan(row.value):
            frames = self._values.setdefault((row.method, row.channel, row.metric), {})
            frames.setdefault(row.frame, []).append(row.value)

    @property
    def methods(self) -> list[str]:
        """Names of all movies, including the truth and the phase."""
        return list(dict.fromkeys(method for method, _, _ in self._values))

    @property
    def channels(self) -> list[str]:
        """Names of the channels of the raw prediction."""
        return list(dict.fromkeys(channel for method, channel, _ in self._values if method == RAW))

    @property
    def blank(self) -> bool:
        """Whether no frame of raw has a value; the complete movie may have one, such as a lag of 0."""
        frames = (known for (method, _, _), known in self._values.items() if method == RAW)
        return not any(frame is not None for known in frames for frame in known)

    @property
    def has_truth(self) -> bool:
        """Whether predictions were compared with a truth."""
        return self.has_metric("pearson_truth")

    def has_metric(self, metric: str) -> bool:
        """Return whether any movie has this metric."""
        return any(metric == known for _, _, known in self._values)

    def get(self, method: str, channel: str, metric: str) -> Values:
        """Return the values of a metric; empty if it is not known."""
        frames = self._values.get((method, channel, metric), {})
        return {frame: sum(values) / len(values) for frame, values in frames.items()}


class EntryScorer:
    """Compute the columns of one method and channel, and check them against their limits.

    Parameters
    ----------
    table
        Values of the plane.
    method, channel
        Names.
    """

    def __init__(self, table: MetricTable, method: str, channel: str) -> None:
        self._table, self._method, self._channel = table, method, channel
        self._reference = TRUTH if table.has_truth else RAW
        self._values = dict.fromkeys(COLUMNS, nan)
        self._margins: dict[tuple[str, str], float] = {}
        self._doubt_margins: dict[str, float] = {}
        self._judged: set[str] = set()

    def scores(self) -> Scores:
        """Return the columns, and how they keep their limits."""
        self._score_steadiness()
        self._score_fidelity()
        self._score_registration()
        self._score_sharpness()
        self._score_complete_movie()
        self._score_tracks()
        return Scores(self._values, self._margins, self._doubt_margins, frozenset(self._judged))

    def _score_steadiness(self) -> None:
        for column in ("flicker", "flicker_fast"):
            changes, raw_changes = (get(column.replace("flicker", "change")) for get in (self._own, self._raw))
            own, raw = _common(changes, raw_changes)
            self._set(column, mean(own) / mean(raw) if any(raw) else nan)
            self._judge(column, FLICKER_LIMIT - self._values[column])
        self._set("over_smoothing", self._above_reference(self._own("adjacent_pearson")))
        # The phase is another modality: its steadiness is shown for comparison, and is no limit. A network that
        # predicts cells too smooth is no failure of the method.
        inherited = max(0.0, self._above_reference(self._raw("adjacent_pearson")))
        if self._reference == TRUTH:
            self._judge("over_smoothing", inherited + OVER_SMOOTHING_LIMIT - self._values["over_smoothing"])
        own_gain, raw_gain = _common(self._own("gain_flicker"), self._raw("gain_flicker"))
        self._set("gain_flicker", mean(self._own("gain_flicker").values()))
        self._judge("gain_flicker", GAIN_FACTOR * mean(raw_gain) + GAIN_TOLERANCE - mean(own_gain))

    def _above_reference(self, correlations: Values) -> float:
        """Return how far adjacent-frame correlations exceed those of the blurred truth, of the phase without truth."""
        method, metric = (
            (TRUTH, "adjacent_pearson_blurred") if self._reference == TRUTH else (PHASE, "adjacent_pearson")
        )
        own, reference = _common(correlations, self._table.get(method, self._channel, metric))
        return mean(own) - mean(reference)

    def _score_fidelity(self) -> None:
        has_truth = self._reference == TRUTH
        metric = f"pearson_{self._reference}"
        values, required = self._own(metric), self._raw(metric if has_truth else "adjacent_pearson")
        frames = sorted(frame for frame in self._raw(metric) if frame is not None)
        ends = {*frames[:ENDS], *frames[-ENDS:]}
        self._compare("pearson", values, required, mean)
        self._compare("pearson_worst", values, required, _worst)
        self._compare("pearson_ends", _at(ends, values), _at(ends, required), mean)
        self._set("pearson_min", min(values.values(), default=nan))
        fast, raw_fast = self._own(f"{metric}_fast"), self._raw(f"{metric}_fast")
        self._compare("pearson_fast", fast, raw_fast if has_truth else {}, mean)
        events, raw_events = self._own(f"{metric}_events"), self._raw(f"{metric}_events")
        chance = 2 * _standard_error(*_common(events, raw_events))
        self._compare(
            "pearson_events", events, raw_events if has_truth else {}, mean, tolerance=EVENTS_TOLERANCE + chance
        )
        if not has_truth:
            self._question_events()
        self._compare("ssim", self._own("ssim_truth"), self._raw("ssim_truth"), mean)
        bands = [self._own(f"coherence_{self._reference}_{band}") for band in BANDS]
        required_metric = "coherence_truth" if has_truth else "coherence_neighbour"
        for band, values_of_band in zip(BANDS, bands, strict=True):
            self._compare("coherence", values_of_band, self._raw(f"{required_metric}_{band}"), mean, part=band)
        self._set("coherence", mean([mean(band.values()) for band in bands if band]))

    def _question_events(self) -> None:
        """Doubt a method that changes the stain at events more than elsewhere: it may average over them."""
        at_events, everywhere = (1 - self._values[column] for column in ("pearson_events", "pearson"))
        self._doubt_margins["pearson_events"] = everywhere + EVENTS_DOUBT - at_events

    def _score_registration(self) -> None:
        rigid, local = self._own("displacement").values(), self._own("displacement_local").values()
        self._set("displacement", float(np.sqrt(np.mean(np.square(list(rigid))))) if rigid else nan)
        self._set("displacement_local", median(local) if local else nan)
        self._judge("displacement", DISPLACEMENT_LIMIT - self._values["displacement"])
        typical = self._values["displacement_local"]
        if self._reference == TRUTH:
            self._judge("displacement_local", DISPLACEMENT_LIMIT - typical)
        else:
            # A network's outlines may jitter, too: without truth, to take that out cannot be told from a displacement.
            self._judge("displacement_local", LOCAL_DISPLACEMENT_LIMIT - typical)
            self._doubt_margins["displacement_local"] = DISPLACEMENT_LIMIT - typical

    def _score_sharpness(self) -> None:
        # Median: two raw frames may share almost no detail where one of them was out of focus.
        kept = [median(values.values()) for band in BANDS if (values := self._own(f"detail_{band}"))]
        self._set("detail", min(kept, default=nan))
        self._judge("detail", self._values["detail"] - DETAIL_LIMIT)
        # A sharpness below that of raw is no failure if `detail` is known: part of the fine detail of raw is noise and
        # flicker. A sharpness above it means artefacts.
        self._set("sharpness", mean(self._own("sharpness").values()))
        minimum = DETAIL_LIMIT if isnan(self._values["detail"]) else 0.0
        sharpness = self._values["sharpness"]
        self._judge("sharpness", min(sharpness - minimum, SHARPNESS_LIMIT - sharpness))

    def _score_complete_movie(self) -> None:
        for column in ("lag", "drift", "count_jitter", "area_jitter", "intensity_jitter"):
            self._set(column, self._own(column).get(None, nan))
        uncertainty = 2 * self._own("lag_error").get(None, 0.0)
        self._judge("lag", LAG_LIMIT + uncertainty - abs(self._values["lag"]))
        self._judge("drift", DRIFT_LIMIT - abs(self._values["drift"]))

    def _score_tracks(self) -> None:
        for column in TRACK_COLUMNS:
            self._set(column, self._own(column).get(None, nan))
        own, raw = (get("identity_switches").get(None, nan) for get in (self._own, self._raw))
        # Two standard deviations of the difference of two Poisson counts, for chance.
        if not isnan(own + raw):
            self._judge("identity_switches", 2 * sqrt(own + raw) - (own - raw))

    def _own(self, metric: str) -> Values:
        return self._table.get(self._method, self._channel, metric)

    def _raw(self, metric: str) -> Values:
        return self._table.get(RAW, self._channel, metric)

    def _set(self, column: str, value: float) -> None:
        self._values[column] = float(value)

    def _compare(
        self,
        column: str,
        values: Values,
        required: Values,
        statistic: Statistic,
        *,
        tolerance: float = FIDELITY_TOLERANCE,
        part: str = "",
    ) -> None:
        """Set a column to a statistic over all frames, and check it on the frames that both have."""
        self._set(column, statistic(values.values()))
        own, minimum = _common(values, required)
        if own:
            self._judge(column, statistic(own) - (statistic(minimum) - tolerance), part)

    def _judge(self, column: str, margin: float, part: str = "") -> None:
        """Record by how much a column keeps its limit; a value that is not known does."""
        self._judged.add(column)
        if not isnan(self._values[column]):
            self._margins[column, part] = margin


def mean(values: Collection[float]) -> float:
    """Return the mean, NaN for an empty collection."""
    return sum(values) / len(values) if values else nan


def _standard_error(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the standard error of the mean difference of pairs, from their median absolute deviation.

    A single event that is lost does not count as chance.
    """
    if not first:
        return 0.0
    differences = np.subtract(first, second)
    deviation = float(np.median(np.abs(differences - np.median(differences))))
    return 1.4826 * deviation / sqrt(len(differences))


def _worst(values: Collection[float]) -> float:
    return float(np.percentile(list(values), WORST_PERCENTILE)) if values else nan


def _at(frames: Collection[int], values: Values) -> Values:
    return {frame: value for frame, value in values.items() if frame in frames}


def _common(first: Values, second: Values) -> tuple[list[float], list[float]]:
    """Return the values of the frames that both have."""
    frames = [frame for frame in first if frame in second]
    return [first[frame] for frame in frames], [second[frame] for frame in frames]
