"""The explorer in headless Chromium: its server, the browser, and a page object for its controls."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Locator, Page, expect, sync_playwright

START_TIMEOUT, TIMEOUT = 120, 20  # seconds: for importing the network, and for anything after that
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
LOCAL_URLS = re.compile(r"^(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|^(data|blob|file):")


expect.set_options(timeout=1000 * TIMEOUT)


@contextmanager
def serve(command: list[str], environment: dict[str, str], directory: Path | None = None) -> Iterator[str]:
    """Run a command that serves a page, and yield its URL, with the token that it prints if it does.

    At the end, check that it logged no traceback.

    Parameters
    ----------
    command
        Program of the virtual environment and its arguments; ``PORT`` is replaced by a free port.
    environment
        Additional variables; ``LOG`` is the path of the file for its output.
    directory
        Working directory.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [
        str(Path(sys.executable).with_name(command[0])),
        *(port if argument == "PORT" else argument for argument in command[1:]),
    ]
    url = f"http://127.0.0.1:{port}"
    log = Path(environment["LOG"])
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=directory, env=os.environ | environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while True:
                try:
                    urlopen(url, timeout=5).close()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.2)
            found = re.search(rf"http://\S+:{port}\S*access_token=[\w-]+", log.read_text())
            yield found[0] if found else url
        finally:
            process.terminate()
            process.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome; None if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium() -> Iterator[Callable[[int, int], Page]]:
    """Yield a function that opens an empty page of a width and a height; at the end, check that no page had errors.

    The pages share cookies and the cache of the browser, which takes half of the time to load the second one.
    """
    errors: list[str] = []

    def new_page(width: int, height: int) -> Page:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: None if LOCAL_URLS.match(request.url) else errors.append(request.url))
        page.set_default_timeout(1000 * TIMEOUT)
        return page

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM))
        context = browser.new_context(accept_downloads=True)
        yield new_page
        browser.close()
    assert errors == [], "\n".join(errors)


class ExplorerPage:
    """Page object of the explorer; controls and images are found by their accessible names.

    The page has the sidebar twice, because marimo has another one for narrow screens; only the visible one has roles.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.goto(url)  # starts a new session
        expect(self.image("encoder 1")).to_be_visible(timeout=1000 * START_TIMEOUT)

    def image(self, name: str) -> Locator:
        return self.page.get_by_alt_text(name, exact=True)

    def source(self, name: str, number: int = 0) -> str:
        """Return the source attribute of an image, when it is displayed."""
        source = self.image(name).nth(number).get_attribute("src")
        assert source
        return source

    def expect_changed(self, name: str, before: str, number: int = 0) -> None:
        expect(self.image(name).nth(number)).not_to_have_attribute("src", before)

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def dropdown(self, label: str) -> Locator:
        return self.page.get_by_role("combobox", name=label, exact=True)

    def slider(self, label: str) -> Locator:
        return self.page.locator("marimo-slider", has_text=label).get_by_role("slider")

    def choose(self, label: str, option: str) -> None:
        self.dropdown(label).select_option(label=option)

    def type_path(self, number: int, path: Path | str) -> None:
        """Enter a path into one of the path fields."""
        field = self.page.get_by_placeholder("path").locator("visible=true").nth(number)
        field.fill(str(path))
        field.press("Enter")

    def download(self, kind: str) -> tuple[str, bytes]:
        """Download the displayed section; return the name and the content of the file."""
        with self.page.expect_download() as download:
            self.page.locator("marimo-download a", has_text=kind).click()
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    def fits(self) -> bool:
        """Return whether the page fits into the width of the window."""
        width = self.page.evaluate("document.querySelector('#App').scrollWidth")
        return bool(width <= self.page.viewport_size["width"])  # type: ignore[index]
