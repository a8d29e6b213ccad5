"""Movies of one file per frame: which frame, channel or plane each file is, by the numbers in its name."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod
from pathlib import Path

from image_translation.errors import UsageError

_AXES = {
    "T": {"t", "tp", "time", "timepoint", "frame"},
    "C": {"c", "ch", "chan", "channel", "w"},
    "Z": {"z", "slice", "plane"},
}
_POSITIONS = {"s", "p", "m", "xy", "pos", "position", "site", "field", "fov", "well", "series", "tile"}
_SUFFIX = re.compile(r"(\.ome)?\.tiff?$", re.IGNORECASE)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NumberedFiles:
    """Files on a complete grid.

    Attributes
    ----------
    axes
        Letter of each dimension of the grid.
    shape
        Number of files along each.
    files
        The files, the last dimension varying fastest.
    """

    axes: str
    shape: tuple[int, ...]
    files: tuple[Path, ...]


def number_files(files: Sequence[Path], where: Path, axes: str | None = None) -> NumberedFiles:
    """Sort files by the numbers in their names, and find out what the numbers count.

    Parameters
    ----------
    files
        Two files or more.
    where
        Directory or pattern, for messages.
    axes
        What the varying numbers count, if that is given; with a single letter, files are sorted whatever their numbers.

    Raises
    ------
    UsageError
        If the names do not tell it unambiguously, or files are missing.
    """
    if axes is not None and len(axes) == 1:
        ordered = sorted(files, key=_natural)
        return NumberedFiles(axes, (len(files),), tuple(ordered))
    split = {file: re.split(r"(\d+)", _SUFFIX.sub("", file.name)) for file in files}
    first = files[0]
    for file, parts in split.items():
        if parts[::2] != split[first][::2]:
            raise UsageError(
                f"the names of the files of {where} differ in more than numbers, such as {first.name} and {file.name}; "
                "choose the frames of one channel with a quoted pattern such as 'FOLDER/*phase*.tif', or give --axes "
                "TYX if each file is a frame"
            )
    numbers = {file: tuple(map(int, parts[1::2])) for file, parts in split.items()}
    varying = [n for n in range(len(numbers[first])) if len({values[n] for values in numbers.values()}) > 1]
    keys = {tuple(values[n] for n in varying): file for file, values in numbers.items()}
    if len(keys) < len(files):
        raise UsageError(f"files of {where} have the same numbers, such as {first.name}; remove what is there twice")
    labels = [_label(split[first][2 * n]) for n in varying]
    letters = axes if axes is not None else _letters(labels, where, first)
    if len(letters) != len(varying):
        raise UsageError(
            f"--axes: {len(varying)} numbers vary in the names of the files of {where}, such as {first.name}, and "
            f"{len(letters)} axes of files are given ({letters})"
        )
    values = [sorted({key[n] for key in keys}) for n in range(len(varying))]
    _require_all(keys, values, where)
    if "T" in letters:
        _warn_of_gaps(values[letters.index("T")], where)
    return NumberedFiles(letters, tuple(map(len, values)), tuple(keys[key] for key in product(*values)))


def _letters(labels: Sequence[str], where: Path, example: Path) -> str:
    """Return what each varying number counts, by the letters before it; a single one without a label counts frames."""
    found = [next((axis for axis, names in _AXES.items() if label in names), "") for label in labels]
    if len(found) == 1 and not found[0] and labels[0] not in _POSITIONS:
        return "T"
    if not all(found) or len(set(found)) < len(found):
        raise UsageError(
            f"it is not clear what the numbers in the names of the files of {where} count, such as {example.name}: "
            f"{len(labels)} vary, after {', '.join(repr(label) for label in labels)}; frames, channels and planes are "
            "told by t, c and z before their number. Choose frames of one channel and position with a quoted pattern "
            "such as 'FOLDER/*_c1.tif', or give --axes TYX if each file is a frame, in the order of their names"
        )
    return "".join(found)


def _require_all(keys: dict[tuple[int, ...], Path], values: Sequence[Sequence[int]], where: Path) -> None:
    missing = prod(map(len, values)) - len(keys)
    if missing:
        lacking = next(key for key in product(*values) if key not in keys)
        raise UsageError(
            f"{missing} files of {where} are missing: there are {' x '.join(str(len(each)) for each in values)} "
            f"numbers, and {len(keys)} files; the first that is missing has the numbers {', '.join(map(str, lacking))}"
        )


def _warn_of_gaps(numbers: Sequence[int], where: Path) -> None:
    steps = [after - before for before, after in pairwise(numbers)]
    if len(set(steps)) > 1:
        gap = next(n for n, step in enumerate(steps) if step > min(steps))
        _log.warning(
            "the numbers of the files of %s have gaps, the first after %d: is a frame missing? They are taken as "
            "consecutive frames", where, numbers[gap],
        )  # fmt: skip


def _label(text: str) -> str:
    """Return the word in front of a number, in lower case."""
    found = re.search(r"([A-Za-z]*)[^A-Za-z]*$", text)
    return found[1].lower() if found else ""


def _natural(file: Path) -> list[tuple[int, str]]:
    """Return a key that sorts numbers by their values."""
    parts = re.split(r"(\d+)", file.name)
    return [(int(part), "") if number % 2 else (0, part) for number, part in enumerate(parts)]
