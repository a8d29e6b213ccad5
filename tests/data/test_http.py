"""However bad the network: what is fetched is what was published, and no byte is sent twice."""

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
    Published,
    archive,
    checkpoint,
    directory,
    in_directory,
    make_tar,
    make_zip,
    noise,
    sha256,
    store_files,
    valid_archives,
)

from image_translation import data
from image_translation.data import http
from image_translation.errors import UsageError


def test_a_checkpoint_is_fetched_once(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.fetch(item)
    site.fetch(item)
    assert site.server.counts() == {"/tiny.ckpt": 1}
    assert not site.unfinished(item.name)


@pytest.mark.parametrize(
    "act",
    [truncated(2000), truncated_chunks(2000), truncated_chunks(5000), stalled(2000)],
    ids=["truncated", "chunks truncated", "last chunk missing", "stalled"],
)
def test_a_transfer_that_breaks_off_goes_on_where_it_was(site: Site, monkeypatch: Any, act: Reply) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, act)
    site.fetch(item)
    assert site.server.sent(item.source) == 5000
    assert [request.start for request in site.server.requests_for(item.source)] == [0, act.cut or act.stall]


def test_a_transfer_that_breaks_off_again_and_again_goes_on_as_long_as_bytes_come(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, *[truncated(500)] * 9)
    site.fetch(item)
    assert [request.start for request in site.server.requests_for(item.source)] == list(range(0, 5000, 500))
    assert site.server.sent(item.source) == 5000


@pytest.mark.parametrize(
    "act",
    [unresponsive(), stalled(0), disconnected(), truncated_without_length(2000), overlong(), Reply(length="many")],
    ids=["mute", "stalled after the headers", "hung up", "truncated unseen", "too long", "odd length"],
)
def test_one_bad_answer_is_survived(site: Site, monkeypatch: Any, act: Reply) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
    for item in (checkpoint(), directory(files={".zgroup": b"{}", "0/.zarray": b"[]", "0/0": noise(5000)})):
        site.publish(item)
        site.server.script(item.source, act)
        if item.name == "tiny_movie":
            site.server.script("/tiny.ome.zarr/0/0", act)
        site.fetch(item)
        assert site.server.count(item.source) <= 2


@pytest.mark.parametrize("act", [overlong(framing="chunked"), corrupt(1000), login_page()])
def test_a_sum_that_is_right_on_the_second_try_is_accepted(site: Site, act: Reply) -> None:
    for item in (checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", store_files()))), directory()):
        site.publish(item)
        site.server.script(item.source, act)
        if item.name == "tiny_movie":
            site.server.script("/tiny.ome.zarr/.zattrs", login_page())
        site.fetch(item)
        assert [request.start for request in site.server.requests_for(item.source)] == [0, 0]


def test_a_server_that_does_not_speak_tls_is_told_in_words(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.registry.write_text(site.registry.read_text().replace("http:", "https:"))
    site.fetch_fails(item, f"{site.server.url.replace('http', 'https')}/tiny.ckpt: no secure connection comes about")
    assert len(site.delays) == ATTEMPTS - 1


def test_a_slow_server_is_not_a_stalled_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 1.0)
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, slow(800, 0.2))  # 1.4 s in all
    site.fetch(item)
    assert site.server.count(item.source) == 1


@pytest.mark.parametrize("code", [404, 403, 410])
def test_what_is_not_there_is_not_asked_for_again(site: Site, code: int) -> None:
    item, movie = checkpoint(), directory()
    site.publish(item, movie)
    site.server.script(item.source, *[status(code)] * 9)
    site.fetch_fails(item, f"{site.server.url}{item.source}", str(code), item.name)
    assert site.server.count(item.source) == 1
    site.server.script("/tiny.ome.zarr/0/7/0/0/0/0", *[status(code)] * 9)
    site.fetch_fails(movie, f"{site.server.url}/tiny.ome.zarr/0/7/0/0/0/0", str(code))
    assert site.server.count("/tiny.ome.zarr/0/7/0/0/0/0") == 1
    assert not site.delays


