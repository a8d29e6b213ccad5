"""Score cards as plain text: a sentence per channel that says which method is best, and a table."""

import textwrap
from collections.abc import Iterable, Sequence
from math import isnan, nan

from image_translation.errors import listing
from image_translation.metrics.criteria import (
    DETAIL_LIMIT,
    DISPLACEMENT_LIMIT,
    OVER_SMOOTHING_LIMIT,
    SHARPNESS_LIMIT,
    TRACK_COLUMNS,
    Entry,
    mean,
)
from image_translation.metrics.rows import AGREEMENT_WITH_RAW, RAW, TRACK_COUNTS, TRACK_METRICS
from image_translation.metrics.score_card import ScoreCard

WIDTH = 110  # characters
MAIN_COLUMNS = ("flicker", "pearson", "detail", "displacement", "over_smoothing", "lag")
"""Columns of a short table; tracks are shown, too, where they were asked for."""

_TARGET_TITLE = "wanted"
_TARGETS = {
    "flicker": "low; raw is 1",
    "flicker_fast": "low; raw is 1",
    "pearson": "high",
    "pearson_worst": "high",
    "pearson_min": "high",
    "pearson_ends": "high",
    "pearson_events": "high",
    "pearson_fast": "high",
    "ssim": "high",
    "coherence": "high",
    "displacement": f"at most {DISPLACEMENT_LIMIT} px",
    "displacement_local": f"at most {DISPLACEMENT_LIMIT} px",
    "detail": f"at least {DETAIL_LIMIT}",
    "sharpness": f"at most {SHARPNESS_LIMIT}",
    "over_smoothing": f"at most {OVER_SMOOTHING_LIMIT}",
    "lag": "0",
    "drift": "0",
    "gain_flicker": "low",
    "count_jitter": "low",
    "area_jitter": "low",
    "intensity_jitter": "low",
    "tracking_tra": "high",
    "tracking_seg": "high",
    "complete_tracks": "high",
    "identity_switches": "at most raw's",
    "missed_links": "low",
    "false_links": "low",
    **{metric + AGREEMENT_WITH_RAW: "no truth" for metric in TRACK_METRICS},
}


_REASONS = {
    **dict.fromkeys(["flicker", "flicker_fast"], "more flicker"),
    **dict.fromkeys(["pearson", "pearson_worst", "pearson_ends", "pearson_fast", "ssim", "coherence"], "less faithful"),
    "pearson_events": "other at events",
    **dict.fromkeys(["displacement", "displacement_local"], "displaced"),
    "detail": "less detail",
    "sharpness": "other sharpness",
    "over_smoothing": "over-smoothed",
    "lag": "shifted in time",
    "drift": "drift of brightness",
    "gain_flicker": "flicker of brightness",
}


def verdicts(card: ScoreCard) -> dict[str, str]:
    """Say in one sentence for each channel which method is best or that this cannot be told, and why."""
    blocks = by_channel(card)
    return {channel: _verdict(entries, best_method(entries)) for channel, entries in blocks.items()}


def best_method(entries: Sequence[Entry]) -> str | None:
    """Return the best method of a channel; raw if none is better, None if it cannot be told."""
    passed = [entry for entry in entries if not entry.failures and not entry.doubts]
    known = {entry.method: entry.values.get("flicker", nan) for entry in passed}
    steadiness = {method: flicker for method, flicker in known.items() if not isnan(flicker)}
    others = [entry for entry in entries if entry.method != RAW]
    undecided = any(entry.doubts and not entry.failures for entry in others)
    if others and all(entry.failures for entry in others):
        return RAW
    best = min(steadiness, key=lambda method: (steadiness[method], method != RAW), default=None)
    return None if best is None or (best == RAW and undecided) else best


