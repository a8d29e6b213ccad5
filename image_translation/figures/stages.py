"""Figures of network stages: change from frame to frame, principal components, and explained variance."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.figures.style import (
    FIGURE_WIDTH,
    MISSING,
    PLAIN_TEXT,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    add_scale_bar,
    display_window,
    format_number,
    format_percent,
    frame_locator,
    show_image,
    style_axes,
    style_colour_bar,
    wrap_text,
)
from image_translation.figures.tiles import MAX_ASPECT_RATIO, PAGE_MARGIN, TILES_PER_ROW

NARROW_WIDTH = 3.7  # inches, for screens on which text of a full width would be too small
SIGNED_CMAP, RATIO_CMAP = "RdBu_r", "PuOr_r"
RATIO_TICKS = (0.1, 0.2, 0.5, 0.7, 1, 1.4, 2, 5, 10)
LINE_STYLES = (
    ("#D55E00", "o"),
    ("#0072B2", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#000000", "P"),
)


def change_figure(
    changes: Mapping[str, Mapping[str, NDArray[Any]]], frames: Sequence[int], *, narrow: bool = False
) -> Figure:
    """Show how much each stage changes from frame to frame, that is where in the network flicker arises.

    The left panel shows the mean over time and the 10th to 90th percentile, the right one every frame. All changes are
    divided by the mean change of the input.

    Parameters
    ----------
    changes
        Changes from frame to frame, (T - 1,), by movie or checkpoint and by stage, the input first. Values that are not
        finite are excluded from the means and hatched.
    frames
        Numbers of the T frames.
    narrow
        Place the right panel below the left one, for a screen of half the width.
    """
    if len(frames) < 2 or not changes:
        given = f"only frame {frames[0]}" if len(frames) == 1 else "no frame"
        raise UsageError(f"{', '.join(changes) or 'no movie'}: {given} is given; choose at least two frames")
    ratios = {label: _divide_by_input_change(label, stages) for label, stages in changes.items()}
    rows = [max(7, len(stages)) for stages in ratios.values()]
    figure, panels = _change_panels(rows, narrow=narrow)
    width = figure.get_figwidth()
    styles = dict(zip(ratios, cycle(LINE_STYLES), strict=False))
    finite_ratios = np.concatenate(
        [ratio[np.isfinite(ratio) & (ratio > 0)] for stages in ratios.values() for ratio in stages.values()]
    )
    limit = float(np.clip(np.exp(np.percentile(np.abs(np.log(finite_ratios)), 98)), 1.5, RATIO_TICKS[-1]))
    for (left, right), (label, stages) in zip(panels, ratios.items(), strict=True):
        for other, theirs in ratios.items():
            _draw_means(left, [theirs.get(stage, np.array([])) for stage in stages], styles[other], own=other == label)
        names = [wrap_text(stage, 1.5, SMALL_SIZE, 1)[0] for stage in stages]
        for axes in (left, right) if narrow else (left,):
            axes.set_yticks(range(len(stages)), names, parse_math=False)
        left.set_ylim(len(stages) - 0.5, -0.5)
        left.set_title(
            "\n".join(wrap_text(label, width - (1.2 if narrow else 2.8), TEXT_SIZE, 2)),
            loc="left",
            color=styles[label][0],
            **PLAIN_TEXT,
        )
        norm = LogNorm(1 / limit, limit)
        image = np.ma.masked_invalid(np.maximum(list(stages.values()), 1e-9))
        edges = np.arange(len(stages) + 1) - 0.5
        shown = right.pcolormesh(frames, edges, image, norm=norm, cmap=RATIO_CMAP, rasterized=True)
        right.patch.set(**MISSING)
        right.set_ylim(left.get_ylim())
        if not narrow:
            right.set_yticks([])
        right.xaxis.set_major_locator(frame_locator())
        for axes in (left, right):
            style_axes(axes)
    panels[-1, 0].set_xlim(left=0)
    panels[-1, 0].set_xlabel("change from frame to frame,\nrelative to the input", fontsize=TEXT_SIZE)
    panels[-1, 1].set_xlabel("frame", fontsize=TEXT_SIZE)
    bar = figure.colorbar(shown, ax=list(panels[:, 1]), fraction=0.05, aspect=25, pad=0.02, extend="both")
    style_colour_bar(bar, "change, relative to the input")
    bar.set_ticks([tick for tick in RATIO_TICKS if 1 / limit <= tick <= limit], minor=False)
    bar.minorticks_off()
    bar.ax.yaxis.set_major_formatter(lambda value, _: format_number(value))
    handles = [
        Line2D([], [], color="0.3", marker="o", markersize=4, linewidth=1.4, label="mean over time"),
        Patch(color="0.3", alpha=0.2, linewidth=0, label="10-90 % of the frames"),
        Line2D([], [], color="0.3", linestyle="--", linewidth=0.8, label="same as the input"),
        *([Line2D([], [], color="0.3", linewidth=0.6, label="thin: means of the others")] if len(ratios) > 1 else []),
    ]
    across = 2 if narrow else len(handles)
    figure.legend(handles=handles, loc="outside lower center", ncols=across, frameon=False, fontsize=TEXT_SIZE)
    return figure


def _change_panels(rows: Sequence[int], *, narrow: bool) -> tuple[Figure, NDArray[Any]]:
    """Return a figure and its pairs of panels, (n, 2), each pair of a height in rows of text."""
    height = 0.9 + sum(0.3 + 0.18 * row for row in rows)
    heights = [1.5 + row for row in rows]
    if narrow:
        figure = Figure((NARROW_WIDTH, 2 * height), layout="constrained")
        panels = figure.subplots(2 * len(rows), 1, height_ratios=[one for one in heights for _ in range(2)])
        return figure, panels.reshape(-1, 2)
    figure = Figure((FIGURE_WIDTH, height), layout="constrained")
    return figure, figure.subplots(
        len(rows), 2, squeeze=False, sharex="col", width_ratios=[1, 1.35], height_ratios=heights
    )


def component_figure(
    name: str,
    components: NDArray[np.float32],
    explained: Sequence[float],
    spectrum: Sequence[float] | NDArray[Any],
    *,
    pixel_size: float | None = None,
) -> Figure:
    """Show principal components of a stage on a common colour scale, and their cumulative explained variance.

    Parameters
    ----------
    name
        Name of the stage.
    components
        Component scores, (n, H, W) float32. Pixels that are not finite are hatched.
    explained
        Explained variance ratio of each of these components, (n,).
    spectrum
        Explained variance ratios of all components of the stage, (C,), largest first.
    pixel_size
        Side of a pixel of the components in micrometres, for a scale bar.
    """
    count, height, width = components.shape
    across = min(TILES_PER_ROW - 1, count + 1)
    down, first = count // across + 1, count % across  # the spectrum fills the rest of the last row
    proportion = float(np.clip(height / width, 1 / MAX_ASPECT_RATIO, MAX_ASPECT_RATIO))
    row_height = (FIGURE_WIDTH - 0.8) / max(across, 3) * float(np.clip(proportion, 0.7, 1.4))
    heights = [row_height] * (down - 1) + [1.3 if first == 0 else row_height]
    figure = Figure((FIGURE_WIDTH, sum(heights) + 0.2 * down + 0.35), layout="constrained")
    figure.suptitle(
        "\n".join(wrap_text(name, FIGURE_WIDTH - 2 * PAGE_MARGIN, TITLE_SIZE, 2)), fontsize=TITLE_SIZE, parse_math=False
    )
    cells = figure.add_gridspec(down, across, height_ratios=heights)
    limit = max(1e-12, *(abs(end) for end in display_window([components])))
    panels = []
    for number, (image, fraction) in enumerate(zip(components, explained, strict=True)):
        axes = figure.add_subplot(cells[divmod(number, across)], xticks=[], yticks=[])
        shown = show_image(axes, image, (-limit, limit), SIGNED_CMAP, aspect=proportion * width / height)
        axes.spines[:].set_visible(False)
        axes.set_title(f"PC {number + 1}: {format_percent(fraction)} %", **PLAIN_TEXT)
        if pixel_size:
            add_scale_bar(axes, width, pixel_size)
        panels.append(axes)
    bar = figure.colorbar(shown, ax=panels, fraction=0.05, aspect=25, pad=0.02)
    style_colour_bar(bar, "component (a.u.)")
    _draw_spectrum(figure.add_subplot(cells[-1, first:]), 100 * np.cumsum(spectrum), count)
    return figure


def distribution_figure(
    name: str, values: NDArray[Any], spectrum: Sequence[float] | NDArray[Any], count: int
) -> Figure:
    """Show a histogram of the values of a map, and the cumulative explained variance of its stage.

    Parameters
    ----------
    name
        Name of the map.
    values
        Map of any shape; pixels that are not finite are ignored.
    spectrum
        Explained variance ratios of all components of the stage, (C,), largest first.
    count
        Number of leading components to mark.
    """
    figure = Figure((FIGURE_WIDTH, 1.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(values[np.isfinite(values)], bins=80, color="#0072B2")
    left.set_title(f"distribution of {name}", **PLAIN_TEXT)
    left.set_xlabel("value (a.u.)", fontsize=TEXT_SIZE)
    left.set_ylabel("pixels", fontsize=TEXT_SIZE)
    left.xaxis.set_major_formatter(lambda value, _: format_number(value))
    left.spines[["top", "right"]].set_visible(False)
    style_axes(left)
    _draw_spectrum(right, 100 * np.cumsum(spectrum), count)
    return figure


def _draw_spectrum(axes: Axes, cumulative: NDArray[Any], count: int) -> None:
    """Plot the cumulative explained variance in percent, with dots at the first `count` components."""
    numbers = np.arange(len(cumulative)) + 1
    axes.plot(numbers, cumulative, color="#0072B2", linewidth=1.2)
    axes.plot(numbers[:count], cumulative[:count], "o", color="#D55E00", markersize=3.5, clip_on=False)
    axes.set(xscale="log", xlim=(1, max(2, len(cumulative))), ylim=(0, 102))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: format_number(value))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title("explained variance (%)", **PLAIN_TEXT)
    axes.set_xlabel("number of components", fontsize=TEXT_SIZE)
    axes.spines[["top", "right"]].set_visible(False)
    style_axes(axes)


def _draw_means(axes: Axes, ratios: Sequence[NDArray[Any]], style: tuple[str, str], *, own: bool) -> None:
    """Plot the mean of each stage, from top to bottom; for the panel's own movie in bold and with a percentile band."""
    finite = [ratio[np.isfinite(ratio)] for ratio in ratios]
    places = range(len(ratios))
    means = [ratio.mean() if ratio.size else np.nan for ratio in finite]
    if not own:
        axes.plot(means, places, color=style[0], linewidth=0.6)
        return
    ends = np.array([np.percentile(ratio, (10, 90)) if ratio.size else (np.nan, np.nan) for ratio in finite])
    axes.fill_betweenx(places, *ends.T, color=style[0], alpha=0.2, linewidth=0)
    axes.plot(means, places, color=style[0], marker=style[1], markersize=4, linewidth=1.4, clip_on=False, label="mean")
    axes.axvline(1, color="0.3", linestyle="--", linewidth=0.8)


def _divide_by_input_change(label: str, stages: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Divide the changes of all stages of a movie by the mean change of its input, which comes first."""
    name, source = next(iter(stages.items()))
    finite = source[np.isfinite(source)]
    if not finite.size or finite.mean() <= 0:
        raise UsageError(
            f"{label}: {name} does not change from frame to frame, so changes cannot be expressed relative to it"
        )
    return {stage: np.asarray(change, dtype=np.float64) / finite.mean() for stage, change in stages.items()}
