"""What becomes of an archive: looked through first, unpacked aside, and only its root is kept."""

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

from image_translation.data.file_list import require_safe
from image_translation.errors import DataError

ZARR_ROOT = (".zgroup", ".zattrs", "zarr.json")
APPLE_DOUBLE = "__MACOSX"  # what macOS adds to its zip files
DAMAGE = (
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
    """Processor in the sense of `pooch.Pooch.fetch`.

    Parameters
    ----------
    scratch
        Folder to unpack into; what it held is removed.
    holds
        Patterns: the root is the outermost folder in which one of them finds something.
    """

    def __init__(self, scratch: Path, holds: tuple[str, ...]) -> None:
        self._scratch, self._holds = scratch, holds

    def __call__(self, fname: str, _action: str, _shelf: Any) -> str:
        """Unpack an archive.

        Parameters
        ----------
        fname
            The archive, zip or tar, compressed or not, whatever its name.

        Returns
        -------
        str
            The root.

        Raises
        ------
        DataError
            It is no archive; it is damaged; it holds a link, a device, or a name that reaches out of the folder; or it
            holds no root, or several.
        """
        archive = Path(fname)
        _log.info("unpacking %s", archive.name)
        if self._scratch.exists():
            shutil.rmtree(self._scratch)
        self._scratch.mkdir(parents=True)
        try:
            if zipfile.is_zipfile(archive):
                require_safe(archive, _zip_members(archive))
                with zipfile.ZipFile(archive) as zipped:
                    zipped.extractall(self._scratch)  # noqa: S202 - the names were looked through
            elif tarfile.is_tarfile(archive):
                require_safe(archive, _tar_members(archive))
                # Not pooch's Untar, which on Python 3.11 takes over owners and modes, such as setuid.
                with tarfile.open(archive) as tarred:
                    tarred.extractall(self._scratch, filter="data")
            else:
                raise DataError(f"{archive}: is neither a zip nor a tar archive")
        except DAMAGE as error:
            raise DataError(f"{archive}: the archive is damaged: {error}") from error
        return str(self._root(archive))

    def _root(self, archive: Path) -> Path:
        level = [self._scratch]
        while level:
            roots = [folder for folder in level if any(any(folder.glob(pattern)) for pattern in self._holds)]
            if len(roots) > 1:
                names = ", ".join(str(root.relative_to(self._scratch)) for root in roots)
                raise DataError(f"{archive}: holds several of what was expected once: {names}")
            if roots:
                return roots[0]
            level = sorted(
                child for folder in level for child in folder.iterdir() if child.is_dir() and child.name != APPLE_DOUBLE
            )
        found = ", ".join(sorted(path.name for path in self._scratch.iterdir())[:5]) or "nothing"
        raise DataError(f"{archive}: holds no {' or '.join(self._holds)}, but {found}")


def _zip_members(archive: Path) -> Iterator[str]:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise DataError(f"{archive}: {member.filename!r:.100} is a link or a device; nothing was unpacked")
            if not member.is_dir():
                yield member.filename
            else:
                require_safe(archive, [member.filename.removesuffix("/")])


def _tar_members(archive: Path) -> Iterator[str]:
    with tarfile.open(archive) as file:
        for member in file:
            if not (member.isreg() or member.isdir()):
                raise DataError(f"{archive}: {member.name!r:.100} is a link or a device; nothing was unpacked")
            name = member.name.removeprefix("./")
            if member.isreg():
                yield name
            elif name not in {"", "."}:
                require_safe(archive, [name])
