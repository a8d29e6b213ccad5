"""The cache: one folder an entry, in which a file or a directory under its final name is complete and verified.

Beside the data lie the receipt of what was verified, the list of a directory's files, and ``.partial``, where
everything grows until it may be moved to its final name.
"""

import errno
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import pooch
import requests
from filelock import FileLock, Timeout

from image_translation.catalogue import FILE_LIST, RECEIPT, Entry
from image_translation.download import open_session
from image_translation.errors import DataError
from image_translation.file_list import read_file_list
from image_translation.receipt import Mark, Receipt, read_receipt
from image_translation.shelf import Wanted, get_file, get_files, progress
from image_translation.unpack import ZARR_ROOT, Unpack

THREADS = 8  # for the files of a directory
PARTIAL, LOCK = ".partial", ".lock"

_log = logging.getLogger(__name__)


class CachedEntry:
    """An entry of the registry and its folder in the cache.

    Parameters
    ----------
    entry
        What is wanted.
    cache
        The cache directory; need not exist.
    """

    def __init__(self, entry: Entry, cache: Path) -> None:
        self.entry = entry
        self.folder = cache / entry.name
        self.path = self.folder / entry.final
        self._partial = self.folder / PARTIAL

    def is_ready(self) -> bool:
        """Tell whether it is complete and looks as it did when it was verified, without reading it."""
        receipt = self.receipt()
        return receipt is not None and receipt.fits(self.path if self.entry.is_directory else self.folder)

    def is_begun(self) -> bool:
        """Tell whether there is something that the next fetch goes on from."""
        return self.path.exists() or (self._partial.exists() and any(self._partial.iterdir()))

    def size(self) -> int | None:
        """Return its bytes: of what lies here, else as the registry says; None if neither is known."""
        receipt = self.receipt()
        return (sum(mark.size for mark in receipt.marks.values()) if receipt else self.entry.size) or None

    def receipt(self) -> Receipt | None:
        """Return what was verified; None if nothing was, or if the registry has another content by now."""
        receipt = read_receipt(self.folder / RECEIPT)
        return receipt if receipt and receipt.digest == self._digest() else None

    def fetch(self, *, verify: bool = False) -> Path:
        """Make sure that it is complete, and return where it lies.

        Parameters
        ----------
        verify
            Hash every file anew, though it looks as it did.

        Returns
        -------
        Path
            The checkpoint's file, or the directory.

        Raises
        ------
        UnreachableError
            Something has to be fetched, and cannot be.
        DataError
            What was fetched is not what was published; or the cache cannot be written.
        """
        if not verify and self.is_ready():
            return self.path
        with _plain_errors(self.entry.name, self.folder):
            try:
                lock = self._acquire()
            except OSError:
                # Somebody else's cache, such as one that a laboratory shares, may be read all the same.
                if self._compare(self._expected(), thorough=verify)[1] == []:
                    return self.path
                raise
            try:
                if verify or not self.is_ready():
                    self._complete(thorough=verify)
            finally:
                lock.release()
        return self.path

    def _digest(self) -> str:
        """Tell what content the registry asks for: the sum of the file, or of the list of files."""
        entry = self.entry
        if entry.sha256 or entry.list_sha256:
            return entry.sha256 or entry.list_sha256
        try:
            return pooch.file_hash(entry.list)
        except OSError as error:
            raise DataError(f"{entry.name}: its list of files {entry.list} cannot be read: {error.strerror}") from error

    def _acquire(self) -> FileLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.info("%s is being fetched already; waiting for it", self.entry.name)
            lock.acquire(poll_interval=0.1)
        except NotImplementedError as error:
            raise OSError(errno.ENOLCK, "its file system has no locks") from error
        return lock

    def _complete(self, *, thorough: bool) -> None:
        self._partial.mkdir(exist_ok=True)
        with open_session(THREADS) as session:
            if self.entry.list and not self._has_list():
                self._fetch_list(session)
            marks, wrong = self._compare(self._expected(), thorough=thorough)
            if wrong:
                _log.warning("%s: %d files are missing or were changed; fetching them again", self.path, len(wrong))
            if wrong == []:
                Receipt(self._digest(), marks).write(self.folder / RECEIPT)
            elif self.entry.list:
                self._fetch_directory(session, wrong)
            elif self.entry.is_archive:
                self._fetch_archive(session, wrong)
            else:
                self._fetch_file(session)
        if thorough and self.entry.is_directory:
            self._tell_of_strays()
        shutil.rmtree(self._partial)

    def _tell_of_strays(self) -> None:
        """Warn of what somebody has added; a chunk that was never published would be read as pixels."""
        receipt = self.receipt()
        files = {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir()}
        strays = sorted(files - set(receipt.marks if receipt else ()))
        if strays:
            _log.warning("%s holds %d files that were not published, such as %s", self.path, len(strays), strays[0])

    def _has_list(self) -> bool:
        path = self.folder / FILE_LIST
        return path.is_file() and pooch.file_hash(path) == self._digest()

    def _expected(self) -> dict[str, str] | None:
        """Tell the sum of every file by name, as far as that is known without network."""
        if not self.entry.is_directory:
            return {self.entry.final: self.entry.sha256}
        if self.entry.list:
            return read_file_list(self.folder / FILE_LIST) if self._has_list() else None
        receipt = self.receipt()
        return receipt.sums() if receipt else None

    def _compare(
        self, expected: Mapping[str, str] | None, *, thorough: bool
    ) -> tuple[dict[str, Mark], list[str] | None]:
        """Mark the files that are right, and name those that are missing or not; None if all has to be fetched."""
        earlier = read_receipt(self.folder / RECEIPT)
        if earlier and earlier.digest != self._digest() and self.path.exists():
            _log.warning("%s: the registry has another content by now; fetching it", self.path)
            return {}, None  # what both have in common is not kept, lest something of the former stays
        if expected is None or not self.path.exists():
            return {}, None
        known = earlier.marks if earlier and not thorough else {}
        root = self.path if self.entry.is_directory else self.folder
        marks, wrong = dict[str, Mark](), list[str]()
        with progress(len(expected), "file", f"{self.entry.name}: checking") as bar:
            for name, digest in expected.items():
                mark = known.get(name)
                if mark and mark.digest == digest and mark.fits(root / name):
                    marks[name] = mark
                elif (root / name).is_file() and pooch.file_hash(root / name) == digest:
                    marks[name] = Mark.of(root / name, digest)
                else:
                    wrong.append(name)
                bar.update()
        return marks, wrong

    def _fetch_file(self, session: requests.Session) -> None:
        fetched = self._get(session, self.entry.file)
        mark = Mark.of(fetched, self.entry.sha256)
        _put(fetched, self.path, self.folder)
        Receipt(self._digest(), {self.path.name: mark}).write(self.folder / RECEIPT)

    def _fetch_archive(self, session: requests.Session, wrong: Iterable[str] | None) -> None:
        entry = self.entry
        unpack = Unpack(self._partial / "unpacked", (entry.holds,) if entry.holds else ZARR_ROOT)
        carried = self.folder / entry.file
        if carried.is_file() and pooch.file_hash(carried) == entry.sha256:
            root = Path(unpack(str(carried), "fetch", None))
        else:
            root = self._get(session, entry.file, unpack)
        names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        with progress(len(names), "file", f"{entry.name}: hashing") as bar:
            sums = {}
            for name in names:
                sums[name] = pooch.file_hash(root / name)
                bar.update()
        self._publish(root, sums, wrong)

    def _fetch_list(self, session: requests.Session) -> None:
        entry = self.entry
        if entry.list.startswith(("http://", "https://")):
            wanted = Wanted(FILE_LIST, entry.list, entry.list_sha256)
            fetched = get_file(wanted, self._partial, session, f"{entry.name}: list")
        else:
            fetched = Path(shutil.copyfile(entry.list, self._partial / FILE_LIST))
            if (found := pooch.file_hash(fetched)) != self._digest():
                raise DataError(f"{entry.list}: its sum is {found}, not {self._digest()}, as the registry says")
        read_file_list(fetched)
        _put(fetched, self.folder / FILE_LIST, self.folder)

    def _fetch_directory(self, session: requests.Session, wrong: Iterable[str] | None) -> None:
        sums = read_file_list(self.folder / FILE_LIST)
        staging = self._partial / self.entry.final
        wanted = sums if wrong is None else {name: sums[name] for name in wrong}
        _remove_strays(staging, wanted)
        files = [Wanted(name, f"{self.entry.address}/{quote(name)}", digest) for name, digest in wanted.items()]
        get_files(files, staging, session, self.entry.name, threads=THREADS)
        self._publish(staging, sums, wrong)

    def _get(self, session: requests.Session, name: str, processor: Any = None) -> Path:
        wanted = Wanted(name, self.entry.address, self.entry.sha256)
        return get_file(wanted, self._partial, session, self.entry.name, processor)

    def _publish(self, root: Path, sums: Mapping[str, str], wrong: Iterable[str] | None) -> None:
        """Move a complete directory, or the files that a finished one lacks, to the final name; remember the sums."""
        if wrong is None:
            if self.path.exists():
                self.path.replace(self._partial / "replaced")
            root.replace(self.path)
        else:  # what somebody has added stays
            for name in wrong:
                _put(root / name, self.path / name, self.path)
        marks = {name: Mark.of(self.path / name, digest) for name, digest in sums.items()}
        Receipt(self._digest(), marks).write(self.folder / RECEIPT)


def _put(source: Path, target: Path, root: Path) -> None:
    """Move a file to its place below a root, whatever stands in the way."""
    for parent in reversed(target.relative_to(root).parents[:-1]):
        if (root / parent).is_symlink() or (root / parent).is_file():
            (root / parent).unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    source.replace(target)


def _remove_strays(folder: Path, names: Iterable[str]) -> None:
    """Remove what is not wanted, such as what a killed run was just receiving."""
    files = set(names)
    folders = {parent.as_posix() for name in files for parent in PurePosixPath(name).parents}
    for path in sorted(folder.rglob("*"), reverse=True):  # what lies in a folder before the folder
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            if name not in folders:
                path.rmdir()
        elif name not in files or path.is_symlink():
            path.unlink()


@contextmanager
def _plain_errors(name: str, folder: Path) -> Iterator[None]:
    """Turn what the file system raises into one line."""
    try:
        yield
    except OSError as error:
        problem = error.strerror or str(error)
        raise DataError(
            f"{name}: the cache {folder} cannot be used: {problem}; "
            "set IMAGE_TRANSLATION_DATA_DIR to a directory that has space and may be written"
        ) from error
