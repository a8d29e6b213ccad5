import numpy as np
import pytest
from matplotlib.patches import Rectangle
from support.figure_helpers import draw, metric_rows, overlapping_texts, texts_of

from image_translation.figures.metrics import adjacent_pearson_figure, tradeoff_figure
from image_translation.metrics.criteria import Entry
from image_translation.metrics.rows import Row
from image_translation.metrics.score_card import ScoreCard

METHODS = ["raw", "window", "savgol", "median", "motion", "causal"]


def scored(method, flicker, fidelity, channel="Nuclei", failures=()):
    values = {"flicker": flicker, "pearson": fidelity, "detail": fidelity}
    return Entry(method, channel, values, tuple(failures))


def plot(*entries, truth=True):
    methods = tuple(dict.fromkeys(entry.method for entry in entries))
    return draw(tradeoff_figure(ScoreCard("0", ("flicker", "pearson"), methods, entries), truth=truth))


def shaded(axes):
    patch = next(patch for patch in axes.patches if isinstance(patch, Rectangle))
    return patch.get_x(), patch.get_y(), patch.get_x() + patch.get_width(), patch.get_y() + patch.get_height()


def points(axes):
    return {line.get_label(): line.get_xydata().ravel().tolist() for line in axes.lines}


def legends(figure):
    return [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]


def test_adjacent_pearson_has_a_panel_per_channel_and_a_line_per_movie():
    rows = [
        *metric_rows("raw", "adjacent_pearson", {0: 0.5, 1: 0.6, 2: 0.7}),
        *metric_rows("savgol", "adjacent_pearson", {0: 0.8, 1: 0.9, 2: 0.9}),
        *metric_rows("raw", "adjacent_pearson", {0: 0.1, 1: 0.2, 2: 0.3}, channel="Membrane"),
        *metric_rows("raw", "sharpness", {0: 1, 1: 1, 2: 1, 3: 1}),
    ]
    figure = draw(adjacent_pearson_figure(rows))
    nuclei, membrane = figure.axes
    assert [nuclei.get_title(), membrane.get_title()] == ["Nuclei", "Membrane"]
    assert [line.get_label() for line in nuclei.lines] == ["raw", "savgol"]
    assert len(membrane.lines) == 1
    np.testing.assert_array_equal(membrane.lines[0].get_xydata(), [[0, 0.1], [1, 0.2], [2, 0.3]])
    assert legends(figure) == [["raw", "savgol"]]


def test_adjacent_pearson_line_is_interrupted_where_there_is_no_value():
    figure = draw(adjacent_pearson_figure(metric_rows("raw", "adjacent_pearson", {4: 0.5, 7: 0.6, 8: np.nan, 9: 0.7})))
    line = figure.axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), range(4, 10))
    np.testing.assert_array_equal(line.get_ydata(), [0.5, np.nan, np.nan, 0.6, np.nan, 0.7])


@pytest.mark.parametrize("own_channel", ["Nuclei", "Phase3D"])
def test_the_phase_is_the_reference_of_every_channel_without_truth(own_channel):
    rows = [
        *metric_rows("raw", "adjacent_pearson", {0: 0.5, 1: 0.6}),
        *metric_rows("raw", "adjacent_pearson", {0: 0.5, 1: 0.6}, channel="Membrane"),
        *metric_rows("phase", "adjacent_pearson", {0: 0.9, 1: 0.9}, channel=own_channel),
    ]
    figure = draw(adjacent_pearson_figure(rows))
    assert [axes.get_title() for axes in figure.axes] == ["Nuclei", "Membrane"]
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == ["raw", "phase"]
    rows += metric_rows("truth", "adjacent_pearson", {0: 0.8, 1: 0.8})
    assert legends(draw(adjacent_pearson_figure(rows))) == [["raw", "truth"]]


def test_methods_have_distinct_and_constant_colours():
    names = [*METHODS, "truth", "other", "another"]
    rows = [row for name in names for row in metric_rows(name, "adjacent_pearson", {0: 0.5, 1: 0.6})]
    lines = adjacent_pearson_figure(rows).axes[0].lines
    assert len({line.get_color() for line in lines}) == len(names)
    assert max(lines, key=lambda line: line.get_linewidth()).get_label() == "motion"
    alone = adjacent_pearson_figure(metric_rows("savgol", "adjacent_pearson", {0: 0.5}))
    assert alone.axes[0].lines[0].get_color() == lines[2].get_color()


