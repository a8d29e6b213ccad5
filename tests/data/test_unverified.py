"""Checkpoints whose published checksum is unknown: what is refused, what is recorded, and how it is confirmed."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from support.fetch_site import Site
from support.loopback_server import (
    LOGIN_PAGE,
    Reply,
    compressed,
    corrupt,
    disconnected,
    login_page,
    truncated,
    truncated_without_length,
)
from support.published import Published, checkpoint, make_zip, noise, sha256

from image_translation import data
from image_translation.data.cache import CachedEntry
from image_translation.data.unverified import require_checkpoint
from image_translation.errors import DataError, UsageError

CONTENT = make_zip({"net/data.pkl": b"pickled", "net/data/0": noise(5000), "net/version": b"3"})
OTHER = make_zip({"net/data.pkl": b"pickled", "net/data/0": noise(5001)[1:], "net/version": b"3"})
CHECKSUM, WRONG = sha256(CONTENT), sha256(OTHER)


@pytest.fixture
def item() -> Published:
    published = checkpoint("net", CONTENT, file="epoch=1-loss=0.5.ckpt")
    entry = {key: value for key, value in published.entry.items() if key != "sha256"}
    return replace(published, entry=entry | {"checksum_unknown": True})


def receipt(site: Site, item: Published) -> Any:
    return json.loads((site.cache / item.name / "verified.json").read_text())


def serve(site: Site, item: Published, content: bytes) -> None:
    site.server.files[item.source] = content


def test_the_checksum_of_the_first_download_is_recorded(
    site: Site, item: Published, caplog: pytest.LogCaptureFixture
) -> None:
    site.publish(item)
    assert not data.cached_entry(item.name).is_ready()
    path = site.fetch(item)
    assert (receipt(site, item)["digest"], receipt(site, item)["confirmed"]) == (CHECKSUM, False)
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"net: its published checksum is unknown; the SHA-256 of this file, {CHECKSUM}, was recorded" in warning
    site.server.close()
    caplog.clear()
    assert data.fetch(item.name) == path
    assert data.cached_entry(item.name).is_ready()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    path.unlink()
    with pytest.raises(DataError, match="Connection refused"):
        data.fetch(item.name)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (truncated_without_length(3000), "neither its checksum nor its size is known"),
        (Reply(framing="close"), "neither its checksum nor its size is known"),
        (compressed(always=True), "neither its checksum nor its size is known"),
        (Reply(length="3000"), "is neither a complete file of torch.save (zip) nor of safetensors"),
        (login_page(), "is neither a complete file of torch.save (zip) nor of safetensors"),
        (Reply(status=200, body=b""), "is neither a complete file"),
        (Reply(status=200, body=make_zip({"notes.txt": b"x"})), "is a zip archive, but not of torch.save"),
        (corrupt(2000), "is truncated or corrupt (record net/data/0)"),
    ],
    ids=["truncated", "no length", "compressed", "short length", "login page", "empty", "other zip", "corrupt"],
)
def test_a_download_that_may_be_incomplete_is_refused(site: Site, item: Published, reply: Reply, message: str) -> None:
    site.publish(item)
    site.server.script(item.source, *[reply] * 9)
    site.fetch_fails(item, message, "discarded")
    assert not data.cached_entry(item.name).is_ready()
    assert not any(site.unfinished(item.name).values())
    site.server.scripts.clear()
    site.fetch(item)


def test_an_interrupted_download_is_resumed_to_its_announced_size(site: Site, item: Published) -> None:
    site.publish(item)
    site.server.script(item.source, truncated(1000), truncated(1000), *[disconnected()] * 9)
    with pytest.raises(DataError):
        data.fetch(item.name)
    assert [len(content) for content in site.unfinished(item.name).values()] == [2000]
    site.server.scripts.clear()
    site.server.reset()
    site.fetch(item)
    assert [request.start for request in site.server.requests] == [2000]


def test_the_size_in_the_registry_decides(site: Site, item: Published) -> None:
    item = item.with_entry(size=len(CONTENT))
    site.publish(item)
    serve(site, item, CONTENT[:-100])
    site.fetch_fails(item, f"has {len(CONTENT) - 100:,} bytes, the registry gives {len(CONTENT):,}; it was discarded")
    serve(site, item, CONTENT)
    site.server.script(item.source, truncated_without_length(3000))
    site.fetch_fails(item, f"has 3,000 bytes, the registry gives {len(CONTENT):,}")
    site.server.script(item.source, Reply(framing="close"))
    site.fetch(item)


def test_a_partial_download_that_is_longer_than_the_file_is_discarded(site: Site, item: Published) -> None:
    site.publish(item)
    site.server.script(item.source, truncated(3000), *[disconnected()] * 9)
    with pytest.raises(DataError):
        data.fetch(item.name)
    site.server.scripts.clear()
    serve(site, item, CONTENT[:2000])
    site.fetch_fails(item, "has 3,000 bytes, the server announced 2,000; it was discarded")
    serve(site, item, CONTENT)
    site.fetch(item)


def test_what_a_killed_process_has_left_is_not_trusted(site: Site, item: Published) -> None:
    site.publish(item)
    partial = site.cache / item.name / ".partial"
    partial.mkdir(parents=True)
    (partial / item.final).write_bytes(OTHER)
    site.fetch(item)


def test_a_file_that_cannot_be_loaded_is_refused(site: Site, item: Published) -> None:
    site.publish(item)

    def check(path: Path) -> None:
        assert path.read_bytes() == CONTENT
        raise DataError("no weights")

    with pytest.raises(DataError, match=r"epoch=1-loss=0\.5\.ckpt: the download was discarded: no weights"):
        data.fetch(item.name, check=check)
    assert not site.unfinished(item.name)
    assert not data.cached_entry(item.name).is_ready()


def test_another_file_than_the_first_is_refused(site: Site, item: Published) -> None:
    site.publish(item)
    path = site.fetch(item)
    path.write_bytes(OTHER)
    site.fetch(item)  # the server still has the first one
    path.write_bytes(OTHER)
    serve(site, item, OTHER)
    for verify in (False, True):
        with pytest.raises(DataError, match="differs from what was published") as caught:
            data.fetch(item.name, verify=verify)
        assert f"recorded at the first download: to forget it, delete {path.parent}" in str(caught.value)
        assert CHECKSUM in str(caught.value)
    assert not data.cached_entry(item.name).is_ready()
    path.write_bytes(CONTENT)
    site.fetch(item)
    assert receipt(site, item)["confirmed"] is False


def test_a_confirmed_checksum_is_kept(site: Site, item: Published) -> None:
    site.publish(item)
    path = site.fetch(item)
    site.server.close()
    assert data.fetch(item.name, sha256=CHECKSUM.upper()) == path
    assert (receipt(site, item)["digest"], "confirmed" in receipt(site, item)) == (CHECKSUM, False)
    with pytest.raises(DataError, match=f"was verified by the checksum {CHECKSUM}.* does not have {WRONG}; if that"):
        data.fetch(item.name, sha256=WRONG)
    assert data.fetch(item.name) == path
    path.write_bytes(OTHER)
    with pytest.raises(DataError, match="Connection refused"):
        data.fetch(item.name)
    path.write_bytes(CONTENT)
    assert data.fetch(item.name) == path


@pytest.mark.parametrize("fetched", [False, True])
def test_a_file_without_the_given_checksum_is_refused_also_later(site: Site, item: Published, *, fetched: bool) -> None:
    site.publish(item)
    if fetched:
        site.fetch(item)
    with pytest.raises(DataError, match=f"{CHECKSUM}.*{WRONG}; that one was given with --sha256: to forget it"):
        data.fetch(item.name, sha256=WRONG)
    with pytest.raises(DataError, match="given with --sha256"):
        data.fetch(item.name)
    assert not data.cached_entry(item.name).is_ready()
    assert data.fetch(item.name, sha256=CHECKSUM).read_bytes() == CONTENT  # the other one was a mistake
    assert "confirmed" not in receipt(site, item)
    site.fetch(item)


def test_a_given_checksum_needs_no_size(site: Site, item: Published) -> None:
    site.publish(item)
    site.server.script(item.source, truncated_without_length(3000), Reply(framing="close"))
    site.fetch(item, sha256=CHECKSUM)


def test_the_checksum_of_the_registry_cannot_be_replaced(site: Site) -> None:
    known = checkpoint(content=CONTENT)
    site.publish(known)
    with pytest.raises(UsageError, match=f"--sha256 {WRONG}: is not the checksum of tiny_ckpt in the registry"):
        data.fetch(known.name, sha256=WRONG)
    with pytest.raises(UsageError, match="must be a SHA-256 checksum, 64 hexadecimal digits"):
        data.fetch(known.name, sha256="abc")
    with pytest.raises(UsageError, match="demo_ckpt is not a single file that is downloaded"):
        data.fetch("demo_ckpt", sha256=WRONG)
    assert not site.server.requests
    site.fetch(known, sha256=CHECKSUM)
    assert "confirmed" not in receipt(site, known)


def test_a_checksum_that_the_registry_learns_is_verified(site: Site, item: Published) -> None:
    site.publish(item)
    site.fetch(item)
    site.items.clear()
    site.publish(checkpoint("net", CONTENT, file=item.final))
    site.server.reset()
    site.fetch(item)
    assert not site.server.requests
    newer = checkpoint("net", OTHER, file=item.final)
    site.items.clear()
    site.publish(newer)
    site.fetch(newer)


def test_a_receipt_of_another_file_is_not_that_of_the_entry(site: Site, item: Published) -> None:
    site.publish(item)
    site.fetch(item)
    newer = replace(
        item.with_entry(address="/newer.ckpt"),
        served={"/newer.ckpt": OTHER},
        final="newer.ckpt",
        content={"newer.ckpt": OTHER},
    )
    site.items.clear()
    site.publish(newer)
    site.added.add(item.final)
    site.fetch(newer)
    assert receipt(site, newer)["digest"] == WRONG


def test_a_checkpoint_saved_by_the_user_needs_no_network(site: Site, item: Published) -> None:
    site.publish(item)
    site.server.close()
    (site.cache / item.name).mkdir(parents=True)
    (site.cache / item.name / item.final).write_bytes(CONTENT)
    site.fetch(item)
    assert receipt(site, item)["digest"] == CHECKSUM


@pytest.mark.parametrize("saved", [CONTENT[:-1], LOGIN_PAGE, OTHER + OTHER], ids=["truncated", "page", "size"])
def test_a_wrong_file_saved_by_the_user_is_renamed(
    site: Site, item: Published, caplog: pytest.LogCaptureFixture, saved: bytes
) -> None:
    site.publish(item)
    (site.cache / item.name).mkdir(parents=True)
    (site.cache / item.name / item.final).write_bytes(saved)
    site.added.add(f"{item.final}.aside")
    site.fetch(item)
    assert f"renamed to {item.final}.aside" in caplog.text


def test_nothing_unverified_is_used_from_a_read_only_cache(
    site: Site, item: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish(item)
    (site.cache / item.name).mkdir(parents=True)
    (site.cache / item.name / item.final).write_bytes(CONTENT)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as read_only:
        read_only.setattr(FileLock, "acquire", refuse)
        with pytest.raises(DataError, match=r"the cache .* cannot be used: Permission denied"):
            data.fetch(item.name)
    path = site.fetch(item)
    with monkeypatch.context() as read_only:
        read_only.setattr(FileLock, "acquire", refuse)
        assert data.fetch(item.name) == path
        with pytest.raises(DataError, match="cannot be used: Permission denied"):
            data.fetch(item.name, sha256=CHECKSUM)


def test_facts_are_found_by_the_recorded_checksum(site: Site, item: Published) -> None:
    item = item.with_entry(normalization="median_iqr", head_pool=False, pixel_size=[0.25, 0.108, 0.108])
    site.publish(item, checkpoint())
    assert data.checkpoint_facts(CHECKSUM) is None
    assert data.checkpoint_facts("") is None
    site.fetch(item)
    facts = data.checkpoint_facts(CHECKSUM)
    assert facts is not None
    assert (facts.normalization, facts.head_pool, facts.pixel_size) == ("median_iqr", False, (0.25, 0.108, 0.108))
    assert data.checkpoint_facts(WRONG) is None


def test_a_receipt_without_a_checksum_is_none(site: Site, item: Published) -> None:
    site.publish(item)
    entry_directory = site.cache / item.name
    entry_directory.mkdir(parents=True)
    for content in ({"format": 1, "digest": "", "files": {item.final: [0, 0, ""]}}, {"format": 1, "files": {}}):
        (entry_directory / "verified.json").write_text(json.dumps(content))
        cached = data.cached_entry(item.name)
        assert isinstance(cached, CachedEntry)
        assert cached.receipt() is None
        assert data.checkpoint_facts("") is None
    site.fetch(item)


def test_a_safetensors_file_knows_its_size(tmp_path: Path) -> None:
    header = json.dumps(
        {"__metadata__": {"a": "b"}, "w": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}
    ).encode()
    whole = len(header).to_bytes(8, "little") + header + bytes(9)
    path = tmp_path / "net.safetensors"
    path.write_bytes(whole)
    require_checkpoint(path)
    for wrong in (whole[:-1], whole + b"x", whole[:20], b"", len(header).to_bytes(8, "little") + b"{" * len(header)):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match="is neither a complete file"):
            require_checkpoint(path)
