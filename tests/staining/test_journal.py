"""Unfinished work is resumed only by an equal request, and finished results appear atomically."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from image_translation.errors import DataError, UsageError
from image_translation.staining.journal import PARTIAL, Journal, write_json
from image_translation.staining.progress import Progress
from image_translation.staining.request import differences

REQUEST = {"input": {"movie": "a", "frames": [None, 3]}, "methods": {"window": {"window": 2}}}
OTHER = {"input": {"movie": "a", "frames": [None, 3]}, "methods": {"window": {"window": 5}}}


@contextmanager
def opened(output: Path, request: dict[str, object] = REQUEST, *, overwrite: bool = False) -> Iterator[Journal]:
    with Journal(output) as journal:
        journal.open(request, Path("a"), overwrite=overwrite)
        yield journal


def fill(journal: Journal) -> None:
    journal.store("raw").mkdir()
    (journal.store("raw") / "chunk").write_text("new")
    journal.position("A").directory.mkdir(parents=True)
    journal.position("A").mark({"A z0": {"raw": 3}})


def test_progress_is_kept_by_series_and_method(tmp_path: Path) -> None:
    with opened(tmp_path / "out") as journal:
        assert journal.position("A").done("A z0", "raw") == 0
        fill(journal)
        journal.position("A").mark({"A z0": {"window": 1}})
        journal.position("A").result(0).write_text("{}")
        journal.position("A").finish()
    with opened(tmp_path / "out") as journal:
        progress = journal.position("A")
        assert progress.finished
        assert progress.done("A z0", "raw") == 3
        assert progress.done("A z0", "window") == 1
        assert journal.position("B").done("B z0", "raw") == 0
        assert (journal.store("raw") / "chunk").read_text() == "new"
        progress.forget("raw")
        assert progress.done("A z0", "raw") == 0
        assert progress.done("A z0", "window") == 1
        assert not progress.finished
        assert not progress.result(0).exists()


def positions(**known: object) -> dict[str, object]:
    return {"input": {"movie": "a", "positions": known}}


def test_a_request_may_gain_positions_and_lose_skipped_ones(tmp_path: Path) -> None:
    with opened(tmp_path, positions(A="1", B=None)) as journal:
        fill(journal)
    with opened(tmp_path, positions(A="1", B="2", C="3")) as journal:  # B could not be read before
        assert journal.position("A").done("A z0", "raw") == 3
    with opened(tmp_path, positions(A="1", B=None, C="3")):  # nor can it now
        pass
    for other in (positions(A="2", B="2", C="3"), positions(A="1", B="2"), positions(C="3")):
        with pytest.raises(UsageError, match="holds an unfinished run with other options"), opened(tmp_path, other):
            pass
    with Journal(tmp_path) as journal:
        assert journal.open(positions(A="1", C="3"), Path("a"), overwrite=False, may_drop=["B", "D"]) == {"B"}
        assert journal.position("A").done("A z0", "raw") == 3
        assert journal.open(positions(C="3"), Path("a"), overwrite=False, may_drop=["A"]) == {"A"}
        assert journal.position("A").done("A z0", "raw") == 0


def test_work_of_another_request_is_kept_unless_overwritten(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        fill(journal)
    with pytest.raises(UsageError, match=r"methods.window.window: 2 there, 5 now"), opened(tmp_path, OTHER):
        pass
    with opened(tmp_path, overwrite=True) as journal:  # an interrupted overwriting run goes on
        assert journal.position("A").done("A z0", "raw") == 3
    with opened(tmp_path, OTHER, overwrite=True) as journal:
        assert journal.position("A").done("A z0", "raw") == 0
        assert not journal.store("raw").exists()


def test_two_runs_do_not_write_to_one_directory(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(UsageError, match="another run is writing"), Journal(tmp_path):
        pass
    with Journal(tmp_path):
        pass


def test_publishing_replaces_only_its_own_files(tmp_path: Path) -> None:
    for name in ("raw", "window"):
        (tmp_path / f"{name}.ome.zarr").mkdir()
        (tmp_path / f"{name}.ome.zarr" / "chunk").write_text("old")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "paper.pdf").write_text("somebody's")
    (tmp_path / "figures" / "corrcoef.png").write_text("old")
    with opened(tmp_path, overwrite=True) as journal:
        fill(journal)
        (journal.directory / "metrics.csv").write_text("metrics")
        (journal.directory / "figures" / "A-1-0").mkdir(parents=True)
        for name in ("corrcoef.png", "A-1-0/corrcoef.png"):
            (journal.directory / "figures" / name).write_text("new")
        journal.publish(["raw.ome.zarr", "metrics.csv", "figures"], retired=["window.ome.zarr"])
    files = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "raw.ome.zarr/chunk": "new",
        "metrics.csv": "metrics",
        "figures/paper.pdf": "somebody's",
        "figures/corrcoef.png": "new",
        "figures/A-1-0/corrcoef.png": "new",
    }
    assert not (tmp_path / PARTIAL).exists()


def test_publishing_can_be_interrupted_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop before each renaming in turn; the next run finishes, and no store is ever of two runs."""

    class Cut(Exception):  # noqa: N818
        pass

    for cut in range(7):
        output = tmp_path / str(cut)
        for name in ("raw", "window"):
            (output / f"{name}.ome.zarr").mkdir(parents=True)
            (output / f"{name}.ome.zarr" / "chunk").write_text("old")
        left = cut

        def limited(path: Path, target: Path, move: Callable[[Path, Path], Path] = Path.rename) -> Path:
            nonlocal left
            if not left:
                raise Cut
            left -= 1
            return move(path, target)

        names = ["raw.ome.zarr", "window.ome.zarr"]
        with opened(output, overwrite=True) as journal:
            for name in names:
                (journal.directory / name).mkdir()
                (journal.directory / name / "chunk").write_text("new")
            with monkeypatch.context() as patch:
                patch.setattr(Path, "rename", limited)
                patch.setattr(Path, "replace", limited)
                try:
                    journal.publish(names, [])
                except Cut:
                    assert (output / PARTIAL).exists()
        if (output / PARTIAL).exists():
            with opened(output, overwrite=cut > 0) as journal:
                old = [(output / name / "chunk").read_text() for name in names if (output / name).exists()]
                assert journal.complete or old == ["old", "old"]
                journal.publish([] if journal.complete else names, [])  # what was recorded counts
        assert [(output / name / "chunk").read_text() for name in names] == ["new", "new"]
        assert not (output / PARTIAL).exists()


