"""Figures of images and feature maps as tiles: an overview of all stages of a network, and a comparison of variants."""

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
    FIGURE_WIDTH,
    PHASE_CMAP,
    PLAIN_TEXT,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    PanelGrid,
    add_scale_bar,
    add_text,
    display_window,
    format_percent,
    show_image,
    text_width,
    wrap_text,
)

TILES_PER_ROW = 5  # at most, so that the captions fit
PAGE_MARGIN, GAP = 0.06, 0.08  # inches; the gap is between tiles
LINE_HEIGHT, ROW_NAME = 0.12, 0.36  # inches: of a line of a caption, and the width for the name of a row
MAX_TILE_WIDTH, MIN_PAGE_WIDTH = 2.2, 3.2  # inches
MAX_ASPECT_RATIO = 8  # of a field; longer ones are drawn compressed
SEPARATE_BASES_LEGEND = "red, green, blue = first three principal components, computed for each stage separately"
COMMON_BASIS_LEGEND = (
    "red, green, blue = first three principal components, in one basis for each row: "
    "equal colours mean equal features, and equal greys equal values"
)
COMMON_RANGE_LEGEND = "equal greys mean equal values in each row"


@dataclass(frozen=True)
class Tile:
    """An image with a caption: a feature map of a stage, or an input, a prediction or the truth.

    Attributes
    ----------
    name
        Name of the stage or the image.
    image
        RGB, (H, W, 3) uint8, shown unchanged; or one channel, (H, W) float32, shown in grey.
    shape
        Shape of the features, (C, H, W).
    explained
        Explained variance ratio of each component shown, largest first.
    pixel_size
        Pixel size of this image in micrometres, for a scale bar.
    note
        Last line of the caption.
    """

    name: str
    image: NDArray[Any]
    shape: tuple[int, ...] | None = None
    explained: tuple[float, ...] = ()
    pixel_size: float | None = None
    note: str = ""


def overview_figure(rows: Sequence[tuple[str, Sequence[Tile]]], title: str) -> Figure:
    """Show all stages of a network as tiles of one size; the pixels of coarse stages appear as squares.

    Parameters
    ----------
    rows
        Name and tiles of each group, such as the images, the encoder and the decoder; all tiles show the same field.
        Small groups share a row, and a large one takes several.
    title
        Title of the figure.
    """
    groups = [(name, tiles) for name, tiles in rows if tiles]
    if not groups:
        raise UsageError("nothing to show: choose an image or a stage")
    across = min(TILES_PER_ROW, max(len(tiles) for _, tiles in groups))
    while across > 1 and len(_rows(groups, across - 1)) == len(_rows(groups, across)):
        across -= 1
    lines = _rows(groups, across)
    width = min(MAX_TILE_WIDTH, (FIGURE_WIDTH - 2 * PAGE_MARGIN + GAP) / across - GAP)
    aspect_ratio = _aspect_ratio(tile for _, tiles in groups for tile in tiles)
    captions = [[_caption(tile, width, tile.name) for _, tiles in line for tile in tiles] for line in lines]
    coloured = any(tile.image.ndim == 3 for _, tiles in groups for tile in tiles)
    lefts = [PAGE_MARGIN + column * (width + GAP) for column in range(across)]
    grid = _page((title, SEPARATE_BASES_LEGEND if coloured else ""), lefts, (width, aspect_ratio), captions, (0.2, 0))
    for row, line in enumerate(lines):
        cells = iter(enumerate(captions[row]))
        for name, tiles in line:
            for place, (tile, (column, caption)) in enumerate(zip(tiles, cells, strict=False)):
                _draw(grid.add_panel(row, column), tile, aspect_ratio, caption)
                if place == 0:
                    _add_group_name(grid, row, column, name, len(tiles) * (width + GAP) - GAP)
    return grid.figure


