"""Receipt of a verification: size, modification time and checksum of every file, so that none is hashed again."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pooch

from image_translation.errors import DataError
from image_translation.files import read_text, remove, write_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class FileRecord:
    """State of a file when it was verified.

    Attributes
    ----------
    size
        In bytes.
    mtime
        Modification time in nanoseconds.
    checksum
        SHA-256 in hexadecimal.
    """

    size: int
    mtime: int
    checksum: str

    @classmethod
    def of(cls, path: str | Path, checksum: str) -> Self:
        """Record the present state of a file with this checksum."""
        status = os.stat(path)  # noqa: PTH116 - a Path for each of a hundred thousand files would take seconds
        return cls(status.st_size, status.st_mtime_ns, checksum)

    @classmethod
    def invalid(cls, checksum: str) -> Self:
        """Record that a file is damaged or missing: no file matches the record."""
        return cls(-1, 0, checksum)

    def matches(self, path: str | Path) -> bool:
        """Return whether size and modification time of a file are unchanged."""
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Files that were verified, and the checksum that they belong to.

    Attributes
    ----------
    checksum
        SHA-256 of the download: of the file, the archive, or the list of files.
    records
        Record of each file by its name, relative to a root directory.
    confirmed
        Whether the checksum was published, in the registry or elsewhere by the word of the user. If not, it is that of
        the first download.
    """

    checksum: str
    records: Mapping[str, FileRecord]
    confirmed: bool = True

    def matches(self, root: Path) -> bool:
        """Return whether all files exist with unchanged size and modification time."""
        return bool(self.records) and all(record.matches(f"{root}/{name}") for name, record in self.records.items())

    def size(self) -> int:
        """Return the total size in bytes."""
        return sum(record.size for record in self.records.values())

    def checksums(self) -> dict[str, str]:
        """Return the checksum of each file by name."""
        return {name: record.checksum for name, record in self.records.items()}

    def write(self, path: Path) -> None:
        """Write the receipt atomically; the caller must hold the lock of the cache directory."""
        if path.is_dir():
            remove(path)
        files = {name: [record.size, record.mtime, record.checksum] for name, record in self.records.items()}
        unconfirmed = {} if self.confirmed else {"confirmed": False}
        write_json(path, {"format": FORMAT, "digest": self.checksum, "files": files} | unconfirmed)


def read_receipt(path: Path) -> Receipt | None:
    """Read a receipt; None if it is missing or invalid, in which case the files are hashed again."""
    try:
        content = json.loads(read_text(path))
        if content["format"] != FORMAT:
            return None
        records = {
            str(name): FileRecord(int(size), int(mtime), str(checksum))
            for name, (size, mtime, checksum) in content["files"].items()
        }
        return Receipt(str(content["digest"]), records, confirmed=content.get("confirmed", True) is True)
    except (DataError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def verify_files(
    root: Path, checksums: Mapping[str, str], records: Mapping[str, FileRecord], step: Callable[[], object]
) -> tuple[dict[str, FileRecord], list[str]]:
    """Verify files, hashing only those whose size or modification time has changed.

    Parameters
    ----------
    root
        Directory that the names are relative to.
    checksums
        Expected SHA-256 of every file by name.
    records
        Records of an earlier verification; empty to hash all files.
    step
        Called after each file.

    Returns
    -------
    valid : dict
        Records of the valid files by name.
    invalid : list of str
        Names of the files that are missing or damaged.
    """
    valid, invalid = dict[str, FileRecord](), list[str]()
    for name, checksum in checksums.items():
        record, path = records.get(name), root / name
        if record and record.checksum == checksum and record.matches(path):
            valid[name] = record
        elif path.is_file() and pooch.file_hash(path) == checksum:
            valid[name] = FileRecord.of(path, checksum)
        else:
            invalid.append(name)
        step()
    return valid, invalid
