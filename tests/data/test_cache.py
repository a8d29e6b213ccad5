"""The cache: verification, repair, files copied by users, and disks that are full or read-only."""

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
from support.fetch_site import Site, requires_posix
from support.loopback_server import Reply
from support.loopback_server import status as answer
from support.published import (
    HTML_PAGE,
    Published,
    archive,
    check_cache,
    checkpoint,
    directory,
    files_below,
    in_directory,
    make_tar,
    make_zip,
    noise,
    store_files,
)

from image_translation import data
from image_translation.errors import DataError

LARGE = store_files() | {"1": bytes(900_000)}  # compressed it is small


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Paths of all files that are opened."""
    recorder = _Recorder.instance()
    recorder.paths = []
    recorder.active = True
    yield recorder.paths
    recorder.active = False


class _Recorder:
    """Audit hook for opened files. It cannot be removed, so there is a single one that can be switched off."""

    _only: "_Recorder | None" = None

    def __init__(self) -> None:
        self.active = False
        self.paths: list[str] = []
        sys.addaudithook(self._record)

    @classmethod
    def instance(cls) -> "_Recorder":
        cls._only = cls._only or cls()
        return cls._only

    def _record(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and event == "open" and isinstance(arguments[0], str | os.PathLike):
            self.paths.append(os.fspath(arguments[0]))


def test_verified_files_are_not_read_again(site: Site, opened: list[str]) -> None:
    items = [checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", store_files()))), directory()]
    site.publish(*items)
    paths = [site.fetch(item) for item in items]
    site.server.close()

    def read() -> set[str]:
        return {path for path in opened for root in paths if Path(path) == root or root in Path(path).parents}

    opened.clear()
    for item in items:
        data.fetch(item.name)
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


@pytest.mark.parametrize("damage", ["missing", "changed", "longer", "empty", "directory", "link"])
def test_only_missing_or_changed_files_are_downloaded_again(site: Site, tmp_path: Path, damage: str) -> None:
    item = directory()
    site.publish(item)
    chunk = site.fetch(item) / "0" / "5" / "0" / "0" / "0" / "0"
    site.server.reset()
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
        (tmp_path / "other").write_bytes(b"foreign")
        chunk.mkdir() if damage == "directory" else chunk.symlink_to(tmp_path / "other")
    site.fetch(item)
    assert site.server.counts() == {"/tiny.ome.zarr/0/5/0/0/0/0": 1}
    if damage == "link":
        assert (tmp_path / "other").read_bytes() == b"foreign"


@pytest.mark.parametrize("damage", ["missing", "changed", "all missing"])
def test_a_damaged_archive_or_checkpoint_is_downloaded_again(site: Site, damage: str) -> None:
    for item in (checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", store_files())))):
        site.publish(item)
        path = site.fetch(item)
        damaged = path if path.is_file() else path / "0" / ".zarray"
        if damage == "missing":
            damaged.unlink()
        elif damage == "changed":
            damaged.write_bytes(b"changed")
        else:
            shutil.rmtree(path.parent)
        site.fetch(item)
        assert site.server.count(item.source) == 2


def test_verify_detects_a_change_with_equal_size_and_time(site: Site) -> None:
    items = [checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", store_files()))), directory()]
    site.publish(*items)
    for item in items:
        path = site.fetch(item)
        damaged = path if path.is_file() else path / "0" / "1" / "0" / "0" / "0" / "0"
        before, content = damaged.stat(), damaged.read_bytes()
        damaged.write_bytes(bytes(len(content)))
        os.utime(damaged, ns=(before.st_atime_ns, before.st_mtime_ns))
        site.server.reset()
        assert data.fetch(item.name) == path
        assert not site.server.requests
        site.fetch(item, verify=True)
        assert len(site.server.requests) == 1


def test_a_damaged_chunk_without_network_is_an_error_and_other_files_are_kept(site: Site) -> None:
    item = directory()
    site.publish(item)
    chunk = site.fetch(item) / "0" / "5" / "0" / "0" / "0" / "0"
    content = chunk.read_bytes()
    chunk.unlink()
    site.server.close()
    with pytest.raises(DataError, match="0/5/0/0/0/0"):
        data.fetch(item.name)
    chunk.write_bytes(content)
    site.fetch(item)


@pytest.mark.parametrize("with_receipt", [True, False])
def test_a_copied_cache_directory_needs_no_network(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, with_receipt: bool
) -> None:
    items = [checkpoint(), directory()]
    if with_receipt:  # without it, the checksums of unpacked files are unknown
        items.append(archive(make_zip(in_directory("tiny.ome.zarr", store_files()))))
    site.publish(*items)
    for item in items:
        site.fetch(item)
    site.server.close()
    other = tmp_path / "other"
    left = () if with_receipt else ("verified.json", ".lock")
    shutil.copytree(site.cache, other, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns(*left))
    monkeypatch.setenv("IMAGE_TRANSLATION_DATA_DIR", str(other))
    for item in items:
        for path in (other / item.name).rglob("*"):
            os.utime(path, ns=(1, 1))
        assert data.fetch(item.name) == other / item.name / item.final
        assert data.fetch(item.name) == other / item.name / item.final
    check_cache(other, items)


def test_a_copied_store_without_its_list_is_verified(site: Site) -> None:
    item = directory()
    site.publish(item)
    for name, content in item.content.items():
        (site.cache / item.name / name).parent.mkdir(parents=True, exist_ok=True)
        (site.cache / item.name / name).write_bytes(content)
    site.fetch(item)
    assert site.server.counts() == {item.source: 1}


@pytest.mark.parametrize("file", ["tiny.ome.zarr.zip", "tiny.ome.zarr.tar.gz"])
def test_an_archive_saved_by_the_user_is_unpacked_and_kept(site: Site, file: str) -> None:
    pack = make_tar if file.endswith("gz") else make_zip
    item = archive(pack(in_directory("tiny.ome.zarr", store_files())), file=file)
    site.publish(item)
    site.added.add(file)
    saved = site.cache / item.name / file
    saved.parent.mkdir(parents=True)
    saved.write_bytes(item.served[item.source])
    site.fetch(item)
    assert saved.read_bytes() == item.served[item.source]
    site.fetch(item)
    (site.cache / item.name / item.final / ".zattrs").unlink()
    site.fetch(item)
    assert not site.server.requests


def test_a_wrong_file_saved_by_the_user_is_not_used(site: Site) -> None:
    item, single = archive(make_zip(in_directory("tiny.ome.zarr", store_files()))), checkpoint()
    site.publish(item, single)
    site.added |= {"tiny.ome.zarr.zip", "tiny.ckpt.aside"}
    for one, content in ((item, make_zip(in_directory("tiny.ome.zarr", store_files(2)))), (single, HTML_PAGE)):
        entry_directory = site.cache / one.name
        entry_directory.mkdir(parents=True)
        (entry_directory / one.source.removeprefix("/")).write_bytes(content)
        site.fetch(one)
    assert set(site.server.counts().values()) == {1}
    assert (site.cache / single.name / "tiny.ckpt.aside").read_bytes() == HTML_PAGE


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "directory"])
def test_an_unknown_store_is_renamed_and_kept(site: Site, caplog: pytest.LogCaptureFixture, *, packed: bool) -> None:
    item = archive(make_zip(in_directory("tiny.ome.zarr", store_files()))) if packed else directory()
    site.publish(item)
    unknown = {".zattrs": b"unknown", "labels/0": b"precious"}
    for place in (item.final, f"{item.final}.aside"):
        for name, content in unknown.items():
            (site.cache / item.name / place / name).parent.mkdir(parents=True, exist_ok=True)
            (site.cache / item.name / place / name).write_bytes(content)
    site.added = {f"{item.final}.aside{number}/{name}" for number in ("", 1) for name in unknown}
    site.fetch(item)
    assert "renamed to tiny.ome.zarr.aside1" in caplog.text
    assert files_below(site.cache / item.name / "tiny.ome.zarr.aside1") == unknown


def test_detected_damage_is_remembered_if_the_download_fails(site: Site) -> None:
    for item in (checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", store_files()))), directory()):
        site.publish(item)
        path = site.fetch(item)
        file = path if path.is_file() else path / ".zattrs"
        content, status = file.read_bytes(), file.stat()
        file.write_bytes(bytes(len(content)))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        site.server.script(item.source, *[answer(404)] * 9)
        site.server.script("/tiny.ome.zarr/.zattrs", *[answer(404)] * 9)
        for verify in (True, False):
            with pytest.raises(DataError, match="404"):
                data.fetch(item.name, verify=verify)
        site.server.scripts.clear()
        site.fetch(item)


@requires_posix
def test_fetched_files_are_readable_by_all_users(site: Site) -> None:
    items = [checkpoint(), archive(make_tar(in_directory("tiny.ome.zarr", store_files()))), directory()]
    site.publish(*items)
    earlier = os.umask(0o022)
    try:
        for item in items:
            site.fetch(item)
    finally:
        os.umask(earlier)
    modes = {path.stat().st_mode & 0o444 for path in site.cache.rglob("*") if path.name != ".lock"}
    assert modes == {0o444}


def test_a_checkpoint_saved_by_the_user_needs_no_network(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    (site.cache / item.name).mkdir(parents=True)
    (site.cache / item.name / item.final).write_bytes(item.content[item.final])
    site.fetch(item)
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
def test_an_invalid_receipt_only_causes_hashing(site: Site, text: bytes | str) -> None:
    for item in (checkpoint(), directory()):
        site.publish(item)
        receipt = site.fetch(item).parent / "verified.json"
        whole = receipt.read_bytes()
        receipt.write_bytes(whole[: len(whole) // 2] if text == "half" else text)  # type: ignore[arg-type]
        site.fetch(item)
        assert receipt.read_bytes() == whole
    assert set(site.server.counts().values()) == {1}


def test_a_directory_in_place_of_the_receipt_is_replaced(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    receipt = site.fetch(item).parent / "verified.json"
    receipt.unlink()
    receipt.mkdir()
    site.fetch(item)


def test_a_new_version_in_the_registry_is_fetched(site: Site) -> None:
    old, old_movie = checkpoint(), directory()
    site.publish(old, old_movie)
    site.fetch(old)
    site.fetch(old_movie)
    new, new_movie = checkpoint(content=noise(700)[1:]), directory(files=store_files(38) | {"0/3/0/0/0/0": b"new"})
    site.items.clear()
    site.server.reset()
    site.publish(new, new_movie)
    site.fetch(new)
    site.fetch(new_movie)


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "directory"])
def test_files_added_by_the_user_are_reported_and_kept(
    site: Site, caplog: pytest.LogCaptureFixture, *, packed: bool
) -> None:
    item = archive(make_zip(in_directory("tiny.ome.zarr", store_files()))) if packed else directory()
    site.publish(item)
    path = site.fetch(item)
    (path / "labels").mkdir()
    (path / "labels" / "mine").write_bytes(b"precious")
    site.added = {f"{item.final}/labels/mine"}
    site.fetch(item)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    (path / ".zattrs").write_bytes(b"{}")
    site.fetch(item)
    assert "1 files are missing or were changed; fetching them again" in caplog.text
    site.fetch(item, verify=True)
    assert "contains 1 files that were not published, such as labels/mine" in caplog.text
    assert (path / "labels" / "mine").read_bytes() == b"precious"


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "directory"])
def test_no_file_of_an_earlier_version_is_kept(site: Site, *, packed: bool) -> None:
    def published_as(files: dict[str, bytes]) -> Published:
        return archive(make_zip(files), name="cells", content=files) if packed else directory("cells", files)

    site.publish(published_as(store_files(5)))
    site.fetch(site.items[0])
    shorter = published_as(store_files(4))
    site.items.clear()
    site.publish(shorter)
    site.fetch(shorter)


def test_unlisted_partial_files_are_never_published(site: Site) -> None:
    item = directory()
    site.publish(item)
    site.server.script("/tiny.ome.zarr/0/7/0/0/0/0", answer(404))
    site.fetch_fails(item)
    directories = [path for path in (site.cache / item.name / ".partial").rglob("*") if path.is_dir()]
    assert directories
    for parent in (*directories, site.cache / item.name / ".partial"):
        (parent / "unlisted").write_bytes(b"x")
        (parent / "link").symlink_to("/etc/hostname")
        (parent / "inner").mkdir()
        (parent / "inner" / "unlisted").write_bytes(b"x")
        (parent / "link to directory").symlink_to("/etc")
    site.fetch(item)
    assert not list(site.cache.rglob("unlisted"))


def test_a_damaged_partial_file_is_downloaded_again(site: Site) -> None:
    item = directory()
    site.publish(item)
    site.server.script("/tiny.ome.zarr/0/7/0/0/0/0", answer(404))
    site.fetch_fails(item)
    finished = [path for path in (site.cache / item.name / ".partial").rglob(".z*") if path.is_file()]
    assert finished
    for path in finished:
        path.write_bytes(bytes(path.stat().st_size))
    site.fetch(item)


@pytest.mark.parametrize(
    "item",
    [
        checkpoint(size=600_000),
        checkpoint("unannounced", size=600_000),
        archive(make_zip(LARGE, compress=True), content=LARGE, file="large.ome.zarr.zip"),
        directory(files={f"0/{number}": noise(40_000 + number) for number in range(15)}),
    ],
    ids=lambda item: item.name,
)
def test_a_fetch_that_filled_the_disk_can_be_repeated(small_disk: Path, site: Site, item: Published) -> None:
    site.publish(item)
    if item.name == "unannounced":
        site.server.script(item.source, Reply(framing="chunked"))
    message = site.fetch_fails(item, "IMAGE_TRANSLATION_DATA_DIR", str(site.cache / item.name))
    assert "No space left on device" in message or "are free" in message
    assert max(site.server.counts().values()) == 1
    assert not site.delays
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    site.fetch(item)
    if item.name == "tiny_movie":
        assert sum(request.sent for request in site.server.requests) < 600_000 + 15 * 40_100


@pytest.fixture
def shared(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache in a directory that all users can read."""
    with TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "cache").mkdir()
        site.cache, site.registry = root / "cache", root / "registry.toml"
        monkeypatch.setenv("IMAGE_TRANSLATION_DATA_DIR", str(site.cache))
        monkeypatch.setenv("IMAGE_TRANSLATION_REGISTRY", str(site.registry))
        yield root
        check_cache(site.cache, site.items)
        for path in root.rglob("*"):
            path.chmod(0o755)


