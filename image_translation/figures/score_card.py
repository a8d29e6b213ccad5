"""Figure of a score card: a coloured table of methods and metrics."""

from collections.abc import Sequence
from math import isclose, isfinite, isnan, nan
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from image_translation.figures.style import FIGURE_WIDTH, RECOMMENDED, SMALL_SIZE, TEXT_SIZE
from image_translation.metrics.criteria import DETAIL_LIMIT, DISPLACEMENT_LIMIT, SHARPNESS_LIMIT, Entry
from image_translation.metrics.rows import AGREEMENT_WITH_RAW, RAW, TRACK_COUNTS, TRACK_METRICS
from image_translation.metrics.score_card import ScoreCard

GOOD_COLOUR, BAD_COLOUR = "#56B4E9", "#E69F00"
FAILED, IN_DOUBT = "✗", "?"
LINE_HEIGHT, MARGIN = 0.17, 0.06  # inches
NAME_WIDTH, TARGET_WIDTH = 1.15, 0.75  # inches, of the first and the last column
GAP = 0.12  # inches between channels
KEY_WIDTH = 1.2  # inches, of each of its four signs
CELL_WIDTHS = (0.5, 0.64)  # inches: minimum and maximum
SATURATION = 0.03  # least difference from raw that is drawn in full colour
# Best value of a metric: low, high, or a number.
LOW, HIGH = -np.inf, np.inf
BEST = {
    **dict.fromkeys(["flicker", "flicker_fast", "gain_flicker"], LOW),
    **dict.fromkeys(["count_jitter", "area_jitter", "intensity_jitter"], LOW),
    **dict.fromkeys(["pearson", "pearson_worst", "pearson_min", "pearson_ends"], HIGH),
    **dict.fromkeys(["pearson_events", "pearson_fast"], HIGH),
    **dict.fromkeys(["ssim", "coherence", "detail"], HIGH),
    **dict.fromkeys(["over_smoothing", "lag", "drift"], 0.0),
    **dict.fromkeys(TRACK_METRICS, HIGH),
    **dict.fromkeys(TRACK_COUNTS, LOW),
}
# Sharpness has no best value, because flicker is sharp, too; the displacement of raw is 0; agreement with raw has none,
# because raw's tracks have errors. They are not coloured.
LIMITS = {
    "detail": f"at least {DETAIL_LIMIT}",
    "sharpness": f"at most {SHARPNESS_LIMIT}",
    **dict.fromkeys(["displacement", "displacement_local"], f"at most {DISPLACEMENT_LIMIT}"),
    **{metric + AGREEMENT_WITH_RAW: "no truth" for metric in TRACK_METRICS},
}


