"""HTTP downloads for pooch that resume after an interruption, and their errors in plain words."""

import errno
import logging
import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch
import requests
import urllib3
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from image_translation.errors import DataError

CONNECT_TIMEOUT = 4.0  # seconds
TIMEOUT = 30.0  # seconds without data
RETRIES = 4  # further attempts after a failure, made by pooch with growing delays
SIZE_TIMEOUT = 3.0  # seconds that a server may take to report the size of a file
RESUME_DELAY = 1.0  # seconds before an interrupted transfer is resumed
CHUNK_SIZE = 1 << 20  # bytes
TRANSIENT_STATUSES = frozenset({408, 425, 429})  # client errors for which another attempt may succeed
PERMANENT_ERRORS = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.TooManyRedirects,
)

_log = logging.getLogger(__name__)


class UnreachableError(DataError):
    """A URL from which the file cannot be downloaded."""


class Session(requests.Session):
    """HTTP session that knows whether any server has answered; without network none does."""

    answered = False


class ResumableDownloader:
    """Downloader for `pooch.Pooch.fetch` that resumes interrupted transfers; one instance per file.

    In contrast to `pooch.HTTPDownloader`, it resumes as long as each transfer brings new bytes, and does not try again
    after errors that are permanent.

    Parameters
    ----------
    session
        Session to share between the files of a server, so that connections are reused.
    checksum
        SHA-256 of the file in hexadecimal; empty if unknown: the file must then have the expected size.
    size
        Expected size in bytes where the checksum is unknown; 0 stands for the size that the server announces.
    bar
        Progress bar to update with the bytes received; None shows no bytes.
    partial
        File that keeps the bytes received so far for the next attempt or the next process; None keeps nothing, which
        suits small files.
    cancelled
        Event that makes the download stop when it is set.
    """

    def __init__(
        self,
        session: Session,
        checksum: str,
        *,
        size: int = 0,
        bar: "tqdm[Any] | None" = None,
        partial: Path | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        self._session, self._checksum, self._bar, self._partial = session, checksum, bar, partial
        self._cancelled = cancelled or threading.Event()
        self._size, self._announced = size, None  # type: int, int | None
        self._attempts = self._complete = 0

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        """Download a URL into a file, whose checksum pooch then verifies.

        Raises
        ------
        requests.exceptions.RequestException
            If another attempt, which pooch makes, may succeed.
        UnreachableError
            If none will.
        DataError
            If the server has sent a complete file with a wrong checksum, and not for the first time; or, where the
            checksum is unknown, a file of another size than expected, or none that says how large it is.
        """
        target = self._partial or Path(output_file)
        self._attempts += 1
        if self._complete:
            self._report(url, "the checksum of the download is not the published one", resuming=False)
        while True:
            start = target.stat().st_size if target.exists() else 0
            try:
                self._receive(url, target, start)
                break
            except requests.exceptions.RequestException as error:
                if self._is_permanent(error):
                    raise UnreachableError(f"{url}: {describe_error(error)}") from error
                received = target.stat().st_size - start if target.exists() else 0
                resuming = bool(self._partial) and received > 0
                self._report(url, describe_error(error), resuming=resuming)
                if not resuming:
                    raise
            except ValueError as error:  # a redirect to an invalid URL
                raise UnreachableError(f"{url}: {describe_error(error)}") from error
            time.sleep(RESUME_DELAY)
        self._complete += 1
        if not self._checksum:
            self._require_size(url, target)
        elif self._complete > 1 and (found := pooch.file_hash(target)) != self._checksum:
            target.unlink()
            raise DataError(
                f"{url}: differs from what was published, and was discarded: its SHA-256 checksum is {found}, "
                f"the published one {self._checksum}"
            )
        if self._partial:
            target.replace(output_file)

    def _require_size(self, url: str, target: Path) -> None:
        expected, found = self._size or self._announced, target.stat().st_size
        if found == expected:
            return
        target.unlink()
        if expected is None:
            raise DataError(
                f"{url}: neither its checksum nor its size is known, so that a truncated file could not be told from a "
                "complete one; it was discarded. If its SHA-256 checksum is published, give it with --sha256"
            )
        whose = "the registry gives" if self._size else "the server announced"
        raise DataError(f"{url}: has {found:,} bytes, {whose} {expected:,}; it was discarded")

    def _is_permanent(self, error: requests.exceptions.RequestException) -> bool:
        """Return whether another attempt would be in vain, as it is without network."""
        if isinstance(error, PERMANENT_ERRORS) or any(
            isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)
        ):
            return True
        if self._session.answered:
            return False
        unconnected = any(isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in _causes(error))
        return (unconnected and self._attempts > 1) or isinstance(error, requests.exceptions.ConnectTimeout)

    def _report(self, url: str, problem: str, *, resuming: bool) -> None:
        """Log a failed attempt and what happens next; raise an error if the download was cancelled."""
        if self._cancelled.is_set():
            raise _cancellation(url)
        if resuming:
            outlook = "resuming"
        elif self._attempts <= RETRIES:
            outlook = f"trying again ({self._attempts} of {RETRIES})" if self._session.answered else "trying once more"
        else:
            return
        level = logging.INFO if self._partial else logging.DEBUG  # of many small files a few fail often
        _log.log(level, "%s: %s; %s", urlsplit(url).netloc, problem, outlook)

    def _receive(self, url: str, target: Path, start: int) -> None:
        """Request the file from a byte on, and append what is received."""
        if self._cancelled.is_set():
            raise _cancellation(url)
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._session.get(url, stream=True, timeout=(CONNECT_TIMEOUT, TIMEOUT), headers=headers) as response:
            self._session.answered = True
            self._announced = _announced_size(response)
            status = response.status_code
            if status == requests.codes.requested_range_not_satisfiable and start:
                return  # the file is complete, or another one: the checksum or the size decides
            if 400 <= status < 500 and status not in TRANSIENT_STATUSES:
                raise UnreachableError(f"{url}: {_describe_status(response)}")
            response.raise_for_status()
            resumed = status == requests.codes.partial_content
            if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                target.unlink(missing_ok=True)
                raise requests.exceptions.ContentDecodingError("the server sent another range than requested")
            if not resumed:
                target.unlink(missing_ok=True)  # only the owner could read the temporary file that pooch has created
            self._prepare(response, target, start if resumed else 0)
            with target.open("ab" if resumed else "wb") as file:
                for chunk in _iterate_chunks(response):
                    if self._cancelled.is_set():
                        raise _cancellation(url)
                    file.write(chunk)
                    if self._bar is not None:
                        self._bar.update(len(chunk))

    def _prepare(self, response: requests.Response, target: Path, start: int) -> None:
        """Check that there is enough disk space, and set the length of the progress bar."""
        length = _content_length(response) or 0
        free = shutil.disk_usage(target.parent).free
        if length > free:
            raise OSError(errno.ENOSPC, f"{length / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")
        if self._bar is not None:
            self._bar.total = start + length or None
            self._bar.n = start
            self._bar.refresh()


