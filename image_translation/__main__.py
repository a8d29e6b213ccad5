"""The command line as ``python -m image_translation``."""

from image_translation.cli import run

if __name__ == "__main__":
    run()
