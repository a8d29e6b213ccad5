from pathlib import Path

import pytest

from image_translation.errors import UsageError
from image_translation.staining.figure_directory import file_stems, replace_figures, require_replaceable


@pytest.mark.parametrize("name", ["Nuclei", "Membrane", "GFP-2_b.1", "a..b"])
def test_plain_names_are_kept(name: str) -> None:
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
def test_other_names_stay_within_their_folder(name: str, stem: str) -> None:
    assert file_stems([name]) == [stem]


def test_stems_differ_whatever_the_case() -> None:
    assert file_stems(["A/B", "A-B", "a:b", "A-B-2"]) == ["A-B", "A-B-2", "a-b-3", "A-B-2-2"]


def figures(folder: Path, *names: str, text: str = "new") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_figures_of_an_earlier_run_go(tmp_path: Path) -> None:
    source = figures(tmp_path / "run" / "figures", "Nuclei_combined.png", "report.html")
    folder = figures(tmp_path / "data" / "figs", "GFP_combined.png", "A-1-0/comparison.mp4", "report.html", text="old")
    for _ in range(2):
        replace_figures(source, folder)
        assert names_in(folder) == names_in(source) == {"Nuclei_combined.png", "report.html"}
        assert (folder / "report.html").read_text() == "new"
        assert names_in(tmp_path / "data") == {"figs/Nuclei_combined.png", "figs/report.html"}


def test_the_folder_is_made_where_there_is_none(tmp_path: Path) -> None:
    replace_figures(figures(tmp_path / "from", "corrcoef.png"), tmp_path / "new" / "figs")
    assert names_in(tmp_path / "new") == {"figs/corrcoef.png"}


@pytest.mark.parametrize("name", ["paper.pdf", "A/notes.txt", "Nuclei.png"])
def test_files_of_others_are_left_alone(tmp_path: Path, name: str) -> None:
    source = figures(tmp_path / "from", "corrcoef.png")
    folder = figures(tmp_path / "figs", "tradeoff.png", name, text="old")
    with pytest.raises(UsageError, match="which is no figure; choose another -o"):
        replace_figures(source, folder)
    assert names_in(folder) == {"tradeoff.png", name}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    figures(tmp_path, "figs")
    with pytest.raises(UsageError, match="is a file"):
        require_replaceable(tmp_path / "figs")


def test_a_failed_copy_leaves_the_old_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = figures(tmp_path / "from", "corrcoef.png", "tradeoff.png")
    folder = figures(tmp_path / "figs", "corrcoef.png", text="old")

    def fail(source: Path, target: Path) -> None:
        target.mkdir()
        (target / "corrcoef.png").write_text("half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("image_translation.staining.figure_directory.shutil.copytree", fail)
        with pytest.raises(OSError, match="disk full"):
            replace_figures(source, folder)
    assert (folder / "corrcoef.png").read_text() == "old"
    replace_figures(source, folder)
    assert names_in(tmp_path / "figs") == {"corrcoef.png", "tradeoff.png"}
