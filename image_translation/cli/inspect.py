"""The command ``inspect``: opens the explorer in a browser, or writes pictures of every stage of the network."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from image_translation.cli.program import parse_frames, parse_path, say
from image_translation.errors import UsageError

if TYPE_CHECKING:
    from image_translation.frame import Crop

PAGE = Path(__file__).parents[1] / "part1_inspection_widget.py"
_FOR_PICTURES = {
    "frames": (None, None),
    "overwrite": False,
}  # what makes sense with -o alone, and what it is if not given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it runs, to its parser."""
    parser.set_defaults(run=run)
    group = parser.add_argument_group("what")
    group.add_argument(
        "-c", "--checkpoint", metavar="CKPT", help="VisCy 2D checkpoint, or a name; without -o the embedded one will do"
    )
    group.add_argument("-m", "--movie", help="OME-Zarr store, or a name; without -o the embedded one will do")
    group.add_argument(
        "-o", "--output", type=parse_path, metavar="DIR",
        help="write figures and a table into this directory, instead of opening a page in the browser",
    )  # fmt: skip
    group.add_argument("--position", metavar="NAME", help="position; needed if there are several")
    group.add_argument("--time", type=int, default=0, metavar="T", help="frame to show")
    group.add_argument("--z", default="middle", help="plane: an index or 'middle'")
    group.add_argument(
        "--channel", dest="channels", nargs="+", default=[], metavar="NAME",
        help="what the network is shown; the channels that it was trained with, or the obvious one, if not given",
    )  # fmt: skip
    group.add_argument(
        "--crop", type=_crop, metavar="Y,X,HEIGHT,WIDTH", help="part of the field, in pixels; all if not given"
    )
    group.add_argument("--compare", type=int, metavar="T", help="a second frame, in the same colours")
    group.add_argument(
        "--frames", type=parse_frames, default=(None, None), metavar="START:STOP",
        help="frames whose change is measured, stage by stage; 8 from --time on if not given",
    )  # fmt: skip
    group.add_argument("--stage", metavar="NAME", help="show the components of a stage one by one, such as 'encoder 2'")
    group = parser.add_argument_group("network")
    group.add_argument(
        "--normalization", choices=["median_iqr", "mean_std", "none"],
        help="of the input, over the field of view; what the checkpoint says if not given",
    )  # fmt: skip
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group = parser.add_argument_group("run")
    group.add_argument("--overwrite", action="store_true", help="replace files that are there")
    group.add_argument("--port", type=int, help="of the page; a free one if not given")
    group.add_argument("--no-browser", action="store_true", help="serve the page, and open no browser")


def run(arguments: argparse.Namespace) -> None:
    """Open the page, or write the pictures and say where they are."""
    if arguments.output is None:
        _open_page(arguments)
    else:
        _write(arguments)


def _write(arguments: argparse.Namespace) -> None:
    from dataclasses import fields

    from image_translation.explorer.options import InspectOptions

    for name, flag in (("checkpoint", "-c"), ("movie", "-m")):
        if getattr(arguments, name) is None:
            raise UsageError(f"-o needs a {name}, too: {flag}, a path or a name such as those of 'fetch --list'")
    if arguments.port or arguments.no_browser:
        raise UsageError("--port and --no-browser are for the page, which is opened without -o")
    given = {field.name: getattr(arguments, field.name) for field in fields(InspectOptions)}
    options = InspectOptions(**given | {"channels": tuple(given["channels"])})
    options.check()
    from image_translation.explorer.export import inspect

    inspect(options)
    say(options.output)


def _open_page(arguments: argparse.Namespace) -> None:
    from image_translation import data
    from image_translation.explorer.presets import Presets

    for name, nothing in _FOR_PICTURES.items():
        if getattr(arguments, name) != nothing:
            raise UsageError(f"--{name} is for pictures in a directory: add -o DIR")
    if arguments.z != "middle" and not arguments.z.isdecimal():
        raise UsageError(f"--z {arguments.z}: the page shows one plane; give its index, or 'middle'")
    names = ("checkpoint", "movie", "position", "time", "compare", "stage", "crop", "normalization", "device")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    plane = None if arguments.z == "middle" else int(arguments.z)
    presets = Presets(**given, z=plane, channels=tuple(arguments.channels))
    data.locate(presets.checkpoint, kind="checkpoint")
    data.locate(presets.movie, kind="movie")
    where = ["--port", str(arguments.port)] if arguments.port else []
    where += ["--headless"] if arguments.no_browser else []
    marimo = [sys.executable, "-m", "marimo", "-y", "run", str(PAGE), *where, "--", *presets.words()]
    say("The page opens in a browser; Ctrl-C ends it.")
    if os.name == "posix":
        os.execv(sys.executable, marimo)  # noqa: S606 - its signals and its exit code are the page's own
    sys.exit(subprocess.call(marimo))  # noqa: S603


def _crop(text: str) -> "Crop":
    from image_translation.frame import parse_crop

    try:
        return parse_crop(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
