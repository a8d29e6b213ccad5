from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.figure import Figure

from image_translation import figures
from image_translation.figures import file_stems
from image_translation.normalize import Statistics
from image_translation.rows import Row
from image_translation.sink import SeriesResult


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


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        (0.325, "micrometer", 0.325),
        (1.0, "micrometer", None),
        (0.325, "", None),
        (0.0, "micrometer", None),
        (-0.5, "micrometer", None),
        (float("inf"), "micrometer", None),
        (float("nan"), "micrometer", None),
    ],
)
def test_pixel_sizes_are_finite_and_positive(size: float, unit: str, expected: float | None) -> None:
    position: Any = SimpleNamespace(levels=[SimpleNamespace(scale=(1, 1, 1, size, size))], units={"x": unit})
    assert figures._pixel_size(position) == expected


def test_each_position_is_drawn_by_the_rows_of_its_middle_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {"curves": [], "images": []}

    def curves(rows: list[Row]) -> Figure:
        drawn["curves"].append([row.value for row in rows])
        return Figure((1, 1))

    def images(plan: Any, series: Any, stores: Any, folder: Path) -> None:
        drawn["images"].append((series.position.name, series.z, folder.name))

    monkeypatch.setattr(figures.plot, "adjacent_pearson_figure", curves)
    monkeypatch.setattr(figures, "_write_images", images)
    chosen = [("A/1/0", 0), ("A/1/0", 1), ("A/1/0", 2), ("A/1-0", 4), ("A/1-0", 5)]
    plan: Any = SimpleNamespace(
        series=[SimpleNamespace(position=SimpleNamespace(name=name), z=z) for name, z in chosen]
    )
    statistics = Statistics(0.0, 1.0, "none")
    results = [
        SeriesResult(f"{name} z{z}", name, [Row(name, "raw", "c", 0, "adjacent_pearson", z)], [], statistics, [])
        for name, z in chosen
    ]
    figures.write_figures(plan, {}, results, tmp_path)
    assert drawn["curves"] == [[1], [5]]
    assert drawn["images"] == [("A/1/0", 1, "A-1-0"), ("A/1-0", 5, "A-1-0-2")]
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("corrcoef.png")) == [
        "A-1-0-2/corrcoef.png",
        "A-1-0/corrcoef.png",
    ]
