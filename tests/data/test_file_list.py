"""Lists of files: written, read back, and refused if they are unsafe."""

import hashlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pooch
import pytest
from support.fetch_site import Site
from support.published import directory, hostile_lists, store_files

from image_translation.data.file_list import compute_checksums, format_file_list, read_file_list, require_safe_names
from image_translation.errors import DataError, UsageError

FILES = {"0/.zarray": b"{}", ".zattrs": b"[]", "a name/with 'quotes' # and ümläuts": b"x"}


def write_files(directory: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


def test_a_formatted_list_is_read_back(tmp_path: Path) -> None:
    checksums = compute_checksums(write_files(tmp_path / "m.zarr", FILES))
    assert checksums == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    (tmp_path / "list.txt").write_text("# a comment\n\n" + format_file_list(checksums), encoding="utf-8")
    assert read_file_list(tmp_path / "list.txt") == checksums


def test_pooch_reads_the_list(tmp_path: Path) -> None:
    checksums = compute_checksums(write_files(tmp_path / "m.zarr", FILES))
    (tmp_path / "list.txt").write_text(format_file_list(checksums), encoding="utf-8")
    parsed = pooch.create(path=tmp_path, base_url="")
    parsed.load_registry(tmp_path / "list.txt")
    assert parsed.registry == checksums


def test_a_list_made_by_pooch_is_read(tmp_path: Path) -> None:
    write_files(tmp_path / "m.zarr", {"0/0": b"x", ".zattrs": b"{}"})
    pooch.make_registry(str(tmp_path / "m.zarr"), str(tmp_path / "list.txt"))
    assert read_file_list(tmp_path / "list.txt") == compute_checksums(tmp_path / "m.zarr")


def test_files_of_file_managers_are_not_listed(tmp_path: Path) -> None:
    write_files(tmp_path, {".DS_Store": b"x", "0/Thumbs.db": b"x", ".zgroup": b"{}"})
    assert list(compute_checksums(tmp_path)) == [".zgroup"]


def test_files_that_cannot_be_published_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent: no such directory"):
        compute_checksums(tmp_path / "absent")
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(UsageError, match="empty: contains no file"):
        compute_checksums(tmp_path / "empty")
    (write_files(tmp_path / "linked", {".zgroup": b"{}"}) / "0").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="linked/0: is a link"):
        compute_checksums(tmp_path / "linked")
    write_files(tmp_path / "aliased", {".zgroup": b"{}"})
    (tmp_path / "aliased" / "1").symlink_to(tmp_path / "linked", target_is_directory=True)
    with pytest.raises(UsageError, match="aliased/1: is a link"):
        compute_checksums(tmp_path / "aliased")
    os.mkfifo(write_files(tmp_path / "piped", {".zgroup": b"{}"}) / "pipe")
    with pytest.raises(UsageError, match="piped/pipe: is a link or not a regular file"):
        compute_checksums(tmp_path / "piped")
    with pytest.raises(UsageError, match=r"'a\\\\b' is not the name of a file inside.*rename it"):
        compute_checksums(write_files(tmp_path / "odd", {"a\\b": b"x"}))


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_an_unreadable_directory_is_an_error() -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        (write_files(directory, {".zgroup": b"{}", "0/0": b"x"}) / "0").chmod(0)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(DataError, match="/0: cannot be read: Permission denied"):
                compute_checksums(directory)
        finally:
            if is_root:
                os.seteuid(0)
            (directory / "0").chmod(0o755)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/a", "a/", "a//b", "./a", "a/../b", "../a", "a\\b", "C:a", "C:/a", "a\nb", "a\0b", "a\x1bb"],
)
def test_names_outside_the_directory_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"list: .* is not the name of a file inside the directory"):
        require_safe_names(Path("list"), ["good", name])


def test_names_that_cannot_exist_together_are_refused() -> None:
    with pytest.raises(DataError, match="'0' is both a file and a directory"):
        require_safe_names(Path("list"), ["0/1/2", "0"])
    for other in ("a", "A"):
        with pytest.raises(DataError, match=f"'{other}' occurs twice, or differs from another name only in case"):
            require_safe_names(Path("list"), ["a", other])
    require_safe_names(Path("list"), ["0/1", "0/2", "...", "..a", ".zattrs", "a b", "ä"])


@pytest.mark.parametrize("kind", hostile_lists(Path("/nowhere")))
def test_malicious_and_malformed_lists_are_refused(site: Site, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "other"
    outside.mkdir()
    item = directory(files=store_files(), text=hostile_lists(outside)[kind])
    site.publish(item)
    site.fetch_fails(item)
    assert site.server.counts() == {item.source: 1}
    assert not list(outside.iterdir())


@pytest.mark.parametrize("name", ["n" * 300, "/".join("n" * 100 for _ in range(60)), ".partial", ".lock"])
def test_long_and_hidden_names_are_fetched_or_refused(site: Site, name: str) -> None:
    item = directory(files=store_files() | {name: b"x"})
    site.publish(item)
    if len(name) < 255:
        site.fetch(item)
    else:
        site.fetch_fails(item)
