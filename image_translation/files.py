"""Files and folders to their places, whatever lies there already."""

import os
import shutil
from collections.abc import Collection
from itertools import count
from pathlib import Path, PurePosixPath


def put(source: Path, target: Path, root: Path) -> None:
    """Move a file to its place below a root, and remove what stands in its way there.

    Parameters
    ----------
    source, target
        On the same file system, so that the file is there whole or not at all.
    root
        What is above it is left as it is.
    """
    for parent in reversed(target.relative_to(root).parents[:-1]):
        if (root / parent).is_symlink() or (root / parent).is_file():
            (root / parent).unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        remove(target)
    source.replace(target)


def remove(path: Path) -> None:
    """Remove a file or a folder; there need not be any."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Give a file or a folder another name, which nothing has yet, and return that."""
    names = (path.with_name(f"{path.name}.aside{number or ''}") for number in count())
    aside = next(name for name in names if not os.path.lexists(name))
    path.replace(aside)
    return aside


def remove_strays(folder: Path, names: Collection[str]) -> None:
    """Remove from a folder, which need not exist, all but certain files.

    Parameters
    ----------
    folder
        Links in it are removed, not followed.
    names
        What stays: names relative to the folder, with ``/`` between the parts.
    """
    files = set(names)
    folders = {parent.as_posix() for name in files for parent in PurePosixPath(name).parents}
    for place, inside, found in os.walk(folder, topdown=False):
        base = Path(place).relative_to(folder).as_posix()
        prefix = "" if base == "." else f"{base}/"
        for name in (*found, *inside):
            path = Path(place, name)
            if path.is_symlink() or (name in found and prefix + name not in files):
                path.unlink()
        if base not in folders and base != ".":
            Path(place).rmdir()
