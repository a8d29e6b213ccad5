"""A directory with the figures of one run alone: replaced whole, and only if no file of others is in it."""

import re
import shutil
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from image_translation.errors import UsageError
from image_translation.files import remove

_MADE_HERE = re.compile(
    r".+_(combined|kymograph|difference)\.png|(corrcoef|tradeoff|score_card)\.png|comparison\.mp4|report\.html"
)


def require_replaceable(folder: Path) -> None:
    """Raise ``UsageError`` if a directory, which need not exist, holds anything but figures of an earlier run."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder}: is a file; give a directory, which is made where there is none")
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and not _MADE_HERE.fullmatch(path.name):
            raise UsageError(f"-o {folder}: holds {path.relative_to(folder)}, which is no figure; choose another -o")


def replace_figures(source: Path, folder: Path) -> None:
    """Put a copy of the figures in one directory into the place of another.

    Whenever this is stopped, the directory holds all figures of one run, or is not there.

    Parameters
    ----------
    source
        Directory to copy.
    folder
        Directory to replace; it is made where there is none.
    """
    require_replaceable(folder)
    folder = folder.resolve()
    fresh, old = (folder.with_name(f".{folder.name}.{word}") for word in ("new", "old"))
    remove(fresh)
    remove(old)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, fresh)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    remove(old)


def file_stems(names: Iterable[str]) -> list[str]:
    """Turn names that differ into stems of file names that differ, also where upper and lower case are the same.

    ASCII letters, digits, ``-``, ``_`` and ``.`` are kept, but for a dot in front; anything else becomes ``-``.
    """
    stems: dict[str, str] = {}
    for name in names:
        stem = re.sub(r"^\.|[^A-Za-z0-9_.-]", "-", name)
        numbered = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
        free = next(candidate for candidate in numbered if candidate.lower() not in stems)
        stems[free.lower()] = free
    return list(stems.values())
