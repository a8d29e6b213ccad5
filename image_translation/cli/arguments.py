"""Arguments that several commands share: argument types, common options, and parsed arguments as options."""

import argparse
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from image_translation.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Options = TypeVar("_Options", bound="DataclassInstance")


def collect(options: type[_Options], arguments: argparse.Namespace, **changes: object) -> _Options:
    """Make options of the parsed arguments that have the names of their fields.

    Parameters
    ----------
    options
        Data class of the options.
    arguments
        Parsed arguments; lists become tuples.
    changes
        Values that replace those of the arguments.
    """
    names = {field.name for field in fields(options)}
    given: dict[str, Any] = {name: value for name, value in vars(arguments).items() if name in names} | changes
    return options(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def add_positions(group: argparse._ActionsContainer, purpose: str = "", default: str = "all positions") -> None:
    """Add ``--position``, which may be repeated."""
    text = f"position or pattern such as 'B/*/0'{purpose}; may be repeated; {default} if not given"
    group.add_argument("--position", dest="positions", action="append", default=[], metavar="NAME", help=text)


def add_movie_metadata(parser: argparse.ArgumentParser) -> None:
    """Add ``--axes``, ``--interval`` and ``--pixel-size``, of movies in TIFF files."""
    group = parser.add_argument_group(
        "movie", "What TIFF files do not say, or say wrong. An OME-Zarr store states it itself."
    )
    group.add_argument(
        "--axes", metavar="TYX",
        help="one letter for each dimension of the file, in its order: T, C or Z, and Y, X; for a folder of files, "
        "what the files are comes first",
    )  # fmt: skip
    group.add_argument("--interval", type=float, metavar="SECONDS", help="between frames")
    group.add_argument(
        "--pixel-size", type=_pixel_size, metavar="MICROMETRES", help="width of a pixel, or Y,X, or Z,Y,X"
    )


def add_device(group: argparse._ActionsContainer) -> None:
    """Add ``--device``."""
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")


def add_head_pool(group: argparse._ActionsContainer) -> None:
    """Add ``--head-pool``."""
    group.add_argument(
        "--head-pool", type=_parse_yes_no, metavar="{yes,no}",
        help="whether the network's head pools, as it was trained; asked for where the checkpoint does not say it",
    )  # fmt: skip


def add_overwrite(group: argparse._ActionsContainer, what: str) -> None:
    """Add ``--overwrite``."""
    group.add_argument("--overwrite", action="store_true", help=f"replace {what}")


def _parse_yes_no(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text == "yes"


def parse_path(text: str) -> Path:
    """Parse a path; ``~`` is the home directory."""
    return Path(parse_name_or_path(text)).expanduser()


def parse_name_or_path(text: str) -> str:
    """Check a name of the registry or a path."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("give a path")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        encoding = sys.getfilesystemencoding()
        advice = "rename it" if encoding == "utf-8" else "set PYTHONUTF8=1 or a locale such as LC_ALL=C.UTF-8"
        raise argparse.ArgumentTypeError(f"{text!a} is not valid in the encoding {encoding}; {advice}")
    return text


def _pixel_size(text: str) -> tuple[float, ...]:
    from image_translation.sources.movie_metadata import parse_pixel_size

    try:
        return parse_pixel_size(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_frames(text: str) -> tuple[int | None, int | None]:
    """Parse frames such as ``3:20``: the first frame, and the one after the last."""
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if not match:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not START:STOP; numbers count from 0, and either may be left out"
        )
    start, stop = (int(number) if number else None for number in match.groups())
    return start, stop


def parse_size(text: str) -> tuple[int, int]:
    """Parse a size such as ``256x320``: height and width in pixels."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 256x256")
    return int(match[1]), int(match[2])
