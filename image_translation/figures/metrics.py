"""Figures of metrics: adjacent-frame correlation over time, and fidelity against flicker."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from math import inf, isfinite, nan
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from image_translation.figures.style import (
    FIGURE_WIDTH,
    PLAIN_TEXT,
    RECOMMENDED,
    TEXT_SIZE,
    MethodStyle,
    add_text,
    frame_locator,
    method_styles,
    style_axes,
)
from image_translation.metrics.criteria import DETAIL_LIMIT
from image_translation.metrics.rows import PHASE, RAW, TRUTH, Row
from image_translation.metrics.score_card import ScoreCard

PANELS_PER_ROW = 3
SHADING = "#D9EBDD"
MIN_SPAN = 0.03  # of the vertical axis, so that negligible differences do not look large


def adjacent_pearson_figure(rows: Sequence[Row]) -> Figure:
    """Plot the correlation of each frame with the next over time, one panel per channel, one line per movie.

    The line of the truth, or of the phase where there is no truth, is the reference: a movie above it is over-smoothed.
    Lines are interrupted at invalid frames, which have no value.
    """
    rows = [row for row in rows if row.metric == "adjacent_pearson"]
    if any(row.method == TRUTH for row in rows):
        rows = [row for row in rows if row.method != PHASE]
    phase = [row for row in rows if row.method == PHASE]
    movies = [row for row in rows if row.method != PHASE]
    figure, panels = _channel_panels([row.channel for row in movies or phase], "no adjacent frames")
    styles = method_styles(row.method for row in rows)
    for channel, axes in panels.items():
        lines: dict[tuple[str, str], dict[int, float]] = {}
        for row in [*(row for row in movies if row.channel == channel), *phase]:
            if row.frame is not None:
                lines.setdefault((row.position, row.method), {})[row.frame] = row.value
        for (_, method), values in lines.items():
            frames = np.arange(min(values), max(values) + 1)
            style = styles[method]
            points: dict[str, Any] = {"marker": ".", "markersize": 3 * style.linewidth} if len(frames) < 60 else {}
            axes.plot(
                frames, [values.get(int(frame), nan) for frame in frames],
                color=style.colour, linestyle=style.linestyle, linewidth=style.linewidth, label=method, **points,
            )  # fmt: skip
        axes.xaxis.set_major_locator(frame_locator())
        axes.set_xlabel("frame", fontsize=TEXT_SIZE)
    _add_legends(figure, list(panels.values()), "Pearson correlation\nwith the next frame", {})
    return figure


def tradeoff_figure(card: ScoreCard, *, truth: bool) -> Figure:
    """Plot fidelity against flicker, one panel per channel, one point per method; shaded is what is no worse than raw.

    Fidelity is the correlation with the truth or, without truth, the detail kept relative to raw. A movie that is
    steadier only because it is blurred or late lies at the lower left. Markers are hollow for methods that fail any
    criterion of the score card.

    Parameters
    ----------
    card
        Score card of one position.
    truth
        Whether the correlations in the card are with the truth.
    """
    fidelity = "pearson" if truth else "detail"
    entries = [entry for entry in card.entries if isfinite(entry.values.get("flicker", nan))]
    figure, panels = _channel_panels([entry.channel for entry in entries], "no flicker can be measured")
    styles = method_styles(entry.method for entry in entries)
    for channel, axes in panels.items():
        allowed = (DETAIL_LIMIT, inf)
        for entry in entries:
            value = entry.values.get(fidelity, nan)
            if entry.channel == channel and isfinite(value):
                point = (100 * entry.values["flicker"], value)
                _draw_point(axes, point, entry.method, styles[entry.method], hollow=bool(entry.failures))
                if truth and entry.method == RAW:
                    allowed = (value, inf)
        axes.margins(0.15)
        axes.set_xlim(0, max(115, axes.get_xlim()[1]))
        axes.locator_params(axis="y", nbins=5)
        axes.set_xlabel("flicker (% of raw)", fontsize=TEXT_SIZE)
        bottom, top = axes.get_ylim()
        padding = max(0.0, MIN_SPAN - (top - bottom)) / 2
        bottom, top = bottom - padding, top + padding
        floor, ceiling = np.clip(allowed, bottom, top)
        axes.add_patch(Rectangle((0, floor), 100, ceiling - floor, color=SHADING, linewidth=0, zorder=-2))
        axes.set_ylim(bottom, top)
    meaning = "steadier, and no less faithful than raw" if truth else "steadier, with the detail of raw"
    label = "Pearson correlation with truth" if truth else "detail kept (raw = 1)"
    signs: dict[str, Artist] = {meaning: Patch(color=SHADING)} if panels else {}
    if any(entry.failures for entry in entries):
        marker: dict[str, Any] = {"marker": "o", "markersize": 6, "linestyle": "", "fillstyle": "none"}
        signs["worse than allowed in the score card"] = Line2D([], [], color="0.3", **marker)
    _add_legends(figure, list(panels.values()), label, signs)
    return figure


def _draw_point(axes: Axes, point: tuple[float, float], method: str, style: MethodStyle, *, hollow: bool) -> None:
    size = 11 if method == RECOMMENDED else 6.5
    axes.plot(
        *point, color=style.colour, marker=style.marker, markersize=size, linestyle="", label=method, clip_on=False,
        markeredgewidth=1.2, fillstyle="none" if hollow else "full",
    )  # fmt: skip


def _channel_panels(names: Iterable[str], placeholder: str) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with a panel for each distinct channel, or with the placeholder text if there is none."""
    channels = list(dict.fromkeys(names))
    across = min(PANELS_PER_ROW, max(1, len(channels)))
    down = -(-max(1, len(channels)) // across)
    figure = Figure((FIGURE_WIDTH, 0.5 + 2.1 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes in panels:
        style_axes(axes)
        axes.spines[["top", "right"]].set_visible(False)
    for axes, channel in zip(panels, channels, strict=False):
        axes.set_title(channel, **PLAIN_TEXT)
    for axes in panels[len(channels) :]:
        axes.set_axis_off()
    if not channels:
        add_text(panels[0], 0.5, 0.5, placeholder, va="center", fontsize=TEXT_SIZE)
    return figure, dict(zip(channels, panels, strict=False))


def _add_legends(figure: Figure, panels: Sequence[Axes], label: str, signs: Mapping[str, Artist]) -> None:
    """Label the vertical axes; add a legend of the movies above the panels, and one of other signs below."""
    for axes in panels[::PANELS_PER_ROW]:
        axes.set_ylabel(label, fontsize=TEXT_SIZE)
    handles: dict[str, Artist] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            if isinstance(handle, Line2D) and name not in handles:
                handles[name] = copy(handle)
                handles[name].set(fillstyle="full")
    legends = ((handles, "outside upper center"), (signs, "outside lower center"))
    for entries, location in legends:
        if entries:
            options: dict[str, Any] = {"loc": location, "frameon": False, "fontsize": TEXT_SIZE, "handletextpad": 0.5}
            columns = min(len(entries), 8)
            legend = figure.legend(list(entries.values()), list(entries), ncols=columns, **options)
            for text in legend.get_texts():
                text.set_parse_math(False)
