"""However bad the network and the disk: a final name holds what was published, and nothing is sent twice."""

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pooch
import pytest
from loopback_server import (
    LOGIN_PAGE,
    Act,
    Gate,
    LoopbackServer,
    compressed,
    corrupt,
    gated,
    hung_up,
    login_page,
    mute,
    overlong,
    range_ignored,
    range_shifted,
    redirected,
    slow,
    stalled,
    status,
    truncated,
    truncated_chunks,
    truncated_without_length,
)
from published import (
    PAGE,
    Published,
    archive,
    below,
    checkpoint,
    directory,
    file_list,
    files_below,
    good_archives,
    hostile_archives,
    hostile_lists,
    noise,
    published_files,
    require_sound,
    sha256,
    store_files,
    tarred,
    write_registry,
    zipped,
)

from image_translation import data, download
from image_translation.errors import DataError, UsageError

ATTEMPTS = 5
BULKY = store_files() | {"1": bytes(900_000)}  # small on the way, and large on the disk
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


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site whose cache is looked through after every test."""
    monkeypatch.setenv("IMAGE_TRANSLATION_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("IMAGE_TRANSLATION_REGISTRY", str(tmp_path / "registry.toml"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with LoopbackServer() as server:
        made = Site(server, tmp_path / "cache", tmp_path / "registry.toml")
        monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=made.waits.append))
        yield made
        require_sound(made.cache, made.things, made.carried)
        assert {path.name for path in tmp_path.iterdir()} <= {"cache", "registry.toml", "other"}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail(f"waited in vain until {what}")


# The way there


def test_a_checkpoint_is_fetched_once(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    site.fetched(thing)
    site.fetched(thing)
    assert site.server.counts() == {"/tiny.ckpt": 1}
    assert not site.unfinished(thing.name)


@pytest.mark.parametrize("way", good_archives())
def test_an_archive_is_unpacked_however_it_was_packed(site: Site, way: str) -> None:
    file, pack = good_archives()[way]
    thing = archive(pack(), file=file)
    site.offer(thing)
    site.fetched(thing)
    site.fetched(thing)
    assert site.server.counts() == {f"/{file}": 1}


def test_the_root_of_an_archive_is_where_its_pattern_finds_something(site: Site) -> None:
    held = {f"phase2fluor/version_{number}/checkpoints/last.ckpt": noise(40 + number) for number in (1, 2)}
    packed = tarred(below("output/logs", held), compress=True)
    pattern = "phase2fluor/version_*/checkpoints/*.ckpt"
    thing = archive(packed, name="tiny_logs", file="logs.tar.gz", content=held, kind="checkpoints", holds=pattern)
    site.offer(thing)
    site.fetched(thing)


def test_a_directory_is_fetched_once_file_by_file(site: Site) -> None:
    thing = directory()
    site.offer(thing)
    site.fetched(thing)
    site.fetched(thing)
    assert len(thing.served) == 41
    assert site.server.counts() == dict.fromkeys(sorted(thing.served), 1)


def test_awkward_names_of_files_are_quoted(site: Site) -> None:
    names = ["a b", "50%41", "x#y", "q?a=1&b", "plus+", "ünï", "it's", "semi;colon", 'double"quote', "[0]", ".hidden"]
    thing = directory(files={f"0/{name}": name.encode() for name in names})
    site.offer(thing)
    site.fetched(thing)


def test_a_list_beside_the_registry_is_read_from_there(site: Site) -> None:
    thing = directory()
    listed = thing.served.pop(thing.source)
    (site.registry.parent / "other").mkdir()
    (site.registry.parent / "other" / "list.txt").write_bytes(listed)
    entry = {key: value for key, value in thing.entry.items() if key != "list_sha256"} | {"list": "other/list.txt"}
    thing = Published(thing.name, thing.served, entry, thing.final, thing.content, thing.source)
    site.offer(thing)
    site.fetched(thing)
    assert site.server.counts() == dict.fromkeys(sorted(thing.served), 1)


def test_a_name_leads_into_a_dataset(site: Site) -> None:
    thing = archive(zipped(below("tiny.ome.zarr", store_files())))
    site.offer(thing)
    assert data.resolve("tiny_zip/0/.zarray") == site.cache / "tiny_zip" / "tiny.ome.zarr" / "0" / ".zarray"
    with pytest.raises(UsageError, match="absent"):
        data.resolve("tiny_zip/absent")
    with pytest.raises(UsageError):
        data.resolve("tiny_zip/../../registry.toml")


# The network


@pytest.mark.parametrize(
    "act",
    [truncated(2000), truncated_chunks(2000), truncated_chunks(5000), stalled(2000)],
    ids=["truncated", "chunks truncated", "last chunk missing", "stalled"],
)
def test_a_transfer_that_breaks_off_goes_on_where_it_was(site: Site, monkeypatch: Any, act: Act) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    thing = checkpoint()
    site.offer(thing)
    site.server.script(thing.source, act)
    site.fetched(thing)
    assert site.server.sent(thing.source) == 5000
    assert [request.start for request in site.server.asked(thing.source)] == [0, act.cut or act.stall]


def test_a_transfer_that_breaks_off_again_and_again_goes_on_as_long_as_bytes_come(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    site.server.script(thing.source, *[truncated(500)] * 9)
    site.fetched(thing)
    assert [request.start for request in site.server.asked(thing.source)] == list(range(0, 5000, 500))
    assert site.server.sent(thing.source) == 5000


@pytest.mark.parametrize(
    "act",
    [mute(), stalled(0), hung_up(), truncated_without_length(2000), overlong(), Act(length="many")],
    ids=["mute", "stalled after the headers", "hung up", "truncated unseen", "too long", "odd length"],
)
def test_one_bad_answer_is_survived(site: Site, monkeypatch: Any, act: Act) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    for thing in (checkpoint(), directory(files={".zgroup": b"{}", "0/.zarray": b"[]", "0/0": noise(5000)})):
        site.offer(thing)
        site.server.script(thing.source, act)
        if thing.name == "tiny_movie":
            site.server.script("/tiny.ome.zarr/0/0", act)
        site.fetched(thing)
        assert site.server.count(thing.source) <= 2


@pytest.mark.parametrize("act", [overlong(framing="chunked"), corrupt(1000), login_page()])
def test_a_sum_that_is_right_on_the_second_try_is_accepted(site: Site, act: Act) -> None:
    for thing in (checkpoint(), archive(zipped(below("tiny.ome.zarr", store_files()))), directory()):
        site.offer(thing)
        site.server.script(thing.source, act)
        if thing.name == "tiny_movie":
            site.server.script("/tiny.ome.zarr/.zattrs", login_page())
        site.fetched(thing)
        assert [request.start for request in site.server.asked(thing.source)] == [0, 0]


def test_a_slow_server_is_not_a_stalled_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 1.0)
    thing = checkpoint()
    site.offer(thing)
    site.server.script(thing.source, slow(800, 0.2))  # 1.4 s in all
    site.fetched(thing)
    assert site.server.count(thing.source) == 1


@pytest.mark.parametrize("code", [404, 403, 410])
def test_what_is_not_there_is_not_asked_for_again(site: Site, code: int) -> None:
    thing, movie = checkpoint(), directory()
    site.offer(thing, movie)
    site.server.script(thing.source, *[status(code)] * 9)
    site.refused(thing, f"{site.server.address}{thing.source}", str(code), thing.name)
    assert site.server.count(thing.source) == 1
    site.server.script("/tiny.ome.zarr/0/7/0/0/0/0", *[status(code)] * 9)
    site.refused(movie, f"{site.server.address}/tiny.ome.zarr/0/7/0/0/0/0", str(code))
    assert site.server.count("/tiny.ome.zarr/0/7/0/0/0/0") == 1
    assert not site.waits


def test_a_server_that_is_unavailable_twice_is_asked_a_third_time(site: Site) -> None:
    thing, movie = checkpoint(), directory()
    site.offer(thing, movie)
    site.server.script(thing.source, status(503), status(503))
    site.fetched(thing)
    assert site.waits == [1, 2]
    assert site.server.count(thing.source) == 3
    site.server.script(movie.source, status(503), status(502))
    site.server.script("/tiny.ome.zarr/.zgroup", status(500), status(503))
    site.fetched(movie)
    assert set(site.server.counts().values()) == {1, 3}


def test_a_server_that_stays_unavailable_is_given_up(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    site.server.script(thing.source, *[status(503)] * 99)
    site.refused(thing, f"{site.server.address}{thing.source}", "503")
    assert site.server.count(thing.source) == ATTEMPTS
    assert site.waits == [1, 2, 3, 4]


def test_a_redirect_is_followed_and_the_rest_asked_for_there(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    site.server.files["/mirror"] = thing.content[thing.final]
    site.server.script(thing.source, *[redirected("/mirror")] * 2)
    site.server.script("/mirror", truncated(3000))
    site.fetched(thing)
    assert [request.start for request in site.server.asked("/mirror")] == [0, 3000]
    assert site.server.sent("/mirror") == 5000


@pytest.mark.parametrize("to", ["/tiny.ckpt", "file:///etc/hostname", "ftp://127.0.0.1/x", "http://[", "//"])
def test_a_redirect_that_leads_nowhere_is_given_up(site: Site, to: str) -> None:
    thing = checkpoint()
    site.offer(thing)
    site.server.script(thing.source, *[redirected(to)] * 200)
    site.refused(thing, f"{site.server.address}{thing.source}")
    assert site.server.count(thing.source) <= 31
    assert site.server.count("/") == 0


def test_a_server_that_ignores_range_sends_the_whole_and_only_that_is_kept(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    site.server.script(thing.source, truncated(2000), range_ignored())
    site.fetched(thing)
    assert [request.sent for request in site.server.asked(thing.source)] == [2000, 5000]


def test_a_part_that_was_not_asked_for_is_not_used(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    site.server.script(thing.source, truncated(2000), range_shifted())
    site.fetched(thing)
    assert site.server.count(thing.source) <= 4


@pytest.mark.parametrize("always", [False, True])
def test_a_server_that_compresses_on_the_way_changes_nothing(site: Site, always: bool) -> None:
    thing = directory(files={".zgroup": b"{}", "0/0": bytes(5000)})
    site.offer(thing)
    for path in thing.served:
        site.server.script(path, compressed(always=always))
    site.fetched(thing)
    assert site.server.counts() == dict.fromkeys(sorted(thing.served), 1)


def test_a_wrong_sum_is_said_and_keeps_nothing(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    good = thing.content[thing.final]
    wrong = good[:-1] + bytes([good[-1] ^ 0xFF])
    site.server.files[thing.source] = wrong
    site.refused(thing, sha256(good), sha256(wrong), f"{site.server.address}{thing.source}")
    assert site.server.count(thing.source) == ATTEMPTS
    assert wrong not in site.unfinished(thing.name).values()
    site.server.files[thing.source] = good
    site.server.forget()
    site.fetched(thing)
    assert [request.start for request in site.server.asked(thing.source)] == [0]


@pytest.mark.parametrize("which", ["list", "file"])
def test_a_wrong_sum_in_a_directory_is_said_and_keeps_nothing(site: Site, which: str) -> None:
    thing = directory()
    site.offer(thing)
    path = thing.source if which == "list" else "/tiny.ome.zarr/0/3/0/0/0/0"
    good = thing.served[path]
    wrong = bytes(len(good))
    site.server.files[path] = wrong
    site.refused(thing, sha256(good), sha256(wrong), f"{site.server.address}{path}")
    assert site.server.count(path) == ATTEMPTS
    assert wrong not in site.unfinished(thing.name).values()
    site.server.files[path] = good
    site.fetched(thing)


def test_a_beginning_that_was_wrong_is_thrown_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changed on the server between two runs, or bytes that went bad on the disk."""
    thing = checkpoint()
    site.offer(thing)
    monkeypatch.setattr(download, "RETRIES", 0)
    site.server.script(thing.source, corrupt(10, cut=2000), *[status(503)] * 2)
    site.refused(thing)
    assert list(map(len, site.unfinished(thing.name).values())) == [2000]
    monkeypatch.setattr(download, "RETRIES", 4)
    site.server.scripts.clear()
    site.fetched(thing)
    assert site.server.asked(thing.source)[-1].start == 0


