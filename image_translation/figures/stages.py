"""Figures of numbers of the stages: how much they change, and their components one by one; nothing is measured."""

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
    PLAIN,
    SMALL,
    TEXT,
    TITLE_TEXT,
    WIDTH,
    add_scale_bar,
    display_window,
    frame_ticks,
    percent,
    short_number,
    show,
    style,
    wrap,
)
from image_translation.figures.tiles import ACROSS, EDGE, LONGEST

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
        left.set_yticks(range(len(stages)), [wrap(stage, 1.5, SMALL, 1)[0] for stage in stages], parse_math=False)
        left.set_ylim(len(stages) - 0.5, -0.5)
        left.set_title("\n".join(wrap(label, WIDTH - 2.8, TEXT, 2)), loc="left", color=looks[label][0], **PLAIN)
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
    figure.suptitle("\n".join(wrap(name, WIDTH - 2 * EDGE, TITLE_TEXT, 2)), fontsize=TITLE_TEXT, parse_math=False)
    cells = figure.add_gridspec(down, across, height_ratios=heights)
    most = max(1e-12, *(abs(end) for end in display_window([components])))
    panels = []
    for number, (image, share) in enumerate(zip(components, explained, strict=True)):
        axes = figure.add_subplot(cells[divmod(number, across)], xticks=[], yticks=[])
        shown = show(axes, image, (-most, most), SIGNED_COLOURS, aspect=proportion * width / height)
        axes.spines[:].set_visible(False)
        axes.set_title(f"PC {number + 1}: {percent(share)} %", **PLAIN)
        if pixel_size:
            add_scale_bar(axes, width, pixel_size)
        panels.append(axes)
    bar = figure.colorbar(shown, ax=panels, fraction=0.05, aspect=25, pad=0.02)
    bar.set_label("component (a.u.)", **PLAIN)
    style(bar.ax)
    _draw_spectrum(figure.add_subplot(cells[-1, first:]), 100 * np.cumsum(spectrum), count)
    return figure


def distribution_figure(
    name: str, values: NDArray[Any], spectrum: Sequence[float] | NDArray[Any], count: int
) -> Figure:
    """Show how the values of a map are distributed, and how much variance the first components of its stage hold.

    Parameters
    ----------
    name
        Name of the map.
    values
        The map, any shape; pixels that are not finite are left out.
    spectrum
        Shares of the variance of all components of the stage, (C,), largest first.
    count
        Number of components to mark.
    """
    figure = Figure((WIDTH, 1.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(values[np.isfinite(values)], bins=80, color="#0072B2")
    left.set_title(f"distribution of {name}", **PLAIN)
    left.set_xlabel("value (a.u.)", fontsize=TEXT)
    left.set_ylabel("pixels", fontsize=TEXT)
    left.xaxis.set_major_formatter(lambda value, _: short_number(value))
    left.spines[["top", "right"]].set_visible(False)
    style(left)
    _draw_spectrum(right, 100 * np.cumsum(spectrum), count)
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
