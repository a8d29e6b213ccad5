"""The command ``train``: data in, checkpoints out."""

import argparse

from image_translation.cli.arguments import (
    add_device,
    add_head_pool,
    add_movie_metadata,
    add_overwrite,
    add_positions,
    collect,
    parse_name_or_path,
    parse_path,
)
from image_translation.cli.program import announce, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    group = parser.add_argument_group("what")
    group.add_argument(
        "data", type=parse_name_or_path, metavar="DATA",
        help="OME-Zarr store, TIFF file, folder or quoted pattern of TIFF files, or a name, with all channels; or "
        "'simulated'",
    )  # fmt: skip
    group.add_argument("--source", nargs="+", required=True, metavar="NAME", help="channels to predict from")
    group.add_argument("--target", nargs="+", required=True, metavar="NAME", help="channels to predict")
    group.add_argument(
        "-o", "--output", required=True, type=parse_path, metavar="DIR",
        help="directory for best.ckpt, last.ckpt, curves and logs",
    )  # fmt: skip
    add_positions(group, " to train on", "all")
    group.add_argument(
        "--validation", action="append", default=[], metavar="NAME",
        help="position or pattern to hold out; may be repeated; a fifth of all if not given",
    )  # fmt: skip
    group.add_argument(
        "--stack", type=int, metavar="PLANES",
        help="train on stacks of this number of adjacent planes, with VisCy's UNeXt2; on single planes if not given",
    )  # fmt: skip
    group.add_argument(
        "--z", help="planes: an index, START:STOP, 'middle' or 'all'; middle if not given, and all with --stack"
    )

    add_movie_metadata(parser)

    group = parser.add_argument_group("network")
    group.add_argument(
        "--size", choices=["small", "full"], default="small",
        help="small: for any laptop; full: as VSCyto2D, or with --stack as VSCyto3D",
    )  # fmt: skip
    group.add_argument(
        "--from",
        dest="initial",
        metavar="CKPT",
        help="start from this checkpoint, which also determines the size",
    )
    group.add_argument(
        "--normalization", choices=["mean_std", "median_iqr", "percentiles", "none"],
        help="of the sources, over the field of view; that of --from, else mean_std if not given",
    )  # fmt: skip
    add_head_pool(group)

    group = parser.add_argument_group("training")
    group.add_argument("--steps", type=int, default=4000, help="optimiser steps, rounded up to complete rounds")
    group.add_argument(
        "--round", dest="round_steps", type=int, metavar="STEPS",
        help="steps between two validations; a twentieth of all if not given",
    )  # fmt: skip
    group.add_argument("--batch-size", type=int, default=4, help="patches per step, on each device")
    group.add_argument("--patch", type=int, default=192, help="height and width of a patch, in pixels")
    group.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    group.add_argument(
        "--loss", type=float, nargs=3, default=[0.5, 0.0, 0.5], metavar=("L1", "L2", "MS-DSSIM"), help="weights"
    )
    group.add_argument(
        "--augmentation",
        choices=["none", "weak", "strong"],
        default="strong",
        help="strength of the augmentation of patches",
    )
    group.add_argument("--patience", type=int, metavar="ROUNDS", help="stop after this many rounds without improvement")
    group.add_argument("--seed", type=int, default=0, help="of initial weights, patches and augmentation")

    group = parser.add_argument_group("run")
    add_device(group)
    group.add_argument("--devices", type=int, default=1, help="number of GPUs, or of processes on a CPU")
    group.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"], help="mixed, if not fp32")
    group.add_argument("--workers", type=int, help="data loading processes; none if not given")
    group.add_argument("--half", action="store_true", help="store the best weights in half precision")
    add_overwrite(group, "a training with other options")


def run(arguments: argparse.Namespace) -> None:
    """Train the network, and print its validation scores and the best checkpoint."""
    from image_translation.training.options import TrainOptions

    options = collect(TrainOptions, arguments)
    options.check()
    announce("loading PyTorch, Lightning and VisCy")
    from image_translation.training.plan import make_plan

    plan = make_plan(options)
    from image_translation.training.run import train

    result = train(plan)
    if not result.is_main_process:
        return
    best = min(result.history, key=lambda row: row["loss/validation"])
    for name in options.target:
        say(f"{name}: Pearson {best[f'pearson/{name}']:.3f} on held-out fields, at step {best['step']:.0f}")
    say(result.best)
