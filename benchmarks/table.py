"""Measurements with their targets, and their table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HEADER = ("what", "ours", "baseline", "ratio", "target", "met?")


Bound = Literal["at least", "at most"]


@dataclass(frozen=True)
class Measurement:
    """One measured value, its baseline and its target.

    Attributes
    ----------
    what
        Short description.
    ours
        Value of the package.
    baseline
        Value to compare with; None if the target is absolute.
    unit
        Unit of both.
    target
        Target of the ratio; without a baseline, of the value itself. None: for information only.
    bound
        "at least": the ratio is baseline / ours, a speed-up. "at most": the ratio is ours / baseline.
    higher_is_better
        Of a rate, for instance: "at least" then has the ratio ours / baseline.
    """

    what: str
    ours: float
    baseline: float | None
    unit: str
    target: float | None
    bound: Bound
    higher_is_better: bool = False

    @property
    def ratio(self) -> float:
        if self.baseline is None:
            return self.ours
        is_speed_up = self.bound == "at least" and not self.higher_is_better
        return self.baseline / self.ours if is_speed_up else self.ours / self.baseline

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.ratio >= self.target if self.bound == "at least" else self.ratio <= self.target

    def cells(self) -> tuple[str, ...]:
        is_absolute = self.baseline is None
        baseline = "" if self.baseline is None else _number(self.baseline, self.unit)
        ratio = "" if is_absolute else f"{self.ratio:.2f}"
        target, met = "", ""
        if self.target is not None:
            target = f"{self.bound} {self.target:g}{f' {self.unit}' if is_absolute else ''}".rstrip()
            met = "yes" if self.met else "NO"
        return self.what, _number(self.ours, self.unit), baseline, ratio, target, met


def format_table(measurements: Sequence[Measurement]) -> str:
    """Return measurements as a table in plain text."""
    rows = [HEADER, *(measurement.cells() for measurement in measurements)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = [
        "  ".join(cell.rjust(width) if 0 < n < 4 else cell.ljust(width) for n, (cell, width) in enumerate(pairs))
        for pairs in (zip(row, widths, strict=True) for row in rows)
    ]
    texts.insert(1, "-" * len(texts[0]))
    return "\n".join(text.rstrip() for text in texts)


def _number(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}".rstrip() if value >= 100 else f"{value:.3g} {unit}".rstrip()


def format_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells, the first of which is the header, as a Markdown table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
