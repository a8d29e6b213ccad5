"""Limits of single columns of the score card, for rows with known values."""

from collections.abc import Iterable

import numpy as np
import pytest

from image_translation.metrics.criteria import Entry, MetricTable
from image_translation.metrics.planes import entry_of_planes
from image_translation.metrics.rows import Row


def entry_of(rows: Iterable[Row], method: str) -> Entry:
    table = MetricTable()
    for row in rows:
        table.add(row)
    return entry_of_planes([table], method, "N")


@pytest.mark.parametrize("column", ["fast", "events"])
def test_fidelity_of_fast_pixels_and_events_is_compared_with_raw(column: str) -> None:
    rows = [Row("A", m, "N", 0, "pearson_truth", 0.9) for m in ("raw", "other")]
    rows += [Row("A", m, "N", 0, f"pearson_truth_{column}", v) for m, v in (("raw", 0.8), ("other", 0.79))]
    assert entry_of(rows, "other").failures == (f"pearson_{column}",)


def test_a_lag_within_its_uncertainty_is_no_failure() -> None:
    rows = [Row("A", m, "N", 0, "pearson_raw", 1.0) for m in ("raw", "other")]
    rows += [Row("A", "other", "N", None, "lag", 0.3), Row("A", "other", "N", None, "lag_error", 0.11)]
    assert entry_of(rows, "other").failures == ()


def test_bad_frames_fail_in_the_worst_and_at_the_ends() -> None:
    def scored(values: np.ndarray) -> Entry:
        rows = [Row("A", "raw", "N", t, "pearson_truth", 0.9) for t in range(20)]
        rows += [Row("A", "some", "N", t, "pearson_truth", float(v)) for t, v in enumerate(values)]
        return entry_of(rows, "some")

    values = np.full(20, 0.92)
    values[[7, 8]] = 0.8
    assert scored(values).failures == ("pearson_worst",)
    assert scored(values).values["pearson_min"] == pytest.approx(0.8)
    values = np.full(20, 0.92)
    values[-1] = 0.86
    values[0] = 0.82
    assert "pearson_ends" in scored(values).failures
    assert scored(values).values["pearson_ends"] == pytest.approx((4 * 0.92 + 0.86 + 0.82) / 6)


@pytest.mark.parametrize(
    ("raw", "other", "fails"), [(0.7, 0.83, True), (0.7, 0.81, False), (0.85, 0.86, False), (0.85, 0.88, True)]
)
def test_over_smoothing_is_relative_to_the_truth_or_to_raw(raw: float, other: float, *, fails: bool) -> None:
    movies = {"truth": 0.8, "raw": raw, "other": other}
    metrics = {m: "adjacent_pearson_blurred" if m == "truth" else "adjacent_pearson" for m in movies}
    rows = [Row("A", m, "N", t, metrics[m], v) for m, v in movies.items() for t in range(4)]
    rows += [Row("A", m, "N", 0, "pearson_truth", 0.9) for m in ("raw", "other")]
    entry = entry_of(rows, "other")
    assert entry.values["over_smoothing"] == pytest.approx(other - 0.8)
    assert entry.failures == (("over_smoothing",) if fails else ())


def test_methods_are_compared_on_common_frames() -> None:
    rows = [Row("A", "raw", "N", t, "pearson_truth", 0.9 if t < 9 else 1.0) for t in range(18)]
    rows += [Row("A", "some", "N", t, "pearson_truth", 0.92) for t in range(9)]
    assert entry_of(rows, "some").failures == ()


def test_raw_never_fails() -> None:
    rows = [Row("A", "raw", "N", None, "drift", 1.0), Row("A", "other", "N", None, "drift", 1.0)]
    assert entry_of(rows, "raw").failures == ()
    assert entry_of(rows, "other").failures == ("drift",)


def test_planes_are_averaged_and_nan_is_ignored() -> None:
    table = MetricTable()
    for value in (0.5, np.nan, 1.0):
        table.add(Row("A", "raw", "N", 3, "ssim_truth", value))
    assert table.get("raw", "N", "ssim_truth") == {3: 0.75}
    assert table.get("raw", "N", "lag") == {}
    assert (table.has_metric("ssim_truth"), table.has_metric("lag")) == (True, False)


@pytest.mark.parametrize(("raw", "own", "fails"), [(29, 50, True), (29, 44, False), (0, 4, False), (0, 5, True)])
def test_more_identity_switches_than_chance_are_a_failure(raw: int, own: int, *, fails: bool) -> None:
    rows = [Row("A", m, "N", None, "identity_switches", v) for m, v in (("raw", raw), ("other", own))]
    assert entry_of(rows, "other").failures == (("identity_switches",) if fails else ())


def test_agreement_of_tracks_with_raw_is_no_criterion() -> None:
    rows = [Row("A", "raw", "N", None, "drift", 0.0), Row("A", "other", "N", None, "identity_switches_raw", 99.0)]
    entry = entry_of(rows, "other")
    assert entry.failures == ()
    assert entry.values["identity_switches_raw"] == 99
