"""What lies in the cache: verified once, repaired, carried by hand, on disks that are full or locked."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support.fetch_site import Site, needs_posix
from support.loopback_server import Act
from support.loopback_server import status as answer
from support.published import (
    PAGE,
    Published,
    archive,
    below,
    checkpoint,
    directory,
    files_below,
    noise,
    require_sound,
    store_files,
    tarred,
    zipped,
)

from image_translation import data
from image_translation.errors import DataError

BULKY = store_files() | {"1": bytes(900_000)}  # small on the way, and large on the disk


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
    site.carried |= {"tiny.ome.zarr.zip", "tiny.ckpt.aside"}
    for one, content in ((thing, zipped(below("tiny.ome.zarr", store_files(2)))), (single, PAGE)):
        folder = site.cache / one.name
        folder.mkdir(parents=True)
        (folder / one.source.removeprefix("/")).write_bytes(content)
        site.fetched(one)
    assert set(site.server.counts().values()) == {1}
    assert (site.cache / single.name / "tiny.ckpt.aside").read_bytes() == PAGE


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "directory"])
def test_a_store_of_somebody_else_is_set_aside(site: Site, caplog: pytest.LogCaptureFixture, *, packed: bool) -> None:
    thing = archive(zipped(below("tiny.ome.zarr", store_files()))) if packed else directory()
    site.offer(thing)
    theirs = {".zattrs": b"theirs", "labels/0": b"precious"}
    for place in (thing.final, f"{thing.final}.aside"):
        for name, content in theirs.items():
            (site.cache / thing.name / place / name).parent.mkdir(parents=True, exist_ok=True)
            (site.cache / thing.name / place / name).write_bytes(content)
    site.carried = {f"{thing.final}.aside{number}/{name}" for number in ("", 1) for name in theirs}
    site.fetched(thing)
    assert "is now called tiny.ome.zarr.aside1" in caplog.text
    assert files_below(site.cache / thing.name / "tiny.ome.zarr.aside1") == theirs


def test_damage_that_was_found_is_not_forgotten_where_it_cannot_be_mended(site: Site) -> None:
    for thing in (checkpoint(), archive(zipped(below("tiny.ome.zarr", store_files()))), directory()):
        site.offer(thing)
        path = site.fetched(thing)
        file = path if path.is_file() else path / ".zattrs"
        content, status = file.read_bytes(), file.stat()
        file.write_bytes(bytes(len(content)))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        site.server.script(thing.source, *[answer(404)] * 9)
        site.server.script("/tiny.ome.zarr/.zattrs", *[answer(404)] * 9)
        for verify in (True, False):
            with pytest.raises(DataError, match="404"):
                data.fetch(thing.name, verify=verify)
        site.server.scripts.clear()
        site.fetched(thing)


@needs_posix
def test_others_may_read_what_was_fetched(site: Site) -> None:
    things = [checkpoint(), archive(tarred(below("tiny.ome.zarr", store_files()))), directory()]
    site.offer(*things)
    earlier = os.umask(0o022)
    try:
        for thing in things:
            site.fetched(thing)
    finally:
        os.umask(earlier)
    modes = {path.stat().st_mode & 0o444 for path in site.cache.rglob("*") if path.name != ".lock"}
    assert modes == {0o444}


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


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "directory"])
def test_what_a_person_has_added_is_told_and_stays(
    site: Site, caplog: pytest.LogCaptureFixture, *, packed: bool
) -> None:
    thing = archive(zipped(below("tiny.ome.zarr", store_files()))) if packed else directory()
    site.offer(thing)
    path = site.fetched(thing)
    (path / "labels").mkdir()
    (path / "labels" / "mine").write_bytes(b"precious")
    site.carried = {f"{thing.final}/labels/mine"}
    site.fetched(thing)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    (path / ".zattrs").write_bytes(b"{}")
    site.fetched(thing)
    assert "1 files are missing or were changed; fetching them again" in caplog.text
    site.fetched(thing, verify=True)
    assert "holds 1 files that were not published, such as labels/mine" in caplog.text
    assert (path / "labels" / "mine").read_bytes() == b"precious"


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "directory"])
def test_nothing_of_a_former_content_is_left(site: Site, *, packed: bool) -> None:
    def published_as(files: dict[str, bytes]) -> Published:
        return archive(zipped(files), name="cells", content=files) if packed else directory("cells", files)

    site.offer(published_as(store_files(5)))
    site.fetched(site.things[0])
    shorter = published_as(store_files(4))
    site.things.clear()
    site.offer(shorter)
    site.fetched(shorter)


def test_files_that_are_not_on_the_list_never_get_to_the_final_name(site: Site) -> None:
    thing = directory()
    site.offer(thing)
    site.server.script("/tiny.ome.zarr/0/7/0/0/0/0", answer(404))
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
    site.server.script("/tiny.ome.zarr/0/7/0/0/0/0", answer(404))
    site.refused(thing)
    finished = [path for path in (site.cache / thing.name / ".partial").rglob(".z*") if path.is_file()]
    assert finished
    for path in finished:
        path.write_bytes(bytes(path.stat().st_size))
    site.fetched(thing)


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
