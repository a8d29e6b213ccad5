"""The command ``inspect``: open the explorer in a browser, or write figures of every stage of a network to files."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from image_translation.cli.arguments import (
    add_device,
    add_head_pool,
    add_movie_metadata,
    add_overwrite,
    collect,
    parse_frames,
    parse_name_or_path,
    parse_path,
)
from image_translation.cli.program import announce, say
from image_translation.errors import UsageError

if TYPE_CHECKING:
    from image_translation.frame import Crop

PAGE = Path(__file__).parents[1] / "part1_inspection_widget.py"
_OUTPUT_DEFAULTS = {"frames": (None, None), "overwrite": False}  # options that require -o
_PAGE_DEFAULTS = {"host": "127.0.0.1", "port": None, "no_token": False, "no_browser": False}  # that exclude -o


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    group = parser.add_argument_group("what")
    group.add_argument(
        "-c",
        "--checkpoint",
        type=parse_name_or_path,
        metavar="CKPT",
        help="VisCy checkpoint, or a name; optional without -o",
    )
    group.add_argument(
        "-m", "--movie", type=parse_name_or_path,
        help="OME-Zarr store, TIFF file, folder or quoted pattern of TIFF files, or a name; optional without -o",
    )  # fmt: skip
    group.add_argument(
        "-o", "--output", type=parse_path, metavar="DIR",
        help="write figures and a table into this directory, instead of opening a page in the browser",
    )  # fmt: skip
    group.add_argument("--position", metavar="NAME", help="position; required if there are several")
    group.add_argument("--time", type=int, default=0, metavar="T", help="frame to show")
    group.add_argument("--z", default="middle", help="plane: an index or 'middle'")
    group.add_argument(
        "--channel", dest="channels", nargs="+", default=[], metavar="NAME",
        help="input channels of the network; those that it was trained with, or a default, if not given",
    )  # fmt: skip
    group.add_argument(
        "--crop",
        type=_crop,
        metavar="Y,X,HEIGHT,WIDTH",
        help="part of the field in pixels; all of it if not given",
    )
    group.add_argument("--compare", type=int, metavar="T", help="a second frame, in the same colours")
    group.add_argument(
        "--frames", type=parse_frames, default=(None, None), metavar="START:STOP",
        help="frames over which the change of each stage is measured; 8 from --time on if not given",
    )  # fmt: skip
    group.add_argument("--stage", metavar="NAME", help="show the components of a stage one by one, such as 'encoder 2'")
    add_movie_metadata(parser)
    group = parser.add_argument_group("network")
    group.add_argument(
        "--normalization", choices=["median_iqr", "mean_std", "percentiles", "none"],
        help="normalisation of the input over the field of view; that of the checkpoint if not given",
    )  # fmt: skip
    add_head_pool(group)
    add_device(group)
    group = parser.add_argument_group("run")
    add_overwrite(group, "existing files")
    group.add_argument(
        "--host", default=_PAGE_DEFAULTS["host"], metavar="NAME",
        help="name or IP address on which the page is served; by default other machines cannot reach it",
    )  # fmt: skip
    group.add_argument("--port", type=_port, help="port of the page; a free one if not given")
    group.add_argument(
        "--no-token",
        action="store_true",
        help="serve the page, and the names of your files, to all users of this machine",
    )
    group.add_argument("--no-browser", action="store_true", help="serve the page without opening a browser")


def run(arguments: argparse.Namespace) -> None:
    """Open the page, or write the files and print their directory."""
    if arguments.output is None:
        _open_page(arguments)
    else:
        _write(arguments)


def _write(arguments: argparse.Namespace) -> None:
    from image_translation.explorer.options import InspectOptions

    for name, flag in (("checkpoint", "-c"), ("movie", "-m")):
        if getattr(arguments, name) is None:
            raise UsageError(f"-o requires a {name}: give {flag}, a path or a name such as those of 'fetch --list'")
    for name, default in _PAGE_DEFAULTS.items():
        if getattr(arguments, name) != default:
            raise UsageError(f"--{name.replace('_', '-')} is for the page, which is opened without -o")
    options = collect(InspectOptions, arguments)
    options.check()
    announce("loading PyTorch")
    from image_translation.explorer.export import make_plan, write_inspection

    write_inspection(make_plan(options))
    say(options.output)


def _open_page(arguments: argparse.Namespace) -> None:
    from image_translation.explorer.presets import Presets

    for name, default in _OUTPUT_DEFAULTS.items():
        if getattr(arguments, name) != default:
            raise UsageError(f"--{name} is for files; add -o DIR")
    if arguments.z != "middle" and not arguments.z.isdecimal():
        raise UsageError(f"--z {arguments.z}: the page shows one plane; give its index, or 'middle'")
    defaults = {name: value for name, value in vars(Presets()).items() if getattr(arguments, name) is None}
    presets = collect(Presets, arguments, **defaults, z=None if arguments.z == "middle" else int(arguments.z))
    presets.check()
    from image_translation.explorer.server import open_server

    server = open_server(arguments.host, arguments.port, token=not arguments.no_token)
    say(f"Press Ctrl-C to stop the page at {server.address}")  # at the end, where terminals recognise the whole of it
    if arguments.no_token:
        say("It asks for no token: every user of this machine can open it, and browse the files that you can read.")
    server.run(PAGE, presets.to_arguments(), browser=not arguments.no_browser)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**16:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port; give a number from 1 to 65535, or leave it out for a free one"
        )
    return int(text)


def _crop(text: str) -> "Crop":
    from image_translation.frame import parse_crop

    try:
        return parse_crop(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
