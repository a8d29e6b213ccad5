"""The command ``train``: arguments in, checkpoints out."""

import argparse
from dataclasses import fields
from typing import Any

from image_translation.cli.program import parse_path, say
from image_translation.training.options import SIMULATED, SIZES, TrainOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it runs, to its parser."""
    parser.set_defaults(run=run)
    group = parser.add_argument_group("what")
    group.add_argument("data", metavar="DATA", help=f"OME-Zarr store or name with all channels, or '{SIMULATED}'")
    group.add_argument("--source", nargs="+", required=True, metavar="NAME", help="channels to predict from")
    group.add_argument("--target", nargs="+", required=True, metavar="NAME", help="channels to predict")
    group.add_argument(
        "-o", "--output", required=True, type=parse_path, metavar="DIR",
        help="directory for best.ckpt, last.ckpt, curves and logs",
    )  # fmt: skip
    group.add_argument(
        "--position", dest="positions", action="append", default=[], metavar="NAME",
        help="position or pattern such as 'B/*/0' to train on; may be repeated; all if not given",
    )  # fmt: skip
    group.add_argument(
        "--validation", action="append", default=[], metavar="NAME",
        help="position or pattern to hold out; may be repeated; a fifth of all if not given",
    )  # fmt: skip
    group.add_argument("--z", default="middle", help="plane: an index, 'middle' or 'all'")

    group = parser.add_argument_group("network")
    group.add_argument("--size", choices=list(SIZES), default="small", help="small: for any laptop; full: as VSCyto2D")
    group.add_argument(
        "--from",
        dest="initial",
        metavar="CKPT",
        help="begin from this checkpoint, in its size",
    )
    group.add_argument(
        "--normalization", choices=["mean_std", "median_iqr", "none"],
        help="of the sources, over the field of view; that of --from, else mean_std, if not given",
    )  # fmt: skip

    group = parser.add_argument_group("training")
    group.add_argument("--steps", type=int, default=4000, help="optimiser steps, rounded up to whole rounds")
    group.add_argument(
        "--round", dest="round_steps", type=int, metavar="STEPS",
        help="steps between two looks at what is held out; a twentieth of all if not given",
    )  # fmt: skip
    group.add_argument("--batch-size", type=int, default=4, help="patches of a step, on each device")
    group.add_argument("--patch", type=int, default=192, help="side of a patch, in pixels")
    group.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    group.add_argument(
        "--loss", type=float, nargs=3, default=[0.5, 0.0, 0.5], metavar=("L1", "L2", "MS-DSSIM"), help="weights"
    )
    group.add_argument(
        "--augmentation", choices=["none", "weak", "strong"], default="strong", help="how patches are varied"
    )
    group.add_argument("--patience", type=int, metavar="ROUNDS", help="stop after so many rounds without progress")
    group.add_argument("--seed", type=int, default=0, help="of weights, patches and augmentation")

    group = parser.add_argument_group("run")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--devices", type=int, default=1, help="number of GPUs, or of processes on a CPU")
    group.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"], help="mixed, if not fp32")
    group.add_argument("--workers", type=int, help="processes that read; none if not given")
    group.add_argument("--half", action="store_true", help="store the best weights in half precision")
    group.add_argument("--overwrite", action="store_true", help="replace a training of other options")


def run(arguments: argparse.Namespace) -> None:
    """Train, and say how what was held out fared."""
    given: dict[str, Any] = {field.name: getattr(arguments, field.name) for field in fields(TrainOptions)}
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    options = TrainOptions(**given)
    options.check()
    from image_translation.training.run import train

    done = train(options)
    if not done.leading:
        return
    kept = min(done.history, key=lambda row: row["loss/validation"])
    for name in options.target:
        score = kept[f"pearson/{name}"]
        say(f"{name}: Pearson {score:.3f} with the fields held out, at step {kept['step']:.0f}")
    say(done.best)
