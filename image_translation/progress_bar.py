"""What a command is doing, on stderr: one progress bar on a terminal, a few plain lines where there is none."""

import logging
import sys
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any, Self

from tqdm import tqdm

LINE_INTERVAL = 30.0  # seconds between two lines, at least

_log = logging.getLogger(__name__)


class ProgressBar:
    """Progress of work in one or several parts, as a bar; without a terminal, as log messages.

    Parameters
    ----------
    total
        Amount of work, in `unit`, of all parts.
    description
        What is done first.
    unit
        What is counted.
    count
        Amount of work of the first part, for the log; all if not given.
    leave
        Whether the bar stays on the terminal when it is complete.
    """

    def __init__(
        self, total: int, description: str, unit: str = "frame", *, count: int | None = None, leave: bool = True
    ) -> None:
        self._bar = tqdm(total=total, unit=unit, disable=None, dynamic_ncols=True, leave=leave)
        self._total, self._unit, self._done = total, unit, 0
        self._description, self._logged = "", 0.0
        self.begin(description, total if count is None else count)

    def begin(self, description: str, count: int | None = None) -> None:
        """Begin another part of the work, with its amount if that says something to the user."""
        self._description, self._logged = description, monotonic()
        self._bar.set_description(description)
        if self._bar.disable:
            amount = "" if count is None else f": {count} {self._unit}{'s'[: count != 1]}"
            _log.info("%s%s", description, amount)

    def update(self, count: int = 1) -> None:
        """Advance by an amount of work; back if it is negative."""
        self._done += count
        self._bar.update(count)
        if self._bar.disable and monotonic() - self._logged >= LINE_INTERVAL:
            self._logged = monotonic()
            _log.info("%s: %.0f %%", self._description, 100 * self._done / max(1, self._total))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()


def above_bar() -> AbstractContextManager[Any]:
    """Return a context in which something can be written to stderr; it ends up above the progress bar, if any."""
    return tqdm.external_write_mode(file=sys.stderr)
