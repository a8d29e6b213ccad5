import numpy as np
import pytest
from matplotlib.patches import Rectangle
from support.figure_helpers import draw, is_hatched, overlapping_texts, panels_of, random_stack, texts_of

from image_translation.figures.movies import combined_figure, difference_figure, kymograph_figure


def combine(images, labels, channel="Nuclei", phase=None, *, corners=None, side=4, change=None, **options):
    corners = corners or [(0, 0)] * len(labels)
    return combined_figure(images, labels, channel, phase, corners=corners, side=side, change=change or {}, **options)


def test_combined_has_a_row_per_movie_and_a_column_per_frame():
    images = {"raw": random_stack(3, 8, 10), "motion": 5 * random_stack(3, 8, 10)}
    change = {"raw": random_stack(4, 4), "motion": random_stack(4, 4)}
    figure = draw(combine(images, ["a", "b", "c"], "Nuclei", 100 * random_stack(3, 8, 10), change=change))
    rows = [panels_of(figure)[:4], panels_of(figure)[4:9], panels_of(figure)[9:]]
    assert [len(row) for row in rows] == [4, 5, 5]
    assert [axes.get_title() for axes in rows[0]] == ["field, b", "a", "b", "c"]
    assert [row[0].get_ylabel() for row in rows] == ["phase", "raw", "motion"]
    assert [row[0].yaxis.label.get_weight() for row in rows] == ["normal", "normal", "bold"]
    np.testing.assert_array_equal(rows[1][0].images[0].get_array(), images["raw"][1])
    np.testing.assert_array_equal(rows[2][4].images[0].get_array(), change["motion"])


def test_close_ups_lie_at_the_corners_and_the_overview_shows_their_box():
    image = random_stack(3, 20, 30)
    panels = panels_of(combine({"raw": image}, list("abc"), corners=[(0, 5), (3, 6), (6, 7)], side=8))
    for axes, frame, (y, x) in zip(panels[1:], image, [(0, 5), (3, 6), (6, 7)], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), frame[y : y + 8, x : x + 8])
    box = next(patch for patch in panels[0].patches if isinstance(patch, Rectangle))
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (5.5, 2.5, 8, 8)
    np.testing.assert_array_equal(panels[0].lines[0].get_xydata(), [[9, 4], [10, 7], [11, 10]])


def test_frames_of_a_channel_share_one_display_window_without_the_phase():
    images = {"raw": random_stack(2, 8, 8), "savgol": 5 * random_stack(2, 8, 8)}
    panels = panels_of(combine(images, ["a", "b"], "Nuclei", 100 * random_stack(2, 8, 8)))
    windows = [axes.images[0].get_clim() for axes in panels]
    assert len(set(windows[:3])) == len(set(windows[3:])) == 1
    low, high = windows[3]
    assert images["savgol"].min() <= low < -5
    assert 5 < high <= images["savgol"].max()


def test_missing_frame_is_hatched_and_labelled():
    stack = random_stack(3, 8, 8)
    stack[0] = np.nan
    stack[2, 0, 0] = np.inf
    panels = panels_of(draw(combine({"raw": stack}, ["a", "b", "c"])))
    assert [is_hatched(axes) for axes in panels] == [False, True, False, True]
    assert [texts_of(axes) for axes in panels] == [[], ["no frame"], [], []]
    assert np.isfinite(panels[1].images[0].get_clim()).all()


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1), (1, 17, 33), (5, 300, 2), (3, 2, 300)])
def test_frames_of_any_shape_and_without_contrast_can_be_drawn(shape, value):
    stack = np.full(shape, value, dtype=np.float32)
    images = {"raw": stack, "window": stack}
    change = {name: np.abs(image[0, :4, :4]) for name, image in images.items()}
    draw(combine(images, ["x"] * shape[0], "Nuclei", stack, pixel_size=0.5, change=change))
    maps = {name: image[0] for name, image in images.items()}
    draw(difference_figure(maps, {"window": maps["window"]}, "Nuclei", against_truth=False, pixel_size=0.5))


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
    maps = {"raw": random_stack(5, width)}
    axes = panels_of(draw(difference_figure(maps, {}, "Nuclei", against_truth=True, pixel_size=pixel_size)))[0]
    start, stop = axes.lines[0].get_xdata()
    assert texts_of(axes) == [text]
    assert (stop - start) * width * pixel_size == pytest.approx(float(text.split()[0]))


