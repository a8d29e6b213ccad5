"""Figures of metrics: rows and score cards in, matplotlib figures out; nothing is measured or saved."""

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
    PLAIN,
    RECOMMENDED,
    TEXT,
    WIDTH,
    Look,
    frame_ticks,
    looks,
    style,
    write,
)
from image_translation.metrics.rows import PHASE, RAW, TRUTH, Row
from image_translation.metrics.score_card import DETAIL_LIMIT, ScoreCard

PANELS = 3  # beside each other
SHADE = "#D9EBDD"
LEAST_SPAN = 0.03  # of correlations or of sharpness


def adjacent_pearson_figure(rows: Sequence[Row]) -> Figure:
    """Plot the correlation of each frame with the next over time, one panel per channel, one line per movie.

    The truth's own line is the yardstick, or the phase's where there is no truth: above it, a movie is smoother than
    what it shows. Lines are broken where there is no number, at invalid frames.
    """
    rows = [row for row in rows if row.metric == "adjacent_pearson"]
    if any(row.method == TRUTH for row in rows):
        rows = [row for row in rows if row.method != PHASE]
    phase = [row for row in rows if row.method == PHASE]
    movies = [row for row in rows if row.method != PHASE]
    figure, panels = _metric_panels([row.channel for row in movies or phase], "no adjacent frames")
    drawn = looks(row.method for row in rows)
    for channel, axes in panels.items():
        lines: dict[tuple[str, str], dict[int, float]] = {}
        for row in [*(row for row in movies if row.channel == channel), *phase]:
            if row.frame is not None:
                lines.setdefault((row.position, row.method), {})[row.frame] = row.value
        for (_, method), values in lines.items():
            frames = np.arange(min(values), max(values) + 1)
            look = drawn[method]
            points: dict[str, Any] = {"marker": ".", "markersize": 3 * look.width} if len(frames) < 60 else {}
            axes.plot(
                frames, [values.get(int(frame), nan) for frame in frames],
                color=look.colour, linestyle=look.line, linewidth=look.width, label=method, **points,
            )  # fmt: skip
        axes.xaxis.set_major_locator(frame_ticks())
        axes.set_xlabel("frame", fontsize=TEXT)
    _finish(figure, list(panels.values()), "Pearson correlation\nwith the next frame", {})
    return figure


def tradeoff_figure(card: ScoreCard, *, truth: bool) -> Figure:
    """Plot fidelity against flicker, one panel per channel, one point per method; shaded is what is no worse than raw.

    Fidelity is the correlation with truth; without truth it is the detail that is kept of raw. A movie that
    is steadier only because it is blurred or late lies to the left and below. Hollow markers are of methods that
    are worse than allowed in any column of the card.

    Parameters
    ----------
    card
        Score card of one position.
    truth
        Whether the correlations of the card are with the truth.
    """
    fidelity = "pearson" if truth else "detail"
    known = [entry for entry in card.entries if isfinite(entry.values.get("flicker", nan))]
    figure, panels = _metric_panels([entry.channel for entry in known], "no flicker can be measured")
    drawn = looks(entry.method for entry in known)
    for channel, axes in panels.items():
        allowed = (DETAIL_LIMIT, inf)
        for entry in known:
            height = entry.values.get(fidelity, nan)
            if entry.channel == channel and isfinite(height):
                point = (100 * entry.values["flicker"], height)
                _draw_point(axes, point, entry.method, drawn[entry.method], hollow=bool(entry.failures))
                if truth and entry.method == RAW:
                    allowed = (height, inf)
        axes.margins(0.15)
        axes.set_xlim(0, max(115, axes.get_xlim()[1]))
        axes.locator_params(axis="y", nbins=5)
        axes.set_xlabel("flicker (% of raw)", fontsize=TEXT)
        bottom, top = axes.get_ylim()
        spare = max(0.0, LEAST_SPAN - (top - bottom)) / 2  # or else trifles would look large
        bottom, top = bottom - spare, top + spare
        floor, ceiling = np.clip(allowed, bottom, top)
        axes.add_patch(Rectangle((0, floor), 100, ceiling - floor, color=SHADE, linewidth=0, zorder=-2))
        axes.set_ylim(bottom, top)
    words = "steadier, and no less faithful than raw" if truth else "steadier, with the detail of raw"
    label = "Pearson correlation with truth" if truth else "detail kept (raw = 1)"
    notes: dict[str, Artist] = {words: Patch(color=SHADE)} if panels else {}
    if any(entry.failures for entry in known):
        look: dict[str, Any] = {"marker": "o", "markersize": 6, "linestyle": "", "fillstyle": "none"}
        notes["worse than allowed in the score card"] = Line2D([], [], color="0.3", **look)
    _finish(figure, list(panels.values()), label, notes)
    return figure


def _draw_point(axes: Axes, point: tuple[float, float], method: str, look: Look, *, hollow: bool) -> None:
    size = 11 if method == RECOMMENDED else 6.5
    axes.plot(
        *point, color=look.colour, marker=look.marker, markersize=size, linestyle="", label=method, clip_on=False,
        markeredgewidth=1.2, fillstyle="none" if hollow else "full",
    )  # fmt: skip


def _metric_panels(names: Iterable[str], nothing: str) -> tuple[Figure, dict[str, Axes]]:
    """Make a panel for each channel that is named, or one that says that there is nothing."""
    channels = list(dict.fromkeys(names))
    across = min(PANELS, max(1, len(channels)))
    down = -(-max(1, len(channels)) // across)
    figure = Figure((WIDTH, 0.5 + 2.1 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes in panels:
        style(axes)
        axes.spines[["top", "right"]].set_visible(False)
    for axes, channel in zip(panels, channels, strict=False):
        axes.set_title(channel, **PLAIN)
    for axes in panels[len(channels) :]:
        axes.set_axis_off()
    if not channels:
        write(panels[0], 0.5, 0.5, nothing, va="center", fontsize=TEXT)
    return figure, dict(zip(channels, panels, strict=False))


def _finish(figure: Figure, panels: Sequence[Axes], label: str, notes: Mapping[str, Artist]) -> None:
    """Add the label of the vertical axes, a legend of the movies above all panels, and one of other signs below."""
    for axes in panels[::PANELS]:
        axes.set_ylabel(label, fontsize=TEXT)
    handles: dict[str, Artist] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            if isinstance(handle, Line2D) and name not in handles:
                handles[name] = copy(handle)
                handles[name].set(fillstyle="full")
    places = ((handles, "outside upper center"), (notes, "outside lower center"))
    for entries, where in places:
        if entries:
            look: dict[str, Any] = {"loc": where, "frameon": False, "fontsize": TEXT, "handletextpad": 0.5}
            columns = min(len(entries), 8)
            legend = figure.legend(list(entries.values()), list(entries), ncols=columns, **look)
            for text in legend.get_texts():
                text.set_parse_math(False)
