"""Downloads over unreliable connections: files are correct, and no byte is transferred twice."""

from typing import Any

import pytest
from support.fetch_site import ATTEMPTS, Site
from support.loopback_server import (
    LOGIN_PAGE,
    Reply,
    compressed,
    corrupt,
    disconnected,
    login_page,
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
    unresponsive,
)
from support.published import (
    archive,
    checkpoint,
    directory,
    in_directory,
    make_zip,
    noise,
    sha256,
    store_files,
)

from image_translation.data import http


def test_a_checkpoint_is_fetched_once(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.fetch(item)
    site.fetch(item)
    assert site.server.counts() == {"/tiny.ckpt": 1}
    assert not site.unfinished(item.name)


@pytest.mark.parametrize(
    "reply",
    [truncated(2000), truncated_chunks(2000), truncated_chunks(5000), stalled(2000)],
    ids=["truncated", "chunks truncated", "last chunk missing", "stalled"],
)
def test_an_interrupted_transfer_is_resumed(site: Site, monkeypatch: Any, reply: Reply) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, reply)
    site.fetch(item)
    assert site.server.sent(item.source) == 5000
    assert [request.start for request in site.server.requests_for(item.source)] == [0, reply.cut or reply.stall]


def test_a_transfer_is_resumed_any_number_of_times_while_bytes_arrive(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, *[truncated(500)] * 9)
    site.fetch(item)
    assert [request.start for request in site.server.requests_for(item.source)] == list(range(0, 5000, 500))
    assert site.server.sent(item.source) == 5000


@pytest.mark.parametrize(
    "reply",
    [unresponsive(), stalled(0), disconnected(), truncated_without_length(2000), overlong(), Reply(length="many")],
    ids=[
        "unresponsive",
        "stalled after the headers",
        "disconnected",
        "truncated without length",
        "too long",
        "invalid length",
    ],
)
def test_one_bad_reply_is_followed_by_another_attempt(site: Site, monkeypatch: Any, reply: Reply) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
    for item in (checkpoint(), directory(files={".zgroup": b"{}", "0/.zarray": b"[]", "0/0": noise(5000)})):
        site.publish(item)
        site.server.script(item.source, reply)
        if item.name == "tiny_movie":
            site.server.script("/tiny.ome.zarr/0/0", reply)
        site.fetch(item)
        assert site.server.count(item.source) <= 2


@pytest.mark.parametrize("reply", [overlong(framing="chunked"), corrupt(1000), login_page()])
def test_a_checksum_that_is_correct_in_the_second_attempt_is_accepted(site: Site, reply: Reply) -> None:
    for item in (checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", store_files()))), directory()):
        site.publish(item)
        site.server.script(item.source, reply)
        if item.name == "tiny_movie":
            site.server.script("/tiny.ome.zarr/.zattrs", login_page())
        site.fetch(item)
        assert [request.start for request in site.server.requests_for(item.source)] == [0, 0]


def test_a_server_without_tls_is_described_in_plain_words(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.registry.write_text(site.registry.read_text().replace("http:", "https:"))
    site.fetch_fails(
        item, f"{site.server.url.replace('http', 'https')}/tiny.ckpt: no secure connection can be established"
    )
    assert len(site.delays) == ATTEMPTS - 1


def test_a_slow_server_does_not_time_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 1.0)
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, slow(800, 0.2))  # 1.4 s in all
    site.fetch(item)
    assert site.server.count(item.source) == 1


@pytest.mark.parametrize("code", [404, 403, 410])
def test_a_missing_file_is_requested_once(site: Site, code: int) -> None:
    item, movie = checkpoint(), directory()
    site.publish(item, movie)
    site.server.script(item.source, *[status(code)] * 9)
    site.fetch_fails(item, f"{site.server.url}{item.source}", str(code), item.name)
    assert site.server.count(item.source) == 1
    site.server.script("/tiny.ome.zarr/0/7/0/0/0/0", *[status(code)] * 9)
    site.fetch_fails(movie, f"{site.server.url}/tiny.ome.zarr/0/7/0/0/0/0", str(code))
    assert site.server.count("/tiny.ome.zarr/0/7/0/0/0/0") == 1
    assert not site.delays


def test_a_server_that_is_unavailable_twice_is_tried_a_third_time(site: Site) -> None:
    item, movie = checkpoint(), directory()
    site.publish(item, movie)
    site.server.script(item.source, status(503), status(503))
    site.fetch(item)
    assert site.delays == [1, 2]
    assert site.server.count(item.source) == 3
    site.server.script(movie.source, status(503), status(502))
    site.server.script("/tiny.ome.zarr/.zgroup", status(500), status(503))
    site.fetch(movie)
    assert set(site.server.counts().values()) == {1, 3}


