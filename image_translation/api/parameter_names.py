"""Errors in the terms of Python: the checks are those of the commands, whose messages name options such as ``--z``."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from image_translation.errors import DataError, UsageError

OPTION = re.compile(r"(?<![\w-])--([a-z]\w*(?:-\w+)*)")
OTHERWISE = {"methods": "smooth", "keep_units": "rescale"}
"""Parameters that are not called as the option is."""


@contextmanager
def parameter_names() -> Iterator[None]:
    """Raise errors within it, or within a function that it decorates, with the names of parameters.

    What a command would call ``--savgol-window`` is then ``savgol_window``.
    """
    try:
        yield
    except (DataError, UsageError) as error:
        message = OPTION.sub(_parameter, str(error))
        if message == str(error):
            raise
        raise type(error)(message).with_traceback(error.__traceback__) from error.__cause__


def _parameter(option: re.Match[str]) -> str:
    name = option[1].replace("-", "_")
    return OTHERWISE.get(name, name)
