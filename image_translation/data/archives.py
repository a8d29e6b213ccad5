"""Unpacking of downloaded zip and tar archives: check the names, unpack, and find the root of the data."""

import gzip
import logging
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from image_translation.data.file_list import require_safe_names
from image_translation.errors import DataError

ZARR_ROOT = (".zgroup", ".zattrs", "zarr.json")
APPLE_DOUBLE = "__MACOSX"  # directory that macOS adds to zip files
DAMAGE_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # encrypted
    ValueError,
)

_log = logging.getLogger(__name__)


class Unpack:
    """Processor for `pooch.Pooch.fetch` that unpacks an archive and returns the root of the data in it.

    Parameters
    ----------
    scratch
        Directory to unpack into; an existing one is emptied.
    patterns
        Glob patterns: the root is the outermost directory in which one of them matches.
    """

    def __init__(self, scratch: Path, patterns: tuple[str, ...]) -> None:
        self._scratch, self._patterns = scratch, patterns

    def __call__(self, fname: str, _action: str, _pooch: Any) -> str:
        """Unpack an archive.

        Parameters
        ----------
        fname
            Zip or tar archive, compressed or not, with any name.

        Returns
        -------
        str
            Path of the root.

        Raises
        ------
        DataError
            If it is not an archive, is damaged, or contains a link, a device or a name outside its directory; or if
            it contains no root, or several.
        """
        archive = Path(fname)
        _log.info("unpacking %s", archive.name)
        if self._scratch.exists():
            shutil.rmtree(self._scratch)
        self._scratch.mkdir(parents=True)
        try:
            if zipfile.is_zipfile(archive):
                require_safe_names(archive, _zip_members(archive))
                with zipfile.ZipFile(archive) as zipped:
                    zipped.extractall(self._scratch)  # noqa: S202 - the names were checked
            elif tarfile.is_tarfile(archive):
                require_safe_names(archive, _tar_members(archive))
                # Not pooch.Untar, which on Python 3.11 restores owners and modes, including setuid.
                with tarfile.open(archive) as tarred:
                    tarred.extractall(self._scratch, filter="data")
            else:
                raise DataError(f"{archive}: is neither a zip nor a tar archive")
        except DAMAGE_ERRORS as error:
            raise DataError(f"{archive}: the archive is damaged: {error}") from error
        return str(self._root(archive))

    def _root(self, archive: Path) -> Path:
        level = [self._scratch]  # directories of the same depth
        while level:
            roots = [parent for parent in level if any(any(parent.glob(pattern)) for pattern in self._patterns)]
            if len(roots) > 1:
                names = ", ".join(str(root.relative_to(self._scratch)) for root in roots)
                raise DataError(
                    f"{archive}: contains {' or '.join(self._patterns)} in several directories instead of one: {names}"
                )
            if roots:
                return roots[0]
            level = sorted(
                child for parent in level for child in parent.iterdir() if child.is_dir() and child.name != APPLE_DOUBLE
            )
        found = ", ".join(sorted(path.name for path in self._scratch.iterdir())[:5]) or "nothing"
        raise DataError(f"{archive}: contains no {' or '.join(self._patterns)}, but {found}")


def _zip_members(archive: Path) -> Iterator[str]:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise DataError(f"{archive}: {member.filename!r:.100} is a link or a device; nothing was unpacked")
            if not member.is_dir():
                yield member.filename
            else:
                require_safe_names(archive, [member.filename.removesuffix("/")])


def _tar_members(archive: Path) -> Iterator[str]:
    with tarfile.open(archive) as file:
        for member in file:
            if not (member.isreg() or member.isdir()):
                raise DataError(f"{archive}: {member.name!r:.100} is a link or a device; nothing was unpacked")
            name = member.name.removeprefix("./")
            if member.isreg():
                yield name
            elif name not in {"", "."}:
                require_safe_names(archive, [name])
