import hashlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from matplotlib.image import imread
from support.finished_run import FinishedRun

from image_translation.metrics.rows import Row
from image_translation.metrics.score_card import ScoreCard
from image_translation.normalize import Statistics
from image_translation.staining import figures
from image_translation.staining.figure_work import figure_work
from image_translation.staining.figures import DPI, write_figures
from image_translation.staining.writer import SeriesResult

ALWAYS = {"corrcoef.png", "tradeoff.png", "score_card.png", "comparison.mp4", "report.html"}


def draw(run: FinishedRun, directory: Path) -> set[str]:
    write_figures(run.plan, run.stores, run.results, directory)
    return {path.name for path in directory.iterdir()}


def count_frames(path: Path) -> int:
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0))


@pytest.mark.parametrize("truth", [True, False])
def test_all_figures_are_written_and_in_the_report(tmp_path: Path, truth: bool) -> None:
    names = draw(FinishedRun(tmp_path, truth=truth), tmp_path / "figures")
    channels = {f"{c}_{kind}.png" for c in ("Nuclei", "Membrane") for kind in ("combined", "kymograph", "difference")}
    assert names == ALWAYS | channels
    for name in names:
        if name.endswith(".png"):
            assert imread(tmp_path / "figures" / name).shape[1] <= 180 / 25.4 * DPI + 1
    assert count_frames(tmp_path / "figures" / "comparison.mp4") == 6
    page = (tmp_path / "figures" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(channels) + 3
    assert page.count("data:video/mp4;base64,") == 1
    assert not re.search(r"https?:", page)
    for words in ("movie.zarr", "net.ckpt: a network", "motion (width 3)", "Nuclei, Membrane", "median_iqr"):
        assert words in page
    assert ("nearer to the truth than raw (violet)" in page) is truth


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_movies_are_drawn(tmp_path: Path, frames: int) -> None:
    run = FinishedRun(tmp_path, frames=frames, methods=("raw", "motion"))
    done: list[int] = []
    write_figures(run.plan, run.stores, run.results, tmp_path / "figures", on_frames=done.append)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert sum(done) == figure_work(run.plan)  # else the progress bar stops early, or overshoots
    assert names >= ALWAYS | {"Nuclei_combined.png", "Nuclei_kymograph.png"}
    assert ("Nuclei_difference.png" in names) is (frames > 1)
    assert count_frames(tmp_path / "figures" / "comparison.mp4") == frames


def test_a_long_film_is_cut_to_frames_around_those_of_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(figures, "FILM_FRAMES", 7)
    shown: list[str] = []
    write = figures.write_video

    def look(path: Path, names: Any, size: Any, frames: Any, **options: Any) -> None:
        frames = list(frames)
        shown.extend(title for title, _ in frames)
        write(path, names, size, frames, **options)

    monkeypatch.setattr(figures, "write_video", look)
    run = FinishedRun(tmp_path, frames=20, start=3)
    run.results[0].rows[:] = [Row("fov", "raw", "Nuclei", t, "adjacent_pearson", 0.9 - (t > 17)) for t in range(3, 22)]
    with caplog.at_level("INFO"):
        draw(run, tmp_path / "figures")
    assert [title.split()[1] for title in shown] == [str(t) for t in range(16, 23)]
    assert "comparison.mp4 shows 7 consecutive frames of 20: 16 to 22, around those of the other figures" in caplog.text
    assert "The film shows frames 16 to 22" in (tmp_path / "figures" / "report.html").read_text()


def content_digest(path: Path) -> str:
    """Return a hash of a file; of a film that of its images, also where it is embedded in a page."""
    content = path.read_bytes()
    if path.suffix == ".mp4":
        with av.open(str(path)) as file:
            content = b"".join(frame.to_ndarray().tobytes() for frame in file.decode(video=0))
    elif path.suffix == ".html":
        content = re.sub(rb"data:video/mp4;base64,[^\"]*", b"", content)
    return hashlib.sha256(content).hexdigest()


def test_figures_of_the_same_run_have_the_same_bytes(tmp_path: Path) -> None:
    """Of the film, the images: its bytes are compared in `test_video`."""
    run = FinishedRun(tmp_path, frames=12, size=(96, 128))
    for name in ("one", "two"):
        draw(run, tmp_path / name)
    one, two = ({path.name: content_digest(path) for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("invalid", [[0, 2, 3], range(6)])
def test_missing_frames_are_drawn_as_such(tmp_path: Path, invalid: list[int]) -> None:
    run = FinishedRun(tmp_path, invalid=invalid, start=3)
    assert draw(run, tmp_path / "figures") >= ALWAYS
    assert count_frames(tmp_path / "figures" / "comparison.mp4") == 6
    page = (tmp_path / "figures" / "report.html").read_text()
    assert ", ".join(str(3 + t) for t in invalid) in page


@pytest.mark.parametrize("channels", [["GFP/EM 525 $x$"], ["<b>", "{}", "../c", "d", "C:\\e"]])
def test_any_number_and_name_of_channels(tmp_path: Path, channels: list[str]) -> None:
    names = draw(FinishedRun(tmp_path, frames=3, channels=channels), tmp_path / "figures")
    assert len([name for name in names if name.endswith("_combined.png")]) == len(channels)
    assert "<b>" not in (tmp_path / "figures" / "report.html").read_text()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (300, 7)])
def test_odd_sizes_without_metrics(tmp_path: Path, size: tuple[int, int]) -> None:
    draw(FinishedRun(tmp_path, frames=3, size=size, metrics=False), tmp_path / "figures")


def test_the_frames_with_most_flicker_are_shown() -> None:
    rows = [Row("fov", "raw", "c", t, "adjacent_pearson", 0.5 if t in {1, 4} else 0.9) for t in range(6)]
    rows += [Row("fov", "phase", "c", t, "adjacent_pearson", 0.4 if t == 1 else 0.9) for t in range(6)]
    excess = figures._excess_change(rows)
    assert max(excess, key=excess.__getitem__) == 4
    assert excess[1] < 0
    with_truth = [*rows, *(Row("fov", "truth", "c", t, "adjacent_pearson", 1.0) for t in range(6))]
    assert figures._excess_change(with_truth)[1] == pytest.approx(figures._excess_change(with_truth)[4])


@pytest.mark.parametrize(
    ("interval", "unit", "frame", "expected"),
    [
        (300, "second", 13, "1 h 05 min"),
        (5, "minute", 13, "1 h 05 min"),
        (2.5, "second", 50, "2 min 05 s"),
        (1, "second", 50, ""),
        (300, "", 50, ""),
        (0, "second", 50, ""),
        (float("nan"), "second", 50, ""),
        (float("inf"), "second", 50, ""),
    ],
)
def test_the_time_is_shown_where_it_is_known(interval: float, unit: str, frame: int, expected: str) -> None:
    position: Any = SimpleNamespace(levels=[SimpleNamespace(scale=(interval, 1, 1, 1, 1))], units={"t": unit})
    assert figures._time(position, frame).strip() == expected


def test_each_position_is_drawn_by_the_rows_of_its_middle_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, int, str]] = []
    reported: list[tuple[list[float], str]] = []

    def images(plan: Any, series: Any, stores: Any, result: Any, directory: Path, **_: Any) -> range:
        drawn.append((series.position.name, series.z, directory.name))
        return series.frames

    def report(plan: Any, series: Any, result: Any, card: Any, directory: Path, **_: Any) -> None:
        reported.append(([row.value for row in result.rows], card.position))

    monkeypatch.setattr(figures, "_write_images", images)
    monkeypatch.setattr(figures, "write_run_report", report)
    chosen = [("A/1/0", 0), ("A/1/0", 1), ("A/1/0", 2), ("A/1-0", 4), ("A/1-0", 5)]
    plan: Any = SimpleNamespace(
        series=[
            SimpleNamespace(position=SimpleNamespace(name=name), z=z, truth=(), frames=range(3)) for name, z in chosen
        ]
    )
    statistics = Statistics(0.0, 1.0, "none")
    results = [
        SeriesResult(f"{name} z{z}", name, [Row(name, "raw", "c", 0, "adjacent_pearson", z)], [], statistics, [])
        for name, z in chosen
    ]
    write_figures(plan, {}, results, tmp_path)
    assert drawn == [("A/1/0", 1, "A-1-0"), ("A/1-0", 5, "A-1-0-2")]
    assert reported == [([1], "A/1/0"), ([5], "A/1-0")]
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("corrcoef.png")) == [
        "A-1-0-2/corrcoef.png",
        "A-1-0/corrcoef.png",
    ]