def test_an_unfinished_file_is_finished_by_the_next_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    files = store_files(40)
    for thing in (checkpoint(), archive(zipped(below("tiny.ome.zarr", files)), content=files)):
        site.offer(thing)
        monkeypatch.setattr(download, "RETRIES", 0)
        site.server.script(thing.source, truncated(2000), status(503))
        site.refused(thing, "503")
        monkeypatch.setattr(download, "RETRIES", 4)
        site.fetched(thing)
        assert site.server.sent(thing.source) == len(thing.served[thing.source]) + len(status(503).body or b"")


def test_the_page_of_a_captive_portal_is_taken_for_nothing(site: Site) -> None:
    things = [checkpoint(), archive(zipped(below("tiny.ome.zarr", store_files()))), directory()]
    site.offer(*things)
    site.server.script("*", login_page())
    for thing in things:
        site.refused(thing, f"{site.server.address}{thing.source}", sha256(LOGIN_PAGE))
        assert LOGIN_PAGE not in site.unfinished(thing.name).values()
    site.server.scripts.clear()
    site.server.forget()
    for thing in things:
        site.fetched(thing)
    assert set(site.server.counts().values()) == {1}


def test_a_portal_in_the_middle_loses_no_more_than_one_file(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    site.server.script(thing.source, truncated(2000), login_page(), login_page())
    site.fetched(thing)


def test_without_network_the_error_says_what_can_be_done(site: Site) -> None:
    thing, cached, movie = (
        checkpoint("far_ckpt", file="far.ckpt"),
        checkpoint("near_ckpt", file="near.ckpt"),
        directory(),
    )
    site.offer(thing, cached, movie)
    site.fetched(cached)
    site.server.close()
    for absent in (thing, movie):
        message = site.refused(
            absent,
            f"{site.server.address}{absent.source}",
            "near_ckpt",
            "demo_ckpt",
            str(site.cache),
            "IMAGE_TRANSLATION_DATA_DIR",
            str(site.cache / absent.name),
            "by hand",
        )
        assert "Connection refused" in message
    site.fetched(cached)


# Names and registries


def test_an_unknown_name_lists_all_names(site: Site) -> None:
    site.offer(checkpoint(), directory())
    for call in (data.fetch, data.resolve):
        with pytest.raises(UsageError, match="tiny_cpkt") as caught:
            call("tiny_cpkt")
        for name in ("tiny_ckpt", "tiny_movie", "demo_movie", "demo_ckpt", "pretrained_ckpt", "training_logs"):
            assert name in str(caught.value)


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        ({"kind": "film"}, "kind"),
        ({"kind": 7}, "kind"),
        ({"sha256": "12"}, "sha256"),
        ({"sha256": 12}, "sha256"),
        ({"sha256": ""}, "sha256"),
        ({"address": "file:///etc/passwd"}, "address"),
        ({"address": "ftp://127.0.0.1/x"}, "address"),
        ({"address": "http://[::1/x"}, "address"),
        ({"address": "http:///x"}, "address"),
        ({"address": ""}, "address"),
        ({"address": "http://127.0.0.1"}, "file"),
        ({"address": "http://127.0.0.1/a/%2e%2e"}, "file"),
        ({"address": "http://127.0.0.1/a/..%2Fevil"}, "file"),
        ({"file": "../evil"}, "file"),
        ({"file": ".lock"}, "file"),
        ({"file": "verified.json"}, "file"),
        ({"title": ""}, "title"),
        ({"adress": "http://127.0.0.1/x"}, "adress"),
        ({"list": ""}, "list"),
        ({"input_channels": "Phase3D"}, "input_channels"),
        ({"normalization": "loud"}, "normalization"),
        ({"kind": "checkpoints"}, "holds"),
        ({"kind": "checkpoints", "holds": "../*"}, "holds"),
        ({"kind": "checkpoints", "holds": "/etc/*"}, "holds"),
    ],
    ids=str,
)
def test_a_bad_entry_names_the_file_the_entry_and_the_key(site: Site, change: dict[str, Any], needle: str) -> None:
    site.offer(checkpoint().with_entry(**change))
    with pytest.raises(UsageError, match=needle) as caught:
        data.fetch("tiny_ckpt")
    assert str(site.registry) in str(caught.value)
    assert "tiny_ckpt" in str(caught.value)
    assert not site.cache.exists()