def format_score_card(card: ScoreCard, width: int = WIDTH, *, verbose: bool = True) -> str:
    """Format a card as plain text.

    Parameters
    ----------
    card
        The card.
    width
        Characters per line, at most.
    verbose
        Whether all columns are shown, or only `MAIN_COLUMNS` and those of tracks.

    Returns
    -------
    str
        A sentence per channel, then a table per channel, with a line per column and the methods across, best first.
    """
    said = [_wrap(f"{card.position}, {channel}: {text}", width) for channel, text in verdicts(card).items()]
    return "\n".join([*said, *_tables(card, width, verbose=verbose)])


def format_score_cards(cards: Sequence[ScoreCard], width: int = WIDTH, *, verbose: bool = False) -> str:
    """Format the cards of all positions as plain text.

    Parameters
    ----------
    cards
        One per position.
    width
        Characters per line, at most.
    verbose
        Whether each card is shown with all columns; else the means over the positions, with few columns.

    Returns
    -------
    str
        A sentence per channel, which for several positions counts those in which a method is best, and tables.
    """
    if len(cards) < 2:
        text = "".join(format_score_card(card, width, verbose=verbose) for card in cards)
        return text if verbose or not text else f"{text}\n{_hint(cards)}"
    said = [_wrap(text, width) for text in _plate_verdicts(cards)]
    if verbose:
        return "\n".join(said) + "\n\n" + "\n\n".join(format_score_card(card, width) for card in cards)
    tables = _tables(_mean_card(cards), width, verbose=False)
    return "\n".join([*said, *tables, f"Means of {len(cards)} positions; {_hint(cards)}"])


def by_channel(card: ScoreCard) -> dict[str, list[Entry]]:
    """Return the entries of each channel of a card, the best method first."""
    blocks: dict[str, list[Entry]] = {}
    for entry in card.entries:
        blocks.setdefault(entry.channel, []).append(entry)
    return blocks


def format_target(column: str, entries: Iterable[Entry]) -> str:
    """Return what is wanted in a column, such as "low"; a limit only if it applies to these entries."""
    target = _TARGETS[column]
    is_limit = target.startswith(("at least", "at most"))
    return "" if is_limit and not any(column in entry.judged for entry in entries) else target


def format_cell(entry: Entry, column: str) -> str:
    """Return a value (- if unknown) and its sign: ! where it fails, ? where only a truth could tell, or a space."""
    value = entry.values.get(column, nan)
    is_count = column.removesuffix(AGREEMENT_WITH_RAW) in TRACK_COUNTS
    number = "-" if isnan(value) else f"{value:.4g}" if is_count else f"{value:z.3f}"
    return number + ("!" if column in entry.failures else "?" if column in entry.doubts else " ")


def _verdict(entries: Sequence[Entry], best: str | None) -> str:
    harmful = [entry for entry in entries if entry.failures]
    undecided = [entry.method for entry in entries if entry.doubts and not entry.failures]
    if len(entries) == 1:
        return "only the raw prediction was scored."
    worse = ", ".join(f"{entry.method} ({_reasons(entry.failures)})" for entry in harmful)
    worse = f"worse than raw: {worse}" if worse else ""
    doubts = f"of {_and(undecided)} only a truth could tell" if undecided else ""
    if best is None and undecided:
        reasons = _reasons(tuple(dict.fromkeys(column for entry in entries for column in entry.doubts)))
        doubts = f"whether {_and(undecided)} is better than raw cannot be told without truth ({reasons})"
        return "; ".join(filter(None, (doubts, worse))) + "."
    if best is None:
        return (
            "; ".join(filter(None, ("which method is best cannot be told, because flicker is not known", worse))) + "."
        )
    if best == RAW:
        said = "no method is better than raw"
    else:
        flicker = next(entry.values["flicker"] for entry in entries if entry.method == best)
        said = f"{best} is best, with {100 * (1 - flicker):.0f} % less flicker than raw"
    return "; ".join(filter(None, (said, doubts, worse))) + "."


