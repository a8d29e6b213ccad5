"""Figures of the stages of a network as tiles: pictures in, matplotlib figures out; nothing is measured or saved."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.figures.style import (
    PHASE_COLOURS,
    PLAIN,
    SMALL,
    TEXT,
    TITLE_TEXT,
    WIDTH,
    Grid,
    add_scale_bar,
    display_window,
    percent,
    show,
    text_length,
    wrap,
    write,
)

ACROSS = 5  # tiles beside each other, for which the captions have room
EDGE, GAP, LINE, SIDE = 0.06, 0.08, 0.12, 0.36  # inches: round the page, between tiles, of a line of text, for names
WIDEST, NARROWEST = 2.2, 3.2  # inches: of a tile, of a page
LONGEST = 8  # fields that are longer, by their width, are drawn as if they were not
OWN_BASIS = "red, green, blue = first three principal components, of each stage for itself"
ONE_BASIS = (
    "red, green, blue = first three principal components, in one basis for each row: "
    "equal colours mean equal features, and equal greys equal values"
)
ONE_GREY = "equal greys mean equal values in each row"


@dataclass(frozen=True)
class Tile:
    """A picture of a stage of the network, or of what goes in or comes out.

    Attributes
    ----------
    name
        Name of the stage or the picture.
    image
        Colours, (H, W, 3) uint8, which are shown as they are; or one channel, (H, W) float32, which is shown in grey.
    shape
        Shape of the features, (C, H, W).
    explained
        Share of the variance of each component that is shown, largest first.
    pixel_size
        Side of a pixel of this image in micrometres, for a scale bar.
    note
        What else is to be said below.
    """

    name: str
    image: NDArray[Any]
    shape: tuple[int, ...] | None = None
    explained: tuple[float, ...] = ()
    pixel_size: float | None = None
    note: str = ""


def overview_figure(rows: Sequence[tuple[str, Sequence[Tile]]], title: str) -> Figure:
    """Show the stages of a network in one size on paper; the squares of coarse stages are their true grid.

    Parameters
    ----------
    rows
        Name and tiles of each group, such as the pictures, the encoder and the decoder; all tiles show one field. Small
        groups share a line, and a large one takes several.
    title
        Title of the figure.
    """
    groups = [(name, tiles) for name, tiles in rows if tiles]
    if not groups:
        raise UsageError("there is nothing to show: choose a picture or a stage")
    across = min(ACROSS, max(len(tiles) for _, tiles in groups))
    while across > 1 and len(_lines(groups, across - 1)) == len(_lines(groups, across)):
        across -= 1
    lines = _lines(groups, across)
    width = min(WIDEST, (WIDTH - 2 * EDGE + GAP) / across - GAP)
    proportion = _proportion(tile for _, tiles in groups for tile in tiles)
    captions = [[_caption(tile, width, tile.name) for _, tiles in line for tile in tiles] for line in lines]
    coloured = any(tile.image.ndim == 3 for _, tiles in groups for tile in tiles)
    lefts = [EDGE + column * (width + GAP) for column in range(across)]
    grid = _page((title, OWN_BASIS if coloured else ""), lefts, (width, proportion), captions, (0.2, 0))
    for row, line in enumerate(lines):
        cells = iter(enumerate(captions[row]))
        for name, tiles in line:
            for place, (tile, (column, caption)) in enumerate(zip(tiles, cells, strict=False)):
                _draw(grid.panel(row, column), tile, proportion, caption)
                if place == 0:
                    _head(grid, row, column, name, len(tiles) * (width + GAP) - GAP)
    return grid.figure


def comparison_figure(columns: Sequence[tuple[str, Sequence[Tile]]], title: str, legend: str = ONE_BASIS) -> Figure:
    """Show the stages of variants beside each other, a row per stage, so that equal colours mean equal features.

    Parameters
    ----------
    columns
        Name and tiles of each variant: a checkpoint, a time point or an input. Tiles of one name are compared, and have
        their colours from one basis; no name is used twice in a variant.
    title
        Title of the figure.
    legend
        What the colours mean.
    """
    variants = [{tile.name: tile for tile in tiles} for _, tiles in columns]
    names = merge_names(variants)
    if not names:
        raise UsageError("there is nothing to compare: choose a picture or a stage")
    blocks = 2 if len(columns) <= 3 and len(names) > 4 else 1  # beside each other, or else the page would be long
    down = -(-len(names) // blocks)
    width = min(WIDEST, (WIDTH - EDGE - blocks * SIDE) / (blocks * len(columns)) - GAP)
    proportion = _proportion(tile for tiles in variants for tile in tiles.values())
    heads = ["\n".join(wrap(label, width, TEXT, 3)) for label, _ in columns]
    captions = [
        [_caption(tiles[name], width) for name in names[row::down] for tiles in variants if name in tiles]
        for row in range(down)
    ]
    lefts = [
        SIDE + block * (SIDE + len(columns) * (width + GAP)) + column * (width + GAP)
        for block in range(blocks)
        for column in range(len(columns))
    ]
    coloured = any(tile.image.ndim == 3 for tiles in variants for tile in tiles.values())
    above = max(head.count("\n") + 1 for head in heads) * 0.135 + 0.05
    grid = _page((title, legend if coloured else ONE_GREY), lefts, (width, proportion), captions, (0.03, above))
    for place, name in enumerate(names):
        block, row = divmod(place, down)
        greys = [tiles[name].image for tiles in variants if name in tiles and tiles[name].image.ndim == 2]
        window = display_window(greys) if greys else None
        for number, (head, tiles) in enumerate(zip(heads, variants, strict=True)):
            column = block * len(columns) + number
            axes = grid.panel(row, column)
            if row == 0:
                grid.title(row, column, head)
            if number == 0:
                axes.set_ylabel("\n".join(wrap(name, grid.height, TEXT, 2)), **PLAIN, labelpad=3)
            if name in tiles:
                _draw(axes, tiles[name], proportion, _caption(tiles[name], width), window)
            else:
                axes.set_facecolor("0.95")
                write(axes, 0.5, 0.5, "none", va="center", color="0.4")
    return grid.figure


def _draw(axes: Axes, tile: Tile, proportion: float, caption: str, window: tuple[float, float] | None = None) -> None:
    """Draw a tile, as high as the field whatever its grid, and its caption below."""
    height, width = tile.image.shape[:2]
    aspect = proportion * width / height
    if tile.image.ndim == 3:
        axes.imshow(tile.image, interpolation="nearest", aspect=aspect)
    else:
        show(axes, tile.image, window or display_window([tile.image]), PHASE_COLOURS, aspect=aspect)
    if tile.pixel_size:
        add_scale_bar(axes, width, tile.pixel_size)
    look: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "parse_math": False}
    axes.annotate(caption, (0.5, 0), (0, -2.5), ha="center", va="top", fontsize=SMALL, **look)


def _proportion(tiles: Iterable[Tile]) -> float:
    """Return height by width of the finest tile."""
    height, width = max((tile.image.shape[:2] for tile in tiles), key=lambda shape: shape[0] * shape[1])
    return float(np.clip(height / width, 1 / LONGEST, LONGEST))


def _caption(tile: Tile, width: float, name: str = "") -> str:
    """Return name, shape and variance of a tile in lines that are no longer than the tile is wide."""
    lines = wrap(name, width, SMALL, 2)
    if tile.shape is not None:
        lines += wrap(" x ".join(map(str, tile.shape)), width, SMALL, 2)
    if tile.explained:
        numbers = "1" if len(tile.explained) == 1 else f"1-{len(tile.explained)}"
        words = (f"PC {numbers}:", f"{' + '.join(map(percent, tile.explained))} %")
        lines += [" ".join(words)] if text_length(" ".join(words), SMALL) <= width else words
    if tile.note:
        lines += wrap(tile.note, width, SMALL, 2)
    return "\n".join(lines)


def merge_names(variants: Iterable[Iterable[str]]) -> list[str]:
    """Return the names of all variants, each behind the one that it follows in its own variant."""
    merged: list[str] = []
    for names in variants:
        place = 0
        for name in names:
            if name not in merged:
                merged.insert(place, name)
            place = merged.index(name) + 1
    return merged


def _lines(groups: Sequence[tuple[str, Sequence[Tile]]], across: int) -> list[list[tuple[str, Sequence[Tile]]]]:
    """Break groups into lines of so many tiles."""
    lines: list[list[tuple[str, Sequence[Tile]]]] = []
    free = 0
    for name, tiles in groups:
        for start in range(0, len(tiles), across):
            part = tiles[start : start + across]
            if len(part) > free:
                lines.append([])
                free = across
            lines[-1].append((f"{name} (continued)" if start else name, part))
            free -= len(part)
    return lines


def _page(
    words: tuple[str, str],
    lefts: Sequence[float],
    tile: tuple[float, float],
    captions: Sequence[Sequence[str]],
    above: tuple[float, float],
) -> Grid:
    """Lay out lines of tiles with their captions, below a title and above a legend.

    Parameters
    ----------
    words
        Title and legend.
    lefts
        Left edges of the columns in inches.
    tile
        Width in inches, and height by width of what is shown.
    captions
        Captions of each line.
    above
        Room above every line, and above the first one beside, in inches.
    """
    width = max(NARROWEST, lefts[-1] + tile[0] + EDGE)
    height = tile[0] * float(np.clip(tile[1], 0.2, 1.5))
    title, legend = wrap(words[0], width - 2 * EDGE, TITLE_TEXT, 2), wrap(words[1], width - 2 * EDGE, SMALL, 5)
    below = [max(1 + caption.count("\n") if caption else 0 for caption in line) * LINE + 0.06 for line in captions]
    top = EDGE + 0.15 * len(title) + above[1] + 0.04
    page = top + sum(above[0] + height + room for room in below) + LINE * len(legend) + 2 * EDGE
    bottoms = [page - top - (row + 1) * (above[0] + height) - sum(below[:row]) for row in range(len(below))]
    figure = Figure((width, page))
    figure.text(EDGE / width, 1 - EDGE / page, "\n".join(title), va="top", fontsize=TITLE_TEXT, parse_math=False)
    figure.text(EDGE / width, EDGE / page, "\n".join(legend), va="bottom", fontsize=SMALL, color="0.3")
    return Grid(figure, lefts, bottoms, [tile[0]] * len(lefts), height)


def _head(grid: Grid, row: int, column: int, name: str, length: float) -> None:
    """Write the name of a group above a line as long as its tiles."""
    width, height = grid.figure.get_size_inches()
    left, bottom = grid.lefts[column], grid.bottoms[row] + grid.height
    line = ([left / width, (left + length) / width], [(bottom + 0.03) / height] * 2)
    grid.figure.add_artist(Line2D(*line, color="0.6", linewidth=0.6))
    text = "".join(wrap(name, length, TEXT, 1))
    grid.figure.text(left / width, (bottom + 0.045) / height, text, va="bottom", color="0.3", **PLAIN)
