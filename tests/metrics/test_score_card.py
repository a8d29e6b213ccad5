"""Harmful methods fail the expected columns and rank below raw; a good method ranks first."""

from functools import cache
from math import isnan, nan

import numpy as np
import pytest
from support.cells import CHANNELS, cells_movie

from benchmarks.cheats import CHEATS, half_a_frame_early, with_gain_flicker
from image_translation.frame import Frame
from image_translation.metrics.criteria import Entry
from image_translation.metrics.evaluator import Evaluator
from image_translation.metrics.rows import Row
from image_translation.metrics.score_card import (
    ScoreCard,
    score_cards,
    write_score_cards,
)
from image_translation.metrics.score_card_text import format_score_card

HARMFUL = {name: lambda m, cheat=cheat: cheat(m.raw) for name, cheat in CHEATS.items()} | {
    "early": lambda m: half_a_frame_early(m.raw, m.flow),
    "steady with gain": lambda m: with_gain_flicker(m.steady),
}
# Columns that each fails at least, in either channel; with truth, also those of FAILS_WITH_TRUTH.
FAILS = {
    "frozen": {"pearson", "coherence"},
    "mean": {"detail", "pearson", "coherence"},
    "blurred": {"detail"},
    "early": {"lag"},
    "ghosted": {"detail"},
    "gain": {"gain_flicker"},
    "steady with gain": {"gain_flicker"},
    "fading": {"drift"},
    "sharpened": {"sharpness"},
    "shaken": {"displacement"},
}
FAILS_WITH_TRUTH = {
    "frozen": {"over_smoothing", "ssim", "pearson_worst", "pearson_ends", "pearson_fast"},
    "mean": {"over_smoothing", "pearson_worst", "pearson_fast"},
    "blurred": {"coherence", "pearson"},
    "early": {"pearson", "coherence"},
    "ghosted": {"over_smoothing", "pearson", "coherence", "pearson_fast"},
}


@cache
def card_of(*, truth: bool, phase: bool = True) -> ScoreCard:
    m = cells_movie()
    movies = {"steady": m.steady, **{name: method(m).astype(np.float32) for name, method in HARMFUL.items()}}
    evaluator = Evaluator("0", CHANNELS, dict.fromkeys(movies, 0.0), truth=truth)
    rows = []
    for t, raw in enumerate(m.raw):
        if truth:
            rows += evaluator.add("truth", Frame(t, m.truth[t]))
        rows += evaluator.add("raw", Frame(t, raw, phase=m.phase[t] if phase else None))
        for name, frames in movies.items():
            rows += evaluator.add(name, Frame(t, frames[t]))
    (card,) = score_cards(rows + evaluator.finish())
    return card


def failures(card: ScoreCard, method: str) -> set[str]:
    return {column for entry in card.entries if entry.method == method for column in entry.failures}


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize("method", HARMFUL)
def test_a_harmful_method_fails_and_ranks_below_raw(method: str, *, truth: bool) -> None:
    card = card_of(truth=truth)
    expected = FAILS[method] | (FAILS_WITH_TRUTH.get(method, set()) if truth else set())
    assert expected <= failures(card, method)
    assert card.ranking.index(method) > card.ranking.index("raw")


@pytest.mark.parametrize("truth", [True, False])
def test_a_good_method_ranks_first_and_halves_the_flicker(*, truth: bool) -> None:
    card = card_of(truth=truth)
    assert failures(card, "steady") == set()
    assert card.ranking[:2] == ("steady", "raw")
    for entry in card.entries:
        if entry.method == "steady":
            assert entry.values["flicker"] < 0.5
        if entry.method == "raw":
            assert entry.values["flicker"] == 1
            assert entry.failures == ()


def test_harmful_methods_fail_without_phase_and_truth() -> None:
    card = card_of(truth=False, phase=False)
    assert "flicker" not in card.columns
    for method in HARMFUL:
        expected = {"sharpness" if column == "detail" else column for column in FAILS[method]}
        assert expected - {"coherence"} <= failures(card, method)
        assert card.ranking.index(method) > card.ranking.index("raw")
    assert failures(card, "steady") == set()


