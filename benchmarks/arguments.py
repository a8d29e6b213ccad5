"""Argument types of the benchmarks; their error messages state the value and what is allowed."""

import argparse
import re
from collections.abc import Callable


def integer(minimum: int, maximum: int | None = None, *, reason: str = "") -> Callable[[str], int]:
    """Return an argument type for whole numbers of a range, both ends included.

    Parameters
    ----------
    minimum, maximum
        Allowed values; None is no upper limit.
    reason
        Where the limits come from, for the error message.
    """
    allowed = f"a whole number of at least {minimum}"
    if maximum is not None:
        allowed = f"a whole number from {minimum} to {maximum}"
    if reason:
        allowed += f" ({reason})"

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,9}", text) or not minimum <= (value := int(text)) <= (maximum or value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
        return value

    return parse