DAMAGE = pytest.mark.parametrize("damage", ["{", "[1]", "7", "[" * 100_000])


@DAMAGE
def test_a_damaged_request_is_an_error_and_can_be_overwritten(tmp_path: Path, damage: str) -> None:
    with opened(tmp_path) as journal:
        fill(journal)
        (journal.directory / "request.json").write_text(damage)
    with pytest.raises(DataError, match="is damaged"), opened(tmp_path):
        pass
    with opened(tmp_path, overwrite=True) as journal:
        assert journal.position("A").done("A z0", "raw") == 0
        assert not journal.store("raw").exists()


@DAMAGE
def test_a_position_with_damaged_progress_starts_again(tmp_path: Path, damage: str) -> None:
    with opened(tmp_path) as journal:
        fill(journal)
        journal.position("B").directory.mkdir()
        journal.position("B").mark({"B z0": {"raw": 5}})
        (journal.position("A").directory / "progress.json").write_text(damage)
    with opened(tmp_path) as journal:
        assert journal.position("A").done("A z0", "raw") == 0
        assert journal.position("B").done("B z0", "raw") == 5


def test_unwritable_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write to the output directory"), Journal(tmp_path / "file" / "out"):
        pass


def test_json_is_replaced_atomically(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    write_json(tmp_path / "a.json", {"a": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_differences_are_listed() -> None:
    assert differences(REQUEST, REQUEST) == ""
    assert differences(REQUEST, {**REQUEST, "extra": 1}) == "extra: None there, 1 now"


@pytest.mark.parametrize("failing", [True, False])
def test_a_directory_that_is_taken_away_is_named(tmp_path: Path, *, failing: bool) -> None:
    output = tmp_path / "out"

    def run() -> None:
        with opened(output) as journal:
            output.rename(tmp_path / "elsewhere")
            (output / PARTIAL).mkdir(parents=True)  # as by a writer that creates its directories
            if failing:
                raise ValueError
            journal.publish([], [])

    with pytest.raises(DataError, match=f"the output directory {output} was removed or renamed during the run"):
        run()


def test_an_error_after_the_journal_was_cleared_is_not_replaced(tmp_path: Path) -> None:
    def run() -> None:
        with opened(tmp_path / "out") as journal:
            journal.clear()
            raise KeyError

    with pytest.raises(KeyError):
        run()


def test_progress_is_not_recorded_in_a_new_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Progress(tmp_path / "gone").mark({"fov z0": {"raw": 1}})
