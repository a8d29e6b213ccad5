"""The command line: arguments in, exit code out. Heavy libraries are imported only by the command that needs them."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from image_translation.cli.program import (
    PROGRAM,
    HelpFormatter,
    Parser,
    execute,
    parse_frames,
    parse_path,
    run_process,
    say,
)
from image_translation.errors import UsageError

if TYPE_CHECKING:
    from image_translation.staining.options import SmoothOptions

MOST_POSITIONS = 26 * 8  # wells of a simulated plate: a letter a row


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
    return execute(_parser(command).parse_args(arguments))


def run() -> NoReturn:
    """Run the command line as a process."""
    run_process(main)


def _parser(command: str | None = None) -> argparse.ArgumentParser:
    """Make the parser, with the arguments of one command, whose modules are imported for them, or of all."""
    parser = Parser(
        prog=PROGRAM, description="Virtual staining of label-free movies, steady in time.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, (text, add) in _COMMANDS.items():
        own = _command(commands, name, text)
        if command in {None, name}:
            add(own)
    return parser


def _command(commands: "argparse._SubParsersAction[Parser]", name: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False, formatter_class=HelpFormatter)
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    return parser


def _add_smooth(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_smooth)

    group = parser.add_argument_group("what")
    group.add_argument(
        "-c", "--checkpoint", required=True, metavar="CKPT", help="VisCy 2D checkpoint, or a name such as demo_ckpt"
    )
    group.add_argument("-m", "--movie", required=True, help="OME-Zarr store, or a name such as demo_movie (see fetch)")
    group.add_argument(
        "-o", "--output", required=True, type=parse_path, metavar="DIR", help="directory for the results"
    )
    group.add_argument(
        "--position", dest="positions", action="append", default=[], metavar="NAME",
        help="position or pattern such as 'B/*/0'; may be repeated; all positions if not given",
    )  # fmt: skip
    group.add_argument(
        "--skip", action="append", default=[], metavar="NAME",
        help="position or pattern to leave out; may be repeated",
    )  # fmt: skip
    group.add_argument("--channel", help="label-free channel; Phase3D or the only channel if not given")
    group.add_argument("--z", default="middle", help="plane: an index, 'middle' or 'all'")
    group.add_argument(
        "--frames",
        type=parse_frames,
        default=(None, None),
        metavar="START:STOP",
        help="frames to take; all if not given",
    )

    group = parser.add_argument_group("smoothing")
    group.add_argument(
        "--methods", nargs="+", default=["raw", "window", "savgol", "motion"], metavar="METHOD",
        choices=["raw", "window", "savgol", "median", "motion", "causal"],
        help="results to write: raw, window, savgol, median, motion (recommended), causal",
    )  # fmt: skip
    group.add_argument(
        "--window", type=int, default=2, help="moving average: 2 (a frame and the next), or odd and centred"
    )
    group.add_argument("--savgol-window", type=int, default=11, help="Savitzky-Golay: frames in the window, odd")
    group.add_argument("--savgol-polyorder", type=int, default=3, help="Savitzky-Golay: order of the polynomial")
    group.add_argument("--median-window", type=int, default=5, help="median: frames in the window, odd")
    group.add_argument("--motion-window", type=int, default=7, help="motion: frames in the window, odd")
    group.add_argument("--causal-lag", type=int, default=1, help="causal: frames that are waited for")
    group.add_argument(
        "--keep-shake", action="store_true", help="motion, causal: leave in what shakes the whole image to and fro"
    )

    group = parser.add_argument_group("network")
    group.add_argument(
        "--normalization", choices=["median_iqr", "mean_std", "none"],
        help="of the phase, over the field of view; what the checkpoint says if not given",
    )  # fmt: skip
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"], help="of the network")
    group.add_argument(
        "--batch-size", type=int, help="frames at a time; 1 on a CPU and what fits into a GPU's memory if not given"
    )
    group.add_argument("--tta", action="store_true", help="mean over 8 rotations and flips of each frame")

    group.add_argument(
        "--backend", default="eager", choices=["eager", "compile"],
        help="compile: make the network faster by PyTorch's compiler first, which takes a minute; for GPUs",
    )  # fmt: skip
    group.add_argument(
        "--no-cache", dest="cache", action="store_false", help="compile anew, and do not keep what was compiled"
    )

    group = parser.add_argument_group("run")
    group.add_argument(
        "--scheduler", metavar="WHERE",
        help="stain the positions of a plate side by side, with Dask: local:N is N processes on this machine, "
        "tcp://HOST:PORT any Dask cluster; one after the other in this process if not given",
    )  # fmt: skip
    group.add_argument("--overwrite", action="store_true", help="replace results of other options")
    group.add_argument("--dry-run", action="store_true", help="say what would be done, and write nothing")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=parse_path, default=Path("data/demo"), metavar="DIR", help="for the results"
    )
    parser.set_defaults(run=_demo)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    from image_translation.cli.evaluate import add_arguments

    add_arguments(parser)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    from image_translation.cli.inspect import add_arguments

    add_arguments(parser)


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    from image_translation.cli.fetch import add_fetch_arguments

    add_fetch_arguments(parser)


def _add_registry(parser: argparse.ArgumentParser) -> None:
    from image_translation.cli.fetch import add_registry_arguments

    add_registry_arguments(parser)


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=parse_path, required=True, metavar="STORE.ome.zarr", help="store to create"
    )
    parser.add_argument("--size", type=_size, default=(256, 256), metavar="HEIGHTxWIDTH", help="of a frame, in pixels")
    parser.add_argument("--frames", type=int, default=24, help="number of frames")
    parser.add_argument("--speed", type=float, default=1.0, help="mean speed of the cells, in pixels per frame")
    parser.add_argument("--flicker", type=float, default=1.0, help="0 none, 1 weak, 3 strong")
    parser.add_argument("--density", type=float, default=0.7, help="share of the area that cells cover, up to 1")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another movie")
    parser.add_argument(
        "--positions", type=int, metavar="N", help="a plate of N movies, from a fifth of the density to all of it"
    )
    parser.set_defaults(run=_simulate)


def _add_train(parser: argparse.ArgumentParser) -> None:
    from image_translation.cli.train import add_arguments

    add_arguments(parser)


_COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "smooth": ("Stain a label-free movie and smooth the result over time.", _add_smooth),
    "demo": ("Run the main job on a simulated movie, with the bundled network.", _add_demo),
    "evaluate": ("Score predictions that lie on disk: how steady, faithful and sharp.", _add_evaluate),
    "inspect": ("Show what every stage of a network makes of an image.", _add_inspect),
    "fetch": ("Get published datasets and checkpoints by name, or list them.", _add_fetch),
    "registry": ("List the files of an OME-Zarr directory and their sums, to publish it.", _add_registry),
    "simulate": ("Write a simulated movie: phase, and the true nuclei and membrane.", _add_simulate),
    "train": ("Train a network to translate channels of a store into others.", _add_train),
}


def _smooth(arguments: argparse.Namespace) -> None:
    from image_translation.staining.options import SmoothOptions

    given = {field.name: getattr(arguments, field.name) for field in fields(SmoothOptions)}
    options = SmoothOptions(
        **given
        | {name: tuple(given[name]) for name in ("positions", "skip")}
        | {"methods": tuple(dict.fromkeys(given["methods"]))}
    )
    options.check()
    if arguments.dry_run and _say_what_is_missing(options):
        return
    from image_translation.staining.plan import make_plan

    plan = make_plan(options)
    if arguments.dry_run:
        from image_translation.staining.dry_run import describe
        from image_translation.staining.output_directory import survey

        say(describe(survey(plan).plan))
    else:
        from image_translation.staining.run import smooth_movie

        smooth_movie(plan)
    say(options.output)


def _say_what_is_missing(options: "SmoothOptions") -> bool:
    """Tell what would be fetched first; without it a plan cannot be made."""
    from image_translation.data.lookup import missing

    wanted = list(missing(options.checkpoint, options.movie))
    for entry in wanted:
        say(f"would fetch    {entry.name}: {entry.address}")
    if wanted:
        names = " ".join(dict.fromkeys(entry.name for entry in wanted))
        say(f"To see what would be done with it: {PROGRAM} fetch {names}, then the same command.\n{options.output}")
    return bool(wanted)


def _demo(arguments: argparse.Namespace) -> None:
    from image_translation.staining.options import SmoothOptions

    options = SmoothOptions("demo_ckpt", "demo_movie", arguments.output)
    options.check()
    from image_translation.data.lookup import locate
    from image_translation.metrics.score_card import format_score_card, score_cards
    from image_translation.staining.output_directory import FIGURES, belongs_to
    from image_translation.staining.plan import make_plan
    from image_translation.staining.run import smooth_movie

    # Its own earlier results are replaced, but no others.
    options = replace(options, overwrite=belongs_to(options.output, locate(options.movie)))
    for card in score_cards(smooth_movie(make_plan(options))):
        say(format_score_card(card))
    say(f"figures: {arguments.output / FIGURES}")
    say(arguments.output)


def _simulate(arguments: argparse.Namespace) -> None:
    from image_translation.data.simulated import simulated_positions, write_simulated_movie, write_simulated_plate
    from image_translation.simulation.spec import MovieSpec

    spec = MovieSpec(
        shape=arguments.size,
        frames=arguments.frames,
        speed=arguments.speed,
        flicker=arguments.flicker,
        density=arguments.density,
        seed=arguments.seed,
    )
    if arguments.positions is None:
        write_simulated_movie(spec, arguments.output)
    elif 0 < arguments.positions <= MOST_POSITIONS:
        write_simulated_plate(simulated_positions(spec, arguments.positions), arguments.output)
    else:
        raise UsageError(f"--positions {arguments.positions}: must be from 1 to {MOST_POSITIONS}")
    say(arguments.output)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 256x256")
    return int(match[1]), int(match[2])


def _version() -> str:
    from importlib.metadata import version

    return f"{PROGRAM} {version(PROGRAM)}"
