"""Download files from URLs into a directory and verify their checksums: one large file, or many in parallel."""

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pooch
import requests
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from image_translation.data import http
from image_translation.data.http import ResumableDownloader, Session, UnreachableError, describe_error
from image_translation.errors import DataError
from image_translation.files import remove


class RemoteFile(NamedTuple):
    """A file to download.

    Attributes
    ----------
    name
        Name relative to the target directory, separated by ``/``.
    url
        URL of the file.
    checksum
        SHA-256 in hexadecimal; empty if unknown, which `download_file` allows.
    size
        Size in bytes, which decides where the checksum is unknown; 0 stands for the size that the server announces.
    """

    name: str
    url: str
    checksum: str
    size: int = 0


def download_file(file: RemoteFile, directory: Path, session: Session, label: str, processor: Any = None) -> Path:
    """Download one file, which may be large; an interrupted download is resumed.

    Parameters
    ----------
    file
        The file.
    directory
        Existing directory to download into.
    session
        HTTP session.
    label
        Label of the progress bar.
    processor
        Processor of pooch, called with the verified file; its result is returned.

    Returns
    -------
    Path
        The verified file, or the result of the processor.

    Raises
    ------
    UnreachableError
        If the file cannot be downloaded after `http.RETRIES` further attempts.
    DataError
        If its checksum is wrong, or where that is unknown, its size.
    """
    partial = directory / f"{(file.checksum or sha256(file.url.encode()).hexdigest())[:16]}.part"
    if not file.checksum:
        remove(directory / file.name)  # by a process that was killed, and possibly before the size was verified
    with progress_bar(None, "B", label) as bar, _readable_errors(file.url):
        downloader = ResumableDownloader(session, file.checksum, size=file.size, bar=bar, partial=partial)
        return Path(_pooch([file], directory).fetch(file.name, downloader=downloader, processor=processor))


def download_files(files: Sequence[RemoteFile], directory: Path, session: Session, label: str, *, threads: int) -> None:
    """Download many small files in parallel; those that exist with the right checksum are kept.

    Parameters
    ----------
    files, directory, session, label
        As for `download_file`.
    threads
        Number of parallel downloads.

    Raises
    ------
    UnreachableError, DataError
        As for `download_file`. The first error cancels all downloads; complete files are kept.
    """
    for parent in {(directory / file.name).parent for file in files}:  # pooch's threads would create them concurrently
        parent.mkdir(parents=True, exist_ok=True)
    downloads, cancelled = _pooch(files, directory), threading.Event()

    def download(file: RemoteFile) -> None:
        with _readable_errors(file.url):
            downloads.fetch(file.name, downloader=ResumableDownloader(session, file.checksum, cancelled=cancelled))
        bar.update()

    with (
        progress_bar(len(files), "file", label) as bar,
        ThreadPoolExecutor(threads, thread_name_prefix="download") as pool,
    ):
        try:
            done, _ = wait([pool.submit(download, file) for file in files], return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def progress_bar(total: int | None, unit: str, label: str) -> "Iterator[tqdm[Any]]":
    """Show a progress bar if stderr is a terminal, with log messages printed above it."""
    bar = tqdm(
        total=total, unit=unit, unit_scale=unit == "B", desc=label, disable=None, dynamic_ncols=True, leave=False
    )
    with bar, nullcontext() if bar.disable else logging_redirect_tqdm():
        yield bar


def _pooch(files: Sequence[RemoteFile], directory: Path) -> pooch.Pooch:
    pooch.get_logger().setLevel(logging.ERROR)  # suppresses one line per file; errors are raised anyway
    return pooch.create(
        path=directory,
        base_url="",
        registry={file.name: file.checksum or None for file in files},
        urls={file.name: file.url for file in files},
        retry_if_failed=http.RETRIES,
    )


@contextmanager
def _readable_errors(url: str) -> Iterator[None]:
    """Convert what pooch raises after its last attempt into errors that name the URL."""
    try:
        yield
    except requests.exceptions.RequestException as error:
        raise UnreachableError(f"{url}: {describe_error(error)}") from error
    except ValueError as error:  # a wrong checksum in the last attempt; pooch has deleted the file
        raise DataError(f"{url}: differs from what was published, and was discarded: {error}") from error
