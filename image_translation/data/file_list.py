"""Lists of the files of a directory and their sums, in the format of pooch's registry files."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import pooch

from image_translation.errors import DataError, UsageError

JUNK = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # left by file managers


def read_file_list(path: Path) -> dict[str, str]:
    """Read a list that may come from anywhere.

    Parameters
    ----------
    path
        Text file; in each line the name of a file and its SHA-256 sum, with the shell's quoting; comments begin with #.

    Returns
    -------
    dict
        Name, relative to the directory and with ``/`` on every system, to sum in hexadecimal.

    Raises
    ------
    DataError
        It is no such list; it is empty; or a name in it reaches out of the directory, cannot be a file's name, or
        stands in the way of another.
    """
    shelf = pooch.create(path=path.parent, base_url="")
    try:
        shelf.load_registry(path)
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a quote that is not closed
        raise DataError(f"{path}: cannot be read as a list of files and sums: {error}") from error
    if not shelf.registry:
        raise DataError(f"{path}: the list of files is empty")
    if shelf.urls:
        name, address = next(iter(shelf.urls.items()))
        raise DataError(f"{path}: {name!r:.100} has an address of its own, {address!r:.100}, which is not allowed")
    require_safe(path, shelf.registry)
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and line.strip()[0] != "#"]
    if len(lines) > len(shelf.registry):  # pooch takes the last
        raise DataError(f"{path}: a file is listed twice")
    for name, digest in shelf.registry.items():
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise DataError(f"{path}: the sum of {name!r:.100} is {digest!r:.100}; it must be SHA-256, 64 digits")
    return dict(shelf.registry)


def require_safe(source: Path, names: Iterable[str]) -> None:
    """Refuse names of files that reach out of their directory, or that no directory can hold together.

    Parameters
    ----------
    source
        List or archive that they stand in; named in errors.
    names
        Names relative to the directory, with ``/`` between the parts.

    Raises
    ------
    DataError
        Names the first offender.
    """
    files = set()
    for name in names:
        parts = name.split("/")
        odd = any(part in {"", ".", ".."} for part in parts) or not name.isprintable() or "\\" in name
        if odd or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
            raise DataError(f"{source}: {name!r:.100} is no name of a file inside the directory; nothing was written")
        if name.casefold() in files:
            raise DataError(f"{source}: {name!r:.100} is there twice, or differs from another in capitals alone")
        files.add(name.casefold())
    for name in files:
        parent = name
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in files:
                raise DataError(f"{source}: {parent!r:.100} is both a file and a folder")


def list_files(directory: Path) -> dict[str, str]:
    """Compute the sum of every file below a directory.

    Parameters
    ----------
    directory
        What is to be published.

    Returns
    -------
    dict
        Name to SHA-256 sum, sorted; without what file managers leave behind.

    Raises
    ------
    UsageError
        It is no directory, holds no file, or a file cannot be published under its name.
    DataError
        A file cannot be read.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; give the OME-Zarr directory that is to be published")

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error

    names = []
    for folder, folders, found in os.walk(directory, onerror=refuse):
        paths = [Path(folder, name) for name in sorted((*folders, *found)) if name not in JUNK]
        odd = [path for path in paths if path.is_symlink() or not (path.is_file() or path.is_dir())]
        if odd:
            raise UsageError(f"{odd[0]}: is a link, or no ordinary file, and cannot be published")
        names += [path.relative_to(directory).as_posix() for path in paths if path.is_file()]
    if not names:
        raise UsageError(f"{directory}: holds no file")
    try:
        require_safe(directory, names)
    except DataError as error:
        raise UsageError(f"{error}; rename it") from error
    try:
        return {name: pooch.file_hash(str(directory / name)) for name in sorted(names)}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def format_file_list(sums: Mapping[str, str]) -> str:
    """Write a list down as `read_file_list` and `pooch.Pooch.load_registry` read it."""
    return "".join(f"{shlex.quote(name)} {digest}\n" for name, digest in sums.items())
