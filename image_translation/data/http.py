"""One address into one file: the downloader that pooch is given, which goes on where a connection broke off."""

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

TIMEOUT = 30.0  # seconds without a byte
RETRIES = 4  # further attempts, each a second later than the one before
PAUSE = 1.0  # seconds before a transfer that broke off is taken up again
PIECE = 1 << 20  # bytes
PASSING = frozenset({408, 425, 429})  # client errors that may be gone in a while
HOPELESS = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.TooManyRedirects,
)

_log = logging.getLogger(__name__)


class UnreachableError(DataError):
    """An address that does not answer, or not with the file."""


class Downloader:
    """Downloader in the sense of `pooch.Pooch.fetch`; one for each file.

    Other than pooch's own it takes up a transfer that broke off, as long as bytes keep coming, and does not ask
    again for what is not there.

    Parameters
    ----------
    session
        Shared by many files of one server, so that connections are kept.
    digest
        SHA-256 sum of the file in hexadecimal.
    bar
        Told of every byte; None if the files are counted elsewhere.
    partial
        Where to keep what has come so far, for the next attempt or the next run; None if it is too little to matter.
    stop
        Set when nobody wants the file any more.
    """

    def __init__(
        self,
        session: requests.Session,
        digest: str,
        *,
        bar: "tqdm[Any] | None" = None,
        partial: Path | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._session, self._digest, self._bar, self._partial = session, digest, bar, partial
        self._stop = stop or threading.Event()
        self._attempts = self._complete = 0

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        """Write what lies at an address into a file; pooch then looks whether its sum is right.

        Raises
        ------
        requests.exceptions.RequestException
            Another attempt may succeed; pooch makes it.
        UnreachableError
            None will.
        DataError
            The server has sent a whole file of another sum, and not for the first time.
        """
        target = self._partial or Path(output_file)
        self._attempts += 1
        if self._complete:
            self._tell(url, "what came has another sum than what was published", going_on=False)
        while True:
            held = target.stat().st_size if target.exists() else 0
            try:
                self._receive(url, target, held)
                break
            except requests.exceptions.RequestException as error:
                if isinstance(error, HOPELESS) or any(
                    isinstance(one, ssl.SSLCertVerificationError) for one in _causes(error)
                ):
                    raise UnreachableError(f"{url}: {reason(error)}") from error
                came = target.stat().st_size - held if target.exists() else 0
                going_on = bool(self._partial) and came > 0
                self._tell(url, reason(error), going_on=going_on)
                if not going_on:
                    raise
            except ValueError as error:  # a redirect to what is no address
                raise UnreachableError(f"{url}: {reason(error)}") from error
            time.sleep(PAUSE)
        self._complete += 1
        if self._complete > 1 and (found := pooch.file_hash(target)) != self._digest:
            target.unlink()
            raise DataError(
                f"{url}: does not send what was published, nothing was kept: its SHA-256 sum is {found}, "
                f"the published one {self._digest}"
            )
        if self._partial:
            target.replace(output_file)

    def _tell(self, url: str, what: str, *, going_on: bool) -> None:
        if self._stop.is_set():
            raise _given_up(url)
        if going_on:
            outlook = "going on where it broke off"
        elif self._attempts <= RETRIES:
            outlook = f"trying again ({self._attempts} of {RETRIES})"
        else:
            return
        level = logging.INFO if self._partial else logging.DEBUG  # of many small files a few fail often
        _log.log(level, "%s: %s; %s", urlsplit(url).netloc, what, outlook)

    def _receive(self, url: str, target: Path, held: int) -> None:
        if self._stop.is_set():
            raise _given_up(url)
        headers = {"Range": f"bytes={held}-"} if held else {}
        with self._session.get(url, stream=True, timeout=TIMEOUT, headers=headers) as response:
            status = response.status_code
            if status == requests.codes.requested_range_not_satisfiable and held:
                return  # all of it is here, or of something else: the sum tells
            if 400 <= status < 500 and status not in PASSING:
                raise UnreachableError(f"{url}: {_answer(response)}")
            response.raise_for_status()
            resumed = status == requests.codes.partial_content
            if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {held}-"):
                target.unlink(missing_ok=True)
                raise requests.exceptions.ContentDecodingError("the server sent another part than it was asked for")
            if not resumed:
                target.unlink(missing_ok=True)  # pooch's temporary file may be read by its owner alone
            self._announce(response, target, held if resumed else 0)
            with target.open("ab" if resumed else "wb") as file:
                for piece in _pieces(response):
                    if self._stop.is_set():
                        raise _given_up(url)
                    file.write(piece)
                    if self._bar is not None:
                        self._bar.update(len(piece))

    def _announce(self, response: requests.Response, target: Path, held: int) -> None:
        """Look whether there is space for it, and tell the bar how long it will be."""
        length = _length(response) or 0
        free = shutil.disk_usage(target.parent).free
        if length > free:
            raise OSError(errno.ENOSPC, f"{length / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")
        if self._bar is not None:
            self._bar.total = held + length or None
            self._bar.n = held
            self._bar.refresh()


def open_session(connections: int) -> requests.Session:
    """Open a session of HTTP that keeps some connections for the next files."""
    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=connections))
    session.mount("http://", HTTPAdapter(pool_maxsize=connections))
    session.headers["User-Agent"] = f"image-translation/{version('image-translation')}"
    session.headers["Accept-Encoding"] = "identity"  # of a file that is compressed on the way no rest can be asked for
    return session


