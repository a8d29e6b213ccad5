"""Tiles as HTML: responsive grids of images for the page of the explorer, rendered within milliseconds.

`tiles` draws the same tiles as matplotlib figures.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from image_translation.figures.style import FIGURE_WIDTH, display_window, format_percent, scale_bar_length
from image_translation.figures.tiles import Tile, merge_names
from image_translation.frame import Crop

MAX_SIDE = 1024  # pixels of the longer side; larger images are downscaled
FIELD_SIDE = 320  # pixels of the longer side of an image of the full field
NARROW_SCREEN = 600  # CSS pixels of the width up to which figures for narrow screens are shown
_MIN_TILE_WIDTH = 140  # CSS pixels
_STYLE = """
.it-name { margin: .9rem 0 .35rem; font-weight: 600; border-bottom: 1px solid rgba(128,128,128,.4); }
.it-page > section:first-child .it-name { margin-top: 0; }
.it-grid { display: grid; gap: .8rem .6rem; align-items: start; }
.it-row { display: grid; gap: .25rem; align-items: start; }
.it-tile figcaption { font-size: .75rem; line-height: 1.3; text-align: center; padding-top: .2rem; }
.it-grid figure, .it-row figure { margin: 0; min-width: 0; }
.it-picture { position: relative; overflow: hidden;
  background: repeating-linear-gradient(45deg, #ddd 0 4px, #eee 4px 8px); }
.it-picture img { display: block; width: 100%; height: 100%; margin: 0; }
.it-pixels { image-rendering: pixelated; }
.it-bar { position: absolute; right: 6%; bottom: 6%; border-bottom: 3px solid white; color: white; font-size: .7rem;
  line-height: 1.2; text-align: right; white-space: nowrap; direction: rtl; text-shadow: 0 0 2px black, 0 0 3px black;
  filter: drop-shadow(0 0 1px black); }
.it-box { position: absolute; border: 2px solid #ff8000; box-shadow: 0 0 0 1px black; box-sizing: border-box; }
.it-legend { font-size: .75rem; opacity: .75; margin: .6rem 0 0; }
"""


def encode_png(image: NDArray[Any], max_side: int = MAX_SIDE) -> bytes:
    """Encode an image as PNG with fast compression.

    Parameters
    ----------
    image
        Grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4), uint8.
    max_side
        Maximum length of the longer side in pixels; larger images are downscaled.
    """
    image = _downscale(image, max_side)
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    _, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return encoded.tobytes()


def grid(groups: Iterable[tuple[str, Sequence[Tile]]], legend: str = "") -> str:
    """Return groups of tiles as a grid that fits the width of the page.

    Parameters
    ----------
    groups
        Name and tiles of each; groups without tiles are omitted.
    legend
        Meaning of the colours.
    """
    parts = []
    for name, tiles in groups:
        if tiles:
            inside = "".join(figure(tile) for tile in tiles)
            parts.append(_section(name, _grid(_MIN_TILE_WIDTH, inside)))
    return _page("".join(parts), legend)


def comparison(columns: Sequence[tuple[str, Sequence[Tile]]], legend: str = "") -> str:
    """Return the stages of several variants side by side, one row per stage.

    Parameters
    ----------
    columns
        Name and tiles of each variant. Tiles of the same name form a row; grey ones share a display window. Those that
        not all variants have, such as the inputs of different networks, follow one another in the first row.
    legend
        Meaning of the colours.
    """
    variants = [{tile.name: tile for tile in tiles} for _, tiles in columns]
    common = [name for name in merge_names(variants) if all(name in tiles for tiles in variants)]
    parts = []
    others = [(label, tile) for label, tiles in columns for tile in tiles if tile.name not in common]
    if others:
        inside = "".join(figure(tile, f"{label}: {tile.name}") for label, tile in others)
        parts.append(_section("only in one", _grid(_MIN_TILE_WIDTH, inside), "grid-column:1/-1"))
    for name in common:
        greys = [tiles[name].image for tiles in variants if tiles[name].image.ndim == 2]
        window = display_window(greys) if greys else None
        cells = [figure(tiles[name], label, window) for (label, _), tiles in zip(columns, variants, strict=True)]
        row = f'<div class="it-row" style="grid-template-columns:repeat({len(columns)},minmax(0,1fr))">'
        parts.append(_section(name, f"{row}{''.join(cells)}</div>"))
    return _page(_grid(_MIN_TILE_WIDTH * len(columns) + 30 * len(columns), "".join(parts)), legend)


def figure(
    tile: Tile, label: str | None = None, window: tuple[float, float] | None = None, *, overlay: str = ""
) -> str:
    """Return a tile as an HTML ``figure`` with a scale bar and a caption.

    Parameters
    ----------
    tile
        The tile.
    label
        Name in the caption; that of the tile if None.
    window
        Display window of a grey image; its own if None.
    overlay
        HTML that is shown over the image.
    """
    height, width = tile.image.shape[:2]
    name = tile.name if label is None else label
    coarse = ' class="it-pixels"' if max(height, width) < MAX_SIDE else ""
    picture = f'<img{coarse} alt="{escape(tile.name)}" src="{_data_uri(encode_png(_displayable(tile.image, window)))}">'
    bar = "" if not tile.pixel_size else _scale_bar(width, tile.pixel_size)
    caption = "<br>".join([f"<b>{escape(name)}</b>", *map(escape, _caption_lines(tile))])
    return (
        f'<figure class="it-tile"><div class="it-picture" style="aspect-ratio:{width}/{height}">'
        f"{picture}{overlay}{bar}</div><figcaption>{caption}</figcaption></figure>"
    )


def field(image: NDArray[Any], crop: Crop, pixel_size: float | None, name: str) -> str:
    """Return an image of the full field with a frame around the crop.

    Parameters
    ----------
    image
        The field, (Y, X), of any real dtype.
    crop
        Region to frame.
    pixel_size
        Pixel size in micrometres, for a scale bar.
    name
        Name in the caption.
    """
    height, width = image.shape
    small = _downscale(image.astype(np.float32), FIELD_SIDE)
    places = {
        "top": crop.y / height,
        "left": crop.x / width,
        "height": crop.height / height,
        "width": crop.width / width,
    }
    frame = f'<div class="it-box" style="{_css_percentages(places)}"></div>'
    tile = Tile(name, small, pixel_size=pixel_size and pixel_size * width / small.shape[1])
    return _page(figure(tile, overlay=frame), "")


def overlay(image: Tile, stage: Tile, opacity: float, *, step: int, top: int = 0, left: int = 0) -> str:
    """Return an image, the same with a feature map over it, and the feature map alone, side by side.

    Parameters
    ----------
    image
        Input of the network.
    stage
        Feature map in colours, of the same field.
    opacity
        Opacity of the map over the image, from 0 to 1.
    step, top, left
        Placement of the pixels of the map in the image, see `features.Placement`.
    """
    height, width = image.image.shape[:2]
    size = {"height": stage.image.shape[0] * step / height, "width": stage.image.shape[1] * step / width}
    places = _css_percentages({"top": top / height, "left": left / width} | size)
    look = f"opacity:{opacity:.3g};position:absolute;max-width:none;{places}"
    over = (
        f'<img class="it-pixels" alt="{escape(stage.name)}" style="{look}" src="{_data_uri(encode_png(stage.image))}">'
    )
    figures = [figure(image), figure(image, f"{stage.name} over {image.name}", overlay=over), figure(stage)]
    return _page(_grid(240, "".join(figures)), "")


def document(title: str, *parts: str) -> str:
    """Return a self-contained HTML page."""
    inside = f"<h1>{escape(title)}</h1>{''.join(parts)}"
    look = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:1rem auto;padding:0 1rem}h1{font-size:1.2rem}"
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{look}</style></head><body>{inside}</body></html>"
    )


def message(text: object) -> str:
    """Return a message in which long paths may wrap anywhere."""
    return f'<div style="white-space:pre-wrap;overflow-wrap:anywhere;font-size:.9rem">{escape(str(text))}</div>'


def note(text: str) -> str:
    """Return a paragraph in small print."""
    return f'<p style="font-size:.75rem;line-height:1.4;opacity:.75;margin:0">{escape(text)}</p>'


def embed_figure(matplotlib_figure: Figure, alt: str, narrow: Figure | None = None) -> str:
    """Return a matplotlib figure as an embedded PNG, with another one for narrow screens if that is given."""
    image = (
        f'<img alt="{escape(alt)}" style="width:100%;max-width:{FIGURE_WIDTH:.1f}in" src="{_png(matplotlib_figure)}">'
    )
    if narrow is None:
        return image
    return f'<picture><source media="(max-width: {NARROW_SCREEN}px)" srcset="{_png(narrow)}">{image}</picture>'


def _png(matplotlib_figure: Figure) -> str:
    buffer = io.BytesIO()
    matplotlib_figure.savefig(buffer, format="png", dpi=150)
    return _data_uri(buffer.getvalue())


def _page(inside: str, legend: str) -> str:
    below = f'<p class="it-legend">{escape(legend)}</p>' if legend else ""
    return f'<style>{_STYLE}</style><div class="it-page">{inside}{below}</div>'


def _section(name: str, inside: str, style: str = "") -> str:
    return f'<section style="{style}"><div class="it-name">{escape(name)}</div>{inside}</section>'


def _grid(min_width: int, inside: str) -> str:
    columns = f"grid-template-columns:repeat(auto-fill,minmax(min({min_width}px,100%),1fr))"
    return f'<div class="it-grid" style="{columns}">{inside}</div>'


def _displayable(image: NDArray[Any], window: tuple[float, float] | None) -> NDArray[np.uint8]:
    if image.ndim == 3:
        return np.ascontiguousarray(image)
    low, high = window or display_window([image])
    finite = np.isfinite(image)
    grey = np.clip((np.where(finite, image, low) - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
    if finite.all():
        return grey
    return np.dstack([grey, grey, grey, np.where(finite, 255, 0).astype(np.uint8)])  # missing pixels are transparent


def _downscale(image: NDArray[Any], max_side: int) -> NDArray[Any]:
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _scale_bar(width: int, pixel_size: float) -> str:
    length = scale_bar_length(width, pixel_size)
    length_css = _css_percentages({"width": length / pixel_size / width})
    return f'<div class="it-bar" style="{length_css}"><bdi>{length:g} µm</bdi></div>'


def _caption_lines(tile: Tile) -> list[str]:
    lines: list[str] = []
    if tile.shape is not None:
        lines.append(" x ".join(map(str, tile.shape)))
    if tile.explained:
        prefix = "PC " if len(tile.explained) > 1 else ""
        lines.append(f"{prefix}{' + '.join(map(format_percent, tile.explained))} %")
    return [*lines, *([tile.note] if tile.note else [])]


def _css_percentages(places: Mapping[str, float]) -> str:
    return ";".join(f"{name}:{100 * value:.3f}%" for name, value in places.items())
