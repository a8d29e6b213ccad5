"""Interrupted and concurrent fetches."""

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
from support.fetch_site import Site, requires_posix, wait_until
from support.loopback_server import (
    Gate,
    Reply,
    gated,
)
from support.published import (
    archive,
    check_cache,
    checkpoint,
    directory,
    file_list,
    in_directory,
    make_zip,
    published_files,
    store_files,
)

from image_translation import data
from image_translation.errors import DataError

FETCH = "import sys; from image_translation import data; print(data.fetch(sys.argv[1]))"
FETCH_IN_THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from image_translation import data
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(16) as pool:
    for name in sys.argv[1:]:
        print(*{str(path) for path in pool.map(data.fetch, [name] * 16)}, sep="\\n")
"""


class KilledError(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("kind", ["checkpoint", "archive", "directory", "repair", "new archive"])
def test_a_fetch_may_be_interrupted_at_any_time(site: Site, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Stop before each change of the file system in turn: final files are valid, and the next fetch completes them."""
    small = {".zgroup": b"{}", ".zattrs": b"[]", "0/0": b"chunk"}
    item = {
        "checkpoint": checkpoint(),
        "directory": directory(files=small),
        "repair": directory(files=small),
    }.get(kind) or archive(make_zip(in_directory("tiny.ome.zarr", small)), content=small)
    site.publish(item)
    final = site.cache / item.name / item.final
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
                    raise KilledError
            return call(path, *arguments, **options)

        return limited_call

    for cut in range(100):
        shutil.rmtree(site.cache, ignore_errors=True)
        if kind in {"repair", "new archive"}:
            data.fetch(item.name)
            (final / "0" / "0").unlink()
        left = cut
        with monkeypatch.context() as patch:
            for name in ("rename", "replace", "mkdir", "remove", "unlink", "rmdir"):
                patch.setattr(os, name, limited(getattr(os, name)))
            try:
                data.fetch(item.name)
            except KilledError:
                finished = False
            else:
                finished = True
        if kind in {"repair", "new archive"} and final.exists() and not (final / "0" / "0").exists():
            found = published_files(site.cache, item.name)
            assert found.items() <= item.content.items()
        else:
            check_cache(site.cache, site.items)
        site.fetch(item)
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


@requires_posix
def test_a_killed_download_of_a_file_is_resumed(site: Site) -> None:
    item, gate = checkpoint(size=3_000_000), Gate()
    site.publish(item)
    site.server.script(item.source, gated(gate, 2_500_000))

    def unfinished() -> int:
        return max(map(len, site.unfinished(item.name).values()), default=0)

    killed(FETCH, item.name, when=lambda: unfinished() > 1_000_000, what="a million bytes are on disk")
    gate.open()
    check_cache(site.cache, site.items)
    on_disk = unfinished()
    site.fetch(item)
    assert [request.start for request in site.server.requests_for(item.source)] == [0, on_disk]


@requires_posix
def test_a_killed_download_of_a_directory_repeats_no_complete_file(site: Site) -> None:
    item, gate = directory(), Gate()
    site.publish(item)
    site.server.script("/tiny.ome.zarr/0/20/0/0/0/0", gated(gate, 3))
    wanted = {content for name, content in item.content.items() if "/20/" not in name}

    def all_others_are_there() -> bool:
        return gate.reached.is_set() and wanted <= set(site.unfinished(item.name).values())

    killed(FETCH, item.name, when=all_others_are_there, what="all other files are on disk")
    gate.open()
    check_cache(site.cache, site.items)
    assert not published_files(site.cache, item.name)
    site.fetch(item)
    again = {path for path, count in site.server.counts().items() if count > 1}
    assert again == {"/tiny.ome.zarr/0/20/0/0/0/0"}


def test_sixteen_threads_download_every_file_once(site: Site) -> None:
    items = [checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", store_files()))), directory()]
    site.publish(*items)
    gate = Gate()
    for item in items:
        site.server.script(item.source, gated(gate))
    names = [item.name for item in items for _ in range(16)]
    with ThreadPoolExecutor(len(names)) as pool:
        futures = [pool.submit(data.fetch, name) for name in names]
        wait_until(lambda: len(site.server.requests) >= len(items), "all have started")
        gate.open()
        assert {future.result() for future in futures} == {site.cache / item.name / item.final for item in items}
    assert set(site.server.counts().values()) == {1}
    for item in items:
        site.fetch(item)


def test_two_processes_of_sixteen_threads_download_every_file_once(site: Site) -> None:
    items = [checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", store_files()))), directory()]
    site.publish(*items)
    command = [sys.executable, "-c", FETCH_IN_THREADS, *(item.name for item in items)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        for process in (one, two):
            assert process.stdout.readline() == "ready\n"
        for process in (one, two):
            process.stdin.write("\n")
            process.stdin.flush()
        expected = [str(site.cache / item.name / item.final) for item in items]
        for process in (one, two):
            said, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            assert said.split() == expected
    assert set(site.server.counts().values()) == {1}
    for item in items:
        site.fetch(item)


def test_a_waiting_fetch_takes_over_from_one_that_fails(site: Site) -> None:
    item, gate = checkpoint(), Gate()
    site.publish(item)
    site.server.script(item.source, Reply(status=404, body=b"", gate=gate))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(data.fetch, item.name)
        assert gate.reached.wait(20)
        second = pool.submit(data.fetch, item.name)
        gate.open()
        with pytest.raises(DataError, match="404"):
            first.result()
        second.result()
    site.fetch(item)
    assert site.server.count(item.source) == 2


def test_checksums_of_the_test_data_agree_with_hashlib() -> None:
    item = directory()
    for line in item.served[item.source].decode().splitlines():
        name, checksum = line.split()
        assert hashlib.sha256(item.content[f"tiny.ome.zarr/{name}"]).hexdigest() == checksum
    assert file_list({"a b": b""}).startswith("'a b' e3b0c442")
