"""The command ``evaluate``: arguments in, score cards out."""

import argparse

from image_translation.cli.program import parse_path, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it runs, to its parser."""
    parser.set_defaults(run=run)
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
        help="true stains, in channels of the same names as the prediction's",
    )
    group.add_argument("--phase", type=parse_path, metavar="STORE", help="what was stained; shows how the cells move")
    group.add_argument(
        "--position", dest="positions", action="append", default=[], metavar="NAME",
        help="position or pattern such as 'B/*/0'; may be repeated; all positions if not given",
    )  # fmt: skip
    group.add_argument(
        "--channels",
        nargs="+",
        default=[],
        metavar="NAME",
        help="channels to score; all of the prediction if not given",
    )
    group.add_argument("--channel", help="label-free channel of --phase; Phase3D or the only channel if not given")
    group = parser.add_argument_group("against the truth, image by image")
    group.add_argument(
        "--same", nargs="+", type=_same, default=[], metavar="PREDICTED=TRUE",
        help="channels that have another name in the truth, such as Nuclei=DAPI",
    )  # fmt: skip
    group.add_argument(
        "--objects", nargs="*", metavar="NAME",
        help="channels of the truth in which objects are counted; those that sound of nuclei if not given",
    )  # fmt: skip
    group.add_argument(
        "--segmenter", choices=["threshold", "cellpose"], default="threshold", help="how; cellpose must be installed"
    )
    group.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth frame")
    group.add_argument(
        "--keep-units",
        action="store_true",
        help="take predictions as they are, not in the unit of the truth",
    )
    group = parser.add_argument_group("run")
    group.add_argument("-o", "--output", type=parse_path, metavar="DIR", help="directory for tables and pictures")
    group.add_argument("--overwrite", action="store_true", help="replace tables that are there")


def run(arguments: argparse.Namespace) -> None:
    """Score the predictions, and say how they did."""
    from image_translation.evaluation.options import EvaluationOptions
    from image_translation.metrics.score_card import format_score_card, score_cards

    options = EvaluationOptions(
        predictions=tuple(arguments.predictions),
        raw=arguments.raw,
        truth=arguments.truth,
        phase=arguments.phase,
        positions=tuple(arguments.positions),
        channels=tuple(dict.fromkeys(arguments.channels)),
        channel=arguments.channel,
        same=tuple(arguments.same),
        objects=None if arguments.objects is None else tuple(arguments.objects),
        segmenter=arguments.segmenter,
        every=arguments.every,
        rescale=not arguments.keep_units,
        output=arguments.output,
        overwrite=arguments.overwrite,
    )
    options.check()
    from image_translation.evaluation.over_time import evaluate_stores
    from image_translation.evaluation.predictions import is_about_time

    texts: list[str] = []
    over_time = is_about_time(options)
    if options.truth:
        from image_translation.evaluation.report import format_scores, judge, pair_up

        pairs = pair_up(options)  # what does not fit is found before anything is written
        if over_time:
            texts += map(format_score_card, score_cards(evaluate_stores(options)))
        texts.insert(0, format_scores(judge(options, pairs)))
    else:
        texts += map(format_score_card, score_cards(evaluate_stores(options)))
    say("\n\n".join(texts))
    if options.output:
        say(options.output)


def _same(text: str) -> tuple[str, str]:
    """Take apart ``PREDICTED=TRUE``."""
    mine, _, other = text.partition("=")
    if not (mine and other):
        raise argparse.ArgumentTypeError(f"{text!r} is not PREDICTED=TRUE, such as Nuclei=DAPI")
    return mine, other