def score_card_figure(card: ScoreCard) -> Figure:
    """Draw a score card as a table: one row per metric, one column per method in the order of their ranking.

    Blue is better than raw and orange is worse; the colour is scaled to the greatest difference in the row. Values that
    are worse than allowed are bold and marked by a cross, those that only a truth could judge by "?". Metrics without a
    value are omitted.
    """
    blocks: dict[str, list[Entry]] = {}
    for entry in card.entries:
        blocks.setdefault(entry.channel, []).append(entry)
    columns = [
        column for column in card.columns if any(isfinite(entry.values.get(column, nan)) for entry in card.entries)
    ]
    n_methods = max([1, *map(len, blocks.values())])
    available = FIGURE_WIDTH - MARGIN - NAME_WIDTH - TARGET_WIDTH
    blocks_per_band = max(1, min(len(blocks), int(available / (CELL_WIDTHS[0] * n_methods + GAP))))
    width = float(np.clip((available / blocks_per_band - GAP) / n_methods, *CELL_WIDTHS))
    bands = [list(blocks)[start : start + blocks_per_band] for start in range(0, len(blocks), blocks_per_band)]
    height = (len(columns) + 2.6) * LINE_HEIGHT
    size = (
        MARGIN + NAME_WIDTH + TARGET_WIDTH + blocks_per_band * (n_methods * width + GAP),
        max(1, len(bands)) * height + 0.28,
    )
    size = (max(size[0], MARGIN + NAME_WIDTH + 4 * KEY_WIDTH), size[1])
    figure = Figure(size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    axes.set_axis_off()
    for number, band in enumerate(bands):
        top = number * height
        right = MARGIN + NAME_WIDTH
        for channel in band:
            _draw_block(axes, (right, top, width), card.ranking, columns, blocks[channel])
            right += len(blocks[channel]) * width + GAP
        axes.plot([MARGIN, right - GAP + TARGET_WIDTH], [top + 2.2 * LINE_HEIGHT] * 2, color="0", linewidth=0.6)
        _add_text(axes, right, top + 1.5 * LINE_HEIGHT, "wanted", color="0.35")
        for line, column in enumerate(columns):
            y = top + (2.8 + line) * LINE_HEIGHT
            _add_text(axes, MARGIN, y, column.replace("_", " "))
            _add_text(axes, right, y, _target(column), color="0.35")
    if not bands:
        _add_text(axes, MARGIN, LINE_HEIGHT, "no method was scored")
    _draw_key(axes, size[1] - 0.13)
    return figure


def _draw_block(
    axes: Axes,
    place: tuple[float, float, float],
    ranking: Sequence[str],
    columns: Sequence[str],
    entries: Sequence[Entry],
) -> None:
    """Draw the values of one channel below its name; `place` is left, top and width of a cell."""
    left, top, width = place
    gains = _relative_gains(entries, columns)
    _add_text(
        axes,
        left + len(entries) * width / 2,
        top + 0.6 * LINE_HEIGHT,
        entries[0].channel,
        ha="center",
        fontsize=TEXT_SIZE,
    )
    for number, entry in enumerate(entries):
        x = left + number * width
        rank = ranking.index(entry.method) + 1 if entry.method in ranking else "-"
        weight = "bold" if entry.method == RECOMMENDED else "normal"
        name = f"{rank}. {entry.method}"
        _add_text(
            axes, x + width / 2, top + 1.5 * LINE_HEIGHT, name, ha="center", fontweight=weight, fontsize=SMALL_SIZE
        )
        for line, column in enumerate(columns):
            y = top + (2.3 + line) * LINE_HEIGHT
            colour = _tint(gains[entry.method, column])
            axes.add_patch(Rectangle((x, y), width, LINE_HEIGHT, facecolor=colour, edgecolor="white", linewidth=0.8))
            value, failed = entry.values.get(column, nan), column in entry.failures
            text = "-" if isnan(value) else f"{value:z.2f}" if abs(value) >= 10 else f"{value:z.3f}"
            sign = FAILED if failed else IN_DOUBT if column in entry.doubts else ""
            text = f"{sign} {text}" if sign else text
            text = text.replace("-", "\N{MINUS SIGN}")
            _add_text(
                axes,
                x + width / 2 + 0.2,
                y + LINE_HEIGHT / 2,
                text,
                ha="right",
                fontweight="bold" if failed else "normal",
            )


def _target(column: str) -> str:
    best = BEST.get(column, nan)
    direction = {LOW: "low", HIGH: "high"}.get(best, "" if isnan(best) else f"near {best:g}")
    return LIMITS.get(column, direction)


def _draw_key(axes: Axes, y: float) -> None:
    signs = [
        (_tint(1), "", "better than raw"),
        (_tint(-1), "", "worse than raw"),
        (None, FAILED, "worse than allowed"),
        (None, IN_DOUBT, "cannot tell"),
    ]
    for number, (colour, sign, text) in enumerate(signs):
        x = MARGIN + NAME_WIDTH + KEY_WIDTH * number
        if colour is not None:
            axes.add_patch(Rectangle((x, y - 0.06), 0.14, 0.12, facecolor=colour, linewidth=0))
        _add_text(axes, x + 0.03, y, sign, fontweight="bold")
        _add_text(axes, x + 0.2, y, text)


def _add_text(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    defaults: dict[str, Any] = {"va": "center_baseline", "fontsize": SMALL_SIZE, "parse_math": False}
    axes.text(x, y, text, **defaults | options)


def _distance(column: str, value: float) -> float:
    """Return the distance of a value from the best one of its metric, up to a constant."""
    best = BEST.get(column, nan)
    if best == LOW:
        return value
    return -value if best == HIGH else abs(value - best)


def _gain(column: str, entry: Entry, raw: Entry | None) -> float:
    """Return by how much an entry is better than raw in a metric; NaN if that is unknown."""
    before, after = (one.values.get(column, nan) if one else nan for one in (raw, entry))
    if BEST.get(column) == HIGH and isclose(before, 1, abs_tol=1e-6) and column not in LIMITS:
        return nan  # raw is compared with itself, so being below it is not a loss
    return _distance(column, before) - _distance(column, after)


def _relative_gains(entries: Sequence[Entry], columns: Sequence[str]) -> dict[tuple[str, str], float]:
    """Return the gain of each entry over raw in each metric, divided by the greatest absolute gain in that metric."""
    raw = next((entry for entry in entries if entry.method == RAW), None)
    relative = {}
    for column in columns:
        gains = {entry.method: _gain(column, entry, raw) for entry in entries}
        greatest = max([SATURATION, *(abs(gain) for gain in gains.values() if isfinite(gain))])
        for method, gain in gains.items():
            relative[method, column] = gain / greatest if isfinite(gain) else 0.0
    return relative


def _tint(gain: float) -> tuple[float, float, float]:
    """Return an RGB colour: blue at 1, white at 0, orange at -1."""
    colour = np.array(to_rgb(GOOD_COLOUR if gain > 0 else BAD_COLOUR))
    red, green, blue = 1 - min(1.0, abs(gain)) * 0.75 * (1 - colour)
    return float(red), float(green), float(blue)
