from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex
from support.figure_helpers import draw, overlapping_texts, random_stack

from image_translation.figures.scores import FieldView, box_plot_figure, field_figure
from image_translation.figures.style import method_styles
from image_translation.metrics.rows import MEAN_OF_TRUTH, OBJECT_METRICS, PIXEL_METRICS, Row


def rows_of(*methods, channels=("Nuclei",), metrics=(*PIXEL_METRICS, *OBJECT_METRICS), fields=5, values=None):
    rng = np.random.default_rng(0)
    shared = [Row("*", "truth", channel, None, "data_range", 1.0) for channel in channels]
    return shared + [
        Row(f"A/{n}/0", method, channel, 0, metric, rng.random() if values is None else values[n])
        for method in methods
        for channel in channels
        for n in range(fields)
        for metric in metrics
    ]


def drawn_panels(figure):
    return [axes for axes in figure.axes if axes.axison]


def view_of(methods=("net",), shape=(40, 60), source=True, objects=(), title="worst, A/1/0 0"):
    images = {name: random_stack(*shape, seed=n) for n, name in enumerate(("", "phase", *methods))}
    return FieldView(
        title=title,
        source=images["phase"] if source else None,
        truth=images[""],
        predicted={name: images[name] for name in methods},
        captions={name: f"{name}, r = 0.123" for name in methods},
        objects=dict(objects),
    )


def titles_of(figure):
    return [axes.get_title().replace("\n", " ") for axes in figure.axes]


def is_readable(figure):
    """Return whether no texts overlap, ignoring tick labels, which are not drawn here."""
    draw(figure)
    for axes in figure.axes:
        axes.set(xticks=[], yticks=[])
    return overlapping_texts(figure) == []


def test_each_channel_has_a_panel_per_score():
    pixels = rows_of("net", channels=("Membrane",), metrics=PIXEL_METRICS)
    figure = draw(box_plot_figure(rows_of("net") + pixels))
    panels = drawn_panels(figure)
    assert [axes.get_title() for axes in panels] == [
        "Pearson", "SSIM", "PSNR / dB", "mean abs. error",
        "Dice, objects", "Jaccard, objects", "AP at 0.5", "AP at 0.75", "count error",
        "Pearson", "SSIM", "PSNR / dB", "mean abs. error",
    ]  # fmt: skip
    assert [axes.get_ylabel() for axes in panels if axes.get_ylabel()] == ["Nuclei", "Nuclei", "Membrane"]
    assert figure.legends == []


def test_boxes_span_the_quartiles_and_points_are_the_fields():
    figure = draw(box_plot_figure(rows_of("net", metrics=["pearson"], values=[0.1, 0.4, 0.2, 0.3, 0.5])))
    (axes,) = [axes for axes in drawn_panels(figure) if axes.get_title() == "Pearson"]
    (box,) = axes.patches
    heights = box.get_path().vertices[:, 1]
    assert (heights[:-1].min(), heights.max()) == (pytest.approx(0.2), pytest.approx(0.4))
    (points,) = [line for line in axes.lines if line.get_marker() == "."]
    assert sorted(points.get_ydata()) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert np.ptp(points.get_xdata()) < 0.4


def test_each_prediction_has_a_box_in_its_colour_and_a_legend_entry():
    methods = ("raw", "my$net$", "motion")
    figure = draw(box_plot_figure(rows_of(*methods, MEAN_OF_TRUTH)))
    for axes in drawn_panels(figure):
        assert [to_hex(box.get_edgecolor()) for box in axes.patches] == [
            look.colour.lower() for look in method_styles(methods).values()
        ]
    assert [text.get_text().replace(r"\$", "$") for text in figure.legends[0].texts] == list(methods)


def test_score_of_the_mean_of_the_truth_is_given_below():
    rows = rows_of("net", metrics=["mae"]) + rows_of(MEAN_OF_TRUTH, metrics=["mae"], fields=2, values=[1, 2])
    (axes,) = [axes for axes in drawn_panels(draw(box_plot_figure(rows))) if axes.get_title() == "mean abs. error"]
    assert axes.get_xlabel() == f"{MEAN_OF_TRUTH}:\n1.5"


