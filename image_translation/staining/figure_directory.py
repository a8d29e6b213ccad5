"""Directory to which the figures of a run are copied: replaced as a whole, but only if it holds nothing but figures."""

import re
import shutil
from pathlib import Path

from image_translation.errors import UsageError
from image_translation.files import remove, require_directory

_FIGURE_NAMES = re.compile(
    r".+_(combined|kymograph|difference)\.png|(corrcoef|tradeoff|score_card)\.png|comparison\.mp4|report\.html"
)


def require_replaceable(directory: Path) -> None:
    """Raise ``UsageError`` if a directory exists and holds anything but figures of an earlier run."""
    require_directory(directory)
    for path in sorted(directory.rglob("*")):
        if not path.is_dir() and not _FIGURE_NAMES.fullmatch(path.name):
            raise UsageError(
                f"-o {directory}: holds {path.relative_to(directory)}, which is no figure of a run; choose another -o"
            )


def replace_figures(source: Path, directory: Path) -> None:
    """Replace a directory of figures by a copy of another one.

    If this is interrupted, the directory either holds all figures of one run or does not exist.

    Parameters
    ----------
    source
        Directory to copy.
    directory
        Directory to replace; it is created if it does not exist.

    Raises
    ------
    UsageError
        The directory holds anything but figures.
    """
    require_replaceable(directory)
    directory = directory.resolve()
    new, old = (directory.with_name(f".{directory.name}.{word}") for word in ("new", "old"))
    remove(new)
    remove(old)
    directory.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, new)
    if directory.exists():
        directory.rename(old)
    new.rename(directory)
    remove(old)
