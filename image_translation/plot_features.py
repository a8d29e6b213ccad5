"""Figures of the stages of a network: pictures and numbers in, matplotlib figures out; nothing is measured or saved."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import TextToPath
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.plot_style import (
    PHASE_COLOURS,
    PLAIN,
    SMALL,
    TEXT,
    WIDTH,
    Grid,
    add_scale_bar,
    display_window,
    frame_ticks,
    short_number,
    show,
    style,
    write,
)

ACROSS = 5  # tiles beside each other, for which the captions have room
TITLE = TEXT + 1  # points
EDGE, GAP, LINE, SIDE = 0.06, 0.08, 0.12, 0.36  # inches: round the page, between tiles, of a line of text, for names
WIDEST, NARROWEST = 2.2, 3.2  # inches: of a tile, of a page
LONGEST = 8  # fields that are longer, by their width, are drawn as if they were not
SIGNED_COLOURS, RATIO_COLOURS = "RdBu_r", "PuOr_r"
RATIO_TICKS = (0.1, 0.2, 0.5, 0.7, 1, 1.4, 2, 5, 10)
LINE_LOOKS = (
    ("#D55E00", "o"),
    ("#0072B2", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#000000", "P"),
)
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
    """

    name: str
    image: NDArray[Any]
    shape: tuple[int, ...] | None = None
    explained: tuple[float, ...] = ()
    pixel_size: float | None = None


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


