"""File operations of several packages: checks, reading text, atomic writing, moving, removing, and file names."""

import json
import math
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from image_translation.errors import DataError, UsageError

MAX_TEXT_BYTES = 512 * 2**20  # of a file that is read as a whole: metadata, registries, lists of files, tables
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def require_directory(path: Path, option: str = "-o") -> None:
    """Raise a ``UsageError`` that names the option if an output directory is an existing file."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{option} {path}: is a file; give a directory, which is created if it does not exist")


def require_regular_file(path: Path, max_bytes: float = math.inf) -> None:
    """Raise a ``DataError`` if a path is neither a regular file (or a link to one) nor absent, or if it is too large.

    A pipe would keep its reader waiting, and a device such as ``/dev/zero`` never ends.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
        raise DataError(f"{path}: is {kind}; only regular files, and links to them, can be read")
    if status.st_size > max_bytes:
        raise DataError(f"{path}: has {status.st_size:,} bytes; at most {int(max_bytes):,} can be valid")


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, after checking that it is a regular file of at most `MAX_TEXT_BYTES`.

    Raises
    ------
    DataError
        If it is not.
    OSError, UnicodeDecodeError
        As `pathlib.Path.read_text`.
    """
    require_regular_file(path, MAX_TEXT_BYTES)
    return path.read_text(encoding="utf-8")


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Write a file so that, if the process is killed, either the old or the new content is there.

    Parameters
    ----------
    path
        File to create or replace.

    Yields
    ------
    Path
        Temporary file in the same directory, to be written in the ``with`` block. It is renamed when the block ends,
        and left behind if the block raises.
    """
    unfinished = path.with_name(f".{path.name}")
    yield unfinished
    unfinished.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    with write_atomically(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        json.dump(value, file)  # in pieces: the metrics of a long movie are large


def move_file(source: Path, target: Path, root: Path) -> None:
    """Move a file, creating the parent directories of its new path and removing whatever is in its way.

    Parameters
    ----------
    source, target
        Old and new path, on the same file system, so that the move is atomic.
    root
        Directory above `target`; nothing above it is changed. Files and links below it that should be parent
        directories of `target` are removed.
    """
    for parent in reversed(target.relative_to(root).parents[:-1]):
        if (root / parent).is_symlink() or (root / parent).is_file():
            (root / parent).unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        remove(target)
    source.replace(target)


def rename_aside(path: Path) -> Path:
    """Rename a file or directory to the first unused name of ``NAME.aside``, ``NAME.aside1``, ...; return the path."""
    names = (path.with_name(f"{path.name}.aside{number or ''}") for number in count())
    aside = next(name for name in names if not os.path.lexists(name))
    path.replace(aside)
    return aside


def find_corrupt_record(path: Path) -> str | None:
    """Return the first member of a zip file that is compressed or does not have its CRC-32; None if there is none.

    Such a file was not written by `torch.save`, or is truncated or corrupt. A directory of the zip that cannot be read
    is called "directory".
    """
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = (info.filename for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED)
            return next(compressed, None) or archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError):
        return "directory"


def remove(path: Path) -> None:
    """Remove a file, a link or a directory with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_unlisted(directory: Path, names: Collection[str]) -> None:
    """Remove all files and links below a directory except those listed, and directories without listed files.

    Parameters
    ----------
    directory
        Need not exist. Links in it are removed, not followed.
    names
        Files to keep: paths relative to the directory, separated by ``/``.
    """
    files = set(names)
    directories = {parent.as_posix() for name in files for parent in PurePosixPath(name).parents}
    for place, children, found in os.walk(directory, topdown=False):
        base = Path(place).relative_to(directory).as_posix()
        prefix = "" if base == "." else f"{base}/"
        for name in (*found, *children):
            path = Path(place, name)
            if path.is_symlink() or (name in found and prefix + name not in files):
                path.unlink()
        if base not in directories and base != ".":
            Path(place).rmdir()


def file_stems(names: Iterable[str]) -> list[str]:
    """Convert distinct names into file name stems that are distinct even where case is ignored.

    ASCII letters, digits, ``-``, ``_`` and ``.`` are kept, except a leading dot; all other characters become ``-``.
    """
    stems: dict[str, str] = {}
    for name in names:
        stem = re.sub(r"^\.|[^A-Za-z0-9_.-]", "-", name)
        candidates = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
        unused = next(candidate for candidate in candidates if candidate.lower() not in stems)
        stems[unused.lower()] = unused
    return list(stems.values())