def comparison_figure(
    columns: Sequence[tuple[str, Sequence[Tile]]], title: str, legend: str = COMMON_BASIS_LEGEND
) -> Figure:
    """Show the stages of several variants side by side, one row per stage.

    Parameters
    ----------
    columns
        Name and tiles of each variant: a checkpoint, a time point or an input. Tiles of the same name form a row; grey
        ones share a display window. Names are unique within a variant.
    title
        Title of the figure.
    legend
        Meaning of the colours.
    """
    variants = [{tile.name: tile for tile in tiles} for _, tiles in columns]
    names = merge_names(variants)
    if not names:
        raise UsageError("nothing to compare: choose an image or a stage")
    blocks = 2 if len(columns) <= 3 and len(names) > 4 else 1  # side by side, to keep the page short
    down = -(-len(names) // blocks)
    width = min(MAX_TILE_WIDTH, (FIGURE_WIDTH - PAGE_MARGIN - blocks * ROW_NAME) / (blocks * len(columns)) - GAP)
    aspect_ratio = _aspect_ratio(tile for tiles in variants for tile in tiles.values())
    heads = ["\n".join(wrap_text(label, width, TEXT_SIZE, 3)) for label, _ in columns]
    captions = [
        [_caption(tiles[name], width) for name in names[row::down] for tiles in variants if name in tiles]
        for row in range(down)
    ]
    lefts = [
        ROW_NAME + block * (ROW_NAME + len(columns) * (width + GAP)) + column * (width + GAP)
        for block in range(blocks)
        for column in range(len(columns))
    ]
    coloured = any(tile.image.ndim == 3 for tiles in variants for tile in tiles.values())
    above = max(head.count("\n") + 1 for head in heads) * 0.135 + 0.05
    grid = _page(
        (title, legend if coloured else COMMON_RANGE_LEGEND), lefts, (width, aspect_ratio), captions, (0.03, above)
    )
    for place, name in enumerate(names):
        block, row = divmod(place, down)
        greys = [tiles[name].image for tiles in variants if name in tiles and tiles[name].image.ndim == 2]
        window = display_window(greys) if greys else None
        for number, (head, tiles) in enumerate(zip(heads, variants, strict=True)):
            column = block * len(columns) + number
            axes = grid.add_panel(row, column)
            if row == 0:
                grid.add_title(row, column, head)
            if number == 0:
                axes.set_ylabel("\n".join(wrap_text(name, grid.height, TEXT_SIZE, 2)), **PLAIN_TEXT, labelpad=3)
            if name in tiles:
                _draw(axes, tiles[name], aspect_ratio, _caption(tiles[name], width), window)
            else:
                axes.set_facecolor("0.95")
                add_text(axes, 0.5, 0.5, "none", va="center", color="0.4")
    return grid.figure


def _draw(axes: Axes, tile: Tile, aspect_ratio: float, caption: str, window: tuple[float, float] | None = None) -> None:
    """Draw a tile, stretched to the aspect ratio of the field, and its caption below."""
    height, width = tile.image.shape[:2]
    aspect = aspect_ratio * width / height
    if tile.image.ndim == 3:
        axes.imshow(tile.image, interpolation="nearest", aspect=aspect)
    else:
        show_image(axes, tile.image, window or display_window([tile.image]), PHASE_CMAP, aspect=aspect)
    if tile.pixel_size:
        add_scale_bar(axes, width, tile.pixel_size)
    options: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "parse_math": False}
    axes.annotate(caption, (0.5, 0), (0, -2.5), ha="center", va="top", fontsize=SMALL_SIZE, **options)


def _aspect_ratio(tiles: Iterable[Tile]) -> float:
    """Return the aspect ratio (height / width) of the tile with the most pixels."""
    height, width = max((tile.image.shape[:2] for tile in tiles), key=lambda shape: shape[0] * shape[1])
    return float(np.clip(height / width, 1 / MAX_ASPECT_RATIO, MAX_ASPECT_RATIO))


