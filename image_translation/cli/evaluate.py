"""The command ``evaluate``: predictions on disk in, scores and score cards out."""

import argparse

from image_translation.cli.arguments import add_movie_metadata, add_overwrite, add_positions, collect, parse_path
from image_translation.cli.program import announce, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    group = parser.add_argument_group("what")
    group.add_argument(
        "predictions",
        nargs="+",
        type=parse_path,
        metavar="PREDICTION",
        help="OME-Zarr store or name, or results of smooth",
    )
    group.add_argument(
        "--raw", type=parse_path, metavar="STORE", help="the raw prediction, if none is called raw.ome.zarr"
    )
    group.add_argument(
        "--truth",
        type=parse_path,
        metavar="STORE",
        help="true stains, in channels of the same names as the prediction's; OME-Zarr or TIFF",
    )
    group.add_argument(
        "--phase",
        type=parse_path,
        metavar="STORE",
        help="the label-free movie, OME-Zarr or TIFF; shows how the cells move",
    )
    add_positions(group)
    group.add_argument(
        "--channels",
        nargs="+",
        default=[],
        metavar="NAME",
        help="channels to score; all of the prediction if not given",
    )
    group.add_argument("--channel", help="label-free channel of --phase; Phase3D or the only channel if not given")
    group.add_argument(
        "--by-number",
        action="store_true",
        help="pair frames, planes and pixels by their numbers, where the coordinate transformations of the stores are "
        "wrong",
    )
    add_movie_metadata(parser)
    group = parser.add_argument_group("against the truth, image by image")
    group.add_argument(
        "--same", nargs="+", type=_same, default=[], metavar="PREDICTED=TRUE",
        help="channels that have another name in the truth, such as Nuclei=DAPI",
    )  # fmt: skip
    group.add_argument(
        "--objects", nargs="*", metavar="NAME",
        help="channels of the truth in which objects are counted and tracked; those with names of nuclei if not given",
    )  # fmt: skip
    group.add_argument(
        "--segmenter",
        choices=["threshold", "cellpose"],
        default="threshold",
        help="how objects are found; cellpose must be installed",
    )
    group.add_argument("--every", type=int, default=1, metavar="N", help="score every Nth frame")
    group.add_argument(
        "--keep-units",
        dest="rescale",
        action="store_false",
        help="score predictions as they are, without rescaling them to the unit of the truth",
    )
    group = parser.add_argument_group("over time")
    group.add_argument(
        "--tracking",
        action="store_true",
        help="link nuclei over time, and compare their tracks with those of the truth, of raw if there is none; "
        "needs the extra 'tracking'",
    )
    group = parser.add_argument_group("run")
    group.add_argument("-o", "--output", type=parse_path, metavar="DIR", help="directory for tables and figures")
    add_overwrite(group, "existing tables")


def run(arguments: argparse.Namespace) -> None:
    """Score the predictions, and print the scores."""
    from image_translation.evaluation.options import EvaluationOptions

    options = collect(EvaluationOptions, arguments, channels=tuple(dict.fromkeys(arguments.channels)))
    options.check()
    announce("loading PyTorch")
    from image_translation.evaluation.plan import make_plan
    from image_translation.evaluation.report import format_scores
    from image_translation.evaluation.run import evaluate
    from image_translation.metrics.score_card import score_cards
    from image_translation.metrics.score_card_text import format_score_cards

    result = evaluate(make_plan(options))
    texts = [format_scores(result.against_truth)] if result.against_truth else []
    texts.append(format_score_cards(score_cards(result.over_time), verbose=arguments.verbose))
    if options.tracking:
        from image_translation.evaluation.tracking import describe_references

        texts.append(describe_references(result.over_time))
    say("\n\n".join(filter(None, texts)))
    if options.output:
        say(options.output)


def _same(text: str) -> tuple[str, str]:
    """Parse ``PREDICTED=TRUE``."""
    predicted, _, true = text.partition("=")
    if not (predicted and true):
        raise argparse.ArgumentTypeError(f"{text!r} is not PREDICTED=TRUE, such as Nuclei=DAPI")
    return predicted, true
