"""Stain a label-free movie and smooth it over time: ``python image_translation/part2_smoothing_cli.py --help``."""

import sys

from image_translation.cli import run

if __name__ == "__main__":
    sys.argv.insert(1, "smooth")
    run()
