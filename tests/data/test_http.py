"""However bad the network: what is fetched is what was published, and no byte is sent twice."""

from typing import Any

import pytest
from support.fetch_site import ATTEMPTS, Site
from support.loopback_server import (
    LOGIN_PAGE,
    Act,
    compressed,
    corrupt,
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
from support.published import (
    Published,
    archive,
    below,
    checkpoint,
    directory,
    good_archives,
    noise,
    sha256,
    store_files,
    tarred,
    zipped,
)

from image_translation import data
from image_translation.data import http
from image_translation.errors import UsageError


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


@pytest.mark.parametrize(
    "act",
    [truncated(2000), truncated_chunks(2000), truncated_chunks(5000), stalled(2000)],
    ids=["truncated", "chunks truncated", "last chunk missing", "stalled"],
)
def test_a_transfer_that_breaks_off_goes_on_where_it_was(site: Site, monkeypatch: Any, act: Act) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
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
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
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


def test_the_others_stop_when_one_file_cannot_be_had(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.5)
    thing = directory(files={f"0/{number}": noise(100) for number in range(6)})
    site.offer(thing)
    for number in range(1, 6):
        site.server.script(f"/tiny.ome.zarr/0/{number}", *[stalled(10)] * 9)
    site.server.script("/tiny.ome.zarr/0/0", status(404))
    site.refused(thing, "/tiny.ome.zarr/0/0", "404")
    assert set(site.server.counts().values()) == {1}


def test_a_server_that_does_not_speak_tls_is_told_in_words(site: Site) -> None:
    thing = checkpoint()
    site.offer(thing)
    site.registry.write_text(site.registry.read_text().replace("http:", "https:"))
    site.refused(thing, f"{site.server.address.replace('http', 'https')}/tiny.ckpt: no secure connection comes about")
    assert len(site.waits) == ATTEMPTS - 1


def test_a_slow_server_is_not_a_stalled_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 1.0)
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
    assert site.server.count(thing.source) == 2  # of a large file that is enough
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
    assert site.server.count(path) == 2
    assert wrong not in site.unfinished(thing.name).values()
    site.server.files[path] = good
    site.fetched(thing)


def test_a_beginning_that_was_wrong_is_thrown_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changed on the server between two runs, or bytes that went bad on the disk."""
    thing = checkpoint()
    site.offer(thing)
    monkeypatch.setattr(http, "RETRIES", 0)
    site.server.script(thing.source, corrupt(10, cut=2000), *[status(503)] * 2)
    site.refused(thing)
    assert list(map(len, site.unfinished(thing.name).values())) == [2000]
    monkeypatch.setattr(http, "RETRIES", 4)
    site.server.scripts.clear()
    site.fetched(thing)
    assert site.server.asked(thing.source)[-1].start == 0


def test_an_unfinished_file_is_finished_by_the_next_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    files = store_files(40)
    for thing in (checkpoint(), archive(zipped(below("tiny.ome.zarr", files)), content=files)):
        site.offer(thing)
        monkeypatch.setattr(http, "RETRIES", 0)
        site.server.script(thing.source, truncated(2000), status(503))
        site.refused(thing, "503")
        monkeypatch.setattr(http, "RETRIES", 4)
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
    site.server.script(thing.source, truncated(2000), login_page())
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
