"""A fake of Zenodo's deposit API on the loopback interface: it stores depositions and files, and can be made to fail.

Every request belongs to a step: create, newversion, read, delete, metadata, upload or publish. `FakeZenodo.fail` lists
how the next requests of a step fail; later ones succeed.
"""

import hashlib
import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

TOKEN = "Jk3v-secret.of~a/person+42="  # all kinds of characters allowed in a token
ERROR_PAGE = b"<html>\r\n<head><title>Gateway down</title></head>\r\n<body><h1>Sorry</h1></body></html>\r\n"
ROUTES = {
    ("POST", 0, ""): "create",
    ("GET", 1, ""): "read",
    ("PUT", 1, ""): "metadata",
    ("DELETE", 3, "files"): "delete",
    ("POST", 3, "newversion"): "newversion",
    ("POST", 3, "publish"): "publish",
}
INVALID_REPLIES = {
    "truncated": (200, b'{"id": 7, "links": {"buck'),
    "page": (200, ERROR_PAGE),
    "list": (200, b"[]"),
    "empty": (200, b""),
    "502": (502, ERROR_PAGE),
}
REQUIRED = ("title", "upload_type", "description", "creators")


class RefusalError(Exception):
    """A reply with an error, as sent by the real server."""

    def __init__(self, status: int, message: str, *errors: tuple[str, str]) -> None:
        self.status = status
        self.content: dict[str, Any] = {"status": status, "message": message}
        if errors:
            self.content["errors"] = [{"field": place, "messages": [text]} for place, text in errors]


@dataclass
class StoredFile:
    """A file of a deposition."""

    name: str
    content: bytes
    id: str = field(default_factory=lambda: str(uuid4()))

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()


@dataclass
class Deposition:
    """A draft or a published record."""

    id: int
    concept: int
    files: dict[str, StoredFile] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    published: bool = False
    gone: bool = False
    bucket: str = field(default_factory=lambda: str(uuid4()))

    def checksums(self) -> dict[str, str]:
        return {name: stored.md5 for name, stored in self.files.items()}


