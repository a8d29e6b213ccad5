"""The cache: one directory per registry entry, whose files under their final names are complete and verified.

Each directory also contains the receipt of the verification, the list of files if the entry has one, and
``.partial``, where downloads are kept until they can be moved to their final names.
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
from filelock import FileLock, Timeout

from image_translation.data.archives import ZARR_ROOT, Unpack
from image_translation.data.download import RemoteFile, download_file, download_files, progress_bar
from image_translation.data.file_list import read_file_list
from image_translation.data.http import Session, open_session
from image_translation.data.receipt import FileRecord, Receipt, read_receipt, verify_files
from image_translation.data.registry import FILE_LIST, RECEIPT, Entry
from image_translation.data.unverified import Check, confirm, explained, fetch_first, is_recorded
from image_translation.errors import DataError
from image_translation.files import move_file, remove, remove_unlisted, rename_aside

THREADS = 8  # parallel downloads of the files of a directory
PARTIAL, LOCK = ".partial", ".lock"

_log = logging.getLogger(__name__)


class CachedEntry:
    """A registry entry and its directory in the cache.

    Parameters
    ----------
    entry
        Entry of the registry.
    cache
        Cache directory; need not exist.

    Attributes
    ----------
    directory
        Directory of the entry.
    path
        Final path of the file or directory that `fetch` returns.
    """

    def __init__(self, entry: Entry, cache: Path) -> None:
        self.entry = entry
        self.directory = cache / entry.name
        self.path = self.directory / entry.final
        self._root = self.path if entry.is_directory else self.directory  # names of files are relative to it
        self._partial = self.directory / PARTIAL

    def receipt(self) -> Receipt | None:
        """Return the receipt of the last verification; None if there is none, or the registry has changed since."""
        receipt = self._last_receipt()
        if receipt and self.entry.checksum_unknown:  # its checksum is that of the first download, or given by the user
            return receipt if is_recorded(receipt, self.entry) else None
        return receipt if receipt and receipt.checksum == self._checksum else None

    def is_ready(self) -> bool:
        """Return whether it is complete, and unchanged since its verification; files are not read."""
        receipt = self.receipt()
        return receipt is not None and receipt.matches(self._root)

    def is_started(self) -> bool:
        """Return whether there are files that the next fetch can use."""
        return self.path.exists() or (self._partial.exists() and any(self._partial.iterdir()))

    def size(self) -> int | None:
        """Return the size in bytes, of the files in the cache or else from the registry; None if unknown."""
        receipt = self.receipt()
        return (receipt.size() if receipt else self.entry.size) or None

    def fetch(self, *, verify: bool = False, sha256: str = "", check: Check | None = None) -> Path:
        """Download and verify what is missing, and return the path.

        Parameters
        ----------
        verify
            Hash every file again, even if its size and modification time are unchanged.
        sha256
            Published checksum of a checkpoint whose entry lacks it; only a file that has it is accepted from now on.
        check
            Loads a checkpoint whose checksum is unknown, see `unverified.require_checkpoint`.

        Returns
        -------
        Path
            Checkpoint file, or directory.

        Raises
        ------
        UnreachableError
            If something must be downloaded, but cannot be.
        DataError
            If a download differs from what was published, or the cache cannot be written.
        """
        if not verify and not sha256 and self._is_finished():
            return self.path
        if self.entry.list and not self._checksum:
            raise self._unreadable_list()
        with cache_errors(self.entry.name, self.directory):
            try:
                lock = self._acquire_lock()
            except OSError:
                # A read-only cache, for instance one that a laboratory shares, can be used if it is complete.
                if sha256 or not self._checksum:  # there is something to record
                    raise
                if self._verify(self._expected_checksums() or {}, thorough=verify)[1] or not self.path.exists():
                    raise
                _log.warning("%s: cannot be written; its files are hashed again at every use", self.directory)
                return self.path
            try:
                if sha256:
                    confirm(self.receipt(), sha256, self.path)
                if verify or not self._is_finished():
                    self._update(check, thorough=verify)
            finally:
                lock.release()
        return self.path

    @property
    def _checksum(self) -> str:
        """Checksum that identifies the version: of the file, archive or list; empty if it is unknown or unreadable."""
        if self.entry.checksum_unknown:
            receipt = self.receipt()
            return receipt.checksum if receipt else ""
        return self._published

    @cached_property
    def _published(self) -> str:
        entry = self.entry
        try:
            return entry.sha256 or entry.list_sha256 or pooch.file_hash(entry.list)
        except OSError:
            return ""

    @cached_property
    def _listed(self) -> dict[str, str]:
        """Checksum of every file of a directory by name; the list of files must exist."""
        return read_file_list(self.directory / FILE_LIST)

    def _unreadable_list(self) -> DataError:
        return DataError(f"{self.entry.name}: its list of files {self.entry.list} cannot be read")

    def _last_receipt(self) -> Receipt | None:
        return read_receipt(self.directory / RECEIPT)

    def _is_finished(self) -> bool:
        return self.is_ready() and not self._partial.exists()

    def _acquire_lock(self) -> FileLock:
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.directory / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.info("another process is already fetching %s; waiting for it", self.entry.name)
            lock.acquire(poll_interval=0.1)
        except NotImplementedError as error:
            raise OSError(errno.ENOLCK, "its file system does not support locks") from error
        return lock

    def _update(self, check: Check | None, *, thorough: bool) -> None:
        """Verify the files and download those that are missing or damaged; `thorough` hashes all of them."""
        self._partial.mkdir(exist_ok=True)
        if not self.path.exists():
            entry, host = self.entry, urlsplit(self.entry.address).netloc
            _log.info("fetching %s from %s into %s", entry.name, host, self.directory)
            _log.info("licence: %s; please cite: %s", entry.licence, entry.citation)
        with open_session(THREADS) as session:
            if self.entry.list and not self._has_list():
                self._download_list(session)
            if not self._checksum:
                fetch_first(self.entry, self.path, self._partial, session, check)
            valid, invalid = self._find_invalid(thorough=thorough)
            if invalid == []:
                self._write_receipt(valid)
            elif self.entry.list:
                self._download_directory(session, valid, invalid)
            elif self.entry.is_archive:
                self._download_archive(session, valid, invalid)
            else:
                self._download_checkpoint(session)
        if thorough and self.entry.is_directory:
            self._report_unpublished()
        shutil.rmtree(self._partial)

    def _has_list(self) -> bool:
        path = self.directory / FILE_LIST
        return path.is_file() and pooch.file_hash(path) == self._checksum

    def _expected_checksums(self) -> dict[str, str] | None:
        """Return the checksum of every file by name; None if it is not known without network."""
        if not self.entry.is_directory:
            return {self.entry.final: self._checksum}
        if self.entry.list:
            return self._listed if self._has_list() else None
        receipt = self.receipt()
        return receipt.checksums() if receipt else None

    def _verify(self, expected: Mapping[str, str], *, thorough: bool) -> tuple[dict[str, FileRecord], list[str]]:
        receipt = self.receipt()
        with progress_bar(len(expected), "file", f"{self.entry.name}: verifying") as bar:
            return verify_files(self._root, expected, {} if thorough or not receipt else receipt.records, bar.update)

    def _find_invalid(self, *, thorough: bool) -> tuple[dict[str, FileRecord], list[str] | None]:
        """Find the files to download, so that the others are kept; None instead of their names means all files."""
        if not self.path.exists():
            return {}, None
        earlier, expected = self._last_receipt(), self._expected_checksums()
        if earlier and earlier.checksum != self._checksum:
            _log.warning("%s: the registry now lists another version; fetching it", self.path)
            return {}, None  # keeps no file, lest some of the earlier version remain
        valid, invalid = self._verify(expected, thorough=thorough) if expected else ({}, None)
        if invalid == []:
            return valid, invalid
        if expected and invalid and (earlier or not any((self._root / name).exists() for name in invalid)):
            _log.warning("%s: %d files are missing or were changed; fetching them again", self.path, len(invalid))
            # If the download fails, the files must not pass as verified.
            self._write_receipt(valid | {name: FileRecord.invalid(expected[name]) for name in invalid})
            return valid, invalid
        aside = rename_aside(self.path)
        _log.warning("%s: exists, but is not what was published; renamed to %s", self.path, aside.name)
        return {}, None

    def _download_checkpoint(self, session: Session) -> None:
        with explained(self.receipt() if self.entry.checksum_unknown else None, self.directory):
            downloaded = self._download(session)
        self._write_receipt({self.path.name: FileRecord.of(downloaded, self._checksum)})
        move_file(downloaded, self.path, self.directory)

    def _download_archive(self, session: Session, valid: Mapping[str, FileRecord], invalid: list[str] | None) -> None:
        entry, saved = self.entry, self.directory / self.entry.file
        unpack = Unpack(self._partial / "unpacked", (entry.holds,) if entry.holds else ZARR_ROOT)
        if saved.is_file() and pooch.file_hash(saved) == entry.sha256:  # by the user
            root = Path(unpack(str(saved), "fetch", None))
        else:
            root = self._download(session, unpack)
        names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        with progress_bar(len(names), "file", f"{entry.name}: hashing") as bar:
            unpacked = {}
            for name in names:
                unpacked[name] = FileRecord.of(root / name, pooch.file_hash(root / name))
                bar.update()
        self._publish(root, valid, unpacked, invalid)

    def _download_list(self, session: Session) -> None:
        entry = self.entry
        if entry.list.startswith(("http://", "https://")):
            file = RemoteFile(FILE_LIST, entry.list, entry.list_sha256)
            downloaded = download_file(file, self._partial, session, f"{entry.name}: list")
        elif not Path(entry.list).is_file():
            raise self._unreadable_list()
        else:
            downloaded = Path(shutil.copyfile(entry.list, self._partial / FILE_LIST))
            if (found := pooch.file_hash(downloaded)) != self._checksum:
                raise DataError(f"{entry.list}: its checksum is {found}; the registry has {self._checksum}")
        self._listed = read_file_list(downloaded)
        move_file(downloaded, self.directory / FILE_LIST, self.directory)

    def _download_directory(self, session: Session, valid: Mapping[str, FileRecord], invalid: list[str] | None) -> None:
        staging, url = self._partial / self.entry.final, self.entry.address
        checksums = self._listed if invalid is None else {name: self._listed[name] for name in invalid}
        remove_unlisted(staging, checksums)
        files = [RemoteFile(name, f"{url}/{quote(name)}", checksum) for name, checksum in checksums.items()]
        download_files(files, staging, session, self.entry.name, threads=THREADS)
        downloaded = {name: FileRecord.of(staging / name, checksum) for name, checksum in checksums.items()}
        self._publish(staging, valid, downloaded, invalid)

    def _download(self, session: Session, processor: Any = None) -> Path:
        file = RemoteFile(self.entry.file, self.entry.address, self._checksum, self.entry.size)
        return download_file(file, self._partial, session, self.entry.name, processor)

    def _publish(
        self,
        root: Path,
        valid: Mapping[str, FileRecord],
        downloaded: Mapping[str, FileRecord],
        invalid: list[str] | None,
    ) -> None:
        """Move a new directory to its final name, or the missing files into the existing one, after the receipt.

        If killed in between, the files do not match the receipt and are verified again; without a receipt they would
        be taken for unknown files.
        """
        if invalid is None:
            if self.path.exists():
                remove(self._partial / "replaced")
                self.path.replace(self._partial / "replaced")
            self._write_receipt(downloaded)
            root.replace(self.path)
        else:  # files that users have added are kept
            self._write_receipt({**valid, **{name: downloaded[name] for name in invalid}})
            for name in invalid:
                move_file(root / name, self.path / name, self.path)

    def _write_receipt(self, records: Mapping[str, FileRecord]) -> None:
        receipt = self.receipt() if self.entry.checksum_unknown else None
        confirmed = receipt is None or receipt.confirmed
        Receipt(self._checksum, records, confirmed=confirmed).write(self.directory / RECEIPT)

    def _report_unpublished(self) -> None:
        """Warn of files that users have added: an additional chunk would be read as pixels."""
        receipt = self.receipt()
        files = {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir()}
        added = sorted(files - set(receipt.records if receipt else ()))
        if added:
            _log.warning("%s: contains %d files that were not published, such as %s", self.path, len(added), added[0])


@contextmanager
def cache_errors(name: str, directory: Path) -> Iterator[None]:
    """Convert errors of the file system into one line that names the cache directory."""
    try:
        yield
    except OSError as error:
        problem = error.strerror or str(error)
        raise DataError(
            f"{name}: the cache {directory} cannot be used: {problem}; "
            "set IMAGE_TRANSLATION_DATA_DIR to a writable directory with enough space"
        ) from error