@pytest.mark.parametrize(
    "text",
    [
        b"[tiny_ckpt",
        b"tiny_ckpt = 3",
        b"[tiny_ckpt]\nkind = 'checkpoint'",
        b"['../evil']\nkind = 'checkpoint'",
        b"\xff\xfe",
        PAGE,
        b"a = " + b"[" * 100_000,
        None,
    ],
    ids=["no TOML", "no table", "keys missing", "hostile name", "no text", "page", "deep", "absent"],
)
def test_a_bad_registry_is_named(site: Site, text: bytes | None) -> None:
    if text is not None:
        site.registry.write_bytes(text)
    with pytest.raises(UsageError) as caught:
        data.fetch("tiny_ckpt")
    assert str(site.registry) in str(caught.value)
    assert not site.cache.exists()


# Hostile content


@pytest.mark.parametrize("kind", hostile_archives(Path("/nowhere")))
def test_a_hostile_archive_is_not_unpacked(site: Site, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "other"
    outside.mkdir()
    packed = hostile_archives(outside)[kind]
    thing = archive(packed, file=f"tiny.ome.zarr.{'tar.gz' if kind.startswith('tar') else 'zip'}")
    site.offer(thing)
    site.refused(thing)
    assert site.server.count(thing.source) == 1
    assert not list(outside.iterdir())
    assert not list(tmp_path.rglob("*evil*"))
    require_sound(site.cache, site.things)


@pytest.mark.parametrize("mode", [0, 0o6777])
def test_the_permissions_in_an_archive_are_not_taken_over(site: Site, mode: int) -> None:
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in below("tiny.ome.zarr", store_files()).items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.gid = len(content), mode, 4321, 4321
            file.addfile(info, io.BytesIO(content))
    thing = archive(buffer.getvalue(), file="tiny.ome.zarr.tar")
    site.offer(thing)
    path = site.fetched(thing)
    for found in (path, *path.rglob("*")):
        assert found.stat().st_mode & stat.S_IRUSR
        assert not found.stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)
        assert found.stat().st_uid == os.geteuid()


