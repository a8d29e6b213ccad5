"""Tidy table of metrics: one row per value, its names, mean over the frames, CSV."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from math import isnan, nan
from pathlib import Path

from image_translation.errors import DataError
from image_translation.files import MAX_TEXT_BYTES, require_regular_file

RAW = "raw"
TRUTH = "truth"
PHASE = "phase"

PIXEL_METRICS = ("pearson", "ssim", "psnr", "mae")
AP_THRESHOLDS = (0.5, 0.75)  # of the Jaccard index
OBJECT_METRICS = ("dice", "jaccard", *(f"ap_{round(100 * threshold)}" for threshold in AP_THRESHOLDS), "count_error")
COUNT_METRICS = ("count_true", "count_predicted")

TRACK_COUNTS = ("identity_switches", "missed_links", "false_links")
TRACK_METRICS = ("tracking_tra", "tracking_seg", "complete_tracks", *TRACK_COUNTS)
"""Scores of the tracks of nuclei against true ones; see `tracking.score_tracks`."""
AGREEMENT_WITH_RAW = "_raw"
"""Suffix of the same scores where the tracks of raw had to stand in for true ones."""

CONTRAST = "contrast"
"""Standard deviation of a raw frame, in the unit of the stain; only for planes of a stack."""

BANDS = ("fine", "medium", "coarse")
"""Octave bands, as suffixes of metrics; see `bands`."""

MEAN_OF_TRUTH = "mean of the truth"
"""Method of the trivial prediction: the mean of all true images in every pixel."""

ALL_POSITIONS = "*"
"""Position of a row that applies to all images together."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value in a table of metrics.

    Attributes
    ----------
    position
        Name of the position.
    method
        Name of the movie: ``"raw"``, ``"truth"``, ``"phase"`` (the label-free input), or the temporal filter.
    channel
        Name of the channel.
    frame
        Index of the frame, None for the complete movie.
    metric
        Name of the metric.
    value
        The value; NaN where the metric is not defined, such as the correlation of a constant image.
    z
        Index of the plane, None where the position has one, or where it is not known: before there was such a column.
    """

    position: str
    method: str
    channel: str
    frame: int | None
    metric: str
    value: float
    z: int | None = None


HEADER_OF_VOLUMES = tuple(field.name for field in fields(Row))
HEADER = HEADER_OF_VOLUMES[:-1]  # of tables in which no row has a plane


def summarize(rows: Iterable[Row]) -> list[Row]:
    """Average each metric over the frames, and over the planes if there are several, ignoring NaN.

    Returns
    -------
    list[Row]
        One row per position, method, channel and metric, in order of first occurrence, with `frame` None.
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
    """Write rows as CSV, with the header ``position,method,channel,frame,metric,value``, and ``z`` if a row has it.

    The frame of a value for the complete movie is left empty. Values are written with full precision.
    """
    rows = list(rows)
    header = HEADER if all(row.z is None for row in rows) else HEADER_OF_VOLUMES
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(astuple(row)[: len(header)] for row in rows)


def read_csv(path: Path) -> list[Row]:
    """Read rows written by `write_csv`.

    Raises
    ------
    DataError
        If the file is not a table of metrics.
    """
    require_regular_file(path, MAX_TEXT_BYTES)
    with path.open(newline="", encoding="utf-8") as file:
        header, *records = [tuple(record) for record in csv.reader(file)] or [()]
    if header not in {HEADER, HEADER_OF_VOLUMES}:
        raise DataError(f"{path} is not a table of metrics: its first line must be {','.join(HEADER)}")
    try:
        return [_parse(header, record) for record in records]
    except ValueError as error:
        raise DataError(f"{path} has an invalid line: {error}") from error


def _parse(header: tuple[str, ...], record: tuple[str, ...]) -> Row:
    if len(record) != len(header):
        raise ValueError(f"it has {len(record)} values instead of {len(header)}")
    position, method, channel, frame, metric, value, *planes = record
    numbers = [int(number) if number else None for number in (frame, *planes)]
    return Row(position, method, channel, numbers[0], metric, float(value), *numbers[1:])
