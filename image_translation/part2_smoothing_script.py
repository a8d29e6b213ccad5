"""Stain and smooth a movie, and write its figures to data/figs: ``python image_translation/part2_smoothing_script.py``.

Stores and metrics are kept in a directory of their own: finished results are not computed again.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

# Python looks for modules beside a script first, where data/ or network/ would hide packages of the same name.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from image_translation.cli.arguments import (  # noqa: E402
    add_device,
    add_overwrite,
    add_positions,
    parse_frames,
    parse_name_or_path,
    parse_path,
)
from image_translation.cli.program import HelpFormatter, Parser, announce, execute, run_process, say  # noqa: E402

REGISTERED = ("pretrained_ckpt", "movie")
EMBEDDED = ("demo_ckpt", "demo_movie")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script.

    Parameters
    ----------
    argv
        Arguments without the script's name; those of the process when None.

    Returns
    -------
    int
        0 when done, 1 if the run failed, 2 for wrong usage, 130 when interrupted.
    """
    return execute(_parser().parse_args(argv))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="part2_smoothing_script.py",
        description="Stain a label-free movie, smooth it over time, and draw figures that compare the methods.",
        allow_abbrev=False,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--demo", action="store_true", help="use the embedded network and the simulated movie")
    parser.add_argument(
        "-c",
        "--checkpoint",
        type=parse_name_or_path,
        metavar="CKPT",
        help=f"path or name; {REGISTERED[0]} if not given",
    )
    parser.add_argument(
        "-m", "--movie", type=parse_name_or_path, help=f"OME-Zarr store or name; {REGISTERED[1]} if not given"
    )
    parser.add_argument(
        "-o", "--output", type=parse_path, default=Path("data/figs"), metavar="DIR", help="for the figures"
    )
    parser.add_argument(
        "--results", type=parse_path, metavar="DIR", help="for stores and metrics; below data/smoothed if not given"
    )
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="the recommended and simple ones if not given")
    parser.add_argument(
        "--frames",
        type=parse_frames,
        default=(None, None),
        metavar="START:STOP",
        help="frames to process; all if not given",
    )
    parser.add_argument("--channel", help="label-free channel; Phase3D or the only channel if not given")
    add_positions(parser)
    add_device(parser)
    add_overwrite(parser, "results of other options")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more, and show all rows of score cards")
    parser.set_defaults(run=_draw)
    return parser


def _draw(arguments: argparse.Namespace) -> None:
    from image_translation.errors import DataError, UsageError
    from image_translation.staining.figure_directory import replace_figures, require_replaceable
    from image_translation.staining.options import SmoothOptions

    checkpoint, movie = EMBEDDED if arguments.demo else REGISTERED
    checkpoint, movie = arguments.checkpoint or checkpoint, arguments.movie or movie
    output, results = arguments.output, arguments.results or _results(arguments, checkpoint, movie)
    options = SmoothOptions(
        checkpoint,
        movie,
        results,
        positions=tuple(arguments.positions),
        channel=arguments.channel,
        frames=arguments.frames,
        device=arguments.device,
        leave_out=not arguments.methods,
        overwrite=arguments.overwrite,
    )
    if arguments.methods:
        options = replace(options, methods=tuple(dict.fromkeys(arguments.methods)))
    options.check()
    replace(options, output=output).check()
    places = output.resolve(), results.resolve()
    if any(one in (other, *other.parents) for one, other in (places, places[::-1])):
        raise UsageError(f"-o {output}: must not hold the results {results}, nor lie inside them; choose another -o")
    require_replaceable(output)
    announce("loading PyTorch")

    from image_translation.data.http import UnreachableError
    from image_translation.metrics.score_card import score_cards
    from image_translation.metrics.score_card_text import format_score_cards
    from image_translation.staining.output_directory import FIGURES
    from image_translation.staining.plan import make_plan
    from image_translation.staining.run import smooth_movie

    try:
        plan = make_plan(options)
    except UnreachableError as error:
        raise DataError(f"{error}\n  Or use --demo, which needs no download.") from error
    rows = smooth_movie(plan)
    replace_figures(results / FIGURES, output)
    say(f"{format_score_cards(score_cards(rows), verbose=arguments.verbose)}\n")
    say(output)


def _results(arguments: argparse.Namespace, checkpoint: str, movie: str) -> Path:
    """Return the directory of the results, a different one for each input."""
    paths = [Path(name).expanduser() for name in (checkpoint, movie)]
    chosen = [str(path.resolve()) if path.exists() else str(path) for path in paths]
    chosen += [str(choice) for choice in (arguments.frames, arguments.channel, arguments.positions)]
    name = paths[1].name.removesuffix(".zarr").removesuffix(".ome")
    return Path("data/smoothed") / f"{name}-{crc32(repr(chosen).encode()):08x}"


if __name__ == "__main__":
    run_process(main)