def open_session(connections: int) -> Session:
    """Open an HTTP session that keeps this number of connections for further files."""
    session = Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=connections))
    session.mount("http://", HTTPAdapter(pool_maxsize=connections))
    session.headers["User-Agent"] = f"image-translation/{version('image-translation')}"
    session.headers["Accept-Encoding"] = "identity"  # a compressed transfer cannot be resumed
    return session


def request_size(url: str) -> int | None:
    """Request the size of a file in bytes from its server; None if there is no answer within `SIZE_TIMEOUT`."""
    try:
        with open_session(1) as session:
            response = session.head(url, timeout=SIZE_TIMEOUT, allow_redirects=True)
    except requests.exceptions.RequestException:
        return None
    return _announced_size(response) if response.ok else None


def describe_error(error: BaseException) -> str:
    """Describe in plain words why a transfer failed.

    Errors of requests and urllib3 are nested and name internal objects; the useful one is the innermost.
    """
    for cause in _causes(error):
        description = _describe_cause(cause)
        if description:
            return description
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _describe_cause(cause: BaseException) -> str | None:
    known: dict[type[BaseException], str] = {
        requests.exceptions.TooManyRedirects: "too many redirects",
        urllib3.exceptions.NameResolutionError: "the name of the server cannot be resolved",
        urllib3.exceptions.ConnectTimeoutError: f"no connection within {CONNECT_TIMEOUT:g} s",
        urllib3.exceptions.ReadTimeoutError: f"no data within {TIMEOUT:g} s",
        TimeoutError: f"no data within {TIMEOUT:g} s",
        urllib3.exceptions.IncompleteRead: "the connection was interrupted",
    }
    if isinstance(cause, requests.exceptions.HTTPError) and cause.response is not None:
        return _describe_status(cause.response)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of the server is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"no secure connection can be established: {cause.reason}"
    if type(cause) in known:  # not isinstance: in urllib3 a refused connection is a ConnectTimeoutError
        return known[type(cause)]
    if isinstance(cause, OSError) and not isinstance(cause, requests.exceptions.RequestException):
        return cause.strerror
    return None


def _describe_status(response: requests.Response) -> str:
    return f"the server answers {response.status_code} {response.reason or ''}".rstrip()


def _iterate_chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield data as it is received; `Response.iter_content` would lose the last chunk of a broken connection."""
    try:
        while chunk := response.raw.read1(CHUNK_SIZE, decode_content=True):
            yield chunk
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(error) from error


def _content_length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _announced_size(response: requests.Response) -> int | None:
    """Return the size of the whole file of which a response has all or a part; None if it does not say so."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None  # the length is that of the compressed file
    if response.status_code == requests.codes.ok:
        return _content_length(response)
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdecimal() else None


def _cancellation(url: str) -> UnreachableError:
    return UnreachableError(f"{url}: cancelled, because another file cannot be downloaded")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, in all the ways in which urllib3 and requests store them."""
    queue, seen = [error], set[int]()
    while queue:
        cause = queue.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        queue += [other for other in inner if isinstance(other, BaseException)]