def test_a_server_that_is_unavailable_twice_is_asked_a_third_time(site: Site) -> None:
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


def test_a_server_that_stays_unavailable_is_given_up(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, *[status(503)] * 99)
    site.fetch_fails(item, f"{site.server.url}{item.source}", "503")
    assert site.server.count(item.source) == ATTEMPTS
    assert site.delays == [1, 2, 3, 4]


def test_a_redirect_is_followed_and_the_rest_asked_for_there(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.files["/mirror"] = item.content[item.final]
    site.server.script(item.source, *[redirected("/mirror")] * 2)
    site.server.script("/mirror", truncated(3000))
    site.fetch(item)
    assert [request.start for request in site.server.requests_for("/mirror")] == [0, 3000]
    assert site.server.sent("/mirror") == 5000


@pytest.mark.parametrize("to", ["/tiny.ckpt", "file:///etc/hostname", "ftp://127.0.0.1/x", "http://[", "//"])
def test_a_redirect_that_leads_nowhere_is_given_up(site: Site, to: str) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, *[redirected(to)] * 200)
    site.fetch_fails(item, f"{site.server.url}{item.source}")
    assert site.server.count(item.source) <= 31
    assert site.server.count("/") == 0


def test_a_server_that_ignores_range_sends_the_whole_and_only_that_is_kept(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, truncated(2000), range_ignored())
    site.fetch(item)
    assert [request.sent for request in site.server.requests_for(item.source)] == [2000, 5000]


def test_a_part_that_was_not_asked_for_is_not_used(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, truncated(2000), range_shifted())
    site.fetch(item)
    assert site.server.count(item.source) <= 4


@pytest.mark.parametrize("always", [False, True])
def test_a_server_that_compresses_on_the_way_changes_nothing(site: Site, always: bool) -> None:
    item = directory(files={".zgroup": b"{}", "0/0": bytes(5000)})
    site.publish(item)
    for path in item.served:
        site.server.script(path, compressed(always=always))
    site.fetch(item)
    assert site.server.counts() == dict.fromkeys(sorted(item.served), 1)


def test_a_wrong_sum_is_said_and_keeps_nothing(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    good = item.content[item.final]
    wrong = good[:-1] + bytes([good[-1] ^ 0xFF])
    site.server.files[item.source] = wrong
    site.fetch_fails(item, sha256(good), sha256(wrong), f"{site.server.url}{item.source}")
    assert site.server.count(item.source) == 2  # of a large file that is enough
    assert wrong not in site.unfinished(item.name).values()
    site.server.files[item.source] = good
    site.server.reset()
    site.fetch(item)
    assert [request.start for request in site.server.requests_for(item.source)] == [0]


def test_a_beginning_that_was_wrong_is_thrown_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changed on the server between two runs, or bytes that went bad on the disk."""
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


def test_an_unfinished_file_is_finished_by_the_next_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    files = store_files(40)
    for item in (checkpoint(), archive(make_zip(in_directory("tiny.ome.zarr", files)), content=files)):
        site.publish(item)
        monkeypatch.setattr(http, "RETRIES", 0)
        site.server.script(item.source, truncated(2000), status(503))
        site.fetch_fails(item, "503")
        monkeypatch.setattr(http, "RETRIES", 4)
        site.fetch(item)
        assert site.server.sent(item.source) == len(item.served[item.source]) + len(status(503).body or b"")


def test_the_page_of_a_captive_portal_is_taken_for_nothing(site: Site) -> None:
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


def test_a_portal_in_the_middle_loses_no_more_than_one_file(site: Site) -> None:
    item = checkpoint()
    site.publish(item)
    site.server.script(item.source, truncated(2000), login_page())
    site.fetch(item)
