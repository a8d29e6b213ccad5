"""The cache: one folder an entry, in which a file or a directory under its final name is complete and verified.

Beside the data lie the receipt of what was verified, the list of a directory's files, and ``.partial``, where
everything grows until it may be moved to its final name.
"""

import errno
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pooch
import requests
from filelock import FileLock, Timeout

from image_translation.data.archives import ZARR_ROOT, Unpack
from image_translation.data.download import Wanted, get_file, get_files, progress
from image_translation.data.file_list import read_file_list
from image_translation.data.http import open_session
from image_translation.data.receipt import Mark, Receipt, compare, read_receipt
from image_translation.data.registry import FILE_LIST, RECEIPT, Entry
from image_translation.errors import DataError
from image_translation.files import put, remove, remove_strays, set_aside

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
        self._root = self.path if entry.is_directory else self.folder  # what names of files are relative to
        self._partial = self.folder / PARTIAL

    def receipt(self) -> Receipt | None:
        """Return what was verified; None if nothing was, or if the registry has another content by now."""
        receipt = self._last_receipt()
        return receipt if receipt and receipt.digest == self._digest else None

    def is_ready(self) -> bool:
        """Tell whether it is complete and looks as it did when it was verified, without reading it."""
        receipt = self.receipt()
        return receipt is not None and receipt.fits(self._root)

    def is_begun(self) -> bool:
        """Tell whether there is something that the next fetch goes on from."""
        return self.path.exists() or (self._partial.exists() and any(self._partial.iterdir()))

    def size(self) -> int | None:
        """Return its bytes: of what lies here, else as the registry says; None if neither is known."""
        receipt = self.receipt()
        return (receipt.size() if receipt else self.entry.size) or None

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
        if not verify and self._is_settled():
            return self.path
        if not self._digest:
            raise self._list_is_lost()
        with _plain_errors(self.entry.name, self.folder):
            try:
                lock = self._acquire()
            except OSError:
                # Somebody else's cache, such as one that a laboratory shares, may be read all the same.
                if self._compare(self._expected() or {}, thorough=verify)[1] or not self.path.exists():
                    raise
                _log.warning("%s: what was verified cannot be noted there, and is hashed at every use", self.folder)
                return self.path
            try:
                if verify or not self._is_settled():
                    self._complete(thorough=verify)
            finally:
                lock.release()
        return self.path

    @cached_property
    def _digest(self) -> str:
        """What content the registry asks for: the sum of the file, or of the list; empty if that cannot be read."""
        entry = self.entry
        try:
            return entry.sha256 or entry.list_sha256 or pooch.file_hash(entry.list)
        except OSError:
            return ""

    @cached_property
    def _listed(self) -> dict[str, str]:
        """Sum of every file of a directory by name, once the list is there."""
        return read_file_list(self.folder / FILE_LIST)

    def _list_is_lost(self) -> DataError:
        return DataError(f"{self.entry.name}: its list of files {self.entry.list} cannot be read")

    def _last_receipt(self) -> Receipt | None:
        return read_receipt(self.folder / RECEIPT)

    def _is_settled(self) -> bool:
        return self.is_ready() and not self._partial.exists()

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
        if not self.path.exists():
            entry, host = self.entry, urlsplit(self.entry.address).netloc
            _log.info("fetching %s from %s into %s", entry.name, host, self.folder)
            _log.info("its licence: %s; to cite: %s", entry.licence, entry.citation)
        with open_session(THREADS) as session:
            if self.entry.list and not self._has_list():
                self._fetch_list(session)
            marks, wrong = self._take_stock(thorough=thorough)
            if wrong == []:
                self._note(marks)
            elif self.entry.list:
                self._fetch_directory(session, marks, wrong)
            elif self.entry.is_archive:
                self._fetch_archive(session, marks, wrong)
            else:
                self._fetch_file(session)
        if thorough and self.entry.is_directory:
            self._tell_of_strays()
        shutil.rmtree(self._partial)

    def _has_list(self) -> bool:
        path = self.folder / FILE_LIST
        return path.is_file() and pooch.file_hash(path) == self._digest

    def _expected(self) -> dict[str, str] | None:
        """Tell the sum of every file by name; None if that is not known without network."""
        if not self.entry.is_directory:
            return {self.entry.final: self.entry.sha256}
        if self.entry.list:
            return self._listed if self._has_list() else None
        receipt = self.receipt()
        return receipt.sums() if receipt else None

    def _compare(self, expected: Mapping[str, str], *, thorough: bool) -> tuple[dict[str, Mark], list[str]]:
        receipt = self.receipt()
        with progress(len(expected), "file", f"{self.entry.name}: checking") as bar:
            return compare(self._root, expected, {} if thorough or not receipt else receipt.marks, bar.update)

    def _take_stock(self, *, thorough: bool) -> tuple[dict[str, Mark], list[str] | None]:
        """Find out what has to be fetched: the wrong files, or None for all, where it is better to begin anew."""
        if not self.path.exists():
            return {}, None
        earlier, expected = self._last_receipt(), self._expected()
        if earlier and earlier.digest != self._digest:
            _log.warning("%s: the registry has another content by now; fetching it", self.path)
            return {}, None  # nothing is kept of what both have in common, lest something of the former stays
        marks, wrong = self._compare(expected, thorough=thorough) if expected else ({}, None)
        if wrong == []:
            return marks, wrong
        if expected and wrong and (earlier or not any((self._root / name).exists() for name in wrong)):
            _log.warning("%s: %d files are missing or were changed; fetching them again", self.path, len(wrong))
            # Should they not come, nothing may look as if it had been verified.
            self._note(marks | {name: Mark.void(expected[name]) for name in wrong})
            return marks, wrong
        aside = set_aside(self.path)
        _log.warning("%s was not fetched, nor is it what was published; it is now called %s", self.path, aside.name)
        return {}, None

    def _fetch_file(self, session: requests.Session) -> None:
        fetched = self._get(session)
        mark = Mark.of(fetched, self.entry.sha256)
        self._note({self.path.name: mark})
        put(fetched, self.path, self.folder)

    def _fetch_archive(self, session: requests.Session, marks: Mapping[str, Mark], wrong: list[str] | None) -> None:
        entry, carried = self.entry, self.folder / self.entry.file
        unpack = Unpack(self._partial / "unpacked", (entry.holds,) if entry.holds else ZARR_ROOT)
        if carried.is_file() and pooch.file_hash(carried) == entry.sha256:
            root = Path(unpack(str(carried), "fetch", None))
        else:
            root = self._get(session, unpack)
        names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        with progress(len(names), "file", f"{entry.name}: hashing") as bar:
            unpacked = {}
            for name in names:
                unpacked[name] = Mark.of(root / name, pooch.file_hash(root / name))
                bar.update()
        self._publish(root, marks, unpacked, wrong)

    def _fetch_list(self, session: requests.Session) -> None:
        entry = self.entry
        if entry.list.startswith(("http://", "https://")):
            wanted = Wanted(FILE_LIST, entry.list, entry.list_sha256)
            fetched = get_file(wanted, self._partial, session, f"{entry.name}: list")
        elif not Path(entry.list).is_file():
            raise self._list_is_lost()
        else:
            fetched = Path(shutil.copyfile(entry.list, self._partial / FILE_LIST))
            if (found := pooch.file_hash(fetched)) != self._digest:
                raise DataError(f"{entry.list}: its sum is {found}, not {self._digest}, as the registry says")
        self._listed = read_file_list(fetched)
        put(fetched, self.folder / FILE_LIST, self.folder)

    def _fetch_directory(self, session: requests.Session, marks: Mapping[str, Mark], wrong: list[str] | None) -> None:
        staging, address = self._partial / self.entry.final, self.entry.address
        sums = self._listed if wrong is None else {name: self._listed[name] for name in wrong}
        remove_strays(staging, sums)
        files = [Wanted(name, f"{address}/{quote(name)}", digest) for name, digest in sums.items()]
        get_files(files, staging, session, self.entry.name, threads=THREADS)
        self._publish(staging, marks, {name: Mark.of(staging / name, digest) for name, digest in sums.items()}, wrong)

    def _get(self, session: requests.Session, processor: Any = None) -> Path:
        wanted = Wanted(self.entry.file, self.entry.address, self.entry.sha256)
        return get_file(wanted, self._partial, session, self.entry.name, processor)

    def _publish(
        self, root: Path, marks: Mapping[str, Mark], fetched: Mapping[str, Mark], wrong: list[str] | None
    ) -> None:
        """Take note of a complete directory, or of the files that a finished one lacks, and move it to its final name.

        In this order: killed in between, the files do not fit the receipt and are looked at again; without a
        receipt they would look like somebody else's.
        """
        if wrong is None:
            if self.path.exists():
                remove(self._partial / "replaced")
                self.path.replace(self._partial / "replaced")
            self._note(fetched)
            root.replace(self.path)
        else:  # what somebody has added stays
            self._note({**marks, **{name: fetched[name] for name in wrong}})
            for name in wrong:
                put(root / name, self.path / name, self.path)

    def _note(self, marks: Mapping[str, Mark]) -> None:
        Receipt(self._digest, marks).write(self.folder / RECEIPT)

    def _tell_of_strays(self) -> None:
        """Warn of what somebody has added; a chunk that was never published would be read as pixels."""
        receipt = self.receipt()
        files = {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir()}
        strays = sorted(files - set(receipt.marks if receipt else ()))
        if strays:
            _log.warning("%s holds %d files that were not published, such as %s", self.path, len(strays), strays[0])


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
