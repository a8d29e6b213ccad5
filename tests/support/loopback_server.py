"""An HTTP server on the loopback interface that serves bytes by path and can be scripted to fail.

A script is a list of replies to the successive requests for a path; after the last one, replies are correct.
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

CHUNK_SIZE = 1 << 16
LOGIN_PAGE = b"<!DOCTYPE html>\n<html><head><title>Guest network</title></head><body>Please log in.</body></html>\n"


class Gate:
    """Holds back a reply until the test opens the gate; `reached` is set when the reply is ready."""

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
class Reply:
    """Reply to one request; the default is correct. Numbers of bytes refer to the body of this reply."""

    status: int = 0  # instead of 200 or 206
    body: bytes | None = None  # instead of the published content
    content_type: str = "application/octet-stream"
    location: str = ""
    framing: str = "length"  # or "chunked"; or "close": the connection is closed after the body
    cut: int | None = None  # the connection is closed after this number of bytes
    stall: int | None = None  # nothing is sent after this number of bytes; -1: not even the headers
    gate: Gate | None = None
    gate_after: int = 0
    flip: int | None = None  # index of a byte to change
    surplus: bytes = b""  # sent after Content-Length bytes
    ignore_range: bool = False
    wrong_range: int = 0  # number of bytes by which the range starts too late
    compress: bool = False  # if the client accepts it, as proxies do
    compress_always: bool = False  # even if the client does not accept it
    length: str = ""  # Content-Length instead of the true one
    disconnect: bool = False
    chunk_size: int = CHUNK_SIZE
    pause: float = 0.0  # seconds after each chunk


CORRECT = Reply()


def truncated(after: int) -> Reply:
    """Close the connection early, with the Content-Length of the complete body."""
    return Reply(cut=after)


def truncated_chunks(after: int) -> Reply:
    """Close the connection without the last chunk."""
    return Reply(cut=after, framing="chunked")


def truncated_without_length(after: int) -> Reply:
    """Close the connection early without a Content-Length, so that the client cannot notice it."""
    return Reply(cut=after, framing="close")


def stalled(after: int) -> Reply:
    return Reply(stall=after)


def unresponsive() -> Reply:
    """Accept the request and never reply."""
    return Reply(stall=-1)


def status(code: int, body: bytes = b"") -> Reply:
    return Reply(
        status=code, body=body or f"<html><body><h1>{code}</h1></body></html>".encode(), content_type="text/html"
    )


def redirected(to: str) -> Reply:
    return Reply(status=302, body=b"", location=to)


def corrupt(byte: int = 0, **others: Any) -> Reply:
    return Reply(flip=byte, **others)


def overlong(surplus: bytes = b"surplus", *, framing: str = "length") -> Reply:
    return Reply(surplus=surplus, framing=framing)


def range_ignored() -> Reply:
    return Reply(ignore_range=True)


def range_shifted(by: int = 1) -> Reply:
    """Send another range than requested, with its true Content-Range."""
    return Reply(wrong_range=by)


def login_page() -> Reply:
    """Reply as a captive portal does: status 200 and an HTML page."""
    return Reply(status=200, body=LOGIN_PAGE, content_type="text/html")


def disconnected() -> Reply:
    return Reply(disconnect=True)


def compressed(*, always: bool = False) -> Reply:
    return Reply(compress=True, compress_always=always)


def slow(chunk_size: int, pause: float) -> Reply:
    return Reply(chunk_size=chunk_size, pause=pause)


def gated(gate: Gate, after: int = 0) -> Reply:
    return Reply(gate=gate, gate_after=after)


@dataclass
class Request:
    """A request and the status and size of its reply."""

    path: str
    method: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0  # bytes of the body

    @property
    def start(self) -> int:
        """First byte of the requested range."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").split("-")[0])