@pytest.mark.parametrize("kind", hostile_lists(Path("/nowhere")))
def test_a_hostile_list_is_not_followed(site: Site, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "other"
    outside.mkdir()
    thing = directory(files=store_files(), text=hostile_lists(outside)[kind])
    site.offer(thing)
    site.refused(thing)
    assert site.server.counts() == {thing.source: 1}
    assert not list(outside.iterdir())


@pytest.mark.parametrize("name", ["n" * 300, "/".join("n" * 100 for _ in range(60)), ".partial", ".lock"])
def test_an_odd_name_in_a_list_is_fetched_or_refused(site: Site, name: str) -> None:
    thing = directory(files=store_files() | {name: b"x"})
    site.offer(thing)
    if len(name) < 255:
        site.fetched(thing)
    else:
        site.refused(thing)


# What is there already


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Paths of the files that are opened from now on."""
    recorder = _Recorder.instance()
    recorder.paths = []
    recorder.active = True
    yield recorder.paths
    recorder.active = False


class _Recorder:
    """Python has no way to take an audit hook away, so there is one, which is told when to listen."""

    _only: "_Recorder | None" = None

    def __init__(self) -> None:
        self.active = False
        self.paths: list[str] = []
        sys.addaudithook(self._hear)

    @classmethod
    def instance(cls) -> "_Recorder":
        cls._only = cls._only or cls()
        return cls._only

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and event == "open" and isinstance(arguments[0], str | os.PathLike):
            self.paths.append(os.fspath(arguments[0]))


def test_what_was_verified_is_not_read_again(site: Site, opened: list[str]) -> None:
    things = [checkpoint(), archive(zipped(below("tiny.ome.zarr", store_files()))), directory()]
    site.offer(*things)
    paths = [site.fetched(thing) for thing in things]
    site.server.close()

    def read() -> set[str]:
        return {path for path in opened for root in paths if Path(path) == root or root in Path(path).parents}

    opened.clear()
    for thing in things:
        data.fetch(thing.name)
    assert read() == set()

    touched = paths[2] / "0" / "5" / "0" / "0" / "0" / "0"
    os.utime(touched, ns=(1, 1))
    opened.clear()
    data.fetch("tiny_movie")
    assert read() == {str(touched)}
    opened.clear()
    data.fetch("tiny_movie")
    assert read() == set()

    data.fetch("tiny_movie", verify=True)
    assert len(read()) == 40


@pytest.mark.parametrize("damage", ["missing", "changed", "longer", "empty", "a folder instead", "a link instead"])
def test_only_what_is_missing_or_changed_is_fetched_again(site: Site, tmp_path: Path, damage: str) -> None:
    thing = directory()
    site.offer(thing)
    chunk = site.fetched(thing) / "0" / "5" / "0" / "0" / "0" / "0"
    site.server.forget()
    if damage == "missing":
        chunk.unlink()
    elif damage == "changed":
        chunk.write_bytes(bytes(chunk.stat().st_size))
    elif damage == "longer":
        chunk.write_bytes(chunk.read_bytes() + b"x")
    elif damage == "empty":
        chunk.write_bytes(b"")
    else:
        chunk.unlink()
        (tmp_path / "other").write_bytes(b"somebody's")
        chunk.mkdir() if damage == "a folder instead" else chunk.symlink_to(tmp_path / "other")
    site.fetched(thing)
    assert site.server.counts() == {"/tiny.ome.zarr/0/5/0/0/0/0": 1}
    if damage == "a link instead":
        assert (tmp_path / "other").read_bytes() == b"somebody's"


@pytest.mark.parametrize("damage", ["missing", "changed", "all gone"])
def test_a_damaged_archive_or_file_is_fetched_again(site: Site, damage: str) -> None:
    for thing in (checkpoint(), archive(zipped(below("tiny.ome.zarr", store_files())))):
        site.offer(thing)
        path = site.fetched(thing)
        victim = path if path.is_file() else path / "0" / ".zarray"
        if damage == "missing":
            victim.unlink()
        elif damage == "changed":
            victim.write_bytes(b"changed")
        else:
            shutil.rmtree(path.parent)
        site.fetched(thing)
        assert site.server.count(thing.source) == 2


def test_verifying_finds_a_change_that_left_size_and_time(site: Site) -> None:
    things = [checkpoint(), archive(zipped(below("tiny.ome.zarr", store_files()))), directory()]
    site.offer(*things)
    for thing in things:
        path = site.fetched(thing)
        victim = path if path.is_file() else path / "0" / "1" / "0" / "0" / "0" / "0"
        before, content = victim.stat(), victim.read_bytes()
        victim.write_bytes(bytes(len(content)))
        os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
        site.server.forget()
        assert data.fetch(thing.name) == path
        assert not site.server.requests
        site.fetched(thing, verify=True)
        assert len(site.server.requests) == 1


def test_a_damaged_chunk_without_network_is_an_error_and_nothing_else_is_lost(site: Site) -> None:
    thing = directory()
    site.offer(thing)
    chunk = site.fetched(thing) / "0" / "5" / "0" / "0" / "0" / "0"
    content = chunk.read_bytes()
    chunk.unlink()
    site.server.close()
    with pytest.raises(DataError, match="0/5/0/0/0/0"):
        data.fetch(thing.name)
    chunk.write_bytes(content)
    site.fetched(thing)


@pytest.mark.parametrize("with_receipt", [True, False])
def test_a_folder_that_was_carried_over_by_hand_needs_no_network(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, with_receipt: bool
) -> None:
    things = [checkpoint(), directory()]
    if with_receipt:  # else nobody knows the sums of what is in it
        things.append(archive(zipped(below("tiny.ome.zarr", store_files()))))
    site.offer(*things)
    for thing in things:
        site.fetched(thing)
    site.server.close()
    other = tmp_path / "other"
    left = () if with_receipt else ("verified.json", ".lock")
    shutil.copytree(site.cache, other, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns(*left))
    monkeypatch.setenv("IMAGE_TRANSLATION_DATA_DIR", str(other))
    for thing in things:
        for path in (other / thing.name).rglob("*"):
            os.utime(path, ns=(1, 1))
        assert data.fetch(thing.name) == other / thing.name / thing.final
        assert data.fetch(thing.name) == other / thing.name / thing.final
    require_sound(other, things)


def test_a_store_that_was_carried_over_without_its_list_is_checked_against_it(site: Site) -> None:
    thing = directory()
    site.offer(thing)
    for name, content in thing.content.items():
        (site.cache / thing.name / name).parent.mkdir(parents=True, exist_ok=True)
        (site.cache / thing.name / name).write_bytes(content)
    site.fetched(thing)
    assert site.server.counts() == {thing.source: 1}


@pytest.mark.parametrize("file", ["tiny.ome.zarr.zip", "tiny.ome.zarr.tar.gz"])
def test_an_archive_that_was_saved_by_hand_is_unpacked_and_left(site: Site, file: str) -> None:
    pack = tarred if file.endswith("gz") else zipped
    thing = archive(pack(below("tiny.ome.zarr", store_files())), file=file)
    site.offer(thing)
    site.carried.add(file)
    saved = site.cache / thing.name / file
    saved.parent.mkdir(parents=True)
    saved.write_bytes(thing.served[thing.source])
    site.fetched(thing)
    assert saved.read_bytes() == thing.served[thing.source]
    site.fetched(thing)
    (site.cache / thing.name / thing.final / ".zattrs").unlink()
    site.fetched(thing)
    assert not site.server.requests


def test_what_was_saved_by_hand_and_is_another_thing_is_not_used(site: Site) -> None:
    thing, single = archive(zipped(below("tiny.ome.zarr", store_files()))), checkpoint()
    site.offer(thing, single)
    site.carried.add("tiny.ome.zarr.zip")
    for one, content in ((thing, zipped(below("tiny.ome.zarr", store_files(2)))), (single, PAGE)):
        folder = site.cache / one.name
        folder.mkdir(parents=True)
        (folder / one.source.removeprefix("/")).write_bytes(content)
        site.fetched(one)
    assert set(site.server.counts().values()) == {1}


def test_a_checkpoint_that_was_saved_by_hand_needs_no_network(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    (site.cache / thing.name).mkdir(parents=True)
    (site.cache / thing.name / thing.final).write_bytes(thing.content[thing.final])
    site.fetched(thing)
    assert not site.server.requests


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[1]",
        b"7",
        b"null",
        b"\xff\xfe\x00",
        b'{"files": 3}',
        b'{"format": 1, "digest": 7, "files": {"tiny.ckpt": 3}}',
        b'{"format": 1, "digest": "", "files": {"tiny.ckpt": [1e999, NaN, null]}}',
        b"[" * 100_000,
        b'{"format": 1, "files": ' + b'{"a":' * 100_000,
        "half",
    ],
    ids=lambda text: str(text)[:40],
)
def test_a_receipt_that_went_bad_costs_no_more_than_hashing(site: Site, text: bytes | str) -> None:
    for thing in (checkpoint(), directory()):
        site.offer(thing)
        receipt = site.fetched(thing).parent / "verified.json"
        whole = receipt.read_bytes()
        receipt.write_bytes(whole[: len(whole) // 2] if text == "half" else text)  # type: ignore[arg-type]
        site.fetched(thing)
        assert receipt.read_bytes() == whole
    assert set(site.server.counts().values()) == {1}


def test_a_receipt_that_is_a_folder_is_no_bug(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    receipt = site.fetched(thing).parent / "verified.json"
    receipt.unlink()
    receipt.mkdir()
    site.fetched(thing)


def test_a_registry_that_asks_for_another_content_gets_it(site: Site) -> None:
    old, old_movie = checkpoint(), directory()
    site.offer(old, old_movie)
    site.fetched(old)
    site.fetched(old_movie)
    new, new_movie = checkpoint(content=noise(700)[1:]), directory(files=store_files(38) | {"0/3/0/0/0/0": b"new"})
    site.things.clear()
    site.server.forget()
    site.offer(new, new_movie)
    site.fetched(new)
    site.fetched(new_movie)


def test_files_that_are_not_on_the_list_never_get_to_the_final_name(site: Site) -> None:
    thing = directory()
    site.offer(thing)
    site.server.script("/tiny.ome.zarr/0/7/0/0/0/0", status(404))
    site.refused(thing)
    folders = [path for path in (site.cache / thing.name / ".partial").rglob("*") if path.is_dir()]
    assert folders
    for folder in (*folders, site.cache / thing.name / ".partial"):
        (folder / "stowaway").write_bytes(b"x")
        (folder / "link").symlink_to("/etc/hostname")
        (folder / "stow").mkdir()
        (folder / "stow" / "stowaway").write_bytes(b"x")
        (folder / "door").symlink_to("/etc")
    site.fetched(thing)
    assert not list(site.cache.rglob("stowaway"))


def test_a_wrong_file_among_the_unfinished_is_fetched_again(site: Site) -> None:
    thing = directory()
    site.offer(thing)
    site.server.script("/tiny.ome.zarr/0/7/0/0/0/0", status(404))
    site.refused(thing)
    finished = [path for path in (site.cache / thing.name / ".partial").rglob(".z*") if path.is_file()]
    assert finished
    for path in finished:
        path.write_bytes(bytes(path.stat().st_size))
    site.fetched(thing)


# The disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    disk = tmp_path / "cache"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("no right to mount a small file system here")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    "thing",
    [
        checkpoint(size=600_000),
        checkpoint("unannounced", size=600_000),
        archive(zipped(BULKY, compress=True), content=BULKY, file="bulky.ome.zarr.zip"),
        directory(files={f"0/{number}": noise(40_000 + number) for number in range(15)}),
    ],
    ids=lambda thing: thing.name,
)
def test_a_disk_that_is_full_can_be_enlarged(small_disk: Path, site: Site, thing: Published) -> None:
    site.offer(thing)
    if thing.name == "unannounced":
        site.server.script(thing.source, Act(framing="chunked"))
    message = site.refused(thing, "IMAGE_TRANSLATION_DATA_DIR", str(site.cache / thing.name))
    assert "No space left on device" in message or "are free" in message
    assert max(site.server.counts().values()) == 1
    assert not site.waits
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    site.fetched(thing)
    if thing.name == "tiny_movie":
        assert sum(request.sent for request in site.server.requests) < 600_000 + 15 * 40_100


@pytest.fixture
def shared(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache that somebody else may read, in a folder that everybody can reach."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "cache").mkdir()
        site.cache, site.registry = folder / "cache", folder / "registry.toml"
        monkeypatch.setenv("IMAGE_TRANSLATION_DATA_DIR", str(site.cache))
        monkeypatch.setenv("IMAGE_TRANSLATION_REGISTRY", str(site.registry))
        yield folder
        require_sound(site.cache, site.things)
        for path in folder.rglob("*"):
            path.chmod(0o755)


@pytest.fixture
def nobody() -> Iterator[Callable[[], None]]:
    """Called, it gives up the rights of this process until the end of the test."""
    is_root = os.geteuid() == 0

    def give_up() -> None:
        if is_root:
            os.seteuid(65534)

    yield give_up
    if is_root:
        os.seteuid(0)


def lock_up(folder: Path) -> None:
    """Take away the right to write, as a shared file system does."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


@needs_posix
def test_without_permission_the_error_says_where(shared: Path, site: Site, nobody: Callable[[], None]) -> None:
    thing = checkpoint()
    site.offer(thing)
    lock_up(site.cache)
    nobody()
    site.refused(thing, "Permission denied", str(site.cache), "IMAGE_TRANSLATION_DATA_DIR")
    assert not site.server.requests


def test_a_cache_that_is_a_file_is_said(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    thing = checkpoint()
    site.offer(thing)
    (tmp_path / "other").write_bytes(b"")
    monkeypatch.setenv("IMAGE_TRANSLATION_DATA_DIR", str(tmp_path / "other"))
    with pytest.raises(DataError, match="IMAGE_TRANSLATION_DATA_DIR") as caught:
        data.fetch(thing.name)
    assert str(tmp_path / "other") in str(caught.value)


@needs_posix
@pytest.mark.parametrize("how", ["as it was", "touched", "without a receipt"])
def test_a_complete_cache_that_cannot_be_written_is_used(
    shared: Path, site: Site, nobody: Callable[[], None], how: str
) -> None:
    things = [checkpoint(), directory()]
    if how != "without a receipt":  # which alone knows the sums of an archive's files
        things.append(archive(zipped(below("tiny.ome.zarr", store_files()))))
    site.offer(*things)
    for thing in things:
        path = site.fetched(thing)
        if how == "touched":
            os.utime(path if path.is_file() else path / ".zattrs", ns=(1, 1))
        elif how == "without a receipt":
            (path.parent / "verified.json").unlink()
    site.server.close()
    lock_up(site.cache)
    before = files_below(site.cache)
    nobody()
    for thing in things:
        site.fetched(thing)
        if how != "without a receipt":
            site.fetched(thing, verify=True)
    assert files_below(site.cache) == before


@needs_posix
def test_a_damaged_cache_that_cannot_be_written_is_not_used(
    shared: Path, site: Site, nobody: Callable[[], None]
) -> None:
    thing = directory()
    site.offer(thing)
    chunk = site.fetched(thing) / "0" / "5" / "0" / "0" / "0" / "0"
    content = chunk.read_bytes()
    chunk.unlink()
    lock_up(site.cache)
    nobody()
    with pytest.raises(DataError, match="IMAGE_TRANSLATION_DATA_DIR"):
        data.fetch(thing.name)
    if os.getuid() == 0:
        os.seteuid(0)
    chunk.parent.chmod(0o755)
    chunk.write_bytes(content)


# Interruptions and company


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
