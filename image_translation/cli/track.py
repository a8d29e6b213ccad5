"""The command ``track``: a stain of nuclei in, labels, tracks and tables out."""

import argparse

from image_translation.cli.arguments import add_overwrite, add_positions, collect, parse_path
from image_translation.cli.program import announce, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    group = parser.add_argument_group("what")
    group.add_argument(
        "source", type=parse_path, metavar="RESULTS",
        help="results directory of smooth; or any OME-Zarr store or name, together with -o",
    )  # fmt: skip
    group.add_argument("--method", metavar="NAME", help="whose store is tracked; motion, else raw, if not given")
    group.add_argument(
        "--channel", metavar="NAME", help="Nuclei, or the only channel with a name of nuclei, if not given"
    )
    add_positions(group)
    group.add_argument("--z", default="middle", help="the plane: an index from 0, or middle")
    group = parser.add_argument_group("how")
    group.add_argument(
        "--diameter", type=float, metavar="PX", help="of a typical nucleus; estimated from the movie if not given"
    )
    group.add_argument(
        "--reach", type=float, metavar="PX",
        help="farthest that a nucleus moves from a frame to the next; the diameter if not given",
    )  # fmt: skip
    group = parser.add_argument_group("run")
    group.add_argument(
        "-o", "--output", type=parse_path, metavar="DIR",
        help="directory for everything; if not given, the labels become part of the store, and the rest is in "
        "RESULTS/tracks",
    )  # fmt: skip
    add_overwrite(group, "tracks that were made with other options")


def run(arguments: argparse.Namespace) -> None:
    """Track, and say what was found."""
    from image_translation.tracking.options import TrackingOptions

    options = collect(TrackingOptions, arguments)
    options.check()
    announce("loading LapTrack")
    from image_translation.tracking.plan import make_plan
    from image_translation.tracking.run import track

    plan = make_plan(options)
    for found in track(plan):
        text = f"{found.name}: {found.tracks} tracks of {found.nuclei} nuclei in {found.frames} frames"
        say(f"{text}, {found.divisions} division{'s'[: found.divisions != 1]}")
    say(plan.output)