def ask_size(address: str, timeout: float) -> int | None:
    """Ask a server for the number of bytes of a file; None if it does not say so in time."""
    try:
        with open_session(1) as session:
            response = session.head(address, timeout=timeout, allow_redirects=True)
    except requests.exceptions.RequestException:
        return None
    return _length(response) if response.ok else None


def reason(error: BaseException) -> str:
    """Say in plain words why a transfer failed.

    The errors of requests and urllib3 nest, and name objects of theirs; what a person can use is at the bottom.
    """
    for cause in _causes(error):
        words = _words(cause)
        if words:
            return words
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _words(cause: BaseException) -> str | None:
    known: dict[type[BaseException], str] = {
        requests.exceptions.TooManyRedirects: "it is redirected in a circle",
        urllib3.exceptions.NameResolutionError: "the name of the server cannot be resolved",
        urllib3.exceptions.ConnectTimeoutError: f"no connection within {TIMEOUT:g} s",
        urllib3.exceptions.ReadTimeoutError: f"nothing came for {TIMEOUT:g} s",
        TimeoutError: f"nothing came for {TIMEOUT:g} s",
        urllib3.exceptions.IncompleteRead: "the connection broke off",
    }
    if isinstance(cause, requests.exceptions.HTTPError) and cause.response is not None:
        return _answer(cause.response)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of the server is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"no secure connection comes about: {cause.reason}"
    if type(cause) in known:  # a refused connection is a kind of ConnectTimeoutError for urllib3
        return known[type(cause)]
    if isinstance(cause, OSError) and not isinstance(cause, requests.exceptions.RequestException):
        return cause.strerror
    return None


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield what comes as it comes; `Response.iter_content` would drop the last piece of a broken connection."""
    try:
        while piece := response.raw.read1(PIECE, decode_content=True):
            yield piece
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(error) from error


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _given_up(url: str) -> UnreachableError:
    return UnreachableError(f"{url}: given up, because another file cannot be fetched")


def _answer(response: requests.Response) -> str:
    return f"the server answers {response.status_code} {response.reason or ''}".rstrip()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was caused by, in the ways in which urllib3 and requests say so."""
    queue, seen = [error], set[int]()
    while queue:
        one = queue.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        queue += [other for other in inner if isinstance(other, BaseException)]
