"""An HTTP server on loopback that serves a mapping of paths to bytes, and misbehaves as a test asks it to.

A script is a list of acts for the successive requests of a path; when it is used up, the server behaves.
"""

import gzip
import hashlib
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from typing import Any, Self
from urllib.parse import unquote, urlsplit

PIECE = 1 << 16
LOGIN_PAGE = b"<!DOCTYPE html>\n<html><head><title>Guest network</title></head><body>Please log in.</body></html>\n"


class Gate:
    """Holds an answer back until the test opens it, and tells the test when the answer has come there."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def wait(self, closing: threading.Event) -> None:
        self.reached.set()
        while not self._opened.wait(0.02) and not closing.is_set():
            pass


@dataclass(frozen=True)
class Act:
    """How one request is answered; the default is without fault. Counts of bytes are of the body of this answer."""

    status: int = 0  # instead of 200 or 206
    body: bytes | None = None  # instead of what is published
    content_type: str = "application/octet-stream"
    location: str = ""
    framing: str = "length"  # or "chunked", or "close": the end of the connection is the end of the body
    cut: int | None = None  # the connection is closed after so many bytes
    stall: int | None = None  # nothing comes any more after so many bytes; -1: not even the headers
    gate: Gate | None = None
    gate_after: int = 0
    flip: int | None = None  # which byte of what is published is another one
    surplus: bytes = b""  # sent after the announced length
    ignore_range: bool = False
    wrong_range: int = 0  # by how much the part that is sent starts too late
    compress: bool = False  # as proxies do, if the client accepts it
    compress_always: bool = False  # even if the client does not
    length: str = ""  # announced instead of the true one
    hang_up: bool = False
    piece: int = PIECE
    pause: float = 0.0  # seconds after each piece


FAULTLESS = Act()


def truncated(after: int) -> Act:
    """Close the connection early: the announced length is that of the whole."""
    return Act(cut=after)


def truncated_chunks(after: int) -> Act:
    """Close the connection without the last chunk."""
    return Act(cut=after, framing="chunked")


def truncated_without_length(after: int) -> Act:
    """Close the connection early when only closing says where the end is: nobody can see that something is missing."""
    return Act(cut=after, framing="close")


def stalled(after: int) -> Act:
    return Act(stall=after)


def mute() -> Act:
    """Take the request and never answer."""
    return Act(stall=-1)


def status(code: int, body: bytes = b"") -> Act:
    return Act(
        status=code, body=body or f"<html><body><h1>{code}</h1></body></html>".encode(), content_type="text/html"
    )


def redirected(to: str) -> Act:
    return Act(status=302, body=b"", location=to)


def corrupt(byte: int = 0, **others: Any) -> Act:
    return Act(flip=byte, **others)


def overlong(surplus: bytes = b"surplus", *, framing: str = "length") -> Act:
    return Act(surplus=surplus, framing=framing)


def range_ignored() -> Act:
    return Act(ignore_range=True)


def range_shifted(by: int = 1) -> Act:
    """Answer a request for a part with another part, and say so."""
    return Act(wrong_range=by)


def login_page() -> Act:
    """Answer as a captive portal does: success, and a page."""
    return Act(status=200, body=LOGIN_PAGE, content_type="text/html")


def hung_up() -> Act:
    return Act(hang_up=True)


def compressed(*, always: bool = False) -> Act:
    return Act(compress=True, compress_always=always)


def slow(piece: int, pause: float) -> Act:
    return Act(piece=piece, pause=pause)


def gated(gate: Gate, after: int = 0) -> Act:
    return Act(gate=gate, gate_after=after)


@dataclass
class Request:
    """A request that came, and what was answered."""

    path: str
    method: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0  # bytes of the body

    @property
    def start(self) -> int:
        """Return the first byte that was asked for."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").split("-")[0])