def test_tradeoff_has_a_point_per_method_and_shades_the_region_better_than_raw():
    unknown = scored("unknown", np.nan, 0.4), scored("unheard", 0.4, np.nan), Entry("empty", "Nuclei", {}, ())
    figure = plot(scored("raw", 1, 0.8), scored("motion", 0.25, 0.9), scored("savgol", 0.5, 0.7), *unknown)
    (axes,) = figure.axes
    expected = {"raw": [100, 0.8], "motion": [25, 0.9], "savgol": [50, 0.7]}
    assert points(axes) == {name: pytest.approx(point) for name, point in expected.items()}
    left, bottom, right, top = shaded(axes)
    assert (left, bottom, right) == (0, pytest.approx(0.8), 100)
    assert top >= 0.9
    assert axes.get_ylabel() == "Pearson correlation with truth"


def test_tradeoff_without_truth_shows_detail():
    (axes,) = plot(scored("raw", 1, 1), scored("window", 0.7, 0.6), truth=False).axes
    assert points(axes)["window"] == pytest.approx([70, 0.6])
    assert shaded(axes)[1] == pytest.approx(0.95)
    assert axes.get_ylabel() == "detail kept (raw = 1)"


def test_tradeoff_axis_has_a_minimum_span():
    low, high = plot(scored("raw", 1, 0.9), scored("window", 0.7, 0.9001)).axes[0].get_ylim()
    assert high - low == pytest.approx(0.03)


def test_markers_of_failed_methods_are_hollow_except_in_the_legend():
    entries = [scored("raw", 1, 0.9, channel) for channel in ("Nuclei", "Membrane")]
    entries += [scored("savgol", 0.5, 0.95, "Nuclei", ["lag"]), scored("savgol", 0.5, 0.95, "Membrane")]
    figure = plot(*entries)
    styles = [[line.get_fillstyle() for line in axes.lines] for axes in figure.axes]
    assert styles == [["full", "none"], ["full", "full"]]
    assert [line.get_fillstyle() for line in figure.legends[0].get_lines()] == ["full", "full"]
    assert "worse than allowed in the score card" in legends(figure)[1]
    assert len(legends(plot(*entries[:2]))[1]) == 1


@pytest.mark.parametrize("n_channels", [1, 2, 5])
@pytest.mark.parametrize("n_methods", [1, 4, 6])
def test_texts_do_not_overlap(n_methods, n_channels):
    channels = ["Nuclei", "Membrane", "Mitochondria", "Actin", "Golgi"][:n_channels]
    rows: list[Row] = []
    entries = []
    for channel in channels:
        for number, method in enumerate(METHODS[:n_methods]):
            entries.append(scored(method, 1 - number / 10, 0.9, channel, ["lag"]))
            rows += metric_rows(method, "adjacent_pearson", {0: 0.5, 1: 0.6}, channel)
    figures = [plot(*entries), adjacent_pearson_figure(rows)]
    for figure in figures:
        assert overlapping_texts(draw(figure)) == []
        assert [axes.get_title() for axes in figure.axes if axes.get_title()] == channels


@pytest.mark.parametrize(
    "rows",
    [
        [],
        metric_rows("raw", "sharpness", {0: 1.0}),
        metric_rows("raw", "adjacent_pearson", {0: np.nan}),
        [Row("0", "raw", "Nuclei", None, "adjacent_pearson", 0.5)],
    ],
)
def test_missing_or_undefined_values_can_be_drawn(rows):
    draw(adjacent_pearson_figure(rows))


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize(
    "entries",
    [
        [],
        [scored("raw", np.nan, 1.0)],
        [scored("raw", 1.0, np.nan)],
        [scored("motion", 0.5, 0.9)],
        [scored("raw", 1, 1, "a"), scored("motion", np.nan, np.nan, "b")],
    ],
)
def test_incomplete_cards_can_be_drawn(entries, truth):
    plot(*entries, truth=truth)


def test_figures_without_data_have_a_placeholder():
    assert texts_of(adjacent_pearson_figure([]).axes[0]) == ["no adjacent frames"]
    assert texts_of(plot().axes[0]) == ["no flicker can be measured"]


@pytest.mark.parametrize("name", [r"$\foo$", "a$b_c$^", "100 %", "{x}", "_hidden"])
def test_names_are_not_parsed_as_math(name):
    figures = [
        draw(adjacent_pearson_figure(metric_rows(name, "adjacent_pearson", {0: 0.5}, name))),
        plot(scored("raw", 1, 0.9, name), scored(name, 0.5, 0.9, name)),
    ]
    for figure in figures:
        assert figure.axes[0].get_title() == name
        assert name in [line.get_label() for line in figure.axes[0].lines]
