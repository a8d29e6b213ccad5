"""Score-card entries of positions with several planes: means over the planes that have content."""

from collections.abc import Iterable, Sequence
from math import isnan, nan
from statistics import median

from image_translation.metrics.criteria import COLUMNS, Entry, EntryScorer, MetricTable, mean
from image_translation.metrics.rows import CONTRAST, RAW, Row

MIN_CONTRAST = 0.1  # of a plane, relative to that of the plane with the most: below, it is background


def tables_by_plane(rows: Iterable[Row]) -> list[MetricTable]:
    """Return the values of each plane of one position that has a raw prediction.

    Blank planes are left out beside others. Where some planes have a truth, so are those without: they would be
    compared with raw, by other metrics.

    Parameters
    ----------
    rows
        Metrics of one position; those without a number of the plane are taken for one plane.
    """
    tables: dict[int | None, MetricTable] = {}
    for row in rows:
        tables.setdefault(row.z, MetricTable()).add(row)
    planes = [table for table in tables.values() if RAW in table.methods]
    scored = [table for table in planes if not table.blank] or planes
    return [table for table in scored if table.has_truth] or scored


def entry_of_planes(planes: Sequence[MetricTable], method: str, channel: str) -> Entry:
    """Return the entry of one method and channel: the mean over the planes of each column, and of its limit.

    Every column is computed in each plane as if there were no other. A plane in which it is not known does not count,
    nor does one whose contrast in this channel is less than a tenth of that of the plane with the most: the flicker and
    the noise of the background say nothing about cells.

    Parameters
    ----------
    planes
        Values of the planes, from `tables_by_plane`.
    method, channel
        Names.
    """
    scores = [EntryScorer(table, method, channel).scores() for table in _with_content(planes, channel)]
    values = {column: _mean_of_known(one.values[column] for one in scores) for column in COLUMNS}
    judged = frozenset[str]().union(*(one.judged for one in scores))
    limits = {limit for one in scores for limit in one.margins}
    violated = {limit[0] for limit in limits if not _mean_of_known(one.margins.get(limit, nan) for one in scores) >= 0}
    doubtful = {
        column for column in COLUMNS if _mean_of_known(one.doubt_margins.get(column, nan) for one in scores) < 0
    } - violated
    judged -= doubtful
    if method == RAW:  # the baseline of the limits
        return Entry(method, channel, values, (), judged)
    failures, doubts = (tuple(column for column in COLUMNS if column in found) for found in (violated, doubtful))
    return Entry(method, channel, values, failures, judged, doubts)


def _with_content(planes: Sequence[MetricTable], channel: str) -> list[MetricTable]:
    """Return the planes with content in a channel, and those whose contrast is not known."""
    contrasts = [median(table.get(RAW, channel, CONTRAST).values() or [nan]) for table in planes]
    least = MIN_CONTRAST * max((contrast for contrast in contrasts if not isnan(contrast)), default=nan)
    return [table for table, contrast in zip(planes, contrasts, strict=True) if not contrast < least]


def _mean_of_known(values: Iterable[float]) -> float:
    return mean([value for value in values if not isnan(value)])