@dataclass(frozen=True)
class Request:
    """A request that was received."""

    step: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class FakeZenodo(ThreadingHTTPServer):
    """Fake server. It replies to newversion with the draft (style "new") or the record with a link ("old")."""

    daemon_threads = False

    def __init__(self, style: str = "new") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.style = style
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.depositions: dict[int, Deposition] = {}
        self.requests: list[Request] = []
        self.stored: list[str] = []  # names of the uploaded files
        self.errors: list[BaseException] = []
        self.stalled = threading.Event()
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self._faults: dict[str, list[str | int]] = {}
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
        assert not self.errors

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.errors.append(error)

    def fail(self, step: str, *faults: str | int) -> None:
        """Make the next requests of a step fail, one after the other."""
        assert step in {*ROUTES.values(), "upload"}
        self._faults[step] = list(faults)

    def next_fault(self, step: str) -> str | int:
        faults = self._faults.get(step)
        return faults.pop(0) if faults else ""

    def steps(self) -> list[str]:
        return [request.step for request in self.requests]

    def uploads(self) -> list[str]:
        return [unquote(request.path).rsplit("/", 1)[1] for request in self.requests if request.step == "upload"]

    def record(self, **files: bytes) -> Deposition:
        """Add a published record with files; underscores in their names stand for dots."""
        deposition = self.add()
        for name, content in files.items():
            deposition.files[name.replace("_", ".")] = StoredFile(name.replace("_", "."), content)
        deposition.metadata = dict.fromkeys(REQUIRED, "earlier")
        deposition.published = True
        return deposition

    def add(self, concept: int | None = None) -> Deposition:
        number = 101 + 2 * len(self.depositions)
        deposition = self.depositions[number] = Deposition(number, concept or number - 1)
        return deposition

    def drafts(self) -> list[Deposition]:
        return [found for found in self.depositions.values() if not found.published and not found.gone]

    def find(self, number: str) -> Deposition:
        found = self.depositions.get(int(number)) if number.isdecimal() else None
        if found is None:
            raise RefusalError(404, "The persistent identifier does not exist.")
        if found.gone:
            raise RefusalError(410, "The record has been deleted.")
        return found

    def view(self, deposition: Deposition, *, latest_draft: int | None = None) -> dict[str, Any]:
        """Return the JSON of a deposition; without files it has no list of files."""
        number = deposition.id
        own = f"{self.url}/api/deposit/depositions/{number}"
        links = {
            "self": own,
            "html": f"{self.url}/{'records' if deposition.published else 'deposit'}/{number}",
            "bucket": f"{self.url}/api/files/{deposition.bucket}",
            "publish": f"{own}/actions/publish",
            "newversion": f"{own}/actions/newversion",
            "latest_draft": f"{self.url}/api/deposit/depositions/{latest_draft or number}",
        }
        doi = f"10.5281/zenodo.{number}"
        shown: dict[str, Any] = {
            "id": number,
            "conceptrecid": str(deposition.concept),
            "title": deposition.metadata.get("title", ""),
            "metadata": {**deposition.metadata, "prereserve_doi": {"doi": doi, "recid": number}},
            "links": links,
            "state": "done" if deposition.published else "unsubmitted",
            "submitted": deposition.published,
        }
        if deposition.published:
            shown |= {"doi": doi, "doi_url": f"https://doi.org/{doi}", "record_id": number}
        if deposition.files:
            shown["files"] = [
                {"id": stored.id, "filename": stored.name, "filesize": len(stored.content), "checksum": stored.md5}
                for stored in deposition.files.values()
            ]
        return shown

    def handle(self, step: str, parts: list[str], body: bytes) -> tuple[int, Any]:
        """Perform a request, and return status and content of the reply."""
        match step:
            case "create":
                if json.loads(body) != {}:
                    raise RefusalError(400, "This server only creates empty drafts.")
                answer = 201, self.view(self.add())
            case "upload":
                answer = 201, self._upload(parts, body)
            case "read":
                answer = 200, self.view(self.find(parts[0]))
            case "newversion":
                answer = 201, self._new_version(self.find(parts[0]))
            case "metadata":
                answer = 200, self._describe(self._draft(parts[0]), body)
            case "delete":
                answer = 204, self._delete(self._draft(parts[0]), parts[2])
            case "publish":
                answer = 202, self._publish(self._draft(parts[0]))
            case _:
                raise RefusalError(404, "The requested URL was not found on the server.")
        return answer

    def _draft(self, number: str) -> Deposition:
        deposition = self.find(number)
        if deposition.published:
            raise RefusalError(403, "Permission denied.")
        return deposition

    def _delete(self, deposition: Deposition, file: str) -> None:
        names = [name for name, stored in deposition.files.items() if stored.id == file]
        if not names:
            raise RefusalError(404, "No such file.")
        del deposition.files[names[0]]

    def _upload(self, parts: list[str], body: bytes) -> dict[str, Any]:
        found = [deposition for deposition in self.depositions.values() if deposition.bucket == parts[0]]
        if not found:
            raise RefusalError(404, "Bucket does not exist.")
        if found[0].published:
            raise RefusalError(403, "Permission denied.")
        stored = found[0].files[parts[1]] = StoredFile(parts[1], body)
        self.stored.append(stored.name)
        return {"key": stored.name, "size": len(body), "checksum": f"md5:{stored.md5}"}

    def _describe(self, deposition: Deposition, body: bytes) -> dict[str, Any]:
        content = json.loads(body)
        if not isinstance(content.get("metadata"), dict):
            raise RefusalError(400, "Validation error.", ("metadata", "Missing data for required field."))
        deposition.metadata = content["metadata"]
        shown = self.view(deposition)
        if deposition.metadata.get("license") == "unheard-of":  # with status 200, as the real server
            shown["errors"] = [{"field": "metadata.rights", "messages": ["Invalid license."]}]
        return shown

    def _new_version(self, record: Deposition) -> dict[str, Any]:
        if not record.published:
            raise RefusalError(403, "Permission denied.")
        drafts = [draft for draft in self.drafts() if draft.concept == record.concept]
        if drafts and self.style == "new":
            error = ("files.enabled", "Please remove all files first.")
            raise RefusalError(400, "A validation error occurred.", error)
        draft = drafts[0] if drafts else self.add(record.concept)
        if not drafts:
            draft.files = {name: StoredFile(name, stored.content) for name, stored in record.files.items()}
        return self.view(draft) if self.style == "new" else self.view(record, latest_draft=draft.id)

    def _publish(self, deposition: Deposition) -> dict[str, Any]:
        missing = [(f"metadata.{name}", "Missing data.") for name in REQUIRED if not deposition.metadata.get(name)]
        if not deposition.files:
            missing.append(("files", "Missing uploaded files."))
        if missing:
            raise RefusalError(400, "A validation error occurred.", *missing)
        deposition.published = True
        return self.view(deposition)


