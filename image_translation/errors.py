"""Exceptions for expected failures (wrong usage, bad data), and helpers for error messages."""

from collections.abc import Sequence


class ImageTranslationError(Exception):
    """Base class of errors that the command line reports as one line, without a traceback."""

    exit_code = 1


class UsageError(ImageTranslationError):
    """Invalid argument; the message names the argument, its value and the allowed values."""

    exit_code = 2


class DataError(ImageTranslationError):
    """Store, chunk or checkpoint that cannot be read or written; the message names the path and the problem."""


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, without the source locations that tensorstore appends."""
    text = str(error).strip() or repr(error)
    return text.splitlines()[0].split(" [source locations=")[0]


def listing(items: Sequence[object], limit: int = 20) -> str:
    """Join names or numbers with commas, truncated to the first `limit` items."""
    shown = ", ".join(str(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown}, ... ({len(items)} in all)"
