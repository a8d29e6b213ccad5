"""The command ``simulate``: a simulated movie, or a plate of them, as an OME-Zarr store."""

import argparse

from image_translation.cli.arguments import collect, parse_path, parse_size
from image_translation.cli.program import announce, say
from image_translation.errors import UsageError

_CAUSES = {
    "focus": "defocus and tilt of the focal plane, in depths of field; of all planes of a stack together",
    "texture": "granules that change within 2 frames, relative to those that move with the cells",
    "gain": "relative gain of the phase",
    "background": "smooth background of the phase, in radians, independent in each frame",
    "halo": "relative strength of the halo around cells",
    "lateral": "shift of the phase against the truth, in pixels",
    "stage": "shift of phase and truth together, in pixels, independent in each frame",
}
MOST_POSITIONS = 26 * 8  # wells of a simulated plate, rows A to Z


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        "-o", "--output", type=parse_path, required=True, metavar="STORE.ome.zarr", help="store to create"
    )
    field = parser.add_argument_group("field")
    field.add_argument(
        "--size", dest="shape", type=parse_size, default=(256, 256), metavar="HEIGHTxWIDTH",
        help="of a frame, in pixels",
    )  # fmt: skip
    field.add_argument("--frames", type=int, default=24, help="number of frames")
    field.add_argument(
        "--planes", type=int, default=1, metavar="Z",
        help="number of planes of a frame: 1 for projections of the cells, more for stacks through cells with height",
    )  # fmt: skip
    field.add_argument(
        "--plane-spacing", type=float, default=2.0, metavar="PX", help="distance of the planes of a stack, in pixels"
    )
    field.add_argument("--seed", type=int, default=0, help="of the random numbers")
    field.add_argument(
        "--positions", type=int, metavar="N", help="a plate of N movies, from a fifth of the density to all of it"
    )
    cells = parser.add_argument_group("cells")
    cells.add_argument("--density", type=float, default=0.7, help="fraction of the area that cells cover, up to 1")
    cells.add_argument("--speed", type=float, default=1.0, help="mean speed of the cells, in pixels per frame")
    cells.add_argument(
        "--cells", choices=("spread", "domes"), default="spread",
        help="flat cells that share borders, or domes that overlap",
    )  # fmt: skip
    cells.add_argument(
        "--motion", choices=("walk", "stream"), default="walk",
        help="each cell walks, or sheets stream, stop and turn together",
    )  # fmt: skip
    cells.add_argument(
        "--detaching", type=float, default=0.0, metavar="N", help="detachments per cell in 100 frames; 0 if not given"
    )
    optics = parser.add_argument_group("optics")
    optics.add_argument(
        "--optics", choices=("path", "reconstructed"), default="path",
        help="phase as the filtered optical path, or as reconstructed from a defocused image: of mean 0, "
        "without the lowest frequencies, with clouds of noise",
    )  # fmt: skip
    flicker = parser.add_argument_group(
        "flicker", "Strength of its causes, as standard deviations; 0 if not given. Half of the variance of each is "
        "independent in each frame, half a slow drift, unless noted."
    )  # fmt: skip
    flicker.add_argument(
        "--flicker", type=float,
        help="a typical mixture of the causes, added to those below: 0 none, 1 weak, 3 strong; default: 1, or 0 if "
        "a jitter below is given",
    )  # fmt: skip
    for cause, text in _CAUSES.items():
        flicker.add_argument(f"--{cause}-jitter", type=float, default=0.0, metavar="S", help=text)
    flicker.add_argument("--noise", type=float, default=0.02, help="of the phase, in radians")


def run(arguments: argparse.Namespace) -> None:
    """Simulate, and write the store."""
    announce("loading the simulation")
    from image_translation.data.simulated import simulated_positions, write_simulated_movie, write_simulated_plate
    from image_translation.simulation.spec import MovieSpec

    if arguments.flicker is None:
        arguments.flicker = 0.0 if any(getattr(arguments, f"{cause}_jitter") for cause in _CAUSES) else 1.0
    spec = collect(MovieSpec, arguments)
    if arguments.positions is None:
        write_simulated_movie(spec, arguments.output)
    elif 0 < arguments.positions <= MOST_POSITIONS:
        write_simulated_plate(simulated_positions(spec, arguments.positions), arguments.output)
    else:
        raise UsageError(f"--positions {arguments.positions}: must be from 1 to {MOST_POSITIONS}")
    say(arguments.output)
