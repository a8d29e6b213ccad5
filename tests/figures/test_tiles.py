import numpy as np
import pytest
from matplotlib.figure import Figure
from support.figure_helpers import draw, is_hatched, overlapping_texts, panels_of, random_stack, texts_of

from image_translation.errors import UsageError
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


def test_overview_has_a_tile_per_image_with_name_shape_and_variance_below():
    figure = draw(overview_figure([("pictures", [picture("input")]), ("encoder", [stage("stem", 16, 24)])], "a movie"))
    assert [texts_of(axes)[-1] for axes in panels_of(figure)] == ["input", "stem\n48 x 16 x 24\nPC 1-3: 71 + 12 + 6 %"]
    words = words_of(figure)
    assert "a movie" in words
    assert "pictures" in words
    assert "encoder" in words
    assert "red, green, blue = first three principal components" in words


def test_colours_are_shown_without_interpolation():
    tile = stage("stem")
    for figure in (overview_figure([("x", [tile])], "t"), comparison_figure([("a", [tile]), ("b", [tile])], "t")):
        for axes in panels_of(figure):
            np.testing.assert_array_equal(axes.images[0].get_array(), tile.image)
            assert axes.images[0].get_interpolation() == "nearest"


def test_colours_are_rendered_unchanged():
    figure = overview_figure([("x", [Tile("one colour", np.full((2, 2, 3), (10, 200, 77), np.uint8))])], "t")
    page = np.asarray(draw(figure).canvas.buffer_rgba())
    box = panels_of(figure)[0].get_window_extent()
    x, y = int(box.x0 + box.x1) // 2, len(page) - int(box.y0 + box.y1) // 2
    assert page[y, x].tolist() == [10, 200, 77, 255]


