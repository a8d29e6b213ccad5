"""Stain a label-free movie and smooth it over time: ``python image_translation/part2_smoothing_cli.py --help``."""

import sys
from pathlib import Path

# Python looks for modules beside a script first, where data/ or network/ would hide packages of the same name.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from image_translation.cli.commands import run  # noqa: E402

if __name__ == "__main__":
    sys.argv.insert(1, "smooth")
    run()
