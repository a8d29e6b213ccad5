from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex
from support.figure_helpers import draw, overlapping_texts, random_stack

from image_translation.figures.scores import FieldView, plot_boxes, plot_fields
from image_translation.figures.style import looks
from image_translation.metrics.rows import MEAN, OBJECTS, PIXELS, Row


def rows_of(*methods, channels=("Nuclei",), metrics=(*PIXELS, *OBJECTS), fields=5, values=None):
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


def readable(figure):
    """Tell whether no title lies on another; the numbers at axes that are off are not drawn."""
    draw(figure)
    for axes in figure.axes:
        axes.set(xticks=[], yticks=[])
    return overlapping_texts(figure) == []


def test_each_channel_has_a_panel_of_each_score():
    pixels = rows_of("net", channels=("Membrane",), metrics=PIXELS)
    figure = draw(plot_boxes(rows_of("net") + pixels))
    panels = drawn_panels(figure)
    assert [axes.get_title() for axes in panels] == [
        "Pearson", "SSIM", "PSNR / dB", "mean abs. error",
        "Dice, objects", "Jaccard, objects", "AP at 0.5", "AP at 0.75", "count error",
        "Pearson", "SSIM", "PSNR / dB", "mean abs. error",
    ]  # fmt: skip
    assert [axes.get_ylabel() for axes in panels if axes.get_ylabel()] == ["Nuclei", "Nuclei", "Membrane"]
    assert figure.legends == []


def test_boxes_reach_from_quartile_to_quartile_and_points_are_the_fields():
    figure = draw(plot_boxes(rows_of("net", metrics=["pearson"], values=[0.1, 0.4, 0.2, 0.3, 0.5])))
    (axes,) = [axes for axes in drawn_panels(figure) if axes.get_title() == "Pearson"]
    (box,) = axes.patches
    heights = box.get_path().vertices[:, 1]
    assert (heights[:-1].min(), heights.max()) == (pytest.approx(0.2), pytest.approx(0.4))
    (points,) = [line for line in axes.lines if line.get_marker() == "."]
    assert sorted(points.get_ydata()) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert np.ptp(points.get_xdata()) < 0.4


def test_each_prediction_has_a_box_of_its_colour_and_a_name():
    methods = ("raw", "my$net$", "motion")
    figure = draw(plot_boxes(rows_of(*methods, MEAN)))
    for axes in drawn_panels(figure):
        assert [to_hex(box.get_edgecolor()) for box in axes.patches] == [
            look.colour.lower() for look in looks(methods).values()
        ]
    assert [text.get_text().replace(r"\$", "$") for text in figure.legends[0].texts] == list(methods)


def test_what_the_mean_of_the_truth_scores_is_below():
    rows = rows_of("net", metrics=["mae"]) + rows_of(MEAN, metrics=["mae"], fields=2, values=[1, 2])
    (axes,) = [axes for axes in drawn_panels(draw(plot_boxes(rows))) if axes.get_title() == "mean abs. error"]
    assert axes.get_xlabel() == f"{MEAN}:\n1.5"


@pytest.mark.parametrize("values", [[np.nan] * 3, [np.inf] * 3, [np.nan, 1, np.inf], [1, 1, 1], [0, 0, 1e6]])
def test_scores_that_are_not_defined_or_all_the_same_can_be_drawn(values):
    draw(plot_boxes(rows_of("net", "other", MEAN, fields=3, values=values)))


@pytest.mark.parametrize("fields", [1, 2, 41, 200])
def test_any_number_of_fields_can_be_drawn(fields):
    axes = drawn_panels(draw(plot_boxes(rows_of("net", fields=fields, metrics=PIXELS))))[0]
    assert any(line.get_marker() == "." for line in axes.lines) == (fields <= 40)


@pytest.mark.parametrize(
    "methods", [("_a", "$b", "$c"), ("a",), tuple(f"model_with_a_rather_long_name_{n}" for n in range(7))]
)
def test_texts_beside_boxes_are_readable(methods):
    figure = draw(plot_boxes(rows_of(*methods, MEAN, channels=("_$N$",), values=[0, 1e3, 2e3, 5e3, 2e4])))
    assert overlapping_texts(figure) == []


def test_fields_are_shown_source_first():
    views = [view_of(("a", "b"), title=f"{word}, fov 0") for word in ("best", "median", "worst")]
    figure = plot_fields(views)
    assert readable(figure)
    assert titles_of(figure) == [
        title for view in views for title in (view.title, "truth", "a, r = 0.123", "b, r = 0.123")
    ]
    shown = [axes.images[0].get_array() for axes in figure.axes[:4]]
    expected = (views[0].source, views[0].truth, *views[0].predicted.values())
    assert all((one == other).all() for one, other in zip(shown, expected, strict=True))
    windows = [axes.images[0].get_clim() for axes in figure.axes[1:4]]
    assert all(one == other for one, other in pairwise(windows))


@pytest.mark.parametrize("count", [1, 2])
def test_without_a_source_the_truth_says_what_is_shown(count):
    figure = plot_fields([view_of(source=False)] * count)
    assert readable(figure)
    assert titles_of(figure) == ["worst, A/1/0 0: truth", "net, r = 0.123"] * count


def test_a_source_that_is_known_of_some_fields_leaves_room_beside_the_others():
    for order in ((True, False), (False, True)):
        figure = draw(plot_fields([view_of(source=known) for known in order]))
        assert titles_of(figure) == ["worst, A/1/0 0", "truth", "net, r = 0.123"] * 2
        assert [bool(axes.images) for axes in figure.axes[::3]] == list(order)


def test_objects_are_outlined():
    labels = np.zeros((40, 60), np.int32)
    labels[5:15, 10:20], labels[5:15, 20:30] = 1, 2
    truth, predicted = draw(plot_fields([view_of(source=False, objects={"": labels})])).axes
    assert len(predicted.images) == 1
    outline = np.asarray(truth.images[1].get_array())[..., 3] > 0
    assert outline[5, 10:30].all()
    assert outline[5:15, [10, 19, 20, 29]].all()
    assert not outline[7:13, 12:18].any()
    assert not outline[labels == 0].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (40, 900), (2000, 40)])
@pytest.mark.parametrize("source", [True, False])
def test_strips_can_be_drawn(shape, source):
    objects = dict.fromkeys(("", "net"), np.ones(shape, np.int32))
    figure = plot_fields([view_of(shape=shape, source=source, objects=objects)] * 3)
    assert readable(figure)
    assert figure.get_figheight() < 30


def test_fields_of_different_sizes_can_be_drawn():
    assert readable(plot_fields([view_of(shape=shape) for shape in ((40, 60), (90, 12), (7, 70))]))


@pytest.mark.parametrize(
    "methods",
    [("$a$b$", "_c"), tuple(f"m{n}" for n in range(8)), ("a_model_with_a_long_name", "another_such_model")],
)
def test_titles_of_fields_are_readable(methods):
    figure = plot_fields([view_of(methods, title="median, B/12/003 117")] * 3)
    assert readable(figure)
    assert [title.split(",")[0].replace(" ", "") for title in titles_of(figure)[2 : 2 + len(methods)]] == list(methods)
