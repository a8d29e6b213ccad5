"""Archives and lists that come from anyone."""

import os
import stat
from pathlib import Path

import pytest
from support.fetch_site import Site
from support.published import (
    archive,
    below,
    directory,
    hostile_archives,
    hostile_lists,
    require_sound,
    store_files,
)


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
