"""File operations: what is replaced, what is kept, and what a failure leaves behind."""

import json
from pathlib import Path

import pytest

from image_translation.errors import UsageError
from image_translation.files import (
    file_stems,
    move_file,
    remove,
    remove_unlisted,
    rename_aside,
    require_directory,
    write_atomically,
    write_json,
)


def test_require_directory_accepts_directories_and_missing_paths(tmp_path: Path) -> None:
    require_directory(tmp_path)
    require_directory(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^--out .*file: is a file; give a directory, which is created if it does"):
        require_directory(tmp_path / "file", "--out")


def test_write_atomically_replaces_the_file_only_on_success(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with write_atomically(path) as unfinished:
        unfinished.write_text("old")
        assert not path.exists()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]

    with pytest.raises(OSError, match="Is a directory"), write_atomically(path) as unfinished:
        unfinished.write_bytes(tmp_path.read_bytes())
    assert path.read_text() == "old"
    with write_atomically(path) as unfinished:
        unfinished.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_write_json_can_be_read_back(tmp_path: Path) -> None:
    value = {"a": [1, None, 0.5], "b": {"c": "ä"}}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == value


@pytest.mark.parametrize("obstacle", ["nothing", "file", "directory", "link", "file as parent", "link as parent"])
def test_move_file_removes_what_is_in_its_way(tmp_path: Path, obstacle: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "c").write_text("kept")
    target = root / "a" / "b" / "c"
    if obstacle == "file as parent":
        (root / "a").write_text("in the way")
    elif obstacle == "link as parent":
        (root / "a").mkdir()
        (root / "a" / "b").symlink_to(outside)
    elif obstacle != "nothing":
        target.parent.mkdir(parents=True)
        if obstacle == "file":
            target.write_text("old")
        elif obstacle == "directory":
            (target / "d").mkdir(parents=True)
        else:
            target.symlink_to(outside / "c")
    (tmp_path / "new").write_text("new")
    move_file(tmp_path / "new", target, root)
    assert target.read_text() == "new"
    assert not target.is_symlink()
    assert not (tmp_path / "new").exists()
    assert (outside / "c").read_text() == "kept"


def test_rename_aside_takes_the_first_unused_name(tmp_path: Path) -> None:
    for number, name in enumerate(("a.aside", "a.aside1", "a.aside2")):
        (tmp_path / "a").write_text(str(number))
        assert rename_aside(tmp_path / "a") == tmp_path / name
        assert (tmp_path / name).read_text() == str(number)
    (tmp_path / "a").touch()
    (tmp_path / "a.aside3").symlink_to("nowhere")
    assert rename_aside(tmp_path / "a").name == "a.aside4"


def test_remove_takes_files_directories_and_links_but_not_their_targets(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "directory" / "inner").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("link", "directory", "file", "absent"):
        remove(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]


def test_remove_unlisted_keeps_the_listed_files(tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    for name in ("a", "b/c", "b/d", "e/f/g"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").touch()
    (directory / "b" / "link").symlink_to(tmp_path / "outside")
    (directory / "e" / "link").symlink_to(directory / "a")
    remove_unlisted(directory, ["a", "b/c", "absent"])
    assert {path.relative_to(directory).as_posix() for path in directory.rglob("*")} == {"a", "b", "b/c"}
    assert (tmp_path / "outside" / "x").exists()
    remove_unlisted(tmp_path / "absent", ["a"])


@pytest.mark.parametrize("name", ["Nuclei", "Membrane", "GFP-2_b.1", "a..b"])
def test_file_stems_keep_plain_names(name: str) -> None:
    assert file_stems([name]) == [name]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("GFP/EM525", "GFP-EM525"),
        ("../../evil", "-.-..-evil"),
        ("..", "-."),
        (".hidden", "-hidden"),
        ("/etc/passwd", "-etc-passwd"),
        (r"C:\x*?<>|", "C--x-----"),
        ("a\0b\nc", "a-b-c"),
        ("\u00b5m 488", "-m-488"),
    ],
)
def test_file_stems_stay_within_their_directory(name: str, stem: str) -> None:
    assert file_stems([name]) == [stem]


def test_file_stems_are_distinct_in_any_case() -> None:
    assert file_stems(["A/B", "A-B", "a:b", "A-B-2"]) == ["A-B", "A-B-2", "a-b-3", "A-B-2-2"]
