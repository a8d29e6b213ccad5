"""The explorer in a browser: a server of its own, headless Chromium, and the controls as a person finds them."""

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

SECONDS, PATIENCE = 120, 20  # that importing the network may take; and anything after that
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
OWN_ADDRESSES = re.compile(r"^(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|^(data|blob):")


expect.set_options(timeout=1000 * PATIENCE)


@contextmanager
def served(command: list[str], environment: dict[str, str], folder: Path | None = None) -> Iterator[str]:
    """Run a command in a folder that serves a page, and yield its address; ``PORT`` stands for a free port.

    What it says goes to the file that the environment calls ``LOG``; at the end there may be no traceback in it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [
        str(Path(sys.executable).with_name(command[0])),
        *(port if one == "PORT" else one for one in command[1:]),
    ]
    address = f"http://127.0.0.1:{port}"
    log = Path(environment["LOG"])
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=output, stderr=output)
        try:
            stop = time.monotonic() + SECONDS
            while True:
                try:
                    urlopen(address, timeout=5).close()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < stop, log.read_text()
                    time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()


def find_chromium() -> str | None:
    """Return the browser of this machine; None if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium() -> Iterator[Callable[[int, int], Page]]:
    """Yield what opens an empty page of a width and a height; at the end, no page may have complained."""
    complaints: list[str] = []

    def opened(width: int, height: int) -> Page:
        page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda one: None if OWN_ADDRESSES.match(one.url) else complaints.append(one.url))
        page.set_default_timeout(1000 * PATIENCE)
        return page

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM))
        yield opened
        browser.close()
    assert complaints == [], "\n".join(complaints)


class Explorer:
    """The page of the explorer, by the names that its controls and pictures have.

    The sidebar is in the page twice, as marimo has another one for narrow screens; roles are those of the visible one.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        page.goto(address)
        expect(self.picture("encoder 1")).to_be_visible(timeout=1000 * SECONDS)

    def picture(self, name: str) -> Locator:
        return self.page.get_by_alt_text(name, exact=True)

    def source(self, name: str, number: int = 0) -> str:
        """Return what a picture shows, when it is there."""
        address = self.picture(name).nth(number).get_attribute("src")
        assert address
        return address

    def becomes_another(self, name: str, before: str, number: int = 0) -> None:
        expect(self.picture(name).nth(number)).not_to_have_attribute("src", before)

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def dropdown(self, label: str) -> Locator:
        return self.page.get_by_role("combobox", name=label, exact=True)

    def slider(self, label: str) -> Locator:
        return self.page.locator("marimo-slider", has_text=label).get_by_role("slider")

    def choose(self, label: str, option: str) -> None:
        self.dropdown(label).select_option(label=option)

    def type_path(self, number: int, path: Path | str) -> None:
        """Type a path into one of the fields for paths."""
        field = self.page.get_by_placeholder("path").locator("visible=true").nth(number)
        field.fill(str(path))
        field.press("Enter")

    def download(self, kind: str) -> tuple[str, bytes]:
        """Save what is shown; return name and content of the file."""
        with self.page.expect_download() as download:
            self.page.locator("marimo-download a", has_text=kind).click()
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    def fits(self) -> bool:
        """Tell whether nothing lies beyond the right edge of the window."""
        width = self.page.evaluate("document.querySelector('#App').scrollWidth")
        return bool(width <= self.page.viewport_size["width"])  # type: ignore[index]
