"""``evaluate --tracking`` on small movies of nine cells."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import center_of_mass, label
from support.cells import CHANNELS, CellMovie, cells_movie
from support.stores import write_image

from image_translation import extras
from image_translation.cli.commands import main
from image_translation.metrics.rows import AGREEMENT_WITH_RAW, TRACK_METRICS, read_csv

FRAMES = 6


@pytest.fixture(scope="module")
def cells() -> CellMovie:
    return cells_movie(frames=FRAMES)


def store(path: Path, frames: np.ndarray, channels: tuple[str, ...] = CHANNELS) -> Path:
    """Write frames (T, C, Y, X)."""
    return write_image(path, np.ascontiguousarray(frames)[:, :, np.newaxis], channels=channels)


def true_labels(cells: CellMovie) -> np.ndarray:
    """Label the nuclei, (T, Y, X), by their place in the grid of cells, around which they move little."""
    movie = np.zeros((FRAMES, *cells.truth.shape[-2:]), np.uint16)
    for image, stain in zip(movie, cells.truth[:, 0], strict=True):
        regions, count = label(stain > 0.5)
        for region, centre in enumerate(center_of_mass(regions > 0, regions, range(1, count + 1)), 1):
            row, column = np.round((np.array(centre) - 32) / 40).astype(int)
            image[regions == region] = 1 + 3 * row + column
    assert movie.max() == 9
    return movie


def write_labels(path: Path, movie: np.ndarray) -> None:
    """Write the labels of a store, and their lineage."""
    write_image(path / "labels" / "nuclei", movie[:, np.newaxis, np.newaxis], channels=None)
    lines = [f"{number} 0 {FRAMES - 1} 0\n" for number in range(1, 10)]
    (path / "labels" / "man_track.txt").write_text("".join(lines))


def lose_nuclei(cells: CellMovie) -> np.ndarray:
    """Return a prediction in which nucleus 5 is lost in two frames, and comes back as another one."""
    lost = cells.steady.copy()
    lost[2:4, :, 52:92, 52:92] = np.median(lost)
    return lost


@pytest.fixture
def stores(tmp_path: Path, cells: CellMovie) -> Path:
    for name, frames in (("raw", cells.raw), ("steady", cells.steady), ("lost", lose_nuclei(cells))):
        store(tmp_path / f"{name}.ome.zarr", frames)
    return tmp_path


def evaluate(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments), "--tracking"])


def track_scores(path: Path, suffix: str = "") -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for row in read_csv(path / "metrics.csv"):
        if row.metric.removesuffix(suffix) in TRACK_METRICS:
            assert (row.position, row.channel, row.frame) == ("fov", "Nuclei", None)
            assert row.metric.endswith(suffix)
            scores.setdefault(row.method, {})[row.metric.removesuffix(suffix)] = row.value
    return scores


def test_tracks_are_compared_with_the_labels_of_the_truth(
    stores: Path, cells: CellMovie, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(store(stores / "true", cells.truth), true_labels(cells))
    out = stores / "scores"
    assert evaluate(stores, "--truth", stores / "true", "-o", out) == 0
    scores = track_scores(out)
    assert set(scores) == {"truth", "raw", "steady", "lost"}
    for method in ("truth", "steady"):
        assert scores[method] == pytest.approx(
            {"tracking_tra": 1, "tracking_seg": scores[method]["tracking_seg"], "complete_tracks": 1}
            | dict.fromkeys(("identity_switches", "missed_links", "false_links"), 0)
        )
        assert scores[method]["tracking_seg"] > 0.75
    assert scores["lost"]["identity_switches"] == 1
    assert scores["lost"]["missed_links"] == 3
    assert scores["lost"]["complete_tracks"] == pytest.approx(8 / 9)
    printed = capsys.readouterr().out
    assert "compared with the labels of the truth" in printed
    assert "identity_switches" in printed


def test_without_labels_tracks_are_compared_with_those_of_the_true_stain(
    stores: Path, cells: CellMovie, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = cells.truth.copy()
    truth[4] = 0
    store(stores / "true", 1000 * truth)
    assert evaluate(stores, "--truth", stores / "true", "-o", stores / "scores") == 0
    scores = track_scores(stores / "scores")
    assert set(scores) == {"raw", "steady", "lost"}
    assert scores["steady"]["tracking_tra"] == 1
    assert scores["lost"]["missed_links"] == 3
    assert "compared with those of the true stain" in capsys.readouterr().out


def test_without_truth_tracks_are_compared_with_raw_and_nothing_is_judged(
    stores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(stores, "-o", stores / "scores") == 0
    scores = track_scores(stores / "scores", AGREEMENT_WITH_RAW)
    assert set(scores) == {"steady", "lost"}
    assert scores["lost"]["identity_switches"] == 1
    printed = capsys.readouterr().out
    assert "agreement with raw, not accuracy; give --truth" in printed
    line = next(line for line in printed.splitlines() if line.startswith("identity_switches_raw"))
    assert "!" not in line
    assert line.endswith("no truth")


def test_invalid_frames_are_skipped(stores: Path, cells: CellMovie) -> None:
    write_labels(store(stores / "true", cells.truth), true_labels(cells))
    broken = cells.steady.copy()
    broken[3] = np.nan
    store(stores / "broken.ome.zarr", broken)
    assert evaluate(stores, "--truth", stores / "true", "-o", stores / "scores") == 0
    assert track_scores(stores / "scores")["broken"]["tracking_tra"] == 1


def test_a_movie_without_nuclei_is_not_tracked(
    tmp_path: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("raw", "other"):
        store(tmp_path / f"{name}.ome.zarr", np.zeros_like(cells.raw))
    assert evaluate(tmp_path) == 0
    assert "fov: no nuclei are found in Nuclei of raw; they are not tracked" in caplog.text


def test_a_channel_of_nuclei_is_needed(
    tmp_path: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, frames in (("raw", cells.raw), ("steady", cells.steady)):
        store(tmp_path / f"{name}.ome.zarr", frames, ("A", "B"))
    assert evaluate(tmp_path) == 2
    assert "--tracking: none of the channels A, B is one of nuclei; name it with --objects NAME" in caplog.text
    assert evaluate(tmp_path, "--objects", "A") == 0
    assert "fov: tracks of A: compared with those of raw" in capsys.readouterr().out


def test_raw_alone_has_nothing_to_be_compared_with(
    tmp_path: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture
) -> None:
    store(tmp_path / "raw.ome.zarr", cells.raw)
    assert evaluate(tmp_path) == 2
    assert "--tracking: there is nothing to compare the tracks in raw with" in caplog.text


def test_stills_have_no_tracks(tmp_path: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture) -> None:
    store(tmp_path / "raw.ome.zarr", cells.raw[:1])
    assert evaluate(tmp_path) == 2
    assert "--tracking: follows nuclei over time, and there is no movie" in caplog.text


def test_a_missing_extra_is_one_line(
    stores: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "laptrack" else find_spec(name))
    assert evaluate(stores) == 2
    assert "--tracking needs laptrack, which is not installed: uv sync --extra tracking" in caplog.text
    assert "pip install -e '.[tracking]'" in caplog.text
    assert [record.levelname for record in caplog.records if record.levelname != "INFO"] == ["ERROR"]
    assert "\n" not in caplog.records[-1].message