class LoopbackServer:
    """HTTP server that runs from its construction until it is closed; a context manager.

    Attributes
    ----------
    files
        Body by path, unquoted and with a leading slash; may be changed at any time.
    scripts
        Replies to successive requests by path; the first one of "*" applies to all paths without a script.
    requests
        All requests, in order.
    errors
        Errors of the server itself; the first one is raised at the end.
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.scripts: dict[str, list[Reply]] = {}
        self.requests: list[Request] = []
        self.errors: list[BaseException] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self.errors:
            raise self.errors[0]

    def close(self) -> None:
        """Stop immediately; the port then refuses connections."""
        if self.closing.is_set():
            return
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.disconnect()
        self._server.server_close()

    def script(self, path: str, *replies: Reply) -> None:
        self.scripts[path] = list(replies)

    def requests_for(self, path: str) -> list[Request]:
        """Return the requests for a path."""
        return [request for request in self.requests if request.path == path]

    def count(self, path: str) -> int:
        return len(self.requests_for(path))

    def sent(self, path: str) -> int:
        return sum(request.sent for request in self.requests_for(path))

    def counts(self) -> dict[str, int]:
        return {path: self.count(path) for path in sorted({request.path for request in self.requests})}

    def reset(self) -> None:
        """Forget all requests."""
        with self._lock:
            self.requests.clear()

    def next_reply(self, request: Request) -> Reply:
        """Record a request and choose its reply."""
        with self._lock:
            self.requests.append(request)
            if replies := self.scripts.get(request.path):
                return replies.pop(0)
            if request.path not in self.scripts and (always := self.scripts.get("*")):
                return always[0]
        return CORRECT


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for all threads
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

    def disconnect(self) -> None:
        """Close all connections, so that no thread waits for a request."""
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            self.site.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise each reply waits for the acknowledgement of its headers
    server: _Server

    def do_GET(self) -> None:
        self._reply()

    def do_HEAD(self) -> None:
        self._reply()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name in the base class
        pass

    def _reply(self) -> None:
        site = self.server.site
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(unquote(urlsplit(self.path).path), self.command, headers)
        reply = site.next_reply(request)
        if reply.disconnect:
            self.close_connection = True
            return
        if reply.stall == -1:
            site.closing.wait()
            self.close_connection = True
            return
        if reply.gate and not reply.gate_after:
            reply.gate.wait(site.closing)
        published = site.files.get(request.path)
        if reply.status or published is None:
            reply = reply if reply.status else replace(status(404), gate=reply.gate)
            self._send(request, reply, reply.status, reply.body or b"", {})
            return
        if reply.flip is not None:
            published = published[: reply.flip] + bytes([published[reply.flip] ^ 0xFF]) + published[reply.flip + 1 :]
        tag = f'"{hashlib.sha256(published).hexdigest()[:16]}"'
        fields = {"ETag": tag, "Accept-Ranges": "none" if reply.ignore_range else "bytes"}
        requested = headers.get("range")
        if reply.ignore_range or headers.get("if-range", tag) != tag:
            requested = None
        if reply.compress_always or (reply.compress and "gzip" in headers.get("accept-encoding", "")):
            packed = gzip.compress(published, mtime=0)
            self._send(request, reply, 200, packed, fields | {"Content-Encoding": "gzip"})
        elif requested is None:
            self._send(request, reply, 200, published, fields)
        else:
            self._send_range(request, reply, published, requested, fields)

    def _send_range(self, request: Request, reply: Reply, body: bytes, requested: str, fields: dict[str, str]) -> None:
        first, _, last = requested.removeprefix("bytes=").partition("-")
        start = int(first) + reply.wrong_range
        stop = min(int(last) + 1 if last else len(body), len(body))
        if start >= len(body):
            self._send(request, reply, 416, b"", fields | {"Content-Range": f"bytes */{len(body)}"})
            return
        content_range = {"Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"}
        self._send(request, reply, 206, body[start:stop], fields | content_range)

    def _send(self, request: Request, reply: Reply, code: int, body: bytes, headers: dict[str, str]) -> None:
        request.status = code
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Type", reply.content_type)
        if reply.location:
            self.send_header("Location", reply.location)
        if reply.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.framing == "length":
            self.send_header("Content-Length", reply.length or str(len(body)))
        if reply.framing == "close" or reply.cut is not None or (reply.surplus and reply.framing == "length"):
            self.close_connection = True
        if reply.framing == "close":
            self.send_header("Connection", "close")
        self.end_headers()
        if request.method == "HEAD":
            return
        for chunk in self._chunks(reply, body + reply.surplus):
            request.sent += len(chunk)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk) if reply.framing == "chunked" else chunk)
            if reply.pause and self.server.site.closing.wait(reply.pause):
                break
        if reply.framing == "chunked" and reply.cut is None and reply.stall is None:
            self.wfile.write(b"0\r\n\r\n")

    def _chunks(self, reply: Reply, body: bytes) -> Iterator[bytes]:
        closing = self.server.site.closing
        stop = len(body)
        for limit in (reply.cut, reply.stall):
            stop = stop if limit is None else min(stop, limit)
        hold = min(reply.gate_after, stop) if reply.gate else stop
        for start, end in ((0, hold), (hold, stop)):
            if start == hold and reply.gate:
                reply.gate.wait(closing)
            for place in range(start, end, reply.chunk_size):
                if closing.is_set():
                    break
                yield body[place : min(place + reply.chunk_size, end)]
        if reply.stall is not None:
            closing.wait()
        if closing.is_set():
            self.close_connection = True
