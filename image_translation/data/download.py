"""Files from addresses into a folder, each with its sum, by pooch: one, or many at a time."""

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pooch
import requests
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from image_translation.data import http
from image_translation.data.http import Downloader, UnreachableError, reason
from image_translation.errors import DataError


class Wanted(NamedTuple):
    """A file that is published.

    Attributes
    ----------
    name
        Where it is to lie, relative to a folder, with ``/`` between the parts.
    address
        Where it comes from.
    digest
        Its SHA-256 sum in hexadecimal.
    """

    name: str
    address: str
    digest: str


def get_file(wanted: Wanted, folder: Path, session: requests.Session, what: str, processor: Any = None) -> Path:
    """Fetch one file, which may be large: what has come of it is kept for the next attempt.

    Parameters
    ----------
    wanted
        The file.
    folder
        Where it is to lie; exists.
    session
        Of HTTP.
    what
        Words beside the progress bar.
    processor
        Called by pooch with the file; what it returns is returned.

    Returns
    -------
    Path
        The file, with the right sum.

    Raises
    ------
    UnreachableError
        The address does not answer, or not with the file, after `http.RETRIES` further attempts.
    DataError
        What it sends has another sum.
    """
    partial = folder / f"{wanted.digest[:16]}.part"
    with progress(None, "B", what) as bar, _plain_transfer(wanted.address):
        shelf = _shelf([wanted], folder)
        downloader = Downloader(session, wanted.digest, bar=bar, partial=partial)
        return Path(shelf.fetch(wanted.name, downloader=downloader, processor=processor))


def get_files(wanted: Sequence[Wanted], folder: Path, session: requests.Session, what: str, *, threads: int) -> None:
    """Fetch many small files, several at a time; those that lie there with the right sum are kept.

    Parameters
    ----------
    wanted, folder, session, what
        As for `get_file`.
    threads
        How many at a time.

    Raises
    ------
    UnreachableError, DataError
        As for `get_file`; the first file that cannot be fetched ends it for all, and those that came are kept.
    """
    for parent in {(folder / one.name).parent for one in wanted}:  # pooch's threads would get in each other's way
        parent.mkdir(parents=True, exist_ok=True)
    shelf, stop = _shelf(wanted, folder), threading.Event()

    def get(one: Wanted) -> None:
        with _plain_transfer(one.address):
            shelf.fetch(one.name, downloader=Downloader(session, one.digest, stop=stop))
        bar.update()

    with progress(len(wanted), "file", what) as bar, ThreadPoolExecutor(threads, thread_name_prefix="fetch") as pool:
        try:
            done, _ = wait([pool.submit(get, one) for one in wanted], return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def progress(total: int | None, unit: str, what: str) -> "Iterator[tqdm[Any]]":
    """Show a bar on stderr, if that is a terminal; what is logged meanwhile is written above it."""
    bar = tqdm(total=total, unit=unit, unit_scale=unit == "B", desc=what, disable=None, dynamic_ncols=True, leave=False)
    with bar, nullcontext() if bar.disable else logging_redirect_tqdm():
        yield bar


def _shelf(wanted: Sequence[Wanted], folder: Path) -> pooch.Pooch:
    pooch.get_logger().setLevel(logging.ERROR)  # else it writes a line for every file; its errors are raised
    return pooch.create(
        path=folder,
        base_url="",
        registry={one.name: one.digest for one in wanted},
        urls={one.name: one.address for one in wanted},
        retry_if_failed=http.RETRIES,
    )


@contextmanager
def _plain_transfer(address: str) -> Iterator[None]:
    """Turn what pooch raises, when its last attempt has failed, into errors that name the address."""
    try:
        yield
    except requests.exceptions.RequestException as error:
        raise UnreachableError(f"{address}: {reason(error)}") from error
    except ValueError as error:  # pooch's, of a wrong sum in the last of its attempts; it has deleted the file
        raise DataError(f"{address}: does not send what was published, nothing was kept: {error}") from error