def test_card_of_rows_with_known_values() -> None:
    rows = [Row("A", m, "Nuclei", t, "pearson_truth", v) for m, v in (("raw", 0.9), ("late", 0.95)) for t in range(9)]
    rows += [Row("A", "late", "Nuclei", None, "lag", 1.0), Row("A", "late", "Nuclei", None, "lag_error", 0.1)]
    rows += [Row("B", "late", "Nuclei", None, "lag", 1.0)]
    (card,) = score_cards(rows)
    assert card.position == "A"
    assert card.ranking == ("raw", "late")
    assert card.columns == ("pearson", "pearson_worst", "pearson_min", "pearson_ends", "lag")
    raw, late = card.entries
    assert (raw.failures, late.failures) == ((), ("lag",))
    assert late.values["pearson"] == pytest.approx(0.95)
    assert isnan(late.values["ssim"])


def events(method: str, everywhere: float, at_events: float) -> list[Row]:
    values = {"pearson_raw": everywhere, "pearson_raw_events": at_events, "change": 0.5 if method != "raw" else 1.0}
    rows = [Row("0", method, "N", t, metric, value) for metric, value in values.items() for t in range(9)]
    return [*rows, *(Row("0", method, "N", t, "adjacent_pearson", 0.9) for t in range(9))]


def test_without_truth_a_method_that_changes_events_is_not_ranked_above_raw() -> None:
    rows = [*events("raw", 1, 1), *events("careful", 0.99, 0.975), *events("averaging", 0.99, 0.96)]
    (card,) = score_cards(rows)
    assert card.ranking == ("careful", "raw", "averaging")
    assert [card.in_doubt(method) for method in card.ranking] == [False, False, True]
    assert not any(card.failed(method) for method in card.ranking)
    text = format_score_card(card)
    assert text.startswith(
        "0, N: careful is best, with 50 % less flicker than raw; of averaging only a truth could tell."
    )
    assert "0.960?" in text


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize(("local", "in_doubt", "fails"), [(0.2, False, False), (0.3, True, False), (0.6, False, True)])
def test_local_displacement_is_in_doubt_without_truth(
    local: float, *, in_doubt: bool, fails: bool, truth: bool
) -> None:
    rows = [*events("raw", 1, 1), *events("x", 0.99, 0.99)]
    rows += [Row("0", "x", "N", t, "displacement_local", local) for t in range(9)]
    rows += [Row("0", method, "N", 0, "pearson_truth", 0.9) for method in ("raw", "x") if truth]
    (card,) = score_cards(rows)
    assert card.in_doubt("x") is (in_doubt and not truth)
    assert card.failed("x") is (fails or (in_doubt and truth))


@pytest.mark.parametrize(
    ("losses", "fails"),
    [
        ([0.004] * 9, False),
        ([0.006] * 9, True),
        ([0.03, 0, -0.02, 0.03, 0.01, -0.01, 0.02, 0, 0.01], False),  # .008 +- .006
        ([0.1, 0, 0.001, 0, -0.001, 0, 0.001, 0, 0], True),  # one event is lost
        ([0.006], True),
    ],
)
def test_a_loss_at_events_fails_beyond_chance(losses: list[float], *, fails: bool) -> None:
    rows = [Row("0", method, "N", t, "pearson_truth", 0.9) for method in ("raw", "x") for t in range(9)]
    rows += [Row("0", "raw", "N", t, "pearson_truth_events", 0.8) for t in range(len(losses))]
    rows += [Row("0", "x", "N", t, "pearson_truth_events", 0.8 - loss) for t, loss in enumerate(losses)]
    (card,) = score_cards(rows)
    assert card.failed("x") is fails


def test_formatted_card_fits_the_page_and_marks_failures() -> None:
    card = card_of(truth=True)
    text = format_score_card(card)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 110
    assert lines[0].startswith("0, Nuclei: steady is best, with ")
    assert "; worse than raw: " in lines[0]
    table = [line for line in lines if line.startswith("sharpness")]
    assert any("!" in line for line in table)
    membrane = text.split("\nMembrane")[1]
    assert "count_jitter" not in membrane
    plain = ScoreCard("p", ("lag",), ("raw",), (Entry("raw", "N", {"lag": nan}, ()),))
    assert format_score_card(plain).splitlines()[0] == "p, N: only the raw prediction was scored."


def test_cards_are_written_as_csv(tmp_path) -> None:
    path = tmp_path / "card.csv"
    write_score_cards([card_of(truth=True)], path)
    lines = path.read_text().splitlines()
    assert lines[0] == "position,rank,method,channel,column,value,fails,in_doubt"
    card = card_of(truth=True)
    assert len(lines) == 1 + len(card.entries) * len(card.columns)
    marks = [line.split(",")[-2:] for line in lines[1:]]
    assert marks.count(["yes", "no"]) == sum(len(entry.failures) for entry in card.entries)
    assert marks.count(["yes", "no"]) + marks.count(["no", "no"]) == len(marks)