METHODS = ["raw", "window", "savgol", "median", "motion", "causal", "truth"]


@pytest.mark.parametrize("n_movies", [1, 2, 5, 7])
@pytest.mark.parametrize("n_frames", [1, 3, 5])
def test_texts_of_combined_do_not_overlap(n_movies, n_frames):
    images = dict.fromkeys(METHODS[:n_movies], random_stack(n_frames, 64, 64))
    change = dict.fromkeys(METHODS[:n_movies], random_stack(32, 32)) if n_frames > 1 else {}
    labels = [f"frame {number}" for number in range(100, 100 + n_frames)]
    figure = draw(combine(images, labels, "Membrane", images["raw"], side=32, change=change, pixel_size=0.3))
    assert overlapping_texts(figure) == []


@pytest.mark.parametrize("n_movies", [2, 4, 5, 7])
@pytest.mark.parametrize("against_truth", [True, False])
@pytest.mark.parametrize("scale", [1e-5, 0.015, 0.2, 1, 800, 12345])
def test_texts_of_differences_do_not_overlap(n_movies, against_truth, scale):
    change = {name: np.abs(random_stack(64, 64)) for name in METHODS[:n_movies]}
    gain = {name: scale * image for name, image in change.items() if name not in {"raw", "truth"}}
    figure = difference_figure(change, gain, "Membrane", against_truth=against_truth, pixel_size=0.3)
    assert overlapping_texts(draw(figure)) == []


def test_differences_are_below_their_movies_on_a_symmetric_colour_scale():
    change = {name: np.abs(random_stack(8, 8)) for name in ["raw", "motion", "truth"]}
    figure = draw(difference_figure(change, {"motion": random_stack(8, 8)}, "Nuclei", against_truth=True))
    panels = panels_of(figure)
    assert [axes.get_title() for axes in panels] == ["raw", "motion", "truth", "", ""]
    assert panels[3].get_position().x0 == panels[1].get_position().x0
    low, high = panels[3].images[0].get_clim()
    assert low == -high
    assert panels[0].images[0].get_clim() == panels[2].images[0].get_clim()
    assert panels[0].images[0].get_clim()[0] == 0
    assert texts_of(panels[4]) == ["nearer to the\ntruth than raw", "farther from it"]


def test_kymograph_has_a_panel_per_movie_and_hatches_missing_frames():
    images = {"raw": random_stack(6, 12), "window": random_stack(5, 12, seed=1)}
    figure = draw(kymograph_figure(images, "Membrane", first_frame=3, pixel_size=0.5))
    raw, window = panels_of(figure)
    assert [raw.get_title(), window.get_title()] == ["raw", "window"]
    assert raw.images[0].get_clim() == window.images[0].get_clim()
    assert raw.get_ylim() == (8.5, 2.5)
    assert raw.get_xlim() == (-0.25, 5.75)
    assert [is_hatched(raw), is_hatched(window)] == [False, True]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (4, 1)])
def test_kymograph_of_few_pixels_can_be_drawn(shape):
    draw(kymograph_figure({"raw": np.zeros(shape, dtype=np.float32)}, "Nuclei"))


@pytest.mark.parametrize("name", [r"$\foo$", "a$b_c$^", "100 %", "{x}"])
def test_names_are_not_parsed_as_math(name):
    draw(combine({name: random_stack(2, 8, 8)}, [name, "b"], name))
    draw(kymograph_figure({name: random_stack(4, 8)}, name))
    draw(difference_figure({name: random_stack(4, 8)}, {}, name, against_truth=True))
