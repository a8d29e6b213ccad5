"""Archives: those that are unpacked, and those that are refused."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from support.fetch_site import Site
from support.published import (
    archive,
    check_cache,
    hostile_archives,
    in_directory,
    make_tar,
    noise,
    store_files,
    valid_archives,
)


@pytest.mark.parametrize("kind", hostile_archives(Path("/nowhere")))
def test_malicious_and_damaged_archives_are_refused(site: Site, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "other"
    outside.mkdir()
    packed = hostile_archives(outside)[kind]
    item = archive(packed, file=f"tiny.ome.zarr.{'tar.gz' if kind.startswith('tar') else 'zip'}")
    site.publish(item)
    site.fetch_fails(item)
    assert site.server.count(item.source) == 1
    assert not list(outside.iterdir())
    assert not list(tmp_path.rglob("*evil*"))
    check_cache(site.cache, site.items)


@pytest.mark.parametrize("mode", [0, 0o6777])
def test_permissions_and_owners_in_an_archive_are_ignored(site: Site, mode: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in in_directory("tiny.ome.zarr", store_files()).items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.gid = len(content), mode, 4321, 4321
            file.addfile(info, io.BytesIO(content))
    item = archive(buffer.getvalue(), file="tiny.ome.zarr.tar")
    site.publish(item)
    path = site.fetch(item)
    for found in (path, *path.rglob("*")):
        assert found.stat().st_mode & stat.S_IRUSR
        assert not found.stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)
        assert found.stat().st_uid == os.geteuid()


@pytest.mark.parametrize("kind", valid_archives())
def test_all_common_kinds_of_archives_are_unpacked(site: Site, kind: str) -> None:
    file, pack = valid_archives()[kind]
    item = archive(pack(), file=file)
    site.publish(item)
    site.fetch(item)
    site.fetch(item)
    assert site.server.counts() == {f"/{file}": 1}


def test_the_root_of_an_archive_is_found_by_its_pattern(site: Site) -> None:
    content = {f"phase2fluor/version_{number}/checkpoints/last.ckpt": noise(40 + number) for number in (1, 2)}
    packed = make_tar(in_directory("output/logs", content), compress=True)
    pattern = "phase2fluor/version_*/checkpoints/*.ckpt"
    item = archive(packed, name="tiny_logs", file="logs.tar.gz", content=content, kind="checkpoints", holds=pattern)
    site.publish(item)
    site.fetch(item)
