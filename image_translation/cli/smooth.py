"""The command ``smooth``: checkpoint and movie in, smoothed movies out."""

import argparse
from typing import TYPE_CHECKING

from image_translation.cli.arguments import (
    add_device,
    add_head_pool,
    add_movie_metadata,
    add_overwrite,
    add_positions,
    collect,
    parse_frames,
    parse_name_or_path,
    parse_path,
)
from image_translation.cli.program import PROGRAM, announce, say

if TYPE_CHECKING:
    from image_translation.staining.options import SmoothOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    group = parser.add_argument_group("what")
    group.add_argument(
        "-c",
        "--checkpoint",
        type=parse_name_or_path,
        required=True,
        metavar="CKPT",
        help="VisCy checkpoint, or a name such as demo_ckpt",
    )
    group.add_argument(
        "-m",
        "--movie",
        type=parse_name_or_path,
        required=True,
        help="OME-Zarr store, TIFF file, folder or quoted pattern of TIFF files, or a name such as demo_movie",
    )
    group.add_argument(
        "-o", "--output", required=True, type=parse_path, metavar="DIR", help="directory for the results"
    )
    add_positions(group)
    group.add_argument(
        "--skip", action="append", default=[], metavar="NAME",
        help="position or pattern to leave out; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--channel", nargs="+", metavar="NAME",
        help="input channel, or several in the order of the network's inputs; if not given, those that the network was "
        "trained with, Phase3D, or the only channel",
    )  # fmt: skip
    group.add_argument(
        "--output-channels", nargs="+", default=[], metavar="NAME",
        help="names of the channels that the network predicts, in its order; what the checkpoint says if not given",
    )  # fmt: skip
    group.add_argument(
        "--z",
        help="planes: an index, START:STOP, 'middle' or 'all'; the middle one if not given, and all for a network that "
        "takes stacks",
    )
    group.add_argument(
        "--z-pad", action="store_true",
        help="for a network that takes stacks: extend those of the movie by reflection where it has too few planes",
    )  # fmt: skip
    group.add_argument(
        "--z-reversed", action="store_true",
        help="for a network that takes stacks: show it the planes from the last to the first, because the movie was "
        "scanned in the other direction than what it was trained on",
    )  # fmt: skip
    group.add_argument(
        "--resample", action="store_true",
        help="bring the phase to the size of pixels that the network was trained with, and the stain back",
    )  # fmt: skip
    group.add_argument(
        "--frames",
        type=parse_frames,
        default=(None, None),
        metavar="START:STOP",
        help="frames to process; all if not given",
    )

    group.add_argument(
        "--register", action="store_true",
        help="take the jitter of the stage out of the movie first, which moves phase and stain alike; stops if the "
        "frames do not show that it is the stage that moves",
    )  # fmt: skip

    add_movie_metadata(parser)

    # Literal defaults and choices: --help does not wait for the filters, and a test compares them with the options.
    group = parser.add_argument_group("smoothing")
    group.add_argument(
        "--methods", nargs="+", metavar="METHOD", choices=["raw", "window", "savgol", "median", "motion", "causal"],
        help="results to write: raw, window, savgol, median, motion (recommended), causal; if not given, raw, window, "
        "savgol and motion, those left out that need more frames than the movie has",
    )  # fmt: skip
    group.add_argument(
        "--window", type=int, default=2, help="moving average: 2 (a frame and the next), or odd and centred"
    )
    group.add_argument("--savgol-window", type=int, default=11, help="Savitzky-Golay: frames in the window, odd")
    group.add_argument("--savgol-polyorder", type=int, default=3, help="Savitzky-Golay: order of the polynomial")
    group.add_argument("--median-window", type=int, default=5, help="median: frames in the window, odd")
    group.add_argument("--motion-window", type=int, default=7, help="motion: frames in the window, odd")
    group.add_argument("--causal-lag", type=int, default=1, help="causal: later frames to wait for")
    # Accepted for scripts written when the filters removed the jitter of the stage.
    group.add_argument("--keep-shake", action="store_true", help=argparse.SUPPRESS)

    group = parser.add_argument_group("network")
    group.add_argument(
        "--normalization", choices=["median_iqr", "mean_std", "percentiles", "none"],
        help="of the phase; what the checkpoint says if not given",
    )  # fmt: skip
    group.add_argument(
        "--statistics", default="auto", choices=["auto", "stored", "estimated"],
        help="to normalise by: those that the store holds, estimated from the valid frames, or the stored ones if they "
        "agree with the frames (auto, the default)",
    )  # fmt: skip
    group.add_argument(
        "--statistics-over", choices=["fov", "timepoint", "dataset"],
        help="pool the statistics over all frames of a position (fov), over each frame by itself (timepoint), or over "
        "all positions of the store (dataset); what the checkpoint says, else fov, if not given",
    )  # fmt: skip
    group.add_argument(
        "--statistics-window", type=int, default=1, metavar="N",
        help="with timepoint: medians of the statistics of N neighbouring frames, odd; 1, the default, is the frame "
        "alone",
    )  # fmt: skip
    add_head_pool(group)
    add_device(group)
    group.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"], help="of the network")
    group.add_argument(
        "--batch-size", type=int, help="frames per batch; 1 on a CPU and what fits into a GPU's memory if not given"
    )
    group.add_argument("--tta", action="store_true", help="mean over 8 rotations and flips of each frame")
    group.add_argument(
        "--backend", default="eager", choices=["eager", "compile"],
        help="compile: optimise the network with PyTorch's compiler first, which takes a minute; for GPUs",
    )  # fmt: skip
    group.add_argument(
        "--no-cache", dest="cache", action="store_false", help="compile again, and do not keep the compiled network"
    )

    group = parser.add_argument_group("results")
    group.add_argument(
        "--ome-zarr", choices=["0.4", "0.5"], help="version of the stores; that of the movie if not given"
    )
    group.add_argument(
        "--blank", default="nan", choices=["nan", "zero"],
        help="pixels of invalid frames: not a number (nan, the default), or zero, for programs that cannot cope with "
        "that",
    )  # fmt: skip
    group.add_argument(
        "--channel-suffix", default="", metavar="TEXT",
        help="append this to the names of the channels in the stores, such as _prediction; nothing if not given",
    )  # fmt: skip

    group = parser.add_argument_group("run")
    group.add_argument(
        "--scheduler", metavar="WHERE",
        help="process the positions of a plate side by side, with Dask: local:N is N processes on this machine, "
        "tcp://HOST:PORT any Dask cluster; one after the other in this process if not given",
    )  # fmt: skip
    add_overwrite(group, "results of other options")
    group.add_argument("--dry-run", action="store_true", help="describe what would be done, and write nothing")


