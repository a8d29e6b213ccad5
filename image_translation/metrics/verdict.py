"""What the numbers of one method and channel amount to, and which of them are worse than allowed."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import isnan, nan
from statistics import median

import numpy as np

from image_translation.metrics.rows import PHASE, RAW, TRUTH, Row

Values = Mapping[int | None, float]
"""Numbers of one metric, of one method and channel, by frame."""
Summary = Callable[[Collection[float]], float]

BANDS = ("fine", "medium", "coarse")
COLUMNS = (
    "flicker", "flicker_fast", "pearson", "pearson_worst", "pearson_min", "pearson_ends", "pearson_events",
    "pearson_fast", "ssim", "coherence", "detail", "sharpness", "over_smoothing", "lag", "drift", "gain_flicker",
    "count_jitter", "area_jitter", "intensity_jitter",
)  # fmt: skip

ENDS = 3  # frames at the beginning and at the end
WORST = 5  # per cent

# What is lost by chance: a fifth of the least gain in fidelity that is worth having, .01. The events are few pixels.
FIDELITY_TOLERANCE = 0.002
EVENTS_TOLERANCE = 0.005
FLICKER_LIMIT = 1.02
DETAIL_LIMIT = 0.95
SHARPNESS_LIMIT = 1.15
LAG_LIMIT = 0.1
OVER_SMOOTHING_LIMIT = 0.02
DRIFT_LIMIT = 0.1
GAIN_FACTOR, GAIN_TOLERANCE = 1.1, 0.01


@dataclass(frozen=True)
class Entry:
    """What is known of one channel of one method.

    Attributes
    ----------
    method, channel
        Names.
    values
        Number of each column; NaN where it is not known.
    failures
        Columns in which the method is worse than allowed. The raw prediction never is: it is what is judged by.
    """

    method: str
    channel: str
    values: Mapping[str, float]
    failures: tuple[str, ...]


class Table:
    """Rows of one position by method, channel and metric; planes are averaged."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], dict[int | None, list[float]]] = {}

    def add(self, row: Row) -> None:
        """Take a row; one without a number is left out."""
        if not isnan(row.value):
            frames = self._values.setdefault((row.method, row.channel, row.metric), {})
            frames.setdefault(row.frame, []).append(row.value)

    @property
    def methods(self) -> list[str]:
        """Names of all movies, truth and phase as well."""
        return list(dict.fromkeys(method for method, _, _ in self._values))

    @property
    def channels(self) -> list[str]:
        """Names of the channels of the raw prediction."""
        return list(dict.fromkeys(channel for method, channel, _ in self._values if method == RAW))

    def knows(self, metric: str) -> bool:
        """Tell whether any movie has this metric."""
        return any(metric == known for _, _, known in self._values)

    def get(self, method: str, channel: str, metric: str) -> Values:
        """Return the numbers of a metric; none where it is not known."""
        frames = self._values.get((method, channel, metric), {})
        return {frame: sum(values) / len(values) for frame, values in frames.items()}


