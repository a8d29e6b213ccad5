"""The command ``inspect``: arguments in, pictures of every stage of the network out."""

import argparse
import re
from typing import TYPE_CHECKING

from image_translation.program import parse_frames, parse_path, say

if TYPE_CHECKING:
    from image_translation.frame import Crop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it runs, to its parser."""
    parser.set_defaults(run=run)
    group = parser.add_argument_group("what")
    group.add_argument("-c", "--checkpoint", required=True, metavar="CKPT", help="VisCy 2D checkpoint, or a name")
    group.add_argument("-m", "--movie", required=True, help="OME-Zarr store, or a name")
    group.add_argument(
        "-o", "--output", required=True, type=parse_path, metavar="DIR", help="directory for figures and table"
    )
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


def run(arguments: argparse.Namespace) -> None:
    """Look inside the network, and say where the pictures are."""
    from dataclasses import fields

    from image_translation.inspect_options import InspectOptions

    given = {field.name: getattr(arguments, field.name) for field in fields(InspectOptions)}
    options = InspectOptions(**given | {"channels": tuple(given["channels"])})
    options.check()
    from image_translation.inspection_figures import inspect

    inspect(options)
    say(options.output)


def _crop(text: str) -> "Crop":
    match = re.fullmatch(r"(\d+),(\d+),(\d+),(\d+)", text)
    if not match or not (int(match[3]) and int(match[4])):
        raise argparse.ArgumentTypeError(f"{text!r} is not Y,X,HEIGHT,WIDTH in pixels, such as 100,200,256,256")
    from image_translation.frame import Crop

    return Crop(*map(int, match.groups()))
