import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle

from image_translation.plot import adjacent_pearson_figure, frames_figure, kymograph_figure, tradeoff_figure
from image_translation.rows import Row


def random_stack(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def draw(figure):
    """Draw, because much of what can go wrong does so only then."""
    FigureCanvasAgg(figure).draw()
    return figure


def panels_of(figure):
    """Return the axes that are no colour bars."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def is_hatched(axes):
    return any(isinstance(patch, Rectangle) and patch.get_hatch() for patch in axes.patches)


def metric_rows(method, metric, numbers, channel="Nuclei"):
    return [Row("0", method, channel, frame, metric, number) for frame, number in numbers.items()]


def test_frames_have_a_row_per_movie_and_a_column_per_frame():
    images = {"raw": random_stack(3, 8, 10), "savgol": 5 * random_stack(3, 8, 10)}
    figure = draw(frames_figure(images, ["a", "b", "c"], "Nuclei", 100 * random_stack(3, 8, 10)))
    panels = panels_of(figure)
    assert len(panels) == 9
    assert [axes.get_title() for axes in panels] == ["a", "b", "c", *[""] * 6]
    assert [axes.get_ylabel() for axes in panels[::3]] == ["phase", "raw", "savgol"]
    np.testing.assert_array_equal(panels[4].images[0].get_array(), images["raw"][1])


def test_frames_of_a_channel_share_one_display_window_without_the_phase():
    images = {"raw": random_stack(2, 8, 8), "savgol": 5 * random_stack(2, 8, 8)}
    panels = panels_of(frames_figure(images, ["a", "b"], "Nuclei", 100 * random_stack(2, 8, 8)))
    windows = [axes.images[0].get_clim() for axes in panels]
    assert windows[0] == windows[1]
    assert len(set(windows[2:])) == 1
    low, high = windows[2]
    assert images["savgol"].min() <= low < -5
    assert 5 < high <= images["savgol"].max()


def test_frame_that_is_not_there_is_marked():
    stack = random_stack(3, 8, 8)
    stack[1] = np.nan
    stack[2, 0, 0] = np.inf
    panels = panels_of(draw(frames_figure({"raw": stack}, ["a", "b", "c"], "Nuclei")))
    assert [is_hatched(axes) for axes in panels] == [False, True, True]
    assert [texts_of(axes) for axes in panels] == [[], ["no frame"], []]
    assert np.isfinite(panels[0].images[0].get_clim()).all()


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1), (1, 17, 33), (7, 300, 2)])
def test_frames_without_contrast_and_of_odd_shapes_can_be_drawn(shape, value):
    stack = np.full(shape, value, dtype=np.float32)
    draw(frames_figure({"raw": stack, "window": stack}, ["x"] * shape[0], "Nuclei", stack, pixel_size=0.5))


@pytest.mark.parametrize(
    ("width", "pixel_size", "text"),
    [
        (200, 0.325, "10 µm"),
        (100, 1, "20 µm"),
        (64, 1, "10 µm"),
        (10, 0.1, "0.2 µm"),
        (4, np.nextafter(1000, 0), "1000 µm"),
    ],
)
def test_scale_bar_has_a_round_length(width, pixel_size, text):
    figure = frames_figure({"raw": random_stack(1, 5, width)}, ["a"], "Nuclei", pixel_size=pixel_size)
    axes = panels_of(figure)[0]
    start, stop = axes.lines[0].get_xdata()
    assert texts_of(axes) == [text]
    assert (stop - start) * width * pixel_size == pytest.approx(float(text.split()[0]))


@pytest.mark.parametrize("n_frames", [1, 3, 5, 9])
def test_figures_fit_a_page(n_frames):
    images = dict.fromkeys(["raw", "window", "savgol"], random_stack(n_frames, 8, 8))
    assert frames_figure(images, ["a"] * n_frames, "Nuclei").get_figwidth() <= 180 / 25.4 + 1e-6


def test_kymograph_has_a_panel_per_movie_and_marks_what_is_missing():
    images = {"raw": random_stack(6, 12), "window": random_stack(5, 12, seed=1)}
    figure = draw(kymograph_figure(images, "Membrane", first_frame=3))
    raw, window = panels_of(figure)
    assert [raw.get_title(), window.get_title()] == ["raw", "window"]
    assert raw.images[0].get_clim() == window.images[0].get_clim()
    assert raw.get_ylim() == (8.5, 2.5)
    assert [is_hatched(raw), is_hatched(window)] == [False, True]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (4, 1)])
def test_kymograph_of_little_can_be_drawn(shape):
    draw(kymograph_figure({"raw": np.zeros(shape, dtype=np.float32)}, "Nuclei"))


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
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["raw", "savgol"]


def test_adjacent_pearson_line_is_broken_where_there_is_no_number():
    figure = draw(adjacent_pearson_figure(metric_rows("raw", "adjacent_pearson", {4: 0.5, 7: 0.6, 8: np.nan, 9: 0.7})))
    line = figure.axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), range(4, 10))
    np.testing.assert_array_equal(line.get_ydata(), [0.5, np.nan, np.nan, 0.6, np.nan, 0.7])


def test_methods_keep_their_colours_and_all_differ():
    names = ["raw", "truth", "window", "savgol", "flow", "median"]
    rows = [row for name in names for row in metric_rows(name, "adjacent_pearson", {0: 0.5, 1: 0.6})]
    colours = [line.get_color() for line in adjacent_pearson_figure(rows).axes[0].lines]
    assert len(set(colours)) == len(names)
    alone = adjacent_pearson_figure(metric_rows("savgol", "adjacent_pearson", {0: 0.5}))
    assert alone.axes[0].lines[0].get_color() == colours[3]


def test_tradeoff_has_a_point_per_movie_at_its_averages():
    rows = [
        *metric_rows("raw", "adjacent_pearson", {0: 0.5, 1: 0.7}),
        *metric_rows("raw", "sharpness", {0: 1, 1: 1, 2: 1}),
        *metric_rows("window", "adjacent_pearson", {0: 0.8, 1: 0.9}),
        *metric_rows("window", "sharpness", {0: 0.4, 1: 0.6}),
        *metric_rows("unknown", "sharpness", {0: 0.4}),
    ]
    figure = draw(tradeoff_figure(rows))
    points = {line.get_label(): line.get_xydata().ravel().tolist() for line in figure.axes[0].lines[1:]}
    assert points == {"raw": pytest.approx([0.6, 1]), "window": pytest.approx([0.85, 0.5])}


@pytest.mark.parametrize("make", [adjacent_pearson_figure, tradeoff_figure])
@pytest.mark.parametrize(
    "rows", [[], metric_rows("raw", "sharpness", {0: 1.0}), metric_rows("raw", "adjacent_pearson", {0: np.nan})]
)
def test_metrics_of_a_single_frame_or_undefined_can_be_drawn(make, rows):
    draw(make(rows))


@pytest.mark.parametrize("name", [r"$\foo$", "a$b_c$^", "100 %", "{x}"])
def test_names_are_no_formulas(name):
    images = {name: random_stack(2, 8, 8)}
    draw(frames_figure(images, [name, "b"], name))
    draw(kymograph_figure({name: random_stack(4, 8)}, name))
    rows = [*metric_rows(name, "adjacent_pearson", {0: 0.5}, name), *metric_rows(name, "sharpness", {0: 1}, name)]
    for make in (adjacent_pearson_figure, tradeoff_figure):
        figure = draw(make(rows))
        assert figure.axes[0].get_title() == name
        assert [text.get_text() for text in figure.legends[0].get_texts()] == [name]
