"""The score card as a picture: a table of methods and metrics that can be read at a glance."""

from collections.abc import Sequence
from math import isclose, isfinite, isnan, nan
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from image_translation.figures.style import RECOMMENDED, SMALL, TEXT, WIDTH
from image_translation.metrics.rows import RAW
from image_translation.metrics.score_card import DETAIL_LIMIT, SHARPNESS_LIMIT, Entry, ScoreCard

GOOD_COLOUR, BAD_COLOUR = "#56B4E9", "#E69F00"
FAILED = "✗"
LINE, LEFT, NAMES, WANTED = 0.17, 0.06, 1.15, 0.75  # inches: height of a line, margin, titles, what is wanted
GAP = 0.12  # inches between channels
CELLS = (0.5, 0.64)  # inches: least and greatest width of a number
TRIFLE = 0.03  # what differs less than this is no matter of colour
# Where the best value of a column lies: low, high, or at a number.
LOW, HIGH = -np.inf, np.inf
BEST = {
    **dict.fromkeys(["flicker", "flicker_fast", "gain_flicker"], LOW),
    **dict.fromkeys(["count_jitter", "area_jitter", "intensity_jitter"], LOW),
    **dict.fromkeys(["pearson", "pearson_worst", "pearson_min", "pearson_ends"], HIGH),
    **dict.fromkeys(["pearson_events", "pearson_fast"], HIGH),
    **dict.fromkeys(["ssim", "coherence", "detail"], HIGH),
    **dict.fromkeys(["over_smoothing", "lag", "drift"], 0.0),
}
# Less sharp than raw may be better or worse, as flicker is sharp, too: it is not coloured.
LIMITS = {"detail": f"at least {DETAIL_LIMIT}", "sharpness": f"at most {SHARPNESS_LIMIT}"}


