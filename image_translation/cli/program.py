"""How every command runs: one-line errors, exit codes, notes on stderr, results on stdout, and Ctrl-C."""

import argparse
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from image_translation.errors import ImageTranslationError

PROGRAM = "image-translation"
INTERRUPTED = 130
PATIENCE = 1.5  # seconds that an interrupted run may take to stop by itself

_log = logging.getLogger("image_translation")


def execute(arguments: argparse.Namespace) -> int:
    """Call ``arguments.run`` with the arguments, and turn what it raises into one line and an exit code.

    Parameters
    ----------
    arguments
        Parsed arguments; beside their own, ``run`` and ``verbose``.

    Returns
    -------
    int
        0 when done, 1 if the run failed, 2 for wrong usage, 130 when interrupted.
    """
    level = logging.DEBUG if arguments.verbose else logging.INFO
    logging.basicConfig(level=logging.WARNING, format=f"{PROGRAM}: %(message)s", stream=sys.stderr)
    _log.setLevel(level)
    try:
        with _leave_soon_when_interrupted():
            arguments.run(arguments)
    except ImageTranslationError as error:
        _log.error("error: %s", error)
        return error.exit_code
    except OSError as error:
        _log.error("error: %s", error, exc_info=arguments.verbose)
        return 1
    except KeyboardInterrupt:
        _log.error("interrupted; the same command goes on from here")
        return INTERRUPTED
    return 0


def run_process(main: Callable[[], int]) -> NoReturn:
    """Run a command as a process, and end it with the command's exit code."""
    code = main()
    if code == INTERRUPTED:
        # The libraries' threads and their tidying up would keep the person waiting who has just pressed Ctrl-C.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    """Parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Leave with one line and exit code 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help that tells the defaults, but for those that only say that nothing was given."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        nothing: tuple[object, ...] = (None, False, [], (None, None))
        silent = action.nargs == 0 or action.default in nothing
        return action.help if silent else super()._get_help_string(action)


def say(text: object) -> None:
    """Write a result to stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def parse_path(text: str) -> Path:
    """Turn an argument into a path."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("give a path")
    return Path(text).expanduser()


def parse_frames(text: str) -> tuple[int | None, int | None]:
    """Turn an argument such as ``3:20`` into the numbers of the first frame and of the one after the last."""
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if not match:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not START:STOP; numbers count from 0, and either may be left out"
        )
    start, stop = (int(number) if number else None for number in match.groups())
    return start, stop


@contextmanager
def _leave_soon_when_interrupted() -> Iterator[None]:
    """Make sure that Ctrl-C ends the process, even where one call into a library lasts long.

    Python handles a signal between two of its own instructions, which a large convolution can hold up for seconds.
    The wake-up descriptor is written at once, and a thread that waits for it pulls the plug if nothing else did: the
    journal makes a run safe to kill at any moment.
    """
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    earlier = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while received := os.read(reader, 1):
            if signal.SIGINT in received:
                threading.Event().wait(PATIENCE)
                os._exit(INTERRUPTED)
        os.close(reader)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier)
        os.close(writer)