def run(arguments: argparse.Namespace) -> None:
    """Stain and smooth the movie, or describe what would be done."""
    from image_translation.staining.methods import DEFAULT_METHODS
    from image_translation.staining.options import SmoothOptions

    methods = tuple(dict.fromkeys(arguments.methods or DEFAULT_METHODS))
    options = collect(SmoothOptions, arguments, methods=methods, leave_out=arguments.methods is None)
    options.check()
    if arguments.dry_run and _report_missing(options):
        return
    announce("loading PyTorch")
    from image_translation.staining.plan import make_plan

    plan = make_plan(options)
    if arguments.dry_run:
        from image_translation.staining.dry_run import describe
        from image_translation.staining.output_directory import find_existing

        say(describe(find_existing(plan).plan))
    else:
        from image_translation.metrics.score_card import score_cards
        from image_translation.metrics.score_card_text import format_score_cards
        from image_translation.staining.run import smooth_movie

        text = format_score_cards(score_cards(smooth_movie(plan)), verbose=arguments.verbose)
        if text:
            say(f"{text}\n")
    say(options.output)


def _report_missing(options: "SmoothOptions") -> bool:
    """Print what would be downloaded first, if anything: without it there is no plan to describe."""
    from image_translation import data

    missing = list(data.missing(options.checkpoint, options.movie))
    for entry in missing:
        say(f"would fetch    {entry.name}: {entry.address}")
    if missing:
        names = " ".join(dict.fromkeys(entry.name for entry in missing))
        say(f"To see what would be done with it: {PROGRAM} fetch {names}, then the same command.\n{options.output}")
    return bool(missing)
