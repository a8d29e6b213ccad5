"""Checkpoints whose checksum is unknown: what can be verified without it, and how it becomes known.

A truncated download has not the size that its server announced; a truncated file, or a page that a server sent in its
place, is not a complete file of `torch.save` or safetensors. The checksum of the first download is recorded in its
receipt, so that no other file is accepted afterwards. That it is the checksum of what was published is only known when
the user confirms it.
"""

import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch

from image_translation.data.download import RemoteFile, download_file
from image_translation.data.http import Session, UnreachableError, request_size
from image_translation.data.receipt import FileRecord, Receipt
from image_translation.data.registry import RECEIPT, Entry, is_sha256
from image_translation.errors import DataError
from image_translation.files import find_corrupt_record, move_file, remove, rename_aside, require_regular_file

Check = Callable[[Path], object]
"""Raises a `DataError` if it cannot load a checkpoint."""

_log = logging.getLogger(__name__)


def fetch_first(entry: Entry, path: Path, partial: Path, session: Session, check: Check | None) -> None:
    """Fetch a checkpoint of which there is no checksum yet, verify it as far as possible, and record its checksum.

    Parameters
    ----------
    entry
        Its entry.
    path
        Final path; a file that the user has saved there is used if it is a complete checkpoint, else renamed.
    partial
        Directory for the download.
    session
        HTTP session.
    check
        See `require_checkpoint`.

    Raises
    ------
    UnreachableError
        If it cannot be downloaded.
    DataError
        If the download is not a complete checkpoint.
    """
    file = path
    if path.exists():
        try:
            require_checkpoint(path, entry.size or request_size(entry.address) or 0, check)
        except DataError as error:
            _log.warning("%s; renamed to %s", error, rename_aside(path).name)
    if not path.exists():
        remote = RemoteFile(entry.file, entry.address, "", entry.size)
        file = download_file(remote, partial, session, entry.name)
        try:
            require_checkpoint(file, entry.size, check)
        except DataError as error:
            remove(file)
            raise DataError(f"{entry.address}: the download was discarded: {error}") from error
    checksum = pooch.file_hash(file)
    record = FileRecord.of(file, checksum)
    Receipt(checksum, {entry.final: record}, confirmed=False).write(path.with_name(RECEIPT))
    if file != path:
        move_file(file, path, path.parent)


def confirm(receipt: Receipt | None, sha256: str, path: Path) -> None:
    """Record the published checksum of a checkpoint before it is verified, so that no other file is accepted.

    Parameters
    ----------
    receipt
        Its present receipt.
    sha256
        Checksum as published, in lower-case hexadecimal.
    path
        Final path of the checkpoint; the receipt lies beside it.

    Raises
    ------
    DataError
        If the file there has been verified by another published checksum.
    """
    if receipt and receipt.confirmed and receipt.checksum != sha256 and receipt.matches(path.parent):
        raise DataError(
            f"{path}: was verified by the checksum {receipt.checksum}, which was given as the published one, and does "
            f"not have {sha256}; if that is the right one, delete {path.parent}, and fetch it again"
        )
    Receipt(sha256, {path.name: FileRecord.invalid(sha256)}).write(path.with_name(RECEIPT))


def is_recorded(receipt: Receipt, entry: Entry) -> bool:
    """Return whether a receipt is that of the file of an entry whose checksum is unknown to the registry."""
    return is_sha256(receipt.checksum) and receipt.checksums() == {entry.final: receipt.checksum}


@contextmanager
def explained(receipt: Receipt | None, directory: Path) -> Iterator[None]:
    """Add to the error about a wrong download where the expected checksum comes from; nothing without a receipt."""
    try:
        yield
    except UnreachableError:
        raise
    except DataError as error:
        if receipt is None:
            raise
        origin = "given with --sha256" if receipt.confirmed else "recorded at the first download"
        raise DataError(f"{error}; that one was {origin}: to forget it, delete {directory}") from error


def require_checkpoint(path: Path, size: int = 0, check: Check | None = None) -> None:
    """Raise an error unless a file is a complete checkpoint, as far as this can be told without its checksum.

    Parameters
    ----------
    path
        A file in the zip format of `torch.save`, whose records have CRC-32 checksums of their own, or a safetensors
        file, which knows its size.
    size
        Size that it must have, in bytes; 0 if unknown.
    check
        Loads the file, which this package cannot do.

    Raises
    ------
    DataError
        If it has another size, is neither kind of file, is truncated or corrupt, or `check` raises the error.
    """
    require_regular_file(path)
    found = path.stat().st_size
    if size and found != size:
        raise DataError(f"{path}: has {found:,} bytes instead of {size:,}")
    if zipfile.is_zipfile(path):
        corrupt = find_corrupt_record(path)
        if corrupt is not None:
            raise DataError(f"{path}: is truncated or corrupt (record {corrupt})")
        with zipfile.ZipFile(path) as archive:
            if not any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist()):
                raise DataError(f"{path}: is a zip archive, but not of torch.save")
    elif not _is_whole_safetensors(path):
        raise DataError(f"{path}: is neither a complete file of torch.save (zip) nor of safetensors")
    if check is not None:
        check(path)


def _is_whole_safetensors(path: Path) -> bool:
    """Return whether a file is https://huggingface.co/docs/safetensors and has the size that its header gives."""
    with path.open("rb") as file:
        total = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= total - 8:
            return False
        try:
            tensors = json.loads(file.read(length))
            ends = [value["data_offsets"][1] for name, value in tensors.items() if name != "__metadata__"]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return False
    return bool(ends) and all(type(end) is int for end in ends) and max(ends) == total - 8 - length