class LoopbackServer:
    """A context manager: it serves from its making until it is closed.

    Attributes
    ----------
    files
        Path, unquoted and with a leading slash -> body. May be changed at any time.
    scripts
        Path -> acts for the successive requests; "*" is for paths without a script, and is never used up.
    requests
        All that came, in order.
    faults
        What went wrong in the server itself; closing it raises the first.
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.scripts: dict[str, list[Act]] = {}
        self.requests: list[Request] = []
        self.faults: list[BaseException] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self.faults:
            raise self.faults[0]

    def close(self) -> None:
        """Stop, in the middle of whatever it does; the port refuses connections from then on."""
        if self.closing.is_set():
            return
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def script(self, path: str, *acts: Act) -> None:
        self.scripts[path] = list(acts)

    def asked(self, path: str) -> list[Request]:
        """Return the requests for a path."""
        return [request for request in self.requests if request.path == path]

    def count(self, path: str) -> int:
        return len(self.asked(path))

    def sent(self, path: str) -> int:
        return sum(request.sent for request in self.asked(path))

    def counts(self) -> dict[str, int]:
        return {path: self.count(path) for path in sorted({request.path for request in self.requests})}

    def forget(self) -> None:
        """Count anew."""
        with self._lock:
            self.requests.clear()

    def take(self, request: Request) -> Act:
        """Note a request and choose the act for it."""
        with self._lock:
            self.requests.append(request)
            if acts := self.scripts.get(request.path):
                return acts.pop(0)
            if request.path not in self.scripts and (always := self.scripts.get("*")):
                return always[0]
        return FAULTLESS


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for all of them
    request_queue_size = 256

    def __init__(self, site: LoopbackServer) -> None:
        self.site = site
        self._open: set[socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket, Any]:
        connection, address = super().get_request()
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End all connections, so that no thread waits for the next request."""
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        fault = sys.exception()
        if fault is not None and not isinstance(fault, ConnectionError | TimeoutError):
            self.site.faults.append(fault)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits for the acknowledgement of its headers
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class calls it so
        pass

    def _answer(self) -> None:
        site = self.server.site
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(unquote(urlsplit(self.path).path), self.command, headers)
        act = site.take(request)
        if act.hang_up:
            self.close_connection = True
            return
        if act.stall == -1:
            site.closing.wait()
            self.close_connection = True
            return
        if act.gate and not act.gate_after:
            act.gate.wait(site.closing)
        published = site.files.get(request.path)
        if act.status or published is None:
            act = act if act.status else replace(status(404), gate=act.gate)
            self._send(request, act, act.status, act.body or b"", {})
            return
        if act.flip is not None:
            published = published[: act.flip] + bytes([published[act.flip] ^ 0xFF]) + published[act.flip + 1 :]
        tag = f'"{hashlib.sha256(published).hexdigest()[:16]}"'
        answer = {"ETag": tag, "Accept-Ranges": "none" if act.ignore_range else "bytes"}
        wanted = headers.get("range")
        if act.ignore_range or headers.get("if-range", tag) != tag:
            wanted = None
        if act.compress_always or (act.compress and "gzip" in headers.get("accept-encoding", "")):
            packed = gzip.compress(published, mtime=0)
            self._send(request, act, 200, packed, answer | {"Content-Encoding": "gzip"})
        elif wanted is None:
            self._send(request, act, 200, published, answer)
        else:
            self._send_part(request, act, published, wanted, answer)

    def _send_part(self, request: Request, act: Act, whole: bytes, wanted: str, answer: dict[str, str]) -> None:
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first) + act.wrong_range
        stop = min(int(last) + 1 if last else len(whole), len(whole))
        if start >= len(whole):
            self._send(request, act, 416, b"", answer | {"Content-Range": f"bytes */{len(whole)}"})
            return
        place = {"Content-Range": f"bytes {start}-{stop - 1}/{len(whole)}"}
        self._send(request, act, 206, whole[start:stop], answer | place)

    def _send(self, request: Request, act: Act, code: int, body: bytes, headers: dict[str, str]) -> None:
        request.status = code
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Type", act.content_type)
        if act.location:
            self.send_header("Location", act.location)
        if act.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif act.framing == "length":
            self.send_header("Content-Length", act.length or str(len(body)))
        if act.framing == "close" or act.cut is not None or (act.surplus and act.framing == "length"):
            self.close_connection = True
        if act.framing == "close":
            self.send_header("Connection", "close")
        self.end_headers()
        if request.method == "HEAD":
            return
        for piece in self._pieces(act, body + act.surplus):
            request.sent += len(piece)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if act.framing == "chunked" else piece)
            if act.pause and self.server.site.closing.wait(act.pause):
                break
        if act.framing == "chunked" and act.cut is None and act.stall is None:
            self.wfile.write(b"0\r\n\r\n")

    def _pieces(self, act: Act, body: bytes) -> Iterator[bytes]:
        closing = self.server.site.closing
        stop = len(body)
        for limit in (act.cut, act.stall):
            stop = stop if limit is None else min(stop, limit)
        hold = min(act.gate_after, stop) if act.gate else stop
        for start, end in ((0, hold), (hold, stop)):
            if start == hold and act.gate:
                act.gate.wait(closing)
            for place in range(start, end, act.piece):
                if closing.is_set():
                    break
                yield body[place : min(place + act.piece, end)]
        if act.stall is not None:
            closing.wait()
        if closing.is_set():
            self.close_connection = True