class Judge:
    """Fills the columns of one method and channel, and says which of them are worse than allowed.

    Parameters
    ----------
    table
        The numbers of the position.
    method, channel
        What to judge.
    """

    def __init__(self, table: Table, method: str, channel: str) -> None:
        self._table, self._method, self._channel = table, method, channel
        self._yardstick = TRUTH if table.knows("pearson_truth") else RAW
        self._values = dict.fromkeys(COLUMNS, nan)
        self._failures: list[str] = []

    def entry(self) -> Entry:
        """Fill in the columns, and return them with the failures."""
        self._judge_steadiness()
        self._judge_fidelity()
        self._judge_sharpness()
        self._judge_whole_movie()
        failures = () if self._method == RAW else tuple(column for column in COLUMNS if column in self._failures)
        return Entry(self._method, self._channel, self._values, failures)

    def _judge_steadiness(self) -> None:
        for column in ("flicker", "flicker_fast"):
            changes, raw_changes = (get(column.replace("flicker", "change")) for get in (self._own, self._raw))
            own, raw = _common(changes, raw_changes)
            self._set(column, mean(own) / mean(raw) if any(raw) else nan)
            if self._values[column] > FLICKER_LIMIT:
                self._failures.append(column)
        self._set("over_smoothing", self._above_yardstick(self._own("adjacent_pearson")))
        # The phase is not the stain: how steady it is says what to expect, not what is allowed. And a network that
        # draws cells too smooth is no fault of the method.
        inherited = max(0.0, self._above_yardstick(self._raw("adjacent_pearson")))
        if self._yardstick == TRUTH and self._values["over_smoothing"] > inherited + OVER_SMOOTHING_LIMIT:
            self._failures.append("over_smoothing")
        own_gain, raw_gain = _common(self._own("gain_flicker"), self._raw("gain_flicker"))
        self._set("gain_flicker", mean(self._own("gain_flicker").values()))
        if mean(own_gain) > GAIN_FACTOR * mean(raw_gain) + GAIN_TOLERANCE:
            self._failures.append("gain_flicker")

    def _above_yardstick(self, steadiness: Values) -> float:
        """Return how far correlations of adjacent frames lie above the truth's at the same blur, else the phase's."""
        known = (TRUTH, "adjacent_pearson_blurred") if self._yardstick == TRUTH else (PHASE, "adjacent_pearson")
        own, reference = _common(steadiness, self._table.get(known[0], self._channel, known[1]))
        return mean(own) - mean(reference)

    def _judge_fidelity(self) -> None:
        truth = self._yardstick == TRUTH
        metric = f"pearson_{self._yardstick}"
        values, allowed = self._own(metric), self._raw(metric if truth else "adjacent_pearson")
        frames = sorted(frame for frame in self._raw(metric) if frame is not None)
        ends = {*frames[:ENDS], *frames[-ENDS:]}
        at_ends, allowed_there = (_at(ends, those) for those in (values, allowed))
        self._compare("pearson", values, allowed, mean)
        self._compare("pearson_worst", values, allowed, _worst)
        self._compare("pearson_ends", at_ends, allowed_there, mean)
        self._set("pearson_min", min(values.values(), default=nan))
        for column, tolerance in (("pearson_events", EVENTS_TOLERANCE), ("pearson_fast", FIDELITY_TOLERANCE)):
            name = column.replace("pearson", metric)
            self._compare(column, self._own(name), self._raw(name) if truth else {}, mean, tolerance)
        self._compare("ssim", self._own("ssim_truth"), self._raw("ssim_truth"), mean)
        bands = [self._own(f"coherence_{self._yardstick}_{band}") for band in BANDS]
        yardstick = "coherence_truth" if truth else "coherence_neighbour"
        for band, values_of_band in zip(BANDS, bands, strict=True):
            self._compare("coherence", values_of_band, self._raw(f"{yardstick}_{band}"), mean)
        self._set("coherence", mean([mean(band.values()) for band in bands if band]))

    def _judge_sharpness(self) -> None:
        # Median: what two raw frames share may be next to nothing, where one of them was out of focus.
        kept = [median(values.values()) for band in BANDS if (values := self._own(f"detail_{band}"))]
        self._set("detail", min(kept, default=nan))
        if self._values["detail"] < DETAIL_LIMIT:
            self._failures.append("detail")
        # Less than raw's is no failure where the detail that counts is known: part of the fine detail of raw is noise
        # and flicker. More would be invented.
        self._set("sharpness", mean(self._own("sharpness").values()))
        least = DETAIL_LIMIT if isnan(self._values["detail"]) else 0.0
        if not least <= self._values["sharpness"] <= SHARPNESS_LIMIT and not isnan(self._values["sharpness"]):
            self._failures.append("sharpness")

    def _judge_whole_movie(self) -> None:
        for column in ("lag", "drift", "count_jitter", "area_jitter", "intensity_jitter"):
            self._set(column, self._own(column).get(None, nan))
        doubt = 2 * self._own("lag_error").get(None, 0.0)
        if abs(self._values["lag"]) > LAG_LIMIT + doubt:
            self._failures.append("lag")
        if abs(self._values["drift"]) > DRIFT_LIMIT:
            self._failures.append("drift")

    def _own(self, metric: str) -> Values:
        return self._table.get(self._method, self._channel, metric)

    def _raw(self, metric: str) -> Values:
        return self._table.get(RAW, self._channel, metric)

    def _set(self, column: str, value: float) -> None:
        self._values[column] = float(value)

    def _compare(
        self, column: str, values: Values, allowed: Values, summary: Summary, tolerance: float = FIDELITY_TOLERANCE
    ) -> None:
        """Show a summary of all frames, and compare it on those that are known of both."""
        self._set(column, summary(values.values()))
        own, least = _common(values, allowed)
        if summary(own) < summary(least) - tolerance:
            self._failures.append(column)


def mean(values: Collection[float]) -> float:
    """Return the mean, NaN of nothing."""
    return sum(values) / len(values) if values else nan


def _worst(values: Collection[float]) -> float:
    return float(np.percentile(list(values), WORST)) if values else nan


def _at(frames: Collection[int], values: Values) -> Values:
    return {frame: value for frame, value in values.items() if frame in frames}


def _common(first: Values, second: Values) -> tuple[list[float], list[float]]:
    """Return the numbers of the frames that both know."""
    frames = [frame for frame in first if frame in second]
    return [first[frame] for frame in frames], [second[frame] for frame in frames]
