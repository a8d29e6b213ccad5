"""A server, a cache and a registry in which a test fetches items; what must hold after every fetch."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.loopback_server import LoopbackServer
from support.published import (
    Published,
    files_below,
    published_files,
    write_registry,
)

from image_translation import data
from image_translation.errors import DataError

ATTEMPTS = 5
requires_posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions and signals")


class Site:
    """A server, a cache, and a registry of the items on the server.

    Attributes
    ----------
    items
        All published items.
    added
        Files that a user has added to the directory of an entry.
    delays
        Seconds that pooch would have slept before each further attempt.
    """

    def __init__(self, server: LoopbackServer, cache: Path, registry: Path) -> None:
        self.server, self.cache, self.registry = server, cache, registry
        self.items: list[Published] = []
        self.added: set[str] = set()
        self.delays: list[float] = []

    def publish(self, *items: Published) -> None:
        """Serve items and add them to the registry."""
        self.items += items
        for item in items:
            self.server.files |= item.served
        write_registry(self.registry, self.server.url, self.items)

    def fetch(self, item: Published, **options: Any) -> Path:
        """Fetch an item, and check its files."""
        path = data.fetch(item.name, **options)
        assert path == self.cache / item.name / item.final
        found = published_files(self.cache, item.name)
        assert {key: found[key] for key in found if key not in self.added} == item.content
        return path

    def fetch_fails(self, item: Published, *needles: str) -> str:
        """Check that an item cannot be fetched, leaves no files, and that the error contains all needles; return it."""
        with pytest.raises(DataError) as caught:
            data.fetch(item.name)
        message = str(caught.value)
        for needle in needles:
            assert needle in message
        for internals in ("Traceback", "HTTPConnectionPool", "object at 0x", "urllib3"):
            assert internals not in message
        found = published_files(self.cache, item.name)
        assert not {key: found[key] for key in found if key not in self.added}
        return message

    def unfinished(self, name: str) -> dict[str, bytes]:
        """Return the files of an interrupted fetch."""
        return files_below(self.cache / name / ".partial")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail(f"timeout while waiting until {what}")