@pytest.mark.parametrize("values", [[np.nan] * 3, [np.inf] * 3, [np.nan, 1, np.inf], [1, 1, 1], [0, 0, 1e6]])
def test_undefined_or_equal_scores_can_be_drawn(values):
    draw(box_plot_figure(rows_of("net", "other", MEAN_OF_TRUTH, fields=3, values=values)))


@pytest.mark.parametrize("fields", [1, 2, 41, 200])
def test_any_number_of_fields_can_be_drawn(fields):
    axes = drawn_panels(draw(box_plot_figure(rows_of("net", fields=fields, metrics=PIXEL_METRICS))))[0]
    assert any(line.get_marker() == "." for line in axes.lines) == (fields <= 40)


@pytest.mark.parametrize(
    "methods", [("_a", "$b", "$c"), ("a",), tuple(f"model_with_a_rather_long_name_{n}" for n in range(7))]
)
def test_texts_of_box_plots_do_not_overlap(methods):
    figure = draw(box_plot_figure(rows_of(*methods, MEAN_OF_TRUTH, channels=("_$N$",), values=[0, 1e3, 2e3, 5e3, 2e4])))
    assert overlapping_texts(figure) == []


def test_source_truth_and_predictions_are_shown_in_this_order():
    views = [view_of(("a", "b"), title=f"{word}, fov 0") for word in ("best", "median", "worst")]
    figure = field_figure(views)
    assert is_readable(figure)
    assert titles_of(figure) == [
        title for view in views for title in (view.title, "truth", "a, r = 0.123", "b, r = 0.123")
    ]
    shown = [axes.images[0].get_array() for axes in figure.axes[:4]]
    expected = (views[0].source, views[0].truth, *views[0].predicted.values())
    assert all((one == other).all() for one, other in zip(shown, expected, strict=True))
    windows = [axes.images[0].get_clim() for axes in figure.axes[1:4]]
    assert all(one == other for one, other in pairwise(windows))


@pytest.mark.parametrize("count", [1, 2])
def test_without_a_source_the_title_is_above_the_truth(count):
    figure = field_figure([view_of(source=False)] * count)
    assert is_readable(figure)
    assert titles_of(figure) == ["worst, A/1/0 0: truth", "net, r = 0.123"] * count


def test_missing_source_of_some_fields_leaves_an_empty_panel():
    for order in ((True, False), (False, True)):
        figure = draw(field_figure([view_of(source=known) for known in order]))
        assert titles_of(figure) == ["worst, A/1/0 0", "truth", "net, r = 0.123"] * 2
        assert [bool(axes.images) for axes in figure.axes[::3]] == list(order)


def test_objects_are_outlined():
    labels = np.zeros((40, 60), np.int32)
    labels[5:15, 10:20], labels[5:15, 20:30] = 1, 2
    truth, predicted = draw(field_figure([view_of(source=False, objects={"": labels})])).axes
    assert len(predicted.images) == 1
    outline = np.asarray(truth.images[1].get_array())[..., 3] > 0
    assert outline[5, 10:30].all()
    assert outline[5:15, [10, 19, 20, 29]].all()
    assert not outline[7:13, 12:18].any()
    assert not outline[labels == 0].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (40, 900), (2000, 40)])
@pytest.mark.parametrize("source", [True, False])
def test_fields_of_any_aspect_ratio_can_be_drawn(shape, source):
    objects = dict.fromkeys(("", "net"), np.ones(shape, np.int32))
    figure = field_figure([view_of(shape=shape, source=source, objects=objects)] * 3)
    assert is_readable(figure)
    assert figure.get_figheight() < 30


def test_fields_of_different_sizes_can_be_drawn():
    assert is_readable(field_figure([view_of(shape=shape) for shape in ((40, 60), (90, 12), (7, 70))]))


@pytest.mark.parametrize(
    "methods",
    [("$a$b$", "_c"), tuple(f"m{n}" for n in range(8)), ("a_model_with_a_long_name", "another_such_model")],
)
def test_titles_of_fields_do_not_overlap(methods):
    figure = field_figure([view_of(methods, title="median, B/12/003 117")] * 3)
    assert is_readable(figure)
    assert [title.split(",")[0].replace(" ", "") for title in titles_of(figure)[2 : 2 + len(methods)]] == list(methods)
