"""Score card of a movie: its methods ranked by their metrics, with those that are worse than the raw prediction."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path

from image_translation.metrics.criteria import COLUMNS, Entry, MetricTable, mean
from image_translation.metrics.planes import entry_of_planes, tables_by_plane
from image_translation.metrics.rows import PHASE, RAW, TRUTH, Row


@dataclass(frozen=True)
class ScoreCard:
    """Ranking of the methods of one position.

    Attributes
    ----------
    position
        Name of the position.
    columns
        Names of the columns with a value, in order.
    ranking
        Methods, the best first: those without failures, by flicker; then those in doubt, which are not compared with
        raw; then the others, by the number of failures.
    entries
        In the order of the ranking, then of the channels.
    """

    position: str
    columns: tuple[str, ...]
    ranking: tuple[str, ...]
    entries: tuple[Entry, ...]

    def failed(self, method: str) -> bool:
        """Return whether a method is worse than raw."""
        return any(entry.failures for entry in self.entries if entry.method == method)

    def in_doubt(self, method: str) -> bool:
        """Return whether it cannot be told without a truth if a method is better than raw, or worse."""
        return not self.failed(method) and any(entry.doubts for entry in self.entries if entry.method == method)


def score_cards(rows: Iterable[Row]) -> list[ScoreCard]:
    """Rank the methods of each position by their metrics.

    With truth, a method must be as faithful to it as raw is. Without, it must agree with each raw frame at least as
    well as the neighbouring raw frame does: a movie without flicker cannot agree better, because raw flickers. If it
    differs from raw at events more than elsewhere, it may show what came before or after them: then it cannot be told
    whether it is better than raw, and it is not ranked above. Means, percentiles and ends are compared on the frames
    that both have.

    Parameters
    ----------
    rows
        Metrics from `Evaluator`; of a position with several planes, each column is the mean over the planes that have
        content, see `planes`.

    Returns
    -------
    list of ScoreCard
        One for each position that has a raw prediction, in the order of the rows.
    """
    positions: dict[str, list[Row]] = {}
    for row in rows:
        positions.setdefault(row.position, []).append(row)
    tables = {position: tables_by_plane(own) for position, own in positions.items()}
    return [_card(position, planes) for position, planes in tables.items() if planes]


def write_score_cards(cards: Iterable[ScoreCard], path: Path) -> None:
    """Write cards as CSV: ``position,rank,method,channel,column,value,fails,in_doubt``, one value per line."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("position", "rank", "method", "channel", "column", "value", "fails", "in_doubt"))
        for card in cards:
            for entry in card.entries:
                rank = card.ranking.index(entry.method) + 1
                for column in card.columns:
                    marks = ("yes" if column in marked else "no" for marked in (entry.failures, entry.doubts))
                    value = entry.values[column]
                    writer.writerow((card.position, rank, entry.method, entry.channel, column, value, *marks))


def _card(position: str, planes: list[MetricTable]) -> ScoreCard:
    known = dict.fromkeys(method for table in planes for method in table.methods)
    methods = [RAW, *(method for method in known if method not in {RAW, TRUTH, PHASE})]
    channels = list(dict.fromkeys(channel for table in planes for channel in table.channels))
    entries = {(m, channel): entry_of_planes(planes, m, channel) for m in methods for channel in channels}
    columns = tuple(
        column for column in COLUMNS if any(not isnan(entry.values.get(column, nan)) for entry in entries.values())
    )

    def rank(method: str) -> tuple[int, bool, float, bool]:
        own = [entries[method, channel] for channel in channels]
        flicker = [entry.values["flicker"] for entry in own if not isnan(entry.values["flicker"])]
        failures, in_doubt = sum(len(entry.failures) for entry in own), any(entry.doubts for entry in own)
        return failures, in_doubt, mean(flicker) if flicker else 1.0, method != RAW

    ranking = tuple(sorted(methods, key=rank))
    return ScoreCard(position, columns, ranking, tuple(entries[m, c] for m in ranking for c in channels))
