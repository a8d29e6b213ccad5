"""The command ``demo``: the main job on a simulated movie, with the bundled network."""

import argparse
from dataclasses import replace
from pathlib import Path

from image_translation.cli.arguments import parse_path
from image_translation.cli.program import announce, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        "-o", "--output", type=parse_path, default=Path("data/demo"), metavar="DIR", help="for the results"
    )


def run(arguments: argparse.Namespace) -> None:
    """Stain and smooth the movie, and print its score card."""
    from image_translation.staining.options import SmoothOptions

    options = SmoothOptions("demo_ckpt", "demo_movie", arguments.output)
    options.check()
    announce("loading PyTorch")
    from image_translation import data
    from image_translation.metrics.score_card import score_cards
    from image_translation.metrics.score_card_text import format_score_cards
    from image_translation.staining.output_directory import FIGURES, belongs_to
    from image_translation.staining.plan import make_plan
    from image_translation.staining.run import smooth_movie

    # Only results of an earlier demo are replaced.
    options = replace(options, overwrite=belongs_to(options.output, data.locate(options.movie)))
    cards = score_cards(smooth_movie(make_plan(options)))
    say(f"{format_score_cards(cards, verbose=arguments.verbose)}\n")
    say(f"figures: {arguments.output / FIGURES}")
    say(arguments.output)