def test_an_unavailable_server_is_tried_a_limited_number_of_times(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, *[status(503)] * 99)
    site.fetch_fails(item, f"{site.server.url}{item.source}", "503")
    assert site.server.count(item.source) == ATTEMPTS
    assert site.delays == [1, 2, 3, 4]


def test_a_redirected_download_is_resumed(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.files["/mirror"] = item.content[item.final]
    site.server.script(item.source, *[redirected("/mirror")] * 2)
    site.server.script("/mirror", truncated(3000))
    site.fetch(item)
    assert [request.start for request in site.server.requests_for("/mirror")] == [0, 3000]
    assert site.server.sent("/mirror") == 5000


@pytest.mark.parametrize("to", ["/tiny.ckpt", "file:///etc/hostname", "ftp://127.0.0.1/x", "http://[", "//"])
def test_an_invalid_redirect_is_an_error(site: Site, to: str) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, *[redirected(to)] * 200)
    site.fetch_fails(item, f"{site.server.url}{item.source}")
    assert site.server.count(item.source) <= 31
    assert site.server.count("/") == 0


def test_a_server_that_ignores_range_requests_restarts_the_download(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, truncated(2000), range_ignored())
    site.fetch(item)
    assert [request.sent for request in site.server.requests_for(item.source)] == [2000, 5000]


def test_a_wrong_range_is_discarded(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, truncated(2000), range_shifted())
    site.fetch(item)
    assert site.server.count(item.source) <= 4


@pytest.mark.parametrize("always", [False, True])
def test_a_compressed_transfer_is_decompressed(site: Site, always: bool) -> None:
    item = directory(files={".zgroup": b"{}", "0/0": bytes(5000)})
    site.publish(item)
    for path in item.served:
        site.server.script(path, compressed(always=always))
    site.fetch(item)
    assert site.server.counts() == dict.fromkeys(sorted(item.served), 1)


def test_a_wrong_checksum_is_reported_and_the_file_discarded(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    good = item.content[item.final]
    wrong = good[:-1] + bytes([good[-1] ^ 0xFF])
    site.server.files[item.source] = wrong
    site.fetch_fails(item, sha256(good), sha256(wrong), f"{site.server.url}{item.source}")
    assert site.server.count(item.source) == 2  # enough for a large file
    assert wrong not in site.unfinished(item.name).values()
    site.server.files[item.source] = good
    site.server.reset()
    site.fetch(item)
    assert [request.start for request in site.server.requests_for(item.source)] == [0]


def test_a_partial_file_with_wrong_content_is_discarded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file may have changed on the server between two runs, or the partial file may have been damaged."""
    item = checkpoint()
    site.publish(item)
    monkeypatch.setattr(http, "RETRIES", 0)
    site.server.script(item.source, corrupt(10, cut=2000), *[status(503)] * 2)
    site.fetch_fails(item)
    assert list(map(len, site.unfinished(item.name).values())) == [2000]
    monkeypatch.setattr(http, "RETRIES", 4)
    site.server.scripts.clear()
    site.fetch(item)
    assert site.server.requests_for(item.source)[-1].start == 0


def test_a_partial_file_is_completed_by_the_next_fetch(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    files = store_files(40)
    for item in (checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", files)), content=files)):
        site.publish(item)
        monkeypatch.setattr(http, "RETRIES", 0)
        site.server.script(item.source, truncated(2000), status(503))
        site.fetch_fails(item, "503")
        monkeypatch.setattr(http, "RETRIES", 4)
        site.fetch(item)
        assert site.server.sent(item.source) == len(item.served[item.source]) + len(status(503).body or b"")


def test_the_page_of_a_captive_portal_is_not_accepted(site: Site) -> None:
    items = [checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", store_files()))), directory()]
    site.publish(*items)
    site.server.script("*", login_page())
    for item in items:
        site.fetch_fails(item, f"{site.server.url}{item.source}", sha256(LOGIN_PAGE))
        assert LOGIN_PAGE not in site.unfinished(item.name).values()
    site.server.scripts.clear()
    site.server.reset()
    for item in items:
        site.fetch(item)
    assert set(site.server.counts().values()) == {1}


def test_a_captive_portal_during_a_download_is_recovered_from(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, truncated(2000), login_page())
    site.fetch(item)
