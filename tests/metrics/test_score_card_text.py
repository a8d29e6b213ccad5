"""The terminal's score card: a plain sentence per channel, few rows, and one card for a plate."""

import pytest

from image_translation.metrics.criteria import Entry
from image_translation.metrics.score_card import ScoreCard
from image_translation.metrics.score_card_text import MAIN_COLUMNS, format_score_card, format_score_cards, verdicts

COLUMNS = (*MAIN_COLUMNS, "sharpness", "tracking_tra")


def entry(method: str, flicker: float, *, fails: tuple[str, ...] = (), doubts: tuple[str, ...] = ()) -> Entry:
    values = dict.fromkeys(COLUMNS, 0.5) | {"flicker": flicker}
    return Entry(method, "N", values, fails, frozenset(fails), doubts)


def card(*entries: Entry, position: str = "fov") -> ScoreCard:
    return ScoreCard(position, COLUMNS, tuple(one.method for one in entries), entries)


RAW = entry("raw", 1)
LATE = entry("late", 0.2, fails=("lag", "pearson", "pearson_worst"))
UNSURE = entry("unsure", 0.4, doubts=("pearson_events",))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([RAW], "only the raw prediction was scored."),
        ([entry("a", 0.75), entry("b", 0.8), RAW], "a is best, with 25 % less flicker than raw."),
        (
            [entry("a", 0.75), RAW, UNSURE, LATE],
            (
                "a is best, with 25 % less flicker than raw; of unsure only a truth could tell; "
                "worse than raw: late (shifted in time, less faithful)."
            ),
        ),
        ([RAW, LATE], "no method is better than raw; worse than raw: late (shifted in time, less faithful)."),
        ([RAW, entry("a", 1.01)], "no method is better than raw."),
        (
            [RAW, UNSURE],
            "whether unsure is better than raw cannot be told without truth (other at events).",
        ),
        (
            [entry("raw", float("nan")), entry("a", float("nan"))],
            "which method is best cannot be told, because flicker is not known.",
        ),
    ],
)
def test_a_sentence_says_which_method_is_best_and_why(entries: list[Entry], expected: str) -> None:
    assert verdicts(card(*entries)) == {"N": expected}


def test_few_rows_are_shown_unless_all_are_wanted() -> None:
    short = format_score_cards([card(entry("a", 0.75), RAW)])
    assert short.startswith("fov, N: a is best, with 25 % less flicker than raw.\n\nN ")
    rows = [line.split()[0] for line in short.splitlines()[3:-1]]
    assert rows == [*MAIN_COLUMNS, "tracking_tra"]  # tracks were asked for
    assert short.endswith("\n-v shows all rows")
    assert "sharpness" in format_score_cards([card(entry("a", 0.75), RAW)], verbose=True)
    assert format_score_cards([]) == ""


def test_a_plate_has_one_sentence_and_one_table_for_each_channel() -> None:
    cards = [card(entry("a", 0.6 + 0.1 * number), RAW, position=f"A/{number}/0") for number in range(3)]
    cards.append(card(RAW, entry("a", 0.5, fails=("lag",)), position="B/1/0"))
    text = format_score_cards(cards)
    assert text.startswith("N: a is best in 3 of 4 positions; no method is better than raw in 1 (B/1/0).\n\nN")
    line = next(line for line in text.splitlines() if line.startswith("flicker"))
    assert line.split()[1:3] == ["0.650", "1.000"]  # means, best first
    assert "0.500!" in next(line for line in text.splitlines() if line.startswith("lag"))
    assert text.endswith("Means of 4 positions; ! worse than allowed; -v shows all rows")
    verbose = format_score_cards(cards, verbose=True)
    assert all(format_score_card(one) in verbose for one in cards)
    assert format_score_cards([cards[0]] * 2).startswith("N: a is best in all 2 positions.\n")
