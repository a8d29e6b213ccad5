"""Tidy tables of metrics: one row per number, kept as CSV, and averaged."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from math import isnan, nan
from pathlib import Path

from image_translation.errors import DataError

PIXELS = ("pearson", "ssim", "psnr", "mae")
AP_THRESHOLDS = (0.5, 0.75)
OBJECTS = ("dice", "jaccard", *(f"ap_{round(100 * least)}" for least in AP_THRESHOLDS), "count_error")
COUNTS = ("count_true", "count_predicted")

MEAN = "mean of the truth"
"""Name of a prediction that knows nothing: everywhere the mean of all true images."""

EVERYWHERE = "*"
"""Position of a row that is of all images together."""


RAW = "raw"
TRUTH = "truth"
PHASE = "phase"


@dataclass(frozen=True, slots=True)
class Row:
    """One number of a table of metrics.

    Attributes
    ----------
    position
        Name of the position.
    method
        Name of the movie: ``"raw"``, ``"truth"``, ``"phase"`` (what the stain was predicted from), or the method that
        smoothed it.
    channel
        Name of the channel.
    frame
        Index of the frame, None for the whole movie.
    metric
        Name of the metric.
    value
        The number; NaN where the metric is not defined, as the correlation of a constant image.
    """

    position: str
    method: str
    channel: str
    frame: int | None
    metric: str
    value: float


HEADER = tuple(field.name for field in fields(Row))


def summarize(rows: Iterable[Row]) -> list[Row]:
    """Average each metric over the frames, leaving out those where it is not defined.

    Returns
    -------
    list[Row]
        One row per position, method, channel and metric, in the order in which they first occur, with `frame` None.
    """
    values: dict[tuple[str, str, str, str], list[float]] = {}
    for row in rows:
        group = values.setdefault((row.position, row.method, row.channel, row.metric), [])
        if not isnan(row.value):
            group.append(row.value)
    return [
        Row(position, method, channel, None, metric, sum(group) / len(group) if group else nan)
        for (position, method, channel, metric), group in values.items()
    ]


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV, with the header ``position,method,channel,frame,metric,value``.

    The frame of a number for the whole movie is left empty. Values are written with all their digits.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(astuple(row) for row in rows)


def read_csv(path: Path) -> list[Row]:
    """Read rows that `write_csv` wrote.

    Raises
    ------
    DataError
        If the file is not such a table.
    """
    with path.open(newline="", encoding="utf-8") as file:
        header, *records = [tuple(record) for record in csv.reader(file)] or [()]
    if header != HEADER:
        raise DataError(f"{path}: is not a table of metrics: its first line must be {','.join(HEADER)}")
    try:
        return [_parse(record) for record in records]
    except ValueError as error:
        raise DataError(f"{path}: has a line that is not a metric ({error})") from error


def _parse(record: tuple[str, ...]) -> Row:
    position, method, channel, frame, metric, value = record
    return Row(position, method, channel, int(frame) if frame else None, metric, float(value))
