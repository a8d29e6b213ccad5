"""Kills at any moment, and many who fetch the same at once."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.fetch_site import Site, needs_posix, wait_until
from support.loopback_server import (
    Act,
    Gate,
    gated,
)
from support.published import (
    archive,
    below,
    checkpoint,
    directory,
    file_list,
    published_files,
    require_sound,
    store_files,
    zipped,
)

from image_translation import data
from image_translation.errors import DataError

FETCH = "import sys; from image_translation import data, download; print(data.fetch(sys.argv[1]))"
FETCH_IN_THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from image_translation import data, download
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(16) as pool:
    for name in sys.argv[1:]:
        print(*{str(path) for path in pool.map(data.fetch, [name] * 16)}, sep="\\n")
"""


class Cut(BaseException):
    """The end of the process, as far as the disk is concerned."""


@pytest.mark.parametrize("kind", ["checkpoint", "archive", "directory", "repair", "new archive"])
def test_the_end_may_come_at_any_moment(site: Site, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Stop before each change of the file system in turn; what is there is sound, and the next run finishes."""
    small = {".zgroup": b"{}", ".zattrs": b"[]", "0/0": b"chunk"}
    thing = {
        "checkpoint": checkpoint(),
        "directory": directory(files=small),
        "repair": directory(files=small),
    }.get(kind) or archive(zipped(below("tiny.ome.zarr", small)), content=small)
    site.offer(thing)
    final = site.cache / thing.name / thing.final
    left = 0
    lock = threading.Lock()

    def limited(call: Callable[..., Any]) -> Callable[..., Any]:
        def limited_call(path: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if str(path).endswith(".lock") or not str(path).startswith(str(site.cache)):
                return call(path, *arguments, **options)
            with lock:
                left -= 1
                if left < 0:
                    raise Cut
            return call(path, *arguments, **options)

        return limited_call

    for cut in range(100):
        shutil.rmtree(site.cache, ignore_errors=True)
        if kind in {"repair", "new archive"}:
            data.fetch(thing.name)
            (final / "0" / "0").unlink()
        left = cut
        with monkeypatch.context() as patch:
            for name in ("rename", "replace", "mkdir", "remove", "unlink", "rmdir"):
                patch.setattr(os, name, limited(getattr(os, name)))
            try:
                data.fetch(thing.name)
            except Cut:
                finished = False
            else:
                finished = True
        if kind in {"repair", "new archive"} and final.exists() and not (final / "0" / "0").exists():
            found = published_files(site.cache, thing.name)
            assert found.items() <= thing.content.items()
        else:
            require_sound(site.cache, site.things)
        site.fetched(thing)
        if finished:
            break
    assert finished
    assert cut > 2


def killed(*arguments: str, when: Callable[[], bool], what: str) -> None:
    """Start a fetch and kill it as soon as a condition is met."""
    with subprocess.Popen(
        [sys.executable, "-c", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            wait_until(lambda: when() or process.poll() is not None, what)
            assert process.poll() is None, process.communicate()[1].decode()
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()


@needs_posix
def test_a_file_whose_fetch_was_killed_is_finished_by_the_next(site: Site) -> None:
    thing, gate = checkpoint(size=3_000_000), Gate()
    site.offer(thing)
    site.server.script(thing.source, gated(gate, 2_500_000))

    def unfinished() -> int:
        return max(map(len, site.unfinished(thing.name).values()), default=0)

    killed(FETCH, thing.name, when=lambda: unfinished() > 1_000_000, what="a million bytes are on the disk")
    gate.open()
    require_sound(site.cache, site.things)
    on_disk = unfinished()
    site.fetched(thing)
    assert [request.start for request in site.server.asked(thing.source)] == [0, on_disk]


@needs_posix
def test_a_directory_whose_fetch_was_killed_repeats_none_of_its_files(site: Site) -> None:
    thing, gate = directory(), Gate()
    site.offer(thing)
    site.server.script("/tiny.ome.zarr/0/20/0/0/0/0", gated(gate, 3))
    wanted = {content for name, content in thing.content.items() if "/20/" not in name}

    def all_others_are_there() -> bool:
        return gate.reached.is_set() and wanted <= set(site.unfinished(thing.name).values())

    killed(FETCH, thing.name, when=all_others_are_there, what="all other files are on the disk")
    gate.open()
    require_sound(site.cache, site.things)
    assert not published_files(site.cache, thing.name)
    site.fetched(thing)
    again = {path for path, count in site.server.counts().items() if count > 1}
    assert again == {"/tiny.ome.zarr/0/20/0/0/0/0"}


def test_sixteen_threads_fetch_everything_once(site: Site) -> None:
    things = [checkpoint(), archive(zipped(below("tiny.ome.zarr", store_files()))), directory()]
    site.offer(*things)
    gate = Gate()
    for thing in things:
        site.server.script(thing.source, gated(gate))
    names = [thing.name for thing in things for _ in range(16)]
    with ThreadPoolExecutor(len(names)) as pool:
        futures = [pool.submit(data.fetch, name) for name in names]
        wait_until(lambda: len(site.server.requests) >= len(things), "all have begun")
        gate.open()
        assert {future.result() for future in futures} == {site.cache / thing.name / thing.final for thing in things}
    assert set(site.server.counts().values()) == {1}
    for thing in things:
        site.fetched(thing)


def test_two_processes_of_sixteen_threads_fetch_everything_once(site: Site) -> None:
    things = [checkpoint(), archive(zipped(below("tiny.ome.zarr", store_files()))), directory()]
    site.offer(*things)
    command = [sys.executable, "-c", FETCH_IN_THREADS, *(thing.name for thing in things)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        for process in (one, two):
            assert process.stdout.readline() == "ready\n"
        for process in (one, two):
            process.stdin.write("\n")
            process.stdin.flush()
        expected = [str(site.cache / thing.name / thing.final) for thing in things]
        for process in (one, two):
            said, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            assert said.split() == expected
    assert set(site.server.counts().values()) == {1}
    for thing in things:
        site.fetched(thing)


def test_who_waits_for_a_fetch_that_fails_tries_it_too(site: Site) -> None:
    """The one that holds the lock fails, the next one takes over and is served."""
    thing, gate = checkpoint(), Gate()
    site.offer(thing)
    site.server.script(thing.source, Act(status=404, body=b"", gate=gate))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(data.fetch, thing.name)
        assert gate.reached.wait(20)
        second = pool.submit(data.fetch, thing.name)
        gate.open()
        with pytest.raises(DataError, match="404"):
            first.result()
        second.result()
    site.fetched(thing)
    assert site.server.count(thing.source) == 2


def test_the_sums_of_the_tests_are_real() -> None:
    """A file that is served as it is listed passes hashlib, too."""
    thing = directory()
    for line in thing.served[thing.source].decode().splitlines():
        name, digest = line.split()
        assert hashlib.sha256(thing.content[f"tiny.ome.zarr/{name}"]).hexdigest() == digest
    assert file_list({"a b": b""}).startswith("'a b' e3b0c442")
