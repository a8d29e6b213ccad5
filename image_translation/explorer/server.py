"""Server of the explorer's page, for one user: a secret token in its address, and no request of another web site."""

import contextlib
import errno
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from image_translation.errors import ImageTranslationError, UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
_FIRST_PORT, _TRIES = 2718, 100  # marimo's port, and how many to try from there on
_LOOPBACK_NAMES = ("localhost", LOOPBACK, "::1")

# The browser shows this from the first byte on, until a cell of the notebook has something to show.
_LOADING = """\
<style>
#it-loading { position: fixed; inset: 38% 1rem auto; z-index: 99; pointer-events: none; text-align: center;
  font: 16px/1.5 system-ui, sans-serif; }
#it-loading b { display: block; font-size: 1.6rem; font-weight: 600; }
body:has(.it-title) #it-loading b { display: none; }
</style>
<script>
new MutationObserver((_, observer) => {
  if (document.querySelector(".it-page section, marimo-progress, marimo-callout-output, .marimo-error")) {
    document.getElementById("it-loading").remove();
    observer.disconnect();
  }
}).observe(document, { childList: true, subtree: true });
</script>
<div id="it-loading" role="status"><b>Inside the network</b>Loading the network. The first time takes up to half a
minute.</div>
"""


@dataclass(frozen=True)
class PageServer:
    """A server that listens, but does not answer before `run`.

    Attributes
    ----------
    listener
        Bound socket.
    host
        Name or address that it was asked to listen on.
    token
        Secret that a browser needs to open the page; empty if it needs none.
    """

    listener: socket.socket
    host: str
    token: str

    @property
    def address(self) -> str:
        """Address of the page, with its token."""
        ip, port = self.listener.getsockname()[:2]
        # A number, and not a name: "localhost" may lead to ::1, where another user could listen for the token.
        host = socket.gethostname() if ip_address(ip).is_unspecified else f"[{ip}]" if ":" in ip else ip
        return f"http://{host}:{port}" + (f"?access_token={self.token}" if self.token else "")

    def run(self, notebook: Path, arguments: Sequence[str], *, browser: bool) -> None:
        """Serve a notebook until the process is interrupted.

        Parameters
        ----------
        notebook
            The notebook.
        arguments
            Its arguments, which replace those of this process.
        browser
            Open the page in a browser.
        """
        import marimo
        import uvicorn

        sys.argv = [str(notebook), *arguments]  # where the notebook finds them, as in `marimo run`
        ip, port = self.listener.getsockname()[:2]

        def name_cookie(app: "ASGIApp") -> "ASGIApp":
            app.state.port = port  # type: ignore[attr-defined] # else the pages of two ports overwrite the other's cookie
            return app

        pages = marimo.create_asgi_app(token=self.token or None, skew_protection=True, html_head=_LOADING)
        pages = pages.with_app(path="/", root=str(notebook), middleware=[name_cookie])
        app = SameOriginMiddleware(pages.build(), self.host, ip_address(ip))
        # Pings keep the connection through an ssh tunnel; their period, and how long connections last, are marimo's.
        config = uvicorn.Config(
            app, log_level="error", proxy_headers=False, timeout_keep_alive=300, timeout_graceful_shutdown=1,
            ws_ping_interval=1, ws_ping_timeout=60,
        )  # fmt: skip
        if browser:  # it waits until the server answers
            threading.Thread(target=webbrowser.open, args=[self.address], daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[self.listener])


