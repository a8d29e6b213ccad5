"""A server, a cache and a registry in which a test fetches things; what must hold after every fetch."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.loopback_server import (
    LoopbackServer,
)
from support.published import (
    Published,
    files_below,
    published_files,
    write_registry,
)

from image_translation import data
from image_translation.errors import DataError

ATTEMPTS = 5
needs_posix = pytest.mark.skipif(os.name != "posix", reason="permissions and signals are POSIX's")


class Site:
    """A server, a cache, and a registry of what the server offers."""

    def __init__(self, server: LoopbackServer, cache: Path, registry: Path) -> None:
        self.server, self.cache, self.registry = server, cache, registry
        self.things: list[Published] = []
        self.carried: set[str] = set()
        self.waits: list[float] = []

    def offer(self, *things: Published) -> None:
        self.things += things
        for thing in things:
            self.server.files |= thing.served
        write_registry(self.registry, self.server.address, self.things)

    def fetched(self, thing: Published, **options: Any) -> Path:
        """Fetch something, and look whether it is all that it should be."""
        path = data.fetch(thing.name, **options)
        assert path == self.cache / thing.name / thing.final
        found = published_files(self.cache, thing.name)
        assert {key: found[key] for key in found if key not in self.carried} == thing.content
        return path

    def refused(self, thing: Published, *needles: str) -> str:
        """Fail to fetch something that was not there before; nothing may be there afterwards."""
        with pytest.raises(DataError) as caught:
            data.fetch(thing.name)
        message = str(caught.value)
        for needle in needles:
            assert needle in message
        for internals in ("Traceback", "HTTPConnectionPool", "object at 0x", "urllib3"):
            assert internals not in message
        found = published_files(self.cache, thing.name)
        assert not {key: found[key] for key in found if key not in self.carried}
        return message

    def unfinished(self, name: str) -> dict[str, bytes]:
        return files_below(self.cache / name / ".partial")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail(f"waited in vain until {what}")
