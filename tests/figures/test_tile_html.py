import base64
import re

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from image_translation.figures import tile_html
from image_translation.figures.tiles import Tile
from image_translation.frame import Crop


def colours(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def decode_images(html: str) -> list[np.ndarray]:
    """Decode all images of a page: grey, RGB or RGBA."""
    found = []
    for code in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html):
        image = cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_UNCHANGED)
        found.append(image if image.ndim == 2 else image[..., [2, 1, 0, *range(3, image.shape[2])]])
    return found


def test_colours_are_embedded_unchanged() -> None:
    tile = Tile("stem", colours(8, 12), (48, 8, 12), (0.7, 0.2, 0.001))
    html = tile_html.grid([("encoder", [tile]), ("empty", [])], "what it means")
    np.testing.assert_array_equal(decode_images(html)[0], tile.image)
    for words in ('alt="stem"', "48 x 8 x 12", "PC 70 + 20 + &lt;1 %", "aspect-ratio:12/8", "encoder", "what it means"):
        assert words in html
    assert "empty" not in html


def test_grey_is_scaled_and_missing_pixels_are_transparent() -> None:
    image = np.linspace(0, 1, 1000, dtype=np.float32).reshape(20, 50)
    (grey,) = decode_images(tile_html.figure(Tile("input", image)))
    assert (grey.min(), grey.max()) == (0, 255)
    assert (np.diff(grey.ravel().astype(int)) >= 0).all()
    incomplete = image.copy()
    incomplete[3, 4] = np.nan
    (shown,) = decode_images(tile_html.figure(Tile("input", incomplete)))
    assert shown.shape == (20, 50, 4)
    assert shown[3, 4, 3] == 0
    assert np.count_nonzero(shown[..., 3] == 0) == 1


def test_scale_bar_has_the_labelled_length() -> None:
    html = tile_html.figure(Tile("input", np.zeros((40, 160), np.float32), pixel_size=0.5))
    (share,) = re.findall(r'it-bar" style="width:([0-9.]+)%', html)
    assert "20 µm" in html
    assert float(share) / 100 * 160 * 0.5 == pytest.approx(20)
    assert "µm" not in tile_html.figure(Tile("input", np.zeros((40, 160), np.float32)))


def test_names_are_escaped() -> None:
    tile = Tile("<b>&\"'", colours(4, 4), note="<script>")
    for html in (
        tile_html.grid([("<i>", [tile])], "<u>"),
        tile_html.comparison([("<i>", [tile]), ("b", [])], "<u>"),
        tile_html.document("<i>", tile_html.message("<u>"), tile_html.note("<u>")),
    ):
        assert not re.search(r"<(i|u|script)>", html)
    assert 'alt="&lt;b&gt;&amp;&quot;&#x27;"' in tile_html.figure(tile)


def test_grey_tiles_of_a_comparison_share_a_display_window() -> None:
    dark, bright = np.zeros((8, 8), np.float32), np.ones((8, 8), np.float32)
    html = tile_html.comparison([("one", [Tile("input", dark)]), ("other", [Tile("input", bright)])], "")
    first, second = decode_images(html)
    assert (first.max(), second.min()) == (0, 255)


def test_tiles_that_one_column_alone_has_leave_no_empty_places() -> None:
    first, second, third, common = (Tile(name, colours(8, 8)) for name in ("Phase", "Nuclei", "Membrane", "stem"))
    html = tile_html.comparison([("one", [first, common]), ("other", [second, third, common])], "")
    for shown, tile in zip(decode_images(html), (first, second, third, common, common), strict=True):
        np.testing.assert_array_equal(shown, tile.image)
    assert html.count("<figure") == 5
    for caption in ("one: Phase", "other: Nuclei", "other: Membrane", "one", "other"):
        assert f"<b>{caption}</b>" in html


def test_large_images_are_downscaled() -> None:
    assert decode_images(tile_html.figure(Tile("input", np.ones((1000, 3000), np.float32))))[0].shape == (341, 1024)
    assert decode_images(tile_html.figure(Tile("input", np.ones((1, 4000), np.float32))))[0].shape == (1, 1024)
    html = tile_html.field(np.ones((1000, 3000), np.uint16), Crop(100, 300, 500, 600), 0.1, "Phase")
    assert decode_images(html)[0].shape == (107, 320)
    for place in ("top:10.000%", "left:10.000%", "height:50.000%", "width:20.000%"):
        assert place in html
    (share,) = re.findall(r'it-bar" style="width:([0-9.]+)%', html)
    assert "50 µm" in html
    assert float(share) / 100 * 3000 * 0.1 == pytest.approx(50, rel=0.01)


def test_overlay_has_the_given_opacity_and_placement() -> None:
    image, stage = Tile("input", np.eye(16, dtype=np.float32)), Tile("stem, PC 1", colours(8, 8))
    html = tile_html.overlay(image, stage, 0.25, step=3, top=-4, left=-2)
    for place in ("opacity:0.25", "top:-25.000%", "left:-12.500%", "height:150.000%", "width:150.000%"):
        assert place in html
    shown = decode_images(html)
    assert [picture.shape[:2] for picture in shown] == [(16, 16), (16, 16), (8, 8), (8, 8)]
    np.testing.assert_array_equal(shown[2], stage.image)


def test_a_document_is_self_contained() -> None:
    figure = Figure((2, 1))
    html = tile_html.document("a title", tile_html.embed_figure(figure, "a drawing"))
    assert html.startswith("<!DOCTYPE html>")
    assert "<title>a title</title>" in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)
    assert decode_images(html)[0].shape[:2] == (150, 300)
    html = tile_html.embed_figure(figure, "a drawing", Figure((1, 2)))
    assert [image.shape[:2] for image in decode_images(html)] == [(300, 150), (150, 300)]
    assert '<source media="(max-width: 600px)" srcset="data:' in html
