"""The command ``simulate``: a simulated movie, or a plate of them, as an OME-Zarr store."""

import argparse

from image_translation.cli.arguments import collect, parse_path, parse_size
from image_translation.cli.program import say
from image_translation.errors import UsageError

MOST_POSITIONS = 26 * 8  # wells of a simulated plate, rows A to Z


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        "-o", "--output", type=parse_path, required=True, metavar="STORE.ome.zarr", help="store to create"
    )
    parser.add_argument(
        "--size", dest="shape", type=parse_size, default=(256, 256), metavar="HEIGHTxWIDTH",
        help="of a frame, in pixels",
    )  # fmt: skip
    parser.add_argument("--frames", type=int, default=24, help="number of frames")
    parser.add_argument("--speed", type=float, default=1.0, help="mean speed of the cells, in pixels per frame")
    parser.add_argument("--flicker", type=float, default=1.0, help="0 none, 1 weak, 3 strong")
    parser.add_argument("--density", type=float, default=0.7, help="fraction of the area that cells cover, up to 1")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers")
    parser.add_argument(
        "--positions", type=int, metavar="N", help="a plate of N movies, from a fifth of the density to all of it"
    )


def run(arguments: argparse.Namespace) -> None:
    """Simulate, and write the store."""
    from image_translation.data.simulated import simulated_positions, write_simulated_movie, write_simulated_plate
    from image_translation.simulation.spec import MovieSpec

    spec = collect(MovieSpec, arguments)
    if arguments.positions is None:
        write_simulated_movie(spec, arguments.output)
    elif 0 < arguments.positions <= MOST_POSITIONS:
        write_simulated_plate(simulated_positions(spec, arguments.positions), arguments.output)
    else:
        raise UsageError(f"--positions {arguments.positions}: must be from 1 to {MOST_POSITIONS}")
    say(arguments.output)