@pytest.mark.parametrize("field", [(64, 64), (48, 96), (200, 100), (10, 100)])
def test_all_tiles_have_the_same_size_and_the_aspect_ratio_of_the_field(field):
    tiles = [picture("input", *field), stage("fine", field[0] // 2, field[1] // 2), stage("coarse", 2, 3)]
    for figure in (overview_figure([("x", tiles)], "t"), comparison_figure([("a", tiles), ("b", tiles)], "t")):
        sizes = sizes_of(figure)
        np.testing.assert_allclose(sizes, [sizes[0]] * len(sizes), atol=0.01)
        assert sizes[0][1] / sizes[0][0] == pytest.approx(max(1 / 8, field[0] / field[1]))


def test_small_groups_share_a_row_and_large_ones_take_several():
    rows = [("pictures", stages("picture", 3)), ("encoder", stages("encoder", 5)), ("decoder", stages("decoder", 4))]
    figure = draw(overview_figure([*rows, ("head", stages("head", 1))], "t"))
    heights = [round(axes.get_position().y0, 4) for axes in panels_of(figure)]
    assert [heights.count(height) for height in dict.fromkeys(heights)] == [3, 5, 5]
    figure = overview_figure([("encoder", stages("encoder", 12))], "t")
    heights = [round(axes.get_position().y0, 4) for axes in panels_of(figure)]
    assert [heights.count(height) for height in dict.fromkeys(heights)] == [4, 4, 4]
    assert words_of(figure).count("encoder (continued)") == 2


def test_group_without_tiles_is_omitted():
    figure = overview_figure([("truth", []), ("pictures", [picture("input")])], "t")
    assert len(panels_of(figure)) == 1
    assert "truth" not in words_of(figure)
    assert "red, green, blue" not in words_of(figure)


@pytest.mark.parametrize(
    "draw_nothing", [lambda: overview_figure([("x", [])], "t"), lambda: comparison_figure([], "t")]
)
def test_no_tiles_at_all_is_an_error(draw_nothing):
    with pytest.raises(UsageError, match="choose an image or a stage"):
        draw_nothing()


def test_missing_pixels_are_hatched_and_do_not_affect_the_display_window():
    image = random_stack(64, 64)
    image[:10] = np.nan
    image[20, 20] = np.inf
    image[30, 30] = 1e6
    whole, holed = panels_of(draw(overview_figure([("x", [picture("a"), Tile("b", image)])], "t")))
    assert (is_hatched(whole), is_hatched(holed)) == (False, True)
    assert holed.images[0].get_clim()[1] < 10


@pytest.mark.parametrize(("pixel_size", "bars"), [(0.5, 1), (None, 0)])
def test_scale_bar_has_the_labelled_length(pixel_size, bars):
    tile = Tile("input", random_stack(40, 160), pixel_size=pixel_size)
    axes = panels_of(draw(overview_figure([("x", [tile])], "t")))[0]
    assert len(axes.lines) == bars
    if bars:
        start, stop = axes.lines[0].get_xdata()
        assert texts_of(axes)[0] == "20 µm"
        assert (stop - start) * 160 * 0.5 == pytest.approx(20)


def test_small_explained_variance_is_not_rounded_to_zero():
    tile = Tile("x", colours(4, 4), explained=(0.996, 0.004, 0.0))
    assert texts_of(panels_of(overview_figure([("x", [tile])], "t"))[0]) == ["x\nPC 1-3: 100 + <1 + 0 %"]
    one = Tile("x", colours(4, 4), explained=(1.0,))
    assert texts_of(panels_of(overview_figure([("x", [one])], "t"))[0]) == ["x\nPC 1: 100 %"]


def test_comparison_has_a_row_per_stage_and_a_legend():
    columns = [(label, [picture("input"), stage("stem")]) for label in ("before", "after", "later")]
    figure = draw(comparison_figure(columns, "t"))
    places = np.array([axes.get_position().bounds for axes in panels_of(figure)]).reshape(2, 3, 4)
    np.testing.assert_allclose(places[:, :, 1], places[:, :1, 1].repeat(3, axis=1))
    np.testing.assert_allclose(places[:, :, 0], places[:1, :, 0].repeat(2, axis=0))
    assert [axes.get_ylabel() for axes in panels_of(figure)] == ["input", "", "", "stem", "", ""]
    words = words_of(figure)
    assert all(label in words for label, _ in columns)
    assert "equal colours mean equal features" in words


def test_many_stages_of_two_variants_are_split_into_two_blocks():
    columns = [(label, stages("stage", 7)) for label in "ab"]
    figure = draw(comparison_figure(columns, "t"))
    assert len({round(axes.get_position().x0, 4) for axes in panels_of(figure)}) == 4
    assert len({round(axes.get_position().y0, 4) for axes in panels_of(figure)}) == 4
    assert words_of(figure).split().count("a") == 2


def test_grey_tiles_of_a_row_share_a_display_window():
    columns = [("as it is", [picture("input")]), ("brighter", [Tile("input", random_stack(64, 64) + 100)])]
    one, other = [axes.images[0].get_clim() for axes in panels_of(comparison_figure(columns, "t"))]
    assert one == other
    assert one[1] - one[0] > 90


def test_missing_tile_of_a_variant_leaves_an_empty_panel():
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
def test_texts_of_tiles_do_not_overlap(count, suffix):
    tiles = [Tile(f"{tile.name} {suffix}", tile.image, tile.shape, tile.explained) for tile in stages("encoder", count)]
    rows = [(f"pictures {suffix}", [picture("input")]), (f"encoder {suffix}", tiles), ("head", stages("head", 1))]
    assert overlapping_texts(draw(overview_figure(rows, f"title {suffix}"))) == []
    for variants in (1, 3):
        columns = [(f"variant {number} {suffix}", tiles) for number in range(variants)]
        assert overlapping_texts(draw(comparison_figure(columns, f"title {suffix}"))) == []


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2)])
def test_images_of_any_shape_and_without_contrast_can_be_drawn(shape, value):
    image = np.full(shape, value, np.float32)
    tiles = [Tile("input", image, pixel_size=0.5), Tile("stem", colours(1, 1), (8, 1, 1), (0.0, 0.0, 0.0), 16.0)]
    draw(overview_figure([("x", tiles)], "t"))
    draw(comparison_figure([("a", tiles), ("b", tiles)], "t"))
