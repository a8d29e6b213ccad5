"""Exceptions for expected failures (wrong usage, bad data), and helpers for error messages."""

from collections.abc import Sequence

_LONGEST_LINE = 500  # characters, of another library's message
_LONGEST_TEXT = 2500


class ImageTranslationError(Exception):
    """Base class of errors that the command line reports as one line, without a traceback."""

    exit_code = 1

    def __str__(self) -> str:
        return shortened(printable(super().__str__()))


class UsageError(ImageTranslationError):
    """Invalid argument; the message names the argument, its value and the allowed values."""

    exit_code = 2


class DataError(ImageTranslationError):
    """Store, chunk or checkpoint that cannot be read or written; the message names the path and the problem."""


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, shortened, without the source locations of tensorstore."""
    text = str(error).strip() or repr(error)
    line = text.splitlines()[0].split(" [source locations=")[0]
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."


def printable(text: str) -> str:
    r"""Replace characters that would control a terminal by their escapes such as ``\x1b``; ends of lines are kept.

    Names in files and arguments can contain anything.
    """
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1] for character in text
    )


def shortened(text: str) -> str:
    """Cut a message that is too long to be read."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}... ({len(text)} characters)"


def listing(items: Sequence[object], limit: int = 20) -> str:
    """Join names or numbers with commas, truncated to the first `limit` items."""
    shown = ", ".join(str(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown}, ... ({len(items)} in all)"
