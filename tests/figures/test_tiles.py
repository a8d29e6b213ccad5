import numpy as np
import pytest
from matplotlib.figure import Figure
from support.figure_helpers import draw, is_hatched, overlapping_texts, panels_of, random_stack, texts_of

from image_translation.errors import UsageError
from image_translation.figures.stages import change_figure, component_figure
from image_translation.figures.tiles import Tile, comparison_figure, overview_figure


def colours(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def stage(name: str, height: int = 8, width: int = 8, seed: int = 0) -> Tile:
    return Tile(name, colours(height, width, seed=seed), (48, height, width), (0.71, 0.12, 0.061), 2.0)


def stages(kind: str, count: int) -> list[Tile]:
    return [stage(f"{kind} {number}", 64 >> (number % 6), 64 >> (number % 6)) for number in range(count)]


def picture(name: str, *shape: int) -> Tile:
    return Tile(name, random_stack(*(shape or (64, 64))))


def words_of(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def sizes_of(figure: Figure) -> list[tuple[float, float]]:
    return [axes.get_window_extent().size for axes in panels_of(draw(figure))]


def test_overview_has_a_tile_per_picture_with_name_shape_and_variance_below():
    figure = draw(overview_figure([("pictures", [picture("input")]), ("encoder", [stage("stem", 16, 24)])], "a movie"))
    assert [texts_of(axes)[-1] for axes in panels_of(figure)] == ["input", "stem\n48 x 16 x 24\nPC 1-3: 71 + 12 + 6 %"]
    words = words_of(figure)
    assert "a movie" in words
    assert "pictures" in words
    assert "encoder" in words
    assert "red, green, blue = first three principal components" in words


def test_colours_are_shown_as_they_are_without_smoothing():
    tile = stage("stem")
    for figure in (overview_figure([("x", [tile])], "t"), comparison_figure([("a", [tile]), ("b", [tile])], "t")):
        for axes in panels_of(figure):
            np.testing.assert_array_equal(axes.images[0].get_array(), tile.image)
            assert axes.images[0].get_interpolation() == "nearest"


def test_colours_reach_the_page_unchanged():
    figure = overview_figure([("x", [Tile("one colour", np.full((2, 2, 3), (10, 200, 77), np.uint8))])], "t")
    page = np.asarray(draw(figure).canvas.buffer_rgba())
    box = panels_of(figure)[0].get_window_extent()
    x, y = int(box.x0 + box.x1) // 2, len(page) - int(box.y0 + box.y1) // 2
    assert page[y, x].tolist() == [10, 200, 77, 255]


@pytest.mark.parametrize("field", [(64, 64), (48, 96), (200, 100), (10, 100)])
def test_all_tiles_have_one_size_and_the_proportions_of_the_field(field):
    tiles = [picture("input", *field), stage("fine", field[0] // 2, field[1] // 2), stage("coarse", 2, 3)]
    for figure in (overview_figure([("x", tiles)], "t"), comparison_figure([("a", tiles), ("b", tiles)], "t")):
        sizes = sizes_of(figure)
        np.testing.assert_allclose(sizes, [sizes[0]] * len(sizes), atol=0.01)
        assert sizes[0][1] / sizes[0][0] == pytest.approx(max(1 / 8, field[0] / field[1]))


def test_small_groups_share_a_line_and_large_ones_take_several():
    rows = [("pictures", stages("picture", 3)), ("encoder", stages("encoder", 5)), ("decoder", stages("decoder", 4))]
    figure = draw(overview_figure([*rows, ("head", stages("head", 1))], "t"))
    heights = [round(axes.get_position().y0, 4) for axes in panels_of(figure)]
    assert [heights.count(height) for height in dict.fromkeys(heights)] == [3, 5, 5]
    figure = overview_figure([("encoder", stages("encoder", 12))], "t")
    heights = [round(axes.get_position().y0, 4) for axes in panels_of(figure)]
    assert [heights.count(height) for height in dict.fromkeys(heights)] == [4, 4, 4]
    assert words_of(figure).count("encoder (continued)") == 2


def test_group_without_tiles_is_left_out():
    figure = overview_figure([("truth", []), ("pictures", [picture("input")])], "t")
    assert len(panels_of(figure)) == 1
    assert "truth" not in words_of(figure)
    assert "red, green, blue" not in words_of(figure)


@pytest.mark.parametrize(
    "draw_nothing", [lambda: overview_figure([("x", [])], "t"), lambda: comparison_figure([], "t")]
)
def test_nothing_to_show_is_said(draw_nothing):
    with pytest.raises(UsageError, match="choose a picture or a stage"):
        draw_nothing()


def test_pixels_that_are_not_finite_are_hatched_and_do_not_set_the_range_of_grey():
    image = random_stack(64, 64)
    image[:10] = np.nan
    image[20, 20] = np.inf
    image[30, 30] = 1e6
    whole, holed = panels_of(draw(overview_figure([("x", [picture("a"), Tile("b", image)])], "t")))
    assert (is_hatched(whole), is_hatched(holed)) == (False, True)
    assert holed.images[0].get_clim()[1] < 10


@pytest.mark.parametrize(("pixel_size", "bars"), [(0.5, 1), (None, 0)])
def test_scale_bar_is_as_long_as_it_says(pixel_size, bars):
    tile = Tile("input", random_stack(40, 160), pixel_size=pixel_size)
    axes = panels_of(draw(overview_figure([("x", [tile])], "t")))[0]
    assert len(axes.lines) == bars
    if bars:
        start, stop = axes.lines[0].get_xdata()
        assert texts_of(axes)[0] == "20 µm"
        assert (stop - start) * 160 * 0.5 == pytest.approx(20)


def test_share_that_is_small_is_not_said_to_be_none():
    tile = Tile("x", colours(4, 4), explained=(0.996, 0.004, 0.0))
    assert texts_of(panels_of(overview_figure([("x", [tile])], "t"))[0]) == ["x\nPC 1-3: 100 + <1 + 0 %"]
    one = Tile("x", colours(4, 4), explained=(1.0,))
    assert texts_of(panels_of(overview_figure([("x", [one])], "t"))[0]) == ["x\nPC 1: 100 %"]


def test_comparison_has_a_row_per_stage_and_says_what_colours_mean():
    columns = [(label, [picture("input"), stage("stem")]) for label in ("before", "after", "later")]
    figure = draw(comparison_figure(columns, "t"))
    places = np.array([axes.get_position().bounds for axes in panels_of(figure)]).reshape(2, 3, 4)
    np.testing.assert_allclose(places[:, :, 1], places[:, :1, 1].repeat(3, axis=1))
    np.testing.assert_allclose(places[:, :, 0], places[:1, :, 0].repeat(2, axis=0))
    assert [axes.get_ylabel() for axes in panels_of(figure)] == ["input", "", "", "stem", "", ""]
    words = words_of(figure)
    assert all(label in words for label, _ in columns)
    assert "equal colours mean equal features" in words


def test_many_stages_of_two_variants_lie_in_two_blocks():
    columns = [(label, stages("stage", 7)) for label in "ab"]
    figure = draw(comparison_figure(columns, "t"))
    assert len({round(axes.get_position().x0, 4) for axes in panels_of(figure)}) == 4
    assert len({round(axes.get_position().y0, 4) for axes in panels_of(figure)}) == 4
    assert words_of(figure).split().count("a") == 2


def test_greys_of_a_row_share_one_range():
    columns = [("as it is", [picture("input")]), ("brighter", [Tile("input", random_stack(64, 64) + 100)])]
    one, other = [axes.images[0].get_clim() for axes in panels_of(comparison_figure(columns, "t"))]
    assert one == other
    assert one[1] - one[0] > 90


def test_what_a_variant_lacks_keeps_its_place():
    with_truth = [picture("input"), picture("truth"), stage("stem")]
    without = [picture("input"), stage("stem")]
    panels = panels_of(draw(comparison_figure([("a", without), ("b", with_truth)], "t")))
    assert [axes.get_ylabel() for axes in panels[::2]] == ["input", "truth", "stem"]
    assert texts_of(panels[2]) == ["none"]
    assert not panels[2].images
    assert panels[3].images


LONG = "encoder_stages.3.blocks.11.conv_dw $with_dollars$ and many words, as modules of a network are called " * 2


@pytest.mark.parametrize("count", [1, 5, 12])
@pytest.mark.parametrize("suffix", ["", LONG])
def test_texts_of_tiles_are_readable(count, suffix):
    tiles = [Tile(f"{tile.name} {suffix}", tile.image, tile.shape, tile.explained) for tile in stages("encoder", count)]
    rows = [(f"pictures {suffix}", [picture("input")]), (f"encoder {suffix}", tiles), ("head", stages("head", 1))]
    assert overlapping_texts(draw(overview_figure(rows, f"title {suffix}"))) == []
    for variants in (1, 3):
        columns = [(f"variant {number} {suffix}", tiles) for number in range(variants)]
        assert overlapping_texts(draw(comparison_figure(columns, f"title {suffix}"))) == []


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


def test_band_holds_most_frames_and_is_within_the_panel():
    stretch = np.linspace(0, 8, 101)
    left = panels_of(draw(change_figure({"m": {"input": np.ones(101), "stem": stretch}}, range(102))))[0]
    band = left.collections[0].get_paths()[0].vertices
    ends = band[np.isclose(band[:, 1], 1), 0]
    np.testing.assert_allclose([ends.min(), ends.max()], [0.8, 7.2])
    assert left.get_xlim()[0] == 0
    assert left.get_xlim()[1] > 7.2


def test_more_and_less_change_than_the_input_are_equally_far_from_white():
    figure = draw(change_figure({"m": movie(0.25, 4.0)}, range(11)))
    image = panels_of(figure)[1].collections[0]
    assert image.norm.vmin * image.norm.vmax == pytest.approx(1)
    assert image.norm(1.0) == pytest.approx(0.5)


def test_each_movie_has_its_panels_with_the_means_of_the_others():
    figure = draw(change_figure({"one": movie(2.0), "two": movie(3.0), "other": movie(4.0, 5.0)}, range(11)))
    panels = panels_of(figure)
    assert len(panels) == 6
    others = [line for line in panels[0].lines if line.get_linewidth() == 0.6]
    means = sorted(line.get_xdata()[1] for line in others)
    np.testing.assert_allclose(means, [3, 4])
    assert overlapping_texts(figure) == []


def test_changes_that_are_not_known_are_hatched_and_left_out():
    changes = movie(2.0)
    changes["input"][3] = changes["stage 0"][3] = np.nan
    changes["gone"] = np.full(10, np.nan)
    left, right = panels_of(draw(change_figure({"m": changes}, range(11))))
    mean = next(line for line in left.lines if line.get_label() == "mean")
    np.testing.assert_allclose(mean.get_xdata(), [1, 2, np.nan])
    assert right.collections[0].get_array().mask.sum() == 12
    assert right.patch.get_hatch()


def test_change_lies_between_its_frames():
    right = panels_of(draw(change_figure({"m": movie(2.0, frames=4)}, [10, 11, 15, 16])))[1]
    np.testing.assert_array_equal(right.collections[0].get_coordinates()[0, :, 0], [10, 11, 15, 16])


def test_single_frame_has_no_change_and_is_named():
    with pytest.raises(UsageError, match="a movie: frame 7 alone has no change"):
        change_figure({"a movie": movie(2.0, frames=1)}, [7])
    with pytest.raises(UsageError, match="no frame"):
        change_figure({"a movie": {}}, [])


@pytest.mark.parametrize("value", [0, np.nan])
def test_input_that_does_not_change_is_named(value):
    with pytest.raises(UsageError, match="a movie: phase does not change"):
        change_figure({"a movie": {"phase": np.full(3, value), "stem": np.ones(3)}}, range(4))


@pytest.mark.parametrize("frames", [2, 300])
@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("factor", [1e-3, 1, 50])
def test_texts_of_changes_are_readable(frames, count, factor):
    changes = movie(*[factor] * count, frames=frames) | {LONG: np.zeros(frames - 1)}
    figure = draw(change_figure({"m": changes, LONG: changes}, range(frames)))
    assert overlapping_texts(figure) == []


def test_components_share_one_range_around_zero():
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
def test_texts_of_components_are_readable(count, shape):
    spectrum = np.full(max(count, 384 if count > 3 else 1), 0.01)
    figure = draw(component_figure(LONG, random_stack(count, *shape), spectrum[:count], spectrum, pixel_size=0.3))
    assert len(panels_of(figure)) == count + 1
    assert overlapping_texts(figure) == []


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2)])
def test_pictures_without_contrast_and_of_odd_shapes_can_be_drawn(shape, value):
    image = np.full(shape, value, np.float32)
    tiles = [Tile("input", image, pixel_size=0.5), Tile("stem", colours(1, 1), (8, 1, 1), (0.0, 0.0, 0.0), 16.0)]
    draw(overview_figure([("x", tiles)], "t"))
    draw(comparison_figure([("a", tiles), ("b", tiles)], "t"))
    draw(component_figure("x", image[None], [0], [0]))