@pytest.fixture
def drop_privileges() -> Iterator[Callable[[], None]]:
    """Function that gives up root privileges until the end of the test."""
    is_root = os.geteuid() == 0

    def drop() -> None:
        if is_root:
            os.seteuid(65534)

    yield drop
    if is_root:
        os.seteuid(0)


def make_read_only(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


@requires_posix
def test_an_unwritable_cache_is_named_in_the_error(
    shared: Path, site: Site, drop_privileges: Callable[[], None]
) -> None:
    item = checkpoint()
    site.publish(item)
    make_read_only(site.cache)
    drop_privileges()
    site.fetch_fails(item, "Permission denied", str(site.cache), "IMAGE_TRANSLATION_DATA_DIR")
    assert not site.server.requests


def test_a_cache_that_is_a_file_is_named_in_the_error(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    item = checkpoint()
    site.publish(item)
    (tmp_path / "other").write_bytes(b"")
    monkeypatch.setenv("IMAGE_TRANSLATION_DATA_DIR", str(tmp_path / "other"))
    with pytest.raises(DataError, match="IMAGE_TRANSLATION_DATA_DIR") as caught:
        data.fetch(item.name)
    assert str(tmp_path / "other") in str(caught.value)


@requires_posix
@pytest.mark.parametrize("how", ["as it was", "touched", "without a receipt"])
def test_a_complete_read_only_cache_is_used(
    shared: Path, site: Site, drop_privileges: Callable[[], None], how: str
) -> None:
    items = [checkpoint(), directory()]
    if how != "without a receipt":  # without it, the checksums of unpacked files are unknown
        items.append(archive(make_zip(in_directory("tiny.ome.zarr", store_files()))))
    site.publish(*items)
    for item in items:
        path = site.fetch(item)
        if how == "touched":
            os.utime(path if path.is_file() else path / ".zattrs", ns=(1, 1))
        elif how == "without a receipt":
            (path.parent / "verified.json").unlink()
    site.server.close()
    make_read_only(site.cache)
    before = files_below(site.cache)
    drop_privileges()
    for item in items:
        site.fetch(item)
        if how != "without a receipt":
            site.fetch(item, verify=True)
    assert files_below(site.cache) == before


@requires_posix
def test_a_damaged_read_only_cache_is_an_error(shared: Path, site: Site, drop_privileges: Callable[[], None]) -> None:
    item = directory()
    site.publish(item)
    chunk = site.fetch(item) / "0" / "5" / "0" / "0" / "0" / "0"
    content = chunk.read_bytes()
    chunk.unlink()
    make_read_only(site.cache)
    drop_privileges()
    with pytest.raises(DataError, match="IMAGE_TRANSLATION_DATA_DIR"):
        data.fetch(item.name)
    if os.getuid() == 0:
        os.seteuid(0)
    chunk.parent.chmod(0o755)
    chunk.write_bytes(content)
