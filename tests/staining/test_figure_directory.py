from pathlib import Path

import pytest

from image_translation.errors import UsageError
from image_translation.staining.figure_directory import replace_figures, require_replaceable


def write_files(directory: Path, *names: str, text: str = "new") -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def names_in(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_figures_of_an_earlier_run_are_replaced(tmp_path: Path) -> None:
    source = write_files(tmp_path / "run" / "figures", "Nuclei_combined.png", "report.html")
    directory = write_files(
        tmp_path / "data" / "figs", "GFP_combined.png", "A-1-0/comparison.mp4", "report.html", text="old"
    )
    for _ in range(2):
        replace_figures(source, directory)
        assert names_in(directory) == names_in(source) == {"Nuclei_combined.png", "report.html"}
        assert (directory / "report.html").read_text() == "new"
        assert names_in(tmp_path / "data") == {"figs/Nuclei_combined.png", "figs/report.html"}


def test_a_missing_directory_is_created(tmp_path: Path) -> None:
    replace_figures(write_files(tmp_path / "from", "corrcoef.png"), tmp_path / "new" / "figs")
    assert names_in(tmp_path / "new") == {"figs/corrcoef.png"}


@pytest.mark.parametrize("name", ["paper.pdf", "A/notes.txt", "Nuclei.png"])
def test_a_directory_with_other_files_is_not_replaced(tmp_path: Path, name: str) -> None:
    source = write_files(tmp_path / "from", "corrcoef.png")
    directory = write_files(tmp_path / "figs", "tradeoff.png", name, text="old")
    with pytest.raises(UsageError, match="which is no figure of a run; choose another -o"):
        replace_figures(source, directory)
    assert names_in(directory) == {"tradeoff.png", name}


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    write_files(tmp_path, "figs")
    with pytest.raises(UsageError, match="is a file"):
        require_replaceable(tmp_path / "figs")


def test_a_failed_copy_keeps_the_old_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_files(tmp_path / "from", "corrcoef.png", "tradeoff.png")
    directory = write_files(tmp_path / "figs", "corrcoef.png", text="old")

    def fail(source: Path, target: Path) -> None:
        target.mkdir()
        (target / "corrcoef.png").write_text("half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("image_translation.staining.figure_directory.shutil.copytree", fail)
        with pytest.raises(OSError, match="disk full"):
            replace_figures(source, directory)
    assert (directory / "corrcoef.png").read_text() == "old"
    replace_figures(source, directory)
    assert names_in(tmp_path / "figs") == {"corrcoef.png", "tradeoff.png"}
