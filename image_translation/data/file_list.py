"""Lists of the files of a directory with their checksums, in the format of pooch's registry files."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import pooch

from image_translation.errors import DataError, UsageError, first_line
from image_translation.files import MAX_TEXT_BYTES, read_text, require_regular_file

JUNK_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # written by file managers


def read_file_list(path: Path) -> dict[str, str]:
    """Read and validate a list of files from an untrusted source.

    Parameters
    ----------
    path
        Text file with the name and the SHA-256 checksum of a file in each line, quoted as in a shell; comments begin
        with #.

    Returns
    -------
    dict
        Checksum in hexadecimal by name; names are relative to the directory and separated by ``/``.

    Raises
    ------
    DataError
        If it cannot be parsed or is empty, or if a name is unsafe, see `require_safe_names`.
    """
    parsed = pooch.create(path=path.parent, base_url="")
    require_regular_file(path, MAX_TEXT_BYTES)
    try:
        parsed.load_registry(path)
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or an unclosed quote
        raise DataError(f"{path}: cannot be read as a list of files and checksums: {first_line(error)}") from error
    if not parsed.registry:
        raise DataError(f"{path}: the list of files is empty")
    if parsed.urls:
        name, url = next(iter(parsed.urls.items()))
        raise DataError(f"{path}: {name!r:.100} has a URL of its own, {url!r:.100}, which is not allowed")
    require_safe_names(path, parsed.registry)
    lines = [line for line in read_text(path).splitlines() if line.strip() and line.strip()[0] != "#"]
    if len(lines) > len(parsed.registry):  # pooch keeps the last of equal names
        raise DataError(f"{path}: a file is listed twice")
    for name, checksum in parsed.registry.items():
        if not re.fullmatch("[0-9a-f]{64}", checksum):
            raise DataError(
                f"{path}: the checksum of {name!r:.100} is {checksum!r:.100}; it must be SHA-256, 64 hexadecimal digits"
            )
    return dict(parsed.registry)


def require_safe_names(source: Path, names: Iterable[str]) -> None:
    """Refuse names of files that lie outside their directory, or that cannot exist together in one directory.

    Parameters
    ----------
    source
        List or archive that contains the names; named in errors.
    names
        Names relative to the directory, separated by ``/``.

    Raises
    ------
    DataError
        If a name is refused; names the first one.
    """
    files = set()
    for name in names:
        parts = name.split("/")
        malformed = any(part in {"", ".", ".."} for part in parts) or not name.isprintable() or "\\" in name
        if malformed or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
            raise DataError(
                f"{source}: {name!r:.100} is not the name of a file inside the directory; nothing was written"
            )
        if name.casefold() in files:
            raise DataError(f"{source}: {name!r:.100} occurs twice, or differs from another name only in case")
        files.add(name.casefold())
    for name in files:
        parent = name
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in files:
                raise DataError(f"{source}: {parent!r:.100} is both a file and a directory")


def compute_checksums(directory: Path) -> dict[str, str]:
    """Compute the SHA-256 checksum of every file below a directory.

    Parameters
    ----------
    directory
        Directory to be published.

    Returns
    -------
    dict
        Checksum by name, sorted by name, without the files that file managers write.

    Raises
    ------
    UsageError
        If it is not a directory, contains no file, or contains a file that cannot be published under its name.
    DataError
        If a file cannot be read.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; give the OME-Zarr directory to be published")

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error

    names = []
    for parent, directories, files in os.walk(directory, onerror=fail):
        paths = [Path(parent, name) for name in sorted((*directories, *files)) if name not in JUNK_FILES]
        special = [path for path in paths if path.is_symlink() or not (path.is_file() or path.is_dir())]
        if special:
            raise UsageError(f"{special[0]}: is a link or not a regular file, and cannot be published")
        names += [path.relative_to(directory).as_posix() for path in paths if path.is_file()]
    if not names:
        raise UsageError(f"{directory}: contains no file")
    try:
        require_safe_names(directory, names)
    except DataError as error:
        raise UsageError(f"{error}; rename it") from error
    try:
        return {name: pooch.file_hash(str(directory / name)) for name in sorted(names)}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def format_file_list(checksums: Mapping[str, str]) -> str:
    """Format a list of files for `read_file_list` and `pooch.Pooch.load_registry`."""
    return "".join(f"{shlex.quote(name)} {checksum}\n" for name, checksum in checksums.items())