def test_a_stack_has_orthogonal_views_a_card_of_all_planes_and_a_film_of_the_middle_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, Any]] = []
    draw_view = figures.orthogonal_figure

    def look(sections: Any, channel: str, phase: Any, **options: Any) -> Any:
        drawn.append({"names": list(sections), "channel": channel, "phase": phase is not None, **options})
        return draw_view(sections, channel, phase, **options)

    monkeypatch.setattr(figures, "orthogonal_figure", look)
    cards: list[ScoreCard] = []
    draw_card = figures.score_card_figure
    monkeypatch.setattr(figures, "score_card_figure", lambda card: cards.append(card) or draw_card(card))
    run = FinishedRun(tmp_path, frames=4, planes=5, z_spacing=2.0)
    for z, result in enumerate(run.results):
        for method, change in (("raw", 1.0), ("motion", 0.1 * (1 + z))):
            result.rows.extend(Row("fov", method, "Nuclei", t, "change", change, z) for t in range(3))
    done: list[int] = []
    write_figures(run.plan, run.stores, run.results, tmp_path / "figures", on_frames=done.append)
    assert sum(done) == figure_work(run.plan)
    assert [(one["channel"], one["plane"], one["z_spacing"], one["phase"]) for one in drawn] == [
        ("Nuclei", "plane 2", 4.0, True), ("Membrane", "plane 2", 4.0, True)
    ]  # fmt: skip
    assert drawn[0]["names"] == ["truth", "raw", "window", "motion"]
    assert drawn[0]["voxel"][0] == 2
    (entry,) = (entry for entry in cards[0].entries if (entry.method, entry.channel) == ("motion", "Nuclei"))
    assert entry.values["flicker"] == pytest.approx(0.3)
    assert (tmp_path / "figures" / "Nuclei_orthogonal.png").exists()
    page = (tmp_path / "figures" / "report.html").read_text()
    for words in (
        "Nuclei: sections through the stack", "planes are 2 µm apart", "The values are means over 5 planes",
        "The film shows plane 2, the middle one of the planes 0 to 4", "<dd>0 to 4</dd>",
    ):  # fmt: skip
        assert words in page


@pytest.mark.parametrize(("planes", "spoken_of"), [(1, False), (2, True)])
def test_fewer_than_three_planes_have_no_orthogonal_view(tmp_path: Path, planes: int, *, spoken_of: bool) -> None:
    run = FinishedRun(tmp_path, frames=2, planes=planes, methods=("raw", "motion"))
    done: list[int] = []
    write_figures(run.plan, run.stores, run.results, tmp_path / "figures", on_frames=done.append)
    assert sum(done) == figure_work(run.plan)
    assert not list((tmp_path / "figures").glob("*_orthogonal.png"))
    page = (tmp_path / "figures" / "report.html").read_text()
    assert "sections through the stack" not in page
    assert ("The film shows plane 1, the middle one of the planes 0 to 1" in page) is spoken_of
    assert ("The values are means over" in page) is spoken_of
