"""Who may open the page; ``test_part1_inspection_widget`` opens it in a browser."""

import asyncio
import contextlib
import socket
from ipaddress import ip_address
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from image_translation.errors import ImageTranslationError, UsageError
from image_translation.explorer.server import PageServer, SameOriginMiddleware, open_server


def ask(kind: str, host: str, origin: str | None = None, *, listens_on: str = "127.0.0.1", asked: str = "") -> Any:
    """Return the first message with which a request is answered; the application answers 200."""
    headers = {"host": host} | ({"origin": origin} if origin is not None else {})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    app = SameOriginMiddleware(PlainTextResponse("hello"), asked or listens_on, ip_address(listens_on))
    scope = {"type": kind, "headers": [(key.encode(), value.encode()) for key, value in headers.items()]}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:2718", None, 200),
        ("127.0.0.1", "http://127.0.0.1", 200),
        ("[::1]:9000", "http://[::1]:9000", 200),
        ("LocalHost:9000", "http://localhost:9000", 200),  # through a tunnel from another port
        ("evil.example", None, 400),  # DNS rebinding
        ("evil.example:2718", "http://evil.example:2718", 400),
        ("localhost.evil.example", None, 400),
        ("10.0.0.7", None, 400),
        ("", None, 400),
        ("[::1", None, 400),
        ("localhost:2718", "http://evil.example", 403),
        ("localhost:2718", "http://localhost:9999", 403),  # another server of this machine
        ("localhost:2718", "http://localhost:2718.evil.example", 403),
        ("localhost:2718", "null", 403),
        ("localhost:2718", "", 403),
    ],
)
def test_only_the_page_itself_is_answered(kind: str, host: str, origin: str | None, status: int) -> None:
    answer = ask(kind, host, origin)
    if status == 200 or kind == "http":
        assert answer["status"] == status
    else:
        assert answer["type"] == "websocket.close"  # which the server answers with 403


@pytest.mark.parametrize(
    ("listens_on", "asked", "host", "status"),
    [
        ("10.0.0.7", "node7.cluster", "node7.cluster:2718", 200),
        ("10.0.0.7", "node7.cluster", "10.0.0.7:2718", 200),
        ("10.0.0.7", "node7.cluster", "localhost:2718", 200),
        ("10.0.0.7", "node7.cluster", "10.0.0.8:2718", 400),
        ("10.0.0.7", "node7.cluster", "evil.example:2718", 400),
        ("0.0.0.0", "0.0.0.0", f"{socket.gethostname()}:2718", 200),
        ("0.0.0.0", "0.0.0.0", "10.0.0.8:2718", 200),  # an address cannot be made to lead elsewhere
        ("0.0.0.0", "0.0.0.0", "evil.example:2718", 400),
        ("::", "::", "[fe80::1]:2718", 200),
    ],
)
def test_the_names_of_a_server_that_others_can_reach(listens_on: str, asked: str, host: str, status: int) -> None:
    assert ask("http", host, listens_on=listens_on, asked=asked)["status"] == status


def close(server: PageServer) -> str:
    server.listener.close()
    return server.token


def test_the_address_contains_a_secret_token_unless_none_is_wanted() -> None:
    servers = [open_server() for _ in range(2)]
    for server in servers:
        port = server.listener.getsockname()[1]
        assert server.address == f"http://127.0.0.1:{port}?access_token={server.token}"
    tokens = {close(server) for server in servers}
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 20
    open_to_all = open_server("localhost", 0, token=False)
    assert open_to_all.address == f"http://127.0.0.1:{open_to_all.listener.getsockname()[1]}"
    assert close(open_to_all) == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_no_token_is_for_this_machine_alone(host: str) -> None:
    with pytest.raises(UsageError, match=f"--no-token with --host {host}: .*; leave out one"):
        open_server(host, token=False)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(
            ImageTranslationError, match=f"--port {port}: in use at 127.0.0.1; .*leave it out"
        ) as caught:
            open_server(port=port)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7", "a b", "x" * 70, ""])
def test_hosts_that_cannot_be_listened_on_are_named(host: str) -> None:
    with pytest.raises(UsageError, match=f"--host {host}: (unknown|not an address of this machine); give") as caught:
        open_server(host)
    assert "\n" not in str(caught.value)


def test_a_page_that_is_closed_while_it_is_written_to_is_no_error() -> None:
    async def write_and_read(scope: Any, receive: Any, send: Any) -> None:  # as marimo does, in two tasks
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.send_text("an image")
        await websocket.receive_text()

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            raise BrokenPipeError

    app = SameOriginMiddleware(write_and_read, "127.0.0.1", ip_address("127.0.0.1"))
    asyncio.run(app({"type": "websocket", "headers": [(b"host", b"localhost")]}, receive, send))
    with pytest.raises(RuntimeError):
        asyncio.run(write_and_read({"type": "websocket", "headers": []}, receive, send))
