"""What was measured, and the table that says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HEADER = ("what", "ours", "baseline", "ratio", "reach", "met?")


@dataclass(frozen=True)
class Line:
    """One measurement beside what is to be reached.

    Attributes
    ----------
    what
        What was measured, in a few words.
    ours
        The package's number.
    baseline
        The number to compare with; None if the limit is one of our own.
    unit
        Unit of both.
    limit
        What the ratio is to reach; without a baseline, what ours is to reach. None: it is there to be known.
    bound
        "at least": baseline over ours, so many times better. "at most": ours over baseline, such a share.
    more
        Whether more is better, as of a rate: "at least" is then ours over baseline.
    """

    what: str
    ours: float
    baseline: float | None
    unit: str
    limit: float | None
    bound: Literal["at least", "at most"]
    more: bool = False

    @property
    def ratio(self) -> float:
        if self.baseline is None:
            return self.ours
        times_better = self.bound == "at least" and not self.more
        return self.baseline / self.ours if times_better else self.ours / self.baseline

    @property
    def met(self) -> bool:
        if self.limit is None:
            return True
        return self.ratio >= self.limit if self.bound == "at least" else self.ratio <= self.limit

    def cells(self) -> tuple[str, ...]:
        own_limit = self.baseline is None
        baseline = "" if self.baseline is None else _number(self.baseline, self.unit)
        ratio = "" if own_limit else f"{self.ratio:.2f}"
        reach, met = "", ""
        if self.limit is not None:
            reach = f"{self.bound} {self.limit:g}{f' {self.unit}' if own_limit else ''}".rstrip()
            met = "yes" if self.met else "NO"
        return self.what, _number(self.ours, self.unit), baseline, ratio, reach, met


def format_lines(lines: Sequence[Line]) -> str:
    """Return the measurements as a table in plain text."""
    rows = [HEADER, *(line.cells() for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = [
        "  ".join(cell.rjust(width) if 0 < n < 4 else cell.ljust(width) for n, (cell, width) in enumerate(pairs))
        for pairs in (zip(row, widths, strict=True) for row in rows)
    ]
    texts.insert(1, "-" * len(texts[0]))
    return "\n".join(text.rstrip() for text in texts)


def _number(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}".rstrip() if value >= 100 else f"{value:.3g} {unit}".rstrip()