def open_server(host: str = LOOPBACK, port: int | None = None, *, token: bool = True) -> PageServer:
    """Bind a socket, and make a token.

    Parameters
    ----------
    host
        Name or IP address of this machine; 0.0.0.0 or :: for all of its addresses.
    port
        Port; None or 0 for a free one.
    token
        Require a token.

    Raises
    ------
    UsageError
        The host is not this machine, or others can reach it and no token is required.
    ImageTranslationError
        The port is in use, or not permitted.
    """
    family, ip = _resolve(host)
    if not token and not ip_address(ip).is_loopback:
        raise UsageError(
            f"--no-token with --host {host}: whoever reaches this machine could read your files; leave out one of "
            f"them, or give a host that is this machine alone, such as {LOOPBACK}"
        )
    candidates = [port] if port else [] if port == 0 else range(_FIRST_PORT, _FIRST_PORT + _TRIES)
    listener = None
    for candidate in candidates:
        try:
            listener = socket.create_server((ip, candidate), family=family)
            break
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise _explain(error, host, candidate) from error
    if listener is None:
        listener = socket.create_server((ip, 0), family=family)
    return PageServer(listener, host, secrets.token_urlsafe(16) if token else "")


class SameOriginMiddleware:
    """Refuse requests that a page of another web site makes the browser send, with or without the token.

    ``Host`` must be a name of this machine, because a web site can let its own name lead to this machine (DNS
    rebinding). ``Origin``, which browsers add to websockets and to what scripts send, must be the page itself. Ports of
    ``Host`` are free: those of an ssh tunnel differ.

    Parameters
    ----------
    app
        ASGI application.
    host
        Name or address that the server was asked to listen on.
    address
        IP address that it listens on.
    """

    def __init__(self, app: "ASGIApp", host: str, address: IPv4Address | IPv6Address) -> None:
        self._app = app
        self._names = {*_LOOPBACK_NAMES, host.strip("[]").lower(), str(address)}
        self._any_address = address.is_unspecified
        if self._any_address:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request on, or answer it with 400 (``Host``) or 403 (``Origin``, and all websockets)."""
        from starlette.datastructures import Headers
        from starlette.responses import PlainTextResponse
        from starlette.websockets import WebSocketClose

        refusal = None
        if scope["type"] in {"http", "websocket"}:
            headers = Headers(scope=scope)
            refusal = self._refusal(headers.getlist("host"), headers.getlist("origin"))
        if refusal is None:
            await _serve_until_closed(self._app, scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008)(scope, receive, send)
        else:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send)

    def _refusal(self, hosts: list[str], origins: list[str]) -> tuple[int, str] | None:
        """Return status code and reason if a request with these headers is to be refused."""
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return 400, f"Host {', '.join(hosts)}: not a name of this server; open the address that it printed"
        own = {f"{scheme}://{hosts[0]}".lower() for scheme in ("http", "https")}
        if not own.issuperset(origin.lower() for origin in origins):
            return 403, f"Origin {', '.join(origins)}: only the page of {hosts[0]} itself may send requests"
        return None

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        # Names can be made to lead here, addresses cannot; this machine may have others than those that it knows of.
        return name in self._names or (self._any_address and _is_address(name))


async def _serve_until_closed(app: "ASGIApp", scope: "Scope", receive: "Receive", send: "Send") -> None:
    """Serve a request, and end without an error when the browser closes the websocket while marimo writes to it."""
    closed = False

    async def send_or_close(message: "Message") -> None:
        nonlocal closed
        try:
            await send(message)
        except OSError:  # how ASGI says that the other side is gone
            closed = True
            raise

    try:
        await app(scope, receive, send_or_close)
    except RuntimeError:  # Starlette's, for reading from a websocket to which a write has failed
        if scope["type"] != "websocket" or not closed:
            raise


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _resolve(host: str) -> tuple[socket.AddressFamily, str]:
    """Return family and IP address of a host; of several, IPv4 is preferred."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: unknown; {_HOSTS}") from error
    family, *_, place = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, str(place[0])


def _explain(error: OSError, host: str, port: int) -> ImageTranslationError:
    if error.errno == errno.EADDRINUSE:
        return ImageTranslationError(
            f"--port {port}: in use at {host}; stop what uses it, choose another one, or leave it out for a free one"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return ImageTranslationError(
            f"--port {port}: not permitted at {host}; choose one from 1024 on, or leave it out for a free one"
        )
    return UsageError(f"--host {host}: not an address of this machine; {_HOSTS}")


_HOSTS = f"give a name or an IP address of this machine, or leave it out for {LOOPBACK}"
