import numpy as np
import pytest
from support.figure_helpers import draw, is_hatched, overlapping_texts, panels_of, random_stack, texts_of

from image_translation.errors import UsageError
from image_translation.figures.stages import change_figure, component_figure

LONG = "encoder_stages.3.blocks.11.conv_dw $with_dollars$ and many words, as modules of a network are called " * 2


def movie(*factors: float, frames: int = 11) -> dict[str, np.ndarray]:
    source = np.random.default_rng(1).uniform(0.1, 0.3, frames - 1)
    return {"input": source} | {f"stage {number}": factor * source for number, factor in enumerate(factors)}


def test_change_is_drawn_relative_to_the_input():
    changes = {"a movie": movie(0.5, 3.0)}
    figure = draw(change_figure(changes, range(20, 31)))
    left, right = panels_of(figure)
    mean = next(line for line in left.lines if line.get_label() == "mean")
    np.testing.assert_allclose(mean.get_xdata(), [1, 0.5, 3])
    np.testing.assert_allclose(mean.get_ydata(), [0, 1, 2])
    assert [label.get_text() for label in left.get_yticklabels()] == ["input", "stage 0", "stage 1"]
    assert left.get_xlabel() == "change from frame to frame,\nrelative to the input"
    assert left.yaxis_inverted()
    source = changes["a movie"]["input"] / changes["a movie"]["input"].mean()
    np.testing.assert_allclose(right.collections[0].get_array(), np.outer([1, 0.5, 3], source))
    assert right.get_ylim() == left.get_ylim()
    assert left.get_title(loc="left") == "a movie"


def test_panels_of_a_narrow_figure_are_below_each_other():
    figure = draw(change_figure({LONG: movie(0.5, 3.0)}, range(20, 31), narrow=True))
    upper, lower = panels_of(figure)
    assert upper.get_position().y0 > lower.get_position().y1
    for axes in (upper, lower):
        assert [label.get_text() for label in axes.get_yticklabels()] == ["input", "stage 0", "stage 1"]
    assert upper.get_xlim() != lower.get_xlim()
    assert figure.get_figwidth() < 4
    assert overlapping_texts(figure) == []


def test_percentile_band_lies_within_the_panel():
    changes = np.linspace(0, 8, 101)
    left = panels_of(draw(change_figure({"m": {"input": np.ones(101), "stem": changes}}, range(102))))[0]
    band = left.collections[0].get_paths()[0].vertices
    ends = band[np.isclose(band[:, 1], 1), 0]
    np.testing.assert_allclose([ends.min(), ends.max()], [0.8, 7.2])
    assert left.get_xlim()[0] == 0
    assert left.get_xlim()[1] > 7.2


def test_colour_scale_is_symmetric_about_the_change_of_the_input():
    figure = draw(change_figure({"m": movie(0.25, 4.0)}, range(11)))
    image = panels_of(figure)[1].collections[0]
    assert image.norm.vmin * image.norm.vmax == pytest.approx(1)
    assert image.norm(1.0) == pytest.approx(0.5)


def test_each_movie_has_its_own_panels_with_the_means_of_the_others():
    figure = draw(change_figure({"one": movie(2.0), "two": movie(3.0), "other": movie(4.0, 5.0)}, range(11)))
    panels = panels_of(figure)
    assert len(panels) == 6
    others = [line for line in panels[0].lines if line.get_linewidth() == 0.6]
    means = sorted(line.get_xdata()[1] for line in others)
    np.testing.assert_allclose(means, [3, 4])
    assert overlapping_texts(figure) == []


def test_missing_changes_are_hatched_and_ignored():
    changes = movie(2.0)
    changes["input"][3] = changes["stage 0"][3] = np.nan
    changes["gone"] = np.full(10, np.nan)
    left, right = panels_of(draw(change_figure({"m": changes}, range(11))))
    mean = next(line for line in left.lines if line.get_label() == "mean")
    np.testing.assert_allclose(mean.get_xdata(), [1, 2, np.nan])
    assert right.collections[0].get_array().mask.sum() == 12
    assert right.patch.get_hatch()


def test_changes_are_drawn_between_their_frames():
    right = panels_of(draw(change_figure({"m": movie(2.0, frames=4)}, [10, 11, 15, 16])))[1]
    np.testing.assert_array_equal(right.collections[0].get_coordinates()[0, :, 0], [10, 11, 15, 16])


def test_change_of_a_single_frame_is_an_error():
    with pytest.raises(UsageError, match="a movie: only frame 7 is given"):
        change_figure({"a movie": movie(2.0, frames=1)}, [7])
    with pytest.raises(UsageError, match="no frame"):
        change_figure({"a movie": {}}, [])


@pytest.mark.parametrize("value", [0, np.nan])
def test_constant_input_is_an_error(value):
    with pytest.raises(UsageError, match="a movie: phase does not change"):
        change_figure({"a movie": {"phase": np.full(3, value), "stem": np.ones(3)}}, range(4))


@pytest.mark.parametrize("frames", [2, 300])
@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("factor", [1e-3, 1, 50])
def test_texts_of_changes_do_not_overlap(frames, count, factor):
    changes = movie(*[factor] * count, frames=frames) | {LONG: np.zeros(frames - 1)}
    figure = draw(change_figure({"m": changes, LONG: changes}, range(frames)))
    assert overlapping_texts(figure) == []


def test_components_share_a_colour_scale_symmetric_about_zero():
    components = random_stack(3, 16, 16) * np.array([3, 1, 0.1], np.float32)[:, None, None]
    components[0, 0, 0] = np.nan
    figure = draw(component_figure("stem", components, [0.6, 0.3, 0.002], [0.6, 0.3, 0.002, 0.098], pixel_size=1))
    *tiles, spectrum = panels_of(figure)
    assert [axes.get_title() for axes in tiles] == ["PC 1: 60 %", "PC 2: 30 %", "PC 3: <1 %"]
    assert len({axes.images[0].get_clim() for axes in tiles}) == 1
    low, high = tiles[0].images[0].get_clim()
    assert low == -high
    assert [is_hatched(axes) for axes in tiles] == [True, False, False]
    assert [texts_of(axes) for axes in tiles] == [["2 µm"]] * 3
    np.testing.assert_allclose(spectrum.lines[0].get_ydata(), [60, 90, 90.2, 100])
    np.testing.assert_allclose(spectrum.lines[1].get_xydata(), [[1, 60], [2, 90], [3, 90.2]])


@pytest.mark.parametrize("count", [1, 3, 4, 12])
@pytest.mark.parametrize("shape", [(40, 10), (10, 40), (1, 1)])
def test_texts_of_components_do_not_overlap(count, shape):
    spectrum = np.full(max(count, 384 if count > 3 else 1), 0.01)
    figure = draw(component_figure(LONG, random_stack(count, *shape), spectrum[:count], spectrum, pixel_size=0.3))
    assert len(panels_of(figure)) == count + 1
    assert overlapping_texts(figure) == []


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2)])
def test_components_of_any_shape_and_without_contrast_can_be_drawn(shape, value):
    draw(component_figure("x", np.full((1, *shape), value, np.float32), [0], [0]))