def _caption(tile: Tile, width: float, name: str = "") -> str:
    """Return name, shape, explained variance and note of a tile, wrapped to its width in inches."""
    lines = wrap_text(name, width, SMALL_SIZE, 2)
    if tile.shape is not None:
        lines += wrap_text(" x ".join(map(str, tile.shape)), width, SMALL_SIZE, 2)
    if tile.explained:
        numbers = "1" if len(tile.explained) == 1 else f"1-{len(tile.explained)}"
        words = (f"PC {numbers}:", f"{' + '.join(map(format_percent, tile.explained))} %")
        lines += [" ".join(words)] if text_width(" ".join(words), SMALL_SIZE) <= width else words
    if tile.note:
        lines += wrap_text(tile.note, width, SMALL_SIZE, 2)
    return "\n".join(lines)


def merge_names(variants: Iterable[Iterable[str]]) -> list[str]:
    """Merge the names of all variants, keeping the order within each variant."""
    merged: list[str] = []
    for names in variants:
        place = 0
        for name in names:
            if name not in merged:
                merged.insert(place, name)
            place = merged.index(name) + 1
    return merged


def _rows(groups: Sequence[tuple[str, Sequence[Tile]]], across: int) -> list[list[tuple[str, Sequence[Tile]]]]:
    """Distribute groups over rows of at most `across` tiles."""
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
    texts: tuple[str, str],
    lefts: Sequence[float],
    tile: tuple[float, float],
    captions: Sequence[Sequence[str]],
    above: tuple[float, float],
) -> PanelGrid:
    """Lay out rows of tiles with captions, below a title and above a legend.

    Parameters
    ----------
    texts
        Title and legend.
    lefts
        Left edges of the columns, in inches.
    tile
        Width of a tile in inches, and aspect ratio (height / width) of the field.
    captions
        Captions of each row.
    above
        Space above every row, and extra space above the first one, in inches.
    """
    width = max(MIN_PAGE_WIDTH, lefts[-1] + tile[0] + PAGE_MARGIN)
    height = tile[0] * float(np.clip(tile[1], 0.2, 1.5))
    title, legend = (
        wrap_text(texts[0], width - 2 * PAGE_MARGIN, TITLE_SIZE, 2),
        wrap_text(texts[1], width - 2 * PAGE_MARGIN, SMALL_SIZE, 5),
    )
    below = [
        max(1 + caption.count("\n") if caption else 0 for caption in line) * LINE_HEIGHT + 0.06 for line in captions
    ]
    top = PAGE_MARGIN + 0.15 * len(title) + above[1] + 0.04
    page = top + sum(above[0] + height + caption for caption in below) + LINE_HEIGHT * len(legend) + 2 * PAGE_MARGIN
    bottoms = [page - top - (row + 1) * (above[0] + height) - sum(below[:row]) for row in range(len(below))]
    figure = Figure((width, page))
    figure.text(
        PAGE_MARGIN / width, 1 - PAGE_MARGIN / page, "\n".join(title), va="top", fontsize=TITLE_SIZE, parse_math=False
    )
    figure.text(
        PAGE_MARGIN / width, PAGE_MARGIN / page, "\n".join(legend), va="bottom", fontsize=SMALL_SIZE, color="0.3"
    )
    return PanelGrid(figure, lefts, bottoms, [tile[0]] * len(lefts), height)


def _add_group_name(grid: PanelGrid, row: int, column: int, name: str, length: float) -> None:
    """Add the name of a group above a rule that spans its tiles."""
    width, height = grid.figure.get_size_inches()
    left, bottom = grid.lefts[column], grid.bottoms[row] + grid.height
    line = ([left / width, (left + length) / width], [(bottom + 0.03) / height] * 2)
    grid.figure.add_artist(Line2D(*line, color="0.6", linewidth=0.6))
    text = "".join(wrap_text(name, length, TEXT_SIZE, 1))
    grid.figure.text(left / width, (bottom + 0.045) / height, text, va="bottom", color="0.3", **PLAIN_TEXT)
