"""How every command runs: one-line errors, exit codes, logs on stderr, results on stdout, and Ctrl-C."""

import argparse
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from image_translation.errors import DataError, ImageTranslationError, printable, shortened

PROGRAM = "image-translation"
INTERRUPTED = 130
GRACE_PERIOD = 1.5  # seconds that an interrupted run may take to stop by itself

_log = logging.getLogger("image_translation")


def execute(arguments: argparse.Namespace) -> int:
    """Call ``arguments.run(arguments)``, and turn errors into one line and an exit code.

    Parameters
    ----------
    arguments
        Parsed arguments, with ``run`` and ``verbose``.

    Returns
    -------
    int
        0 when done, 1 if the run failed, 2 for wrong usage, 130 when interrupted.
    """
    level = logging.DEBUG if arguments.verbose else logging.INFO
    logging.basicConfig(level=logging.WARNING, format=f"{PROGRAM}: %(message)s", handlers=[_LogHandler(sys.stderr)])
    _log.setLevel(level)
    try:
        with _exit_soon_when_interrupted():
            arguments.run(arguments)
    except ImageTranslationError as error:
        _log.error("error: %s", error)
        return error.exit_code
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename and not error.filename2 else error
        _log.error("error: %s", named, exc_info=arguments.verbose)
        return 1
    except KeyboardInterrupt:
        _log.error("interrupted; the same command resumes from here")
        return INTERRUPTED
    return 0


def run_process(main: Callable[[], int]) -> NoReturn:
    """Run a command as a process, and end it with the command's exit code."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: not every encoding has every character
    code = main()
    if code == INTERRUPTED:
        # Threads and exit handlers of libraries would keep the user waiting after Ctrl-C.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Connect standard streams that the caller closed to the null device.

    Else the next files that are opened, such as chunks of a store, get their numbers, and what libraries print lands in
    them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    # None where they were closed.
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


class Parser(argparse.ArgumentParser):
    """Argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with one line and exit code 2."""
        message = shortened(printable(message))
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help that shows defaults, except those that stand for an option that was not given."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        nothing: tuple[object, ...] = (None, False, [], (None, None))
        silent = action.nargs == 0 or action.default in nothing
        return action.help if silent else super()._get_help_string(action)


class _LogHandler(logging.StreamHandler):  # type: ignore[type-arg]  # not generic at run time
    """Writes log messages to stderr, above the progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        from image_translation.progress_bar import above_bar

        with above_bar():
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def announce(text: str) -> None:
    """Log what the program is about to do; call it before imports that take seconds."""
    _log.info("%s", text)


def say(text: object) -> None:
    """Print a result to stdout; nothing if its reader is gone, as after ``| head -1``.

    Raises
    ------
    DataError
        If stdout cannot be written to, as on a full disk.
    """
    try:
        sys.stdout.write(f"{printable(str(text))}\n")
        sys.stdout.flush()
    except OSError as error:
        # Else Python would try again when it exits, and fail with another exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise DataError(f"stdout cannot be written to: {error.strerror}") from error


@contextmanager
def _exit_soon_when_interrupted() -> Iterator[None]:
    """Make sure that Ctrl-C ends the process, even during a long call into a library.

    Python handles signals between two bytecode instructions, which a large convolution can delay for seconds. The
    wake-up file descriptor is written immediately; a thread that reads it ends the process after a grace period. The
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
                threading.Event().wait(GRACE_PERIOD)
                os._exit(INTERRUPTED)
        os.close(reader)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier)
        os.close(writer)