def score_card_figure(card: ScoreCard) -> Figure:
    """Draw a score card as a table: columns of the card down, methods across in the order of their ranking.

    Blue is better than raw and orange worse, each the stronger the greater the difference is within its line. A number
    that is worse than allowed is bold and has a cross in front. Columns of the card without a number are left out.
    """
    blocks: dict[str, list[Entry]] = {}
    for entry in card.entries:
        blocks.setdefault(entry.channel, []).append(entry)
    columns = [
        column for column in card.columns if any(isfinite(entry.values.get(column, nan)) for entry in card.entries)
    ]
    n_methods = max([1, *map(len, blocks.values())])
    room = WIDTH - LEFT - NAMES - WANTED
    beside = max(1, min(len(blocks), int(room / (CELLS[0] * n_methods + GAP))))
    width = float(np.clip((room / beside - GAP) / n_methods, *CELLS))
    bands = [list(blocks)[start : start + beside] for start in range(0, len(blocks), beside)]
    height = (len(columns) + 2.6) * LINE
    size = (LEFT + NAMES + WANTED + beside * (n_methods * width + GAP), max(1, len(bands)) * height + 0.28)
    size = (max(size[0], LEFT + NAMES + 3.9), size[1])
    figure = Figure(size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    axes.set_axis_off()
    for number, band in enumerate(bands):
        top = number * height
        right = LEFT + NAMES
        for channel in band:
            _draw_block(axes, (right, top, width), card.ranking, columns, blocks[channel])
            right += len(blocks[channel]) * width + GAP
        axes.plot([LEFT, right - GAP + WANTED], [top + 2.2 * LINE] * 2, color="0", linewidth=0.6)
        _cell(axes, right, top + 1.5 * LINE, "wanted", color="0.35")
        for line, column in enumerate(columns):
            y = top + (2.8 + line) * LINE
            _cell(axes, LEFT, y, column.replace("_", " "))
            _cell(axes, right, y, _wanted(column), color="0.35")
    if not bands:
        _cell(axes, LEFT, LINE, "no method was scored")
    _draw_key(axes, size[1] - 0.13)
    return figure


def _draw_block(
    axes: Axes,
    place: tuple[float, float, float],
    ranking: Sequence[str],
    columns: Sequence[str],
    entries: Sequence[Entry],
) -> None:
    """Draw the numbers of one channel, with its name above; the place is left, top, and width of a number."""
    left, top, width = place
    shares = _shares(entries, columns)
    _cell(axes, left + len(entries) * width / 2, top + 0.6 * LINE, entries[0].channel, ha="center", fontsize=TEXT)
    for number, entry in enumerate(entries):
        x = left + number * width
        rank = ranking.index(entry.method) + 1 if entry.method in ranking else "-"
        weight = "bold" if entry.method == RECOMMENDED else "normal"
        name = f"{rank}. {entry.method}"
        _cell(axes, x + width / 2, top + 1.5 * LINE, name, ha="center", fontweight=weight, fontsize=SMALL)
        for line, column in enumerate(columns):
            y = top + (2.3 + line) * LINE
            colour = _tint(shares[entry.method, column])
            axes.add_patch(Rectangle((x, y), width, LINE, facecolor=colour, edgecolor="white", linewidth=0.8))
            value, failed = entry.values.get(column, nan), column in entry.failures
            text = "-" if isnan(value) else f"{value:z.2f}" if abs(value) >= 10 else f"{value:z.3f}"
            text = f"{FAILED} {text}" if failed else text
            text = text.replace("-", "\N{MINUS SIGN}")
            _cell(axes, x + width / 2 + 0.2, y + LINE / 2, text, ha="right", fontweight="bold" if failed else "normal")


def _wanted(column: str) -> str:
    best = BEST.get(column, nan)
    direction = {LOW: "low", HIGH: "high"}.get(best, "" if isnan(best) else f"near {best:g}")
    return LIMITS.get(column, direction)


def _draw_key(axes: Axes, y: float) -> None:
    signs = [(_tint(1), "", "better than raw"), (_tint(-1), "", "worse than raw"), (None, FAILED, "worse than allowed")]
    for number, (colour, sign, text) in enumerate(signs):
        x = LEFT + NAMES + 1.2 * number
        if colour is not None:
            axes.add_patch(Rectangle((x, y - 0.06), 0.14, 0.12, facecolor=colour, linewidth=0))
        _cell(axes, x + 0.03, y, sign, fontweight="bold")
        _cell(axes, x + 0.2, y, text)


def _cell(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    look: dict[str, Any] = {"va": "center_baseline", "fontsize": SMALL, "parse_math": False}
    axes.text(x, y, text, **look | options)


def _distance(column: str, value: float) -> float:
    """Tell how far a value is from the best one of its column."""
    best = BEST.get(column, nan)
    if best == LOW:
        return value
    return -value if best == HIGH else abs(value - best)


def _gain(column: str, entry: Entry, raw: Entry | None) -> float:
    """Tell by how much an entry is better than raw in a column; NaN if that is not known."""
    before, after = (one.values.get(column, nan) if one else nan for one in (raw, entry))
    if BEST.get(column) == HIGH and isclose(before, 1, abs_tol=1e-6) and column not in LIMITS:
        return nan  # raw is like itself, and every method less so: that is no loss
    return _distance(column, before) - _distance(column, after)


def _shares(entries: Sequence[Entry], columns: Sequence[str]) -> dict[tuple[str, str], float]:
    """Return by how much each entry is better than raw, as a share of the greatest difference in its column."""
    raw = next((entry for entry in entries if entry.method == RAW), None)
    shares = {}
    for column in columns:
        gains = {entry.method: _gain(column, entry, raw) for entry in entries}
        most = max([TRIFLE, *(abs(gain) for gain in gains.values() if isfinite(gain))])
        for method, gain in gains.items():
            shares[method, column] = gain / most if isfinite(gain) else 0.0
    return shares


def _tint(share: float) -> tuple[float, float, float]:
    """Return white at 0, blue at 1 and orange at -1."""
    colour = np.array(to_rgb(GOOD_COLOUR if share > 0 else BAD_COLOUR))
    red, green, blue = 1 - min(1.0, abs(share)) * 0.75 * (1 - colour)
    return float(red), float(green), float(blue)
