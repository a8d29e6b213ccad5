"""Parallel downloads of the files of a directory."""

import pytest
from support.fetch_site import Site
from support.loopback_server import stalled, status
from support.published import Published, directory, noise, sha256

from image_translation.data import http


def test_a_directory_is_downloaded_once_file_by_file(site: Site) -> None:
    item = directory()
    site.publish(item)
    site.fetch(item)
    site.fetch(item)
    assert len(item.served) == 41
    assert site.server.counts() == dict.fromkeys(sorted(item.served), 1)


def test_special_characters_in_file_names_are_quoted(site: Site) -> None:
    names = ["a b", "50%41", "x#y", "q?a=1&b", "plus+", "ünï", "it's", "semi;colon", 'double"quote', "[0]", ".hidden"]
    item = directory(files={f"0/{name}": name.encode() for name in names})
    site.publish(item)
    site.fetch(item)


def test_a_local_list_of_files_is_used(site: Site) -> None:
    item = directory()
    listed = item.served.pop(item.source)
    (site.registry.parent / "other").mkdir()
    (site.registry.parent / "other" / "list.txt").write_bytes(listed)
    entry = {key: value for key, value in item.entry.items() if key != "list_sha256"} | {"list": "other/list.txt"}
    item = Published(item.name, item.served, entry, item.final, item.content, item.source)
    site.publish(item)
    site.fetch(item)
    assert site.server.counts() == dict.fromkeys(sorted(item.served), 1)


def test_the_first_error_cancels_the_other_downloads(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.5)
    item = directory(files={f"0/{number}": noise(100) for number in range(6)})
    site.publish(item)
    for number in range(1, 6):
        site.server.script(f"/tiny.ome.zarr/0/{number}", *[stalled(10)] * 9)
    site.server.script("/tiny.ome.zarr/0/0", status(404))
    site.fetch_fails(item, "/tiny.ome.zarr/0/0", "404")
    assert set(site.server.counts().values()) == {1}


@pytest.mark.parametrize("which", ["list", "file"])
def test_a_wrong_checksum_in_a_directory_is_reported_and_the_file_discarded(site: Site, which: str) -> None:
    item = directory()
    site.publish(item)
    path = item.source if which == "list" else "/tiny.ome.zarr/0/3/0/0/0/0"
    good = item.served[path]
    wrong = bytes(len(good))
    site.server.files[path] = wrong
    site.fetch_fails(item, sha256(good), sha256(wrong), f"{site.server.url}{path}")
    assert site.server.count(path) == 2
    assert wrong not in site.unfinished(item.name).values()
    site.server.files[path] = good
    site.fetch(item)
