"""The command line: arguments in, exit code out."""

from image_translation.cli.commands import main, run

__all__ = ["main", "run"]