class Handler(BaseHTTPRequestHandler):
    """Handler of one request: record, authorise, perform, reply."""

    server: FakeZenodo
    protocol_version = "HTTP/1.1"
    timeout = 30
    connection: socket

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        self.close_connection = True
        url = urlsplit(self.path)
        step, parts = self._route(url.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            self.server.requests.append(Request(step, self.command, url.path, url.query, headers, body))
            fault = self.server.next_fault(step)
            status, content = 0, None
            if str(fault).split(" ")[0] in {"", "lost", "cut", "no", "bucket", "wrong"}:
                try:
                    self._authorize(step, url.query)
                    status, content = self.server.handle(step, parts, body)
                except RefusalError as refusal:
                    status, content = refusal.status, refusal.content
        self._reply(fault, status, content)

    def _route(self, path: str) -> tuple[str, list[str]]:
        match [unquote(part) for part in path.split("/")]:
            case ["", "api", "files", bucket, name] if self.command == "PUT":
                return "upload", [bucket, name]
            case ["", "api", "deposit", "depositions", *parts]:
                kind = "" if len(parts) < 3 else parts[2] if parts[1] == "actions" else parts[1]
                return ROUTES.get((self.command, len(parts), kind), "unknown"), parts
        return "unknown", []

    def _authorize(self, step: str, query: str) -> None:
        if parse_qs(query).get("access_token"):
            raise RefusalError(400, "This server refuses tokens in a URL.")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise RefusalError(401, "The server could not verify that you are authorized to access it.")
        if step in {"create", "metadata"} and self.headers.get("Content-Type") != "application/json":
            raise RefusalError(415, "Unsupported media type.")

    def _reply(self, fault: str | int, status: int, content: Any) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        match str(fault).split(maxsplit=1):
            case ["stall"]:
                self.server.stalled.set()
                self.server.closing.wait(60)
            case ["hang", "up"] | ["lost"]:
                pass
            case ["cut"]:
                self._send(status, body[: len(body) // 2], length=len(body))
            case ["redirect", target]:
                self._send(302, b"", location=target)
            case [kind] if kind in INVALID_REPLIES:
                self._send(*INVALID_REPLIES[kind])
            case ["echo"]:  # an error that contains the request
                self._send(500, json.dumps({"message": f"{self.headers['Authorization']}\x1b[31m"}).encode())
            case [number] if number.isdecimal():
                self._send(int(number), json.dumps({"status": int(number), "message": f"Fault {number}."}).encode())
            case words:
                self._send(status, self._with_wrong_field(words, content) if words else body)

    def _with_wrong_field(self, words: list[str], content: dict[str, Any]) -> bytes:
        """Return a valid reply with one wrong field."""
        match words:
            case ["no", name]:
                content = {**content, {"bucket": "links"}.get(name, name): None}
            case ["bucket", target]:
                content = {**content, "links": {**content["links"], "bucket": target}}
            case ["wrong", "checksum"]:
                content = {**content, "checksum": f"md5:{'0' * 32}"}
            case _:
                raise ValueError(words)
        return json.dumps(content).encode()

    def _send(self, status: int, body: bytes, *, length: int | None = None, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if body.startswith(b"<") else "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        if location:
            self.send_header("Location", location)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
