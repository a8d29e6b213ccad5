"""The commands, and how their arguments are parsed and dispatched.

Each command is a module of this package with ``add_arguments(parser)`` and ``run(arguments)``. Only the module of the
requested command is imported, and it imports heavy libraries only once its options are checked.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from image_translation.cli.program import PROGRAM, HelpFormatter, Parser, execute, run_process

COMMANDS = {
    "smooth": "Stain a label-free movie and smooth the result over time.",
    "demo": "Run the main job on a simulated movie, with the bundled network.",
    "evaluate": "Score predictions on disk: how steady, faithful and sharp they are.",
    "inspect": "Show what every stage of a network makes of an image.",
    "fetch": "Download published datasets and checkpoints by name, or list them.",
    "registry": "List the files of an OME-Zarr directory and their checksums, to publish it.",
    "simulate": "Write a simulated movie: phase, and the true nuclei and membrane.",
    "track": "Segment and follow the nuclei of a stain: labels, tracks and lineages.",
    "train": "Train a network to translate channels of a store into others.",
}
"""Name of each command, which is also that of its module, and its description."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments without the program's name; those of the process when None.

    Returns
    -------
    int
        0 when done, 1 if the run failed, 2 for wrong usage, 130 when interrupted.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    return execute(make_parser(command).parse_args(arguments))


def run() -> NoReturn:
    """Run the command line as a process."""
    run_process(main)


def make_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser with the arguments of one command, whose module is imported for it, or of all commands."""
    parser = Parser(
        prog=PROGRAM, description="Virtual staining of label-free movies, steady in time.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, text in COMMANDS.items():
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False, formatter_class=HelpFormatter)
        one.add_argument("-v", "--verbose", action="store_true", help="say more, and show all rows of score cards")
        if command in {None, name}:
            module = import_module(f"image_translation.cli.{name}")
            module.add_arguments(one)
            one.set_defaults(run=module.run)
    return parser


def _version() -> str:
    from importlib.metadata import version

    return f"{PROGRAM} {version(PROGRAM)}"
