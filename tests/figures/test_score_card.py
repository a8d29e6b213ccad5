import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from support.figure_helpers import draw, overlapping_texts

from image_translation.figures.score_card import BEST, FAILED, LIMITS, score_card_figure
from image_translation.metrics.criteria import COLUMNS, Entry
from image_translation.metrics.score_card import ScoreCard

METHODS = ("motion", "causal", "median", "raw", "savgol", "window")


def make_card(methods=METHODS, channels=("Nuclei", "Membrane"), columns=COLUMNS, value=0.123, failures=()):
    entries = tuple(Entry(m, c, dict.fromkeys(columns, value), tuple(failures)) for m in methods for c in channels)
    return ScoreCard("0", tuple(columns), tuple(methods), entries)


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def colour_behind(figure, text):
    axes = figure.axes[0]
    (label,) = [label for label in axes.texts if label.get_text() == text]
    x, y = label.get_position()
    (box,) = [box for box in axes.patches if isinstance(box, Rectangle) and box.get_bbox().contains(x - 0.05, y)]
    return np.array(to_rgb(box.get_facecolor()))


def test_every_column_of_the_score_card_has_a_target():
    assert {*BEST, *LIMITS} == set(COLUMNS)


def test_methods_are_ranked_and_failures_are_marked():
    card = ScoreCard(
        "0",
        ("flicker", "sharpness"),
        ("motion", "raw"),
        (
            Entry("motion", "Nuclei", {"flicker": 0.25, "sharpness": 0.5}, ("sharpness",)),
            Entry("raw", "Nuclei", {"flicker": 1.0, "sharpness": 1.0}, ()),
        ),
    )
    figure = draw(score_card_figure(card))
    texts = texts_of(figure)
    assert texts.index("1. motion") < texts.index("2. raw")
    assert {"Nuclei", "flicker", "sharpness", "0.250", f"{FAILED} 0.500", "low", "at most 1.15"} <= set(texts)
    failed = next(text for text in figure.axes[0].texts if text.get_text() == f"{FAILED} 0.500")
    assert failed.get_weight() == "bold"


@pytest.mark.parametrize(
    ("column", "raw", "value", "better"),
    [
        ("flicker", 1.0, 0.5, True),
        ("flicker", 1.0, 1.5, False),
        ("pearson", 0.8, 0.9, True),
        ("pearson", 0.8, 0.7, False),
        ("lag", 0.5, -0.1, True),
        ("lag", 0.1, -0.5, False),
        ("detail", 1.0, 0.8, False),
        ("detail", 0.8, 1.1, True),
        ("sharpness", 0.8, 0.8, None),
        ("over_smoothing", -0.2, 0.1, True),
        ("flicker", 0.5, 0.5, None),
    ],
)
def test_better_than_raw_is_blue_and_worse_is_orange(column, raw, value, better):
    entries = (Entry("x", "c", {column: value}, ()), Entry("raw", "c", {column: raw}, ()))
    figure = draw(score_card_figure(ScoreCard("0", (column,), ("x", "raw"), entries)))
    texts = texts_of(figure)
    text = f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
    if better is None:
        assert texts.count(text) == 2
        return
    red, _, blue = colour_behind(figure, text)
    assert bool(blue > red) is better
    np.testing.assert_array_equal(colour_behind(figure, f"{raw:.3f}".replace("-", "\N{MINUS SIGN}")), [1, 1, 1])


def test_similarity_to_raw_is_not_coloured():
    entries = (Entry("x", "c", {"pearson": 0.9}, ()), Entry("raw", "c", {"pearson": 1.0}, ()))
    figure = draw(score_card_figure(ScoreCard("0", ("pearson",), ("x", "raw"), entries)))
    np.testing.assert_array_equal(colour_behind(figure, "0.900"), [1, 1, 1])


@pytest.mark.parametrize(
    ("n_methods", "channels", "value"),
    [
        (1, ("Nuclei",), -0.501),
        (4, ("Nuclei", "Membrane"), -0.501),
        (6, ("A", "B", "C", "D", "E"), 1234.5),
        (6, ("Nuclei",), 1234.5),
    ],
)
def test_texts_do_not_overlap(n_methods, channels, value):
    card = make_card(METHODS[:n_methods], channels, value=value, failures=("lag", "pearson"))
    figure = draw(score_card_figure(card))
    assert overlapping_texts(figure) == []
    assert {*channels, *(f"{rank}. {method}" for rank, method in enumerate(METHODS[:n_methods], 1))} <= set(
        texts_of(figure)
    )


@pytest.mark.parametrize(
    "card",
    [
        ScoreCard("0", (), (), ()),
        ScoreCard("0", ("flicker",), (), ()),
        make_card(value=np.nan),
        make_card(methods=("motion",)),
        make_card(columns=("unheard_of",)),
        ScoreCard("0", ("flicker",), ("raw",), (Entry("raw", "c", {}, ()),)),
    ],
)
def test_incomplete_cards_can_be_drawn(card):
    draw(score_card_figure(card))


def test_names_are_not_parsed_as_math():
    figure = draw(score_card_figure(make_card(methods=("$x$", "raw"), channels=(r"$\foo$",))))
    assert {"1. $x$", r"$\foo$"} <= set(texts_of(figure))
