"""Unfinished work is resumed by an equal request alone, and finished work appears whole."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from image_translation.errors import DataError, UsageError
from image_translation.journal import PARTIAL, Journal, differences, write_json

REQUEST = {"input": {"movie": "a", "frames": [None, 3]}, "methods": {"window": {"window": 2}}}
OTHER = {"input": {"movie": "a", "frames": [None, 3]}, "methods": {"window": {"window": 5}}}


def fill(journal: Journal) -> None:
    journal.store("raw").mkdir()
    (journal.store("raw") / "chunk").write_text("new")
    journal.mark("A z0", {"raw": 3})


def test_progress_survives_and_is_counted_by_series_and_method(tmp_path: Path) -> None:
    with Journal(tmp_path / "out", REQUEST, overwrite=False) as journal:
        assert journal.done("A z0", "raw") == 0
        fill(journal)
        journal.mark("A z0", {"window": 1})
    with Journal(tmp_path / "out", REQUEST, overwrite=False) as journal:
        assert journal.done("A z0", "raw") == 3
        assert journal.done("A z0", "window") == 1
        assert journal.done("B z0", "raw") == 0
        assert (journal.store("raw") / "chunk").read_text() == "new"


def test_work_of_another_request_is_kept_unless_overwritten(tmp_path: Path) -> None:
    with Journal(tmp_path, REQUEST, overwrite=False) as journal:
        fill(journal)
    with (
        pytest.raises(UsageError, match=r"methods.window.window: 2 there, 5 now"),
        Journal(tmp_path, OTHER, overwrite=False),
    ):
        pass
    with Journal(tmp_path, REQUEST, overwrite=True) as journal:  # an interrupted overwriting run goes on
        assert journal.done("A z0", "raw") == 3
    with Journal(tmp_path, OTHER, overwrite=True) as journal:
        assert journal.done("A z0", "raw") == 0
        assert not journal.store("raw").exists()


def test_two_runs_do_not_write_to_one_directory(tmp_path: Path) -> None:
    second = Journal(tmp_path, REQUEST, overwrite=False)
    with (
        Journal(tmp_path, REQUEST, overwrite=False),
        pytest.raises(UsageError, match="another run is writing"),
        second,
    ):
        pass
    with Journal(tmp_path, REQUEST, overwrite=False):
        pass


def test_publishing_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "raw.ome.zarr").mkdir()
    (tmp_path / "raw.ome.zarr" / "chunk").write_text("old")
    (tmp_path / "mine.txt").write_text("not the run's")
    with Journal(tmp_path, REQUEST, overwrite=True) as journal:
        fill(journal)
        (journal.directory / "metrics.csv").write_text("metrics")
        journal.publish(["raw"], ["metrics.csv"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.csv", "mine.txt", "raw.ome.zarr"]
    assert (tmp_path / "raw.ome.zarr" / "chunk").read_text() == "new"


def test_publishing_can_be_cut_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop before each renaming in turn; the next run finishes, and no store is ever of two runs."""

    class Cut(Exception):  # noqa: N818
        pass

    for cut in range(6):
        output = tmp_path / str(cut)
        for name in ("raw", "window"):
            (output / f"{name}.ome.zarr").mkdir(parents=True)
            (output / f"{name}.ome.zarr" / "chunk").write_text("old")
        left = cut

        def limited(path: Path, target: Path, rename: Callable[[Path, Path], Path] = Path.rename) -> Path:
            nonlocal left
            if not left:
                raise Cut
            left -= 1
            return rename(path, target)

        with Journal(output, REQUEST, overwrite=True) as journal:
            for name in ("raw", "window"):
                journal.store(name).mkdir()
                (journal.store(name) / "chunk").write_text("new")
            with monkeypatch.context() as patch:
                patch.setattr(Path, "rename", limited)
                try:
                    journal.publish(["raw", "window"], [])
                except Cut:
                    assert (output / PARTIAL).exists()
        if (output / PARTIAL).exists():
            with Journal(output, REQUEST, overwrite=True) as journal:
                assert journal.complete
                journal.publish(["raw", "window"], [])
        assert [(output / f"{name}.ome.zarr" / "chunk").read_text() for name in ("raw", "window")] == ["new", "new"]
        assert not (output / PARTIAL).exists()


def test_damaged_notes_are_an_error_and_can_be_discarded(tmp_path: Path) -> None:
    with Journal(tmp_path, REQUEST, overwrite=False) as journal:
        fill(journal)
        (journal.directory / "progress.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"), Journal(tmp_path, REQUEST, overwrite=False):
        pass
    with Journal(tmp_path, REQUEST, overwrite=True) as journal:
        assert journal.done("A z0", "raw") == 0


def test_unwritable_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DataError, match="cannot write to the output directory"),
        Journal(tmp_path / "file" / "out", REQUEST, overwrite=False),
    ):
        pass


def test_json_is_replaced_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    write_json(tmp_path / "a.json", {"a": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_differences_are_named() -> None:
    assert differences(REQUEST, REQUEST) == ""
    assert differences(REQUEST, {**REQUEST, "extra": 1}) == "extra: None there, 1 now"
