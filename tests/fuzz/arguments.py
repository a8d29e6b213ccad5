"""Command lines with random options and values."""

import argparse
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from support.stores import phase, write_image

from fuzz.attempt import Rng, Try
from fuzz.damage import NAMES, NUMBERS
from image_translation.cli import commands
from image_translation.errors import DataError

_VALUES = (
    *NAMES,
    *map(str, NUMBERS),
    "3:1",
    ":",
    "1:",
    "-5:",
    "64x64",
    "0x0",
    "1e9x1",
    "1,2,3,4",
    "cpu",
    "cuda:99",
    "raw",
)
_BASES = {
    "smooth": ["-c", "{checkpoint}", "-m", "{movie}", "-o", "{out}", "--dry-run"],
    "evaluate": ["{movie}", "--truth", "{movie}", "-o", "{out}"],
    "simulate": ["-o", "{out}", "--size", "32x32", "--frames", "1"],
    "train": ["{movie}", "--source", "Phase3D", "--target", "Phase3D", "-o", "{out}"],
    "inspect": ["-c", "{checkpoint}", "-m", "{movie}", "-o", "{out}"],
    "fetch": ["--list"],
    "registry": ["{movie}"],
}
_UNSAFE = ("--steps", "--epochs")  # a large number is legal, and runs for long


def argument_tries(rng: Rng, checkpoint: Path, scratch: Path) -> Iterator[Try]:
    """Yield every command with one to three random options with random values."""
    import image_translation.training.run  # noqa: F401 - takes longer than a try may

    movie = write_image(scratch / "movie.ome.zarr", phase(4, (32, 32)))
    parsers = _parsers()
    number = 0
    while True:
        number += 1
        command = list(_BASES)[rng.integers(len(_BASES))]
        places = {"checkpoint": checkpoint, "movie": movie, "out": scratch / f"out{number}"}
        arguments = [part.format(**places) for part in _BASES[command]]
        for _ in range(rng.integers(1, 4)):
            if rng.random() < 0.2:
                arguments[rng.integers(len(arguments))] = _value(rng)
                continue
            options = [action for action in parsers[command]._actions if action.option_strings]
            action = options[rng.integers(len(options))]
            if action.option_strings[-1] in _UNSAFE or action.dest == "help":
                continue
            arguments.append(action.option_strings[-1])
            if action.nargs != 0:
                choices = list(action.choices or ()) if rng.random() < 0.5 else []
                arguments += [choices[rng.integers(len(choices))] if choices else _value(rng)]
        if command == "inspect" and "-o" not in arguments:
            continue  # it would serve the page
        yield Try(" ".join([command, *arguments])[:300], lambda line=[command, *arguments]: _run(line))


def _parsers() -> dict[str, argparse.ArgumentParser]:
    parser = commands.make_parser()
    (action,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    found: Any = action.choices
    return dict(found)


def _value(rng: Rng) -> str:
    return _VALUES[rng.integers(len(_VALUES))]


def _run(line: list[str]) -> None:
    """Run a command; an exit code other than 0 has one line of explanation."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = commands.main(line)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 3
    assert code in (0, 1, 2), f"exit code {code}"
    if code:
        lines = err.getvalue().strip().splitlines()
        raise DataError(lines[-1] if lines else "")
