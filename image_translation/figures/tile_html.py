"""Tiles as HTML: grids of pictures that fit any screen, phones included, and are drawn in milliseconds.

For the page of the explorer; `plot_features` draws the same tiles as figures for paper.
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

from image_translation.figures.style import WIDTH, bar_length, display_window, percent
from image_translation.figures.tiles import Tile, merge_names
from image_translation.frame import Crop

LARGEST = 1024  # pixels of the longer side of a picture; a larger one is reduced
FIELD = 320  # pixels of the longer side of a picture of a whole field
_TILE = 140  # CSS pixels: the least width of a tile
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


def png(image: NDArray[Any], largest: int = LARGEST) -> bytes:
    """Encode an image as PNG, quickly.

    Parameters
    ----------
    image
        (H, W) uint8, (H, W, 3) uint8 RGB, or (H, W, 4) uint8 RGB and opacity.
    largest
        Number of pixels to which the longer side is reduced.
    """
    image = _reduced(image, largest)
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    _, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return encoded.tobytes()


def grid(groups: Iterable[tuple[str, Sequence[Tile]]], legend: str = "") -> str:
    """Lay tiles out in groups under their names, as many beside each other as there is room for.

    Parameters
    ----------
    groups
        Name and tiles of each; a group without tiles is left out.
    legend
        What the colours mean.
    """
    parts = []
    for name, tiles in groups:
        if tiles:
            inside = "".join(figure(tile) for tile in tiles)
            parts.append(_section(name, _columns(_TILE, inside)))
    return _page("".join(parts), legend)


def comparison(columns: Sequence[tuple[str, Sequence[Tile]]], legend: str = "") -> str:
    """Lay the stages of variants out so that what is to be compared is beside each other.

    Parameters
    ----------
    columns
        Name and tiles of each variant; tiles of one name are compared, greys in one range.
    legend
        What the colours mean.
    """
    variants = [{tile.name: tile for tile in tiles} for _, tiles in columns]
    parts = []
    for name in merge_names(variants):
        greys = [tiles[name].image for tiles in variants if name in tiles and tiles[name].image.ndim == 2]
        window = display_window(greys) if greys else None
        cells = []
        for (label, _), tiles in zip(columns, variants, strict=True):
            if name in tiles:
                cells.append(figure(tiles[name], label, window))
            else:
                cells.append(f'<figure class="it-tile"><figcaption>{escape(label)}: none</figcaption></figure>')
        row = f'<div class="it-row" style="grid-template-columns:repeat({len(columns)},minmax(0,1fr))">'
        parts.append(_section(name, f"{row}{''.join(cells)}</div>"))
    return _page(_columns(_TILE * len(columns) + 30 * len(columns), "".join(parts)), legend)


def figure(tile: Tile, label: str | None = None, window: tuple[float, float] | None = None, *, inside: str = "") -> str:
    """Return a tile as an HTML figure, with its scale bar in the picture and its numbers below.

    Parameters
    ----------
    tile
        What is shown.
    label
        What to call it, in place of its name.
    window
        Darkest and brightest value of a grey picture.
    inside
        HTML that lies over the picture.
    """
    height, width = tile.image.shape[:2]
    name = tile.name if label is None else label
    coarse = ' class="it-pixels"' if max(height, width) < LARGEST else ""
    picture = f'<img{coarse} alt="{escape(tile.name)}" src="{_address(_shown(tile.image, window))}">'
    bar = "" if not tile.pixel_size else _bar(width, tile.pixel_size)
    caption = "<br>".join([f"<b>{escape(name)}</b>", *map(escape, _numbers(tile))])
    return (
        f'<figure class="it-tile"><div class="it-picture" style="aspect-ratio:{width}/{height}">'
        f"{picture}{inside}{bar}</div><figcaption>{caption}</figcaption></figure>"
    )


def field(image: NDArray[Any], crop: Crop, pixel_size: float | None, name: str) -> str:
    """Return a whole field, (Y, X) of any real dtype, with a frame round the part that is looked at.

    Parameters
    ----------
    image, crop
        The field and the part.
    pixel_size
        Side of a pixel in micrometres.
    name
        What the picture is called.
    """
    height, width = image.shape
    small = _reduced(image.astype(np.float32), FIELD)
    places = {
        "top": crop.y / height,
        "left": crop.x / width,
        "height": crop.height / height,
        "width": crop.width / width,
    }
    frame = f'<div class="it-box" style="{_percentages(places)}"></div>'
    tile = Tile(name, small, pixel_size=pixel_size and pixel_size * width / small.shape[1])
    return _page(figure(tile, inside=frame), "")


def detail(image: Tile, stage: Tile, opacity: float, *, step: int, top: int = 0, left: int = 0) -> str:
    """Return an image, a map of a stage over it, and the map alone, as large as there is room for.

    Parameters
    ----------
    image
        What the network is shown.
    stage
        The map as colours, of the same field.
    opacity
        Of the map over the image: 0 hides it, 1 hides the image.
    step, top, left
        Where the pixels of the map lie in the image, see `features.Placement`.
    """
    height, width = image.image.shape[:2]
    size = {"height": stage.image.shape[0] * step / height, "width": stage.image.shape[1] * step / width}
    places = _percentages({"top": top / height, "left": left / width} | size)
    look = f"opacity:{opacity:.3g};position:absolute;max-width:none;{places}"
    over = f'<img class="it-pixels" alt="{escape(stage.name)}" style="{look}" src="{_address(stage.image)}">'
    figures = [figure(image), figure(image, f"{stage.name} over {image.name}", inside=over), figure(stage)]
    return _page(_columns(240, "".join(figures)), "")


def document(title: str, *parts: str) -> str:
    """Return a page of its own, which needs nothing beside it."""
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
    """Return a message whose long paths are broken where they must be."""
    return f'<div style="white-space:pre-wrap;overflow-wrap:anywhere;font-size:.9rem">{escape(str(text))}</div>'


def note(text: str) -> str:
    """Return small print."""
    return f'<p style="font-size:.75rem;line-height:1.4;opacity:.75;margin:0">{escape(text)}</p>'


def drawing(drawn: Figure, alt: str) -> str:
    """Return a matplotlib figure as a picture that is no wider than the page."""
    file = io.BytesIO()
    drawn.savefig(file, format="png", dpi=150)
    code = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="{escape(alt)}" style="width:100%;max-width:{WIDTH:.1f}in" src="data:image/png;base64,{code}">'


def _page(inside: str, legend: str) -> str:
    below = f'<p class="it-legend">{escape(legend)}</p>' if legend else ""
    return f'<style>{_STYLE}</style><div class="it-page">{inside}{below}</div>'


def _section(name: str, inside: str) -> str:
    return f'<section><div class="it-name">{escape(name)}</div>{inside}</section>'


def _columns(least: int, inside: str) -> str:
    columns = f"grid-template-columns:repeat(auto-fill,minmax(min({least}px,100%),1fr))"
    return f'<div class="it-grid" style="{columns}">{inside}</div>'


def _shown(image: NDArray[Any], window: tuple[float, float] | None) -> NDArray[np.uint8]:
    if image.ndim == 3:
        return np.ascontiguousarray(image)
    low, high = window or display_window([image])
    finite = np.isfinite(image)
    grey = np.clip((np.where(finite, image, low) - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
    if finite.all():
        return grey
    return np.dstack([grey, grey, grey, np.where(finite, 255, 0).astype(np.uint8)])  # the ground shows through


def _reduced(image: NDArray[Any], largest: int) -> NDArray[Any]:
    height, width = image.shape[:2]
    scale = largest / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _address(image: NDArray[np.uint8]) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode('ascii')}"


def _bar(width: int, pixel_size: float) -> str:
    length = bar_length(width, pixel_size)
    share = _percentages({"width": length / pixel_size / width})
    return f'<div class="it-bar" style="{share}"><bdi>{length:g} µm</bdi></div>'


def _numbers(tile: Tile) -> list[str]:
    lines: list[str] = []
    if tile.shape is not None:
        lines.append(" x ".join(map(str, tile.shape)))
    if tile.explained:
        of = "PC " if len(tile.explained) > 1 else ""
        lines.append(f"{of}{' + '.join(map(percent, tile.explained))} %")
    return [*lines, *([tile.note] if tile.note else [])]


def _percentages(places: Mapping[str, float]) -> str:
    return ";".join(f"{name}:{100 * value:.3f}%" for name, value in places.items())
