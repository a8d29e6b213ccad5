"""The two ways in which a run can fail through no fault of the program, and words for them."""

from collections.abc import Sequence


class ImageTranslationError(Exception):
    """Base of the errors that are reported as one line, without a traceback."""

    exit_code = 1


class UsageError(ImageTranslationError):
    """An argument that cannot be met: it names the argument, its value, and what is allowed."""

    exit_code = 2


class DataError(ImageTranslationError):
    """A store, chunk or checkpoint that cannot be read or written: it names the path and what is wrong."""


def first_line(error: BaseException) -> str:
    """Return what an error of a library says in its first line, without tensorstore's list of source locations."""
    text = str(error).strip() or repr(error)
    return text.splitlines()[0].split(" [source locations=")[0]


def listing(items: Sequence[object], most: int = 20) -> str:
    """Write down names or numbers, the first few of many."""
    shown = ", ".join(str(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown}, ... ({len(items)} in all)"