def comparison_figure(columns: Sequence[tuple[str, Sequence[Tile]]], title: str) -> Figure:
    """Show the stages of variants beside each other, a row per stage, so that equal colours mean equal features.

    Parameters
    ----------
    columns
        Name and tiles of each variant: a checkpoint, a time point or an input. Tiles of one name are compared, and have
        their colours from one basis; no name is used twice in a variant.
    title
        Title of the figure.
    """
    variants = [{tile.name: tile for tile in tiles} for _, tiles in columns]
    names = _merge(variants)
    if not names:
        raise UsageError("there is nothing to compare: choose a picture or a stage")
    blocks = 2 if len(columns) <= 3 and len(names) > 4 else 1  # beside each other, or else the page would be long
    down = -(-len(names) // blocks)
    width = min(WIDEST, (WIDTH - EDGE - blocks * SIDE) / (blocks * len(columns)) - GAP)
    proportion = _proportion(tile for tiles in variants for tile in tiles.values())
    heads = ["\n".join(_wrap(label, width, TEXT, 3)) for label, _ in columns]
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
    grid = _page((title, ONE_BASIS if coloured else ONE_GREY), lefts, (width, proportion), captions, (0.03, above))
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
                axes.set_ylabel("\n".join(_wrap(name, grid.height, TEXT, 2)), **PLAIN, labelpad=3)
            if name in tiles:
                _draw(axes, tiles[name], proportion, _caption(tiles[name], width), window)
            else:
                axes.set_facecolor("0.95")
                write(axes, 0.5, 0.5, "none", va="center", color="0.4")
    return grid.figure


def change_figure(changes: Mapping[str, Mapping[str, NDArray[Any]]], frames: Sequence[int]) -> Figure:
    """Show how much each stage changes from frame to frame: where in the network the flicker arises.

    To the left is the mean over time and where 80 % of the frames lie, to the right every frame; all is divided by the
    mean change of the input.

    Parameters
    ----------
    changes
        Changes from frame to frame, (T - 1,), of each stage of each movie or checkpoint, the input first. Those that
        are not finite are left out, and hatched.
    frames
        The numbers of the T frames.
    """
    if len(frames) < 2 or not changes:
        known = f"frame {frames[0]} alone" if len(frames) == 1 else "no frame"
        raise UsageError(f"{', '.join(changes) or 'no movie'}: {known} has no change; choose two frames or more")
    ratios = {label: _relative(label, stages) for label, stages in changes.items()}
    rows = [max(7, len(stages)) for stages in ratios.values()]
    figure = Figure((WIDTH, 0.9 + sum(0.3 + 0.18 * row for row in rows)), layout="constrained")
    proportions: dict[str, Any] = {"width_ratios": [1, 1.35], "height_ratios": [1.5 + row for row in rows]}
    panels = figure.subplots(len(ratios), 2, squeeze=False, sharex="col", **proportions)
    looks = dict(zip(ratios, cycle(LINE_LOOKS), strict=False))
    known_ratios = np.concatenate(
        [ratio[np.isfinite(ratio) & (ratio > 0)] for stages in ratios.values() for ratio in stages.values()]
    )
    most = float(np.clip(np.exp(np.percentile(np.abs(np.log(known_ratios)), 98)), 1.5, RATIO_TICKS[-1]))
    for (left, right), (label, stages) in zip(panels, ratios.items(), strict=True):
        for other, theirs in ratios.items():
            _draw_means(left, [theirs.get(stage, np.array([])) for stage in stages], looks[other], own=other == label)
        left.set_yticks(range(len(stages)), [_wrap(stage, 1.5, SMALL, 1)[0] for stage in stages], parse_math=False)
        left.set_ylim(len(stages) - 0.5, -0.5)
        left.set_title("\n".join(_wrap(label, WIDTH - 2.8, TEXT, 2)), loc="left", color=looks[label][0], **PLAIN)
        norm = LogNorm(1 / most, most)
        image = np.ma.masked_invalid(np.maximum(list(stages.values()), 1e-9))
        edges = np.arange(len(stages) + 1) - 0.5
        shown = right.pcolormesh(frames, edges, image, norm=norm, cmap=RATIO_COLOURS, rasterized=True)
        right.patch.set(facecolor="0.93", edgecolor="0.7", hatch="////", linewidth=0)
        right.set(ylim=left.get_ylim(), yticks=[])
        right.xaxis.set_major_locator(frame_ticks())
        for axes in (left, right):
            style(axes)
    panels[-1, 0].set_xlim(left=0)
    panels[-1, 0].set_xlabel("change from frame to frame,\nrelative to the input", fontsize=TEXT)
    panels[-1, 1].set_xlabel("frame", fontsize=TEXT)
    bar = figure.colorbar(shown, ax=list(panels[:, 1]), fraction=0.05, aspect=25, pad=0.02, extend="both")
    bar.set_label("change, relative to the input", **PLAIN)
    bar.set_ticks([tick for tick in RATIO_TICKS if 1 / most <= tick <= most], minor=False)
    bar.minorticks_off()
    bar.ax.yaxis.set_major_formatter(lambda value, _: short_number(value))
    style(bar.ax)
    notes = [
        Line2D([], [], color="0.3", marker="o", markersize=4, linewidth=1.4, label="mean over time"),
        Patch(color="0.3", alpha=0.2, linewidth=0, label="10-90 % of the frames"),
        Line2D([], [], color="0.3", linestyle="--", linewidth=0.8, label="as much as the input"),
        *([Line2D([], [], color="0.3", linewidth=0.6, label="thin: the others' means")] if len(ratios) > 1 else []),
    ]
    figure.legend(handles=notes, loc="outside lower center", ncols=len(notes), frameon=False, fontsize=TEXT)
    return figure


def component_figure(
    name: str,
    components: NDArray[np.float32],
    explained: Sequence[float],
    spectrum: Sequence[float] | NDArray[Any],
    *,
    pixel_size: float | None = None,
) -> Figure:
    """Show single components of a stage in one range of colours, and how much variance the first ones hold together.

    Parameters
    ----------
    name
        Name of the stage.
    components
        The components, (n, H, W) float32. Pixels that are not finite are hatched.
    explained
        Share of the variance of each of them, (n,).
    spectrum
        Shares of the variance of all components of the stage, (C,), largest first.
    pixel_size
        Side of a pixel of the components in micrometres, for a scale bar.
    """
    count, height, width = components.shape
    across = min(ACROSS - 1, count + 1)
    down, first = count // across + 1, count % across  # the spectrum takes what the tiles leave of the last line
    proportion = float(np.clip(height / width, 1 / LONGEST, LONGEST))
    tall = (WIDTH - 0.8) / max(across, 3) * float(np.clip(proportion, 0.7, 1.4))
    heights = [tall] * (down - 1) + [1.3 if first == 0 else tall]
    figure = Figure((WIDTH, sum(heights) + 0.2 * down + 0.35), layout="constrained")
    figure.suptitle("\n".join(_wrap(name, WIDTH - 2 * EDGE, TITLE, 2)), fontsize=TITLE, parse_math=False)
    cells = figure.add_gridspec(down, across, height_ratios=heights)
    most = max(1e-12, *(abs(end) for end in display_window([components])))
    panels = []
    for number, (image, share) in enumerate(zip(components, explained, strict=True)):
        axes = figure.add_subplot(cells[divmod(number, across)], xticks=[], yticks=[])
        shown = show(axes, image, (-most, most), SIGNED_COLOURS, aspect=proportion * width / height)
        axes.spines[:].set_visible(False)
        axes.set_title(f"PC {number + 1}: {_percent(share)} %", **PLAIN)
        if pixel_size:
            add_scale_bar(axes, width, pixel_size)
        panels.append(axes)
    bar = figure.colorbar(shown, ax=panels, fraction=0.05, aspect=25, pad=0.02)
    bar.set_label("component (a.u.)", **PLAIN)
    style(bar.ax)
    _draw_spectrum(figure.add_subplot(cells[-1, first:]), 100 * np.cumsum(spectrum), count)
    return figure


def _draw_spectrum(axes: Axes, percent: NDArray[Any], count: int) -> None:
    """Plot the variance that the first components hold together; dots are of those that are shown."""
    numbers = np.arange(len(percent)) + 1
    axes.plot(numbers, percent, color="#0072B2", linewidth=1.2)
    axes.plot(numbers[:count], percent[:count], "o", color="#D55E00", markersize=3.5, clip_on=False)
    axes.set(xscale="log", xlim=(1, max(2, len(percent))), ylim=(0, 102))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: short_number(value))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title("variance held (%)", **PLAIN)
    axes.set_xlabel("number of components", fontsize=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    style(axes)


def _draw_means(axes: Axes, ratios: Sequence[NDArray[Any]], look: tuple[str, str], *, own: bool) -> None:
    """Draw the mean of each stage downwards; of the panel's own movie boldly and with the band."""
    finite = [ratio[np.isfinite(ratio)] for ratio in ratios]
    places = range(len(ratios))
    means = [ratio.mean() if ratio.size else np.nan for ratio in finite]
    if not own:
        axes.plot(means, places, color=look[0], linewidth=0.6)
        return
    ends = np.array([np.percentile(ratio, (10, 90)) if ratio.size else (np.nan, np.nan) for ratio in finite])
    axes.fill_betweenx(places, *ends.T, color=look[0], alpha=0.2, linewidth=0)
    axes.plot(means, places, color=look[0], marker=look[1], markersize=4, linewidth=1.4, clip_on=False, label="mean")
    axes.axvline(1, color="0.3", linestyle="--", linewidth=0.8)


def _relative(label: str, stages: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Divide the changes of a movie by the mean change of its input, which comes first."""
    name, source = next(iter(stages.items()))
    finite = source[np.isfinite(source)]
    if not finite.size or finite.mean() <= 0:
        raise UsageError(f"{label}: {name} does not change from frame to frame, so nothing can be compared with it")
    return {stage: np.asarray(change, dtype=np.float64) / finite.mean() for stage, change in stages.items()}


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
    lines = _wrap(name, width, SMALL, 2)
    if tile.shape is not None:
        lines += _wrap(" x ".join(map(str, tile.shape)), width, SMALL, 2)
    if tile.explained:
        numbers = "1" if len(tile.explained) == 1 else f"1-{len(tile.explained)}"
        words = (f"PC {numbers}:", f"{' + '.join(map(_percent, tile.explained))} %")
        lines += [" ".join(words)] if _length(" ".join(words), SMALL) <= width else words
    return "\n".join(lines)


def _percent(share: float) -> str:
    return "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"


def _merge(variants: Iterable[Iterable[str]]) -> list[str]:
    """Return all names, each behind the one that it follows in its own variant."""
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


def _wrap(text: str, width: float, size: float, most: int) -> list[str]:
    """Break a text into lines of this many inches, between words where it can be, and leave out what is too much."""
    lines: list[str] = []
    while text and len(lines) < most:
        fits = max(1, bisect_right(range(1, len(text) + 1), width, key=lambda end: _length(text[:end], size)))
        if fits < len(text):
            breaks = [place + 1 for place in range(fits) if text[place] in " ._/-" and place > fits / 3]
            fits = breaks[-1] if breaks else fits
        lines.append(text[:fits].strip())
        text = text[fits:].lstrip()
    if text:
        lines[-1] = lines[-1][:-2] + "\N{HORIZONTAL ELLIPSIS}"
    return lines


def _length(text: str, size: float) -> float:
    """Return the length of a text in inches, with something to spare for pixels that are coarse."""
    return (
        1.06 / 72 * float(TextToPath().get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0])
    )


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
    title, legend = _wrap(words[0], width - 2 * EDGE, TITLE, 2), _wrap(words[1], width - 2 * EDGE, SMALL, 5)
    below = [max(1 + caption.count("\n") if caption else 0 for caption in line) * LINE + 0.06 for line in captions]
    top = EDGE + 0.15 * len(title) + above[1] + 0.04
    page = top + sum(above[0] + height + room for room in below) + LINE * len(legend) + 2 * EDGE
    bottoms = [page - top - (row + 1) * (above[0] + height) - sum(below[:row]) for row in range(len(below))]
    figure = Figure((width, page))
    figure.text(EDGE / width, 1 - EDGE / page, "\n".join(title), va="top", fontsize=TITLE, parse_math=False)
    figure.text(EDGE / width, EDGE / page, "\n".join(legend), va="bottom", fontsize=SMALL, color="0.3")
    return Grid(figure, lefts, bottoms, [tile[0]] * len(lefts), height)


def _head(grid: Grid, row: int, column: int, name: str, length: float) -> None:
    """Write the name of a group above a line as long as its tiles."""
    width, height = grid.figure.get_size_inches()
    left, bottom = grid.lefts[column], grid.bottoms[row] + grid.height
    line = ([left / width, (left + length) / width], [(bottom + 0.03) / height] * 2)
    grid.figure.add_artist(Line2D(*line, color="0.6", linewidth=0.6))
    text = "".join(_wrap(name, length, TEXT, 1))
    grid.figure.text(left / width, (bottom + 0.045) / height, text, va="bottom", color="0.3", **PLAIN)
