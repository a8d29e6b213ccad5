"""One try, and how it ended."""

import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from image_translation.errors import ImageTranslationError

SECONDS = 20
_LONGEST_MESSAGE = 3000  # characters; messages list names

Rng = np.random.Generator
Kind = Literal["accepted", "refused", "fault"]


@dataclass(frozen=True)
class Try:
    """Something to try.

    Attributes
    ----------
    what
        What was damaged, for the report.
    run
        Raises an `ImageTranslationError` to refuse it, an ``AssertionError`` if the result is wrong.
    """

    what: str
    run: Callable[[], Any]


@dataclass(frozen=True)
class Outcome:
    """How a try ended; `detail` is the message, or the traceback of a fault."""

    what: str
    kind: Kind
    detail: str = ""


def attempt(one: Try) -> Outcome:
    """Run a try with a time limit, and with warnings as errors."""
    try:
        with warnings.catch_warnings(), _time_limit():
            warnings.simplefilter("error")
            one.run()
    except ImageTranslationError as error:
        message = str(error)
        if not message.isprintable() or len(message) > _LONGEST_MESSAGE:
            return Outcome(one.what, "fault", f"message of the error: {message!r:.1000}")
        return Outcome(one.what, "refused", message)
    except Exception:  # noqa: BLE001 - whatever else comes out is what is looked for
        return Outcome(one.what, "fault", traceback.format_exc(limit=-6))
    return Outcome(one.what, "accepted")


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        msg = f"not done within {SECONDS} s"
        raise TimeoutError(msg)

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)