def _plate_verdicts(cards: Sequence[ScoreCard]) -> list[str]:
    """Count for each channel the positions in which each method is best."""
    places: dict[str, dict[str, list[str]]] = {}
    for card in cards:
        for channel, entries in by_channel(card).items():
            best = best_method(entries)
            said = {None: "which method is best cannot be told", RAW: "no method is better than raw"}.get(
                best, f"{best} is best"
            )
            places.setdefault(channel, {}).setdefault(said, []).append(card.position)
    texts = []
    for channel, found in places.items():
        parts: list[str] = []
        total = sum(map(len, found.values()))
        for said, names in sorted(found.items(), key=lambda item: -len(item[1])):
            where = f"in {len(names)} of {total} positions" if not parts else f"in {len(names)}"
            where = f"in all {total} positions" if len(names) == total else where
            which = f" ({listing(names, 5)})" if parts else ""
            parts.append(f"{said} {where}{which}")
        texts.append(f"{channel}: {'; '.join(parts)}.")
    return texts


def _mean_card(cards: Sequence[ScoreCard]) -> ScoreCard:
    """Average the values of cards; a method fails in a column, or is in doubt, if it is so in any position."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for card in cards:
        for entry in card.entries:
            groups.setdefault((entry.method, entry.channel), []).append(entry)
    columns = tuple(dict.fromkeys(column for card in cards for column in card.columns))
    entries = []
    for (method, channel), group in groups.items():
        known = {
            column: [value for entry in group if not isnan(value := entry.values.get(column, nan))]
            for column in columns
        }
        failures, doubts = (
            tuple(column for column in columns if any(column in getattr(entry, name) for entry in group))
            for name in ("failures", "doubts")
        )
        judged = frozenset().union(*(entry.judged for entry in group))
        values = {column: mean(found) for column, found in known.items()}
        entries.append(Entry(method, channel, values, failures, judged, doubts))
    ranks: dict[str, list[int]] = {}
    for card in cards:
        for rank, method in enumerate(card.ranking):
            ranks.setdefault(method, []).append(rank)
    ranking = tuple(sorted(ranks, key=lambda method: mean(ranks[method])))
    entries.sort(key=lambda entry: ranking.index(entry.method))
    return ScoreCard("", columns, ranking, tuple(entries))


def _tables(card: ScoreCard, width: int, *, verbose: bool) -> list[str]:
    shown_columns = [column for column in card.columns if verbose or column in (*MAIN_COLUMNS, *TRACK_COLUMNS)]
    lines = []
    left = max(len(column) for column in ("", *by_channel(card), *shown_columns))
    cell = max(9, *(len(method) + 2 for method in card.ranking))
    per_table = max(1, (width - left - 3 - max(map(len, _TARGETS.values()))) // cell)
    for channel, entries in by_channel(card).items():
        for start in range(0, len(entries), per_table):
            shown = entries[start : start + per_table]
            head = "".join(f"{entry.method:>{cell}}" for entry in shown)
            lines += ["", f"{channel:<{left}}{head}   {_TARGET_TITLE}"]
            for column in shown_columns:
                if any(not isnan(entry.values[column]) for entry in entries):
                    cells = "".join(f"{format_cell(entry, column):>{cell}}" for entry in shown)
                    lines.append(f"{column:<{left}}{cells}   {format_target(column, entries)}")
    return [line.rstrip() for line in lines]


def _hint(cards: Sequence[ScoreCard]) -> str:
    """Explain the signs that occur, and how to see the other columns."""
    entries = [entry for card in cards for entry in card.entries]
    signs = ["! worse than allowed"] if any(entry.failures for entry in entries) else []
    signs += ["? only a truth could tell"] if any(entry.doubts for entry in entries) else []
    return "; ".join([*signs, "-v shows all rows"])


def _reasons(columns: Iterable[str]) -> str:
    """Say in plain words what columns are about."""
    return ", ".join(dict.fromkeys(_REASONS.get(column, column.replace("_", " ")) for column in columns))


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _wrap(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, subsequent_indent="  "))
