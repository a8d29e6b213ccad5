"""The command ``evaluate`` on stores of this and of other writers."""

import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from support.cells import CHANNELS, CellMovie, cells_movie
from support.stores import write_image, write_plate

from image_translation.cli.commands import main
from image_translation.metrics.rows import read_csv
from image_translation.metrics.score_card import score_cards


@pytest.fixture(scope="module")
def cells() -> CellMovie:
    return cells_movie(frames=8)


def store(path: Path, frames: np.ndarray, channels: tuple[str, ...] = CHANNELS, **options: Any) -> Path:
    """Write frames (T, C, Y, X) or (T, Y, X)."""
    frames = frames if frames.ndim == 4 else frames[:, np.newaxis]
    return write_image(path, np.ascontiguousarray(frames)[:, :, np.newaxis], channels=channels, **options)


@pytest.fixture
def stores(tmp_path: Path, cells: CellMovie) -> Path:
    for name in ("raw", "steady"):
        store(tmp_path / f"{name}.ome.zarr", getattr(cells, name))
    store(tmp_path / "true", cells.truth)
    store(tmp_path / "phase", cells.phase, ("Phase3D",))
    return tmp_path


def evaluate(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments)])


def add_provenance(path: Path, request: dict[str, Any], *, translation: list[float] | None = None) -> None:
    """Add the provenance that `smooth` writes."""
    group = zarr.open_group(path, mode="r+")
    group.attrs["image_translation"] = {"request": request}
    if translation:
        multiscales: Any = group.attrs["multiscales"]
        multiscales[0]["datasets"][0]["coordinateTransformations"].append(
            {"type": "translation", "translation": translation}
        )
        group.attrs["multiscales"] = multiscales


def test_planes_are_told_apart_and_averaged_in_the_card(tmp_path: Path, cells: CellMovie) -> None:
    movies = {"raw": (cells.raw, cells.raw), "steady": (cells.steady, cells.raw), "phase": (cells.phase, cells.phase)}
    for name, planes in movies.items():
        data = np.ascontiguousarray(np.stack([p if p.ndim == 4 else p[:, np.newaxis] for p in planes], axis=2))
        channels = ("Phase3D",) if name == "phase" else CHANNELS
        write_image(tmp_path / f"{name}.ome.zarr", data, channels=channels)
    out, phase = tmp_path / "scores", tmp_path / "phase.ome.zarr"
    given = [tmp_path / "steady.ome.zarr", "--raw", tmp_path / "raw.ome.zarr", "--phase", phase, "--by-number"]
    assert evaluate(*given, "-o", out) == 0
    rows = read_csv(out / "metrics.csv")
    assert {row.z for row in rows} == {0, 1}
    flicker = {}
    for z in (0, 1):
        (card,) = score_cards([row for row in rows if row.z == z])
        flicker[z] = next(e.values["flicker"] for e in card.entries if (e.method, e.channel) == ("steady", "Nuclei"))
    assert flicker[0] < 0.5
    assert flicker[1] == 1
    with (out / "score_card.csv").open() as file:
        (value,) = (
            float(line["value"])
            for line in csv.DictReader(file)
            if (line["method"], line["channel"], line["column"]) == ("steady", "Nuclei", "flicker")
        )
    assert value == pytest.approx((flicker[0] + 1) / 2)
    add_provenance(tmp_path / "raw.ome.zarr", {"input": {"movie": "gone", "z": [7, 8]}})
    assert evaluate(*given[:3], "-o", tmp_path / "named") == 0
    assert {row.z for row in read_csv(tmp_path / "named" / "metrics.csv")} == {7, 8}


def test_directory_is_scored_against_truth(stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = stores / "scores"
    assert evaluate(stores, "--truth", stores / "true", "--phase", stores / "phase", "-o", out) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Nuclei: 8 images, data range ")
    assert "\n\nfov, Nuclei: steady is best, with " in printed
    rows = read_csv(out / "metrics.csv")
    assert {row.method for row in rows} == {"raw", "steady", "truth", "phase"}
    flicker = [row.value for row in rows if (row.method, row.metric) == ("steady", "flicker")]
    assert len(flicker) == 2 * 7
    assert np.mean(flicker) < 0.5
    with (out / "score_card.csv").open() as file:
        card = list(csv.DictReader(file))
    assert {line["fails"] for line in card} == {"no"}
    assert {(line["rank"], line["method"]) for line in card} == {("1", "steady"), ("2", "raw")}


def test_a_mean_of_two_frames_is_scored_over_time_only(
    stores: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    store(stores / "window.ome.zarr", (cells.raw[1:] + cells.raw[:-1]) / 2)
    add_provenance(stores / "window.ome.zarr", {}, translation=[0.5, 0, 0, 0, 0])
    caplog.set_level("INFO")
    out = stores / "scores"
    assert evaluate(stores, "--truth", stores / "true", "-o", out) == 0
    assert "window lies half way between the frames of the truth" in caplog.text
    assert {row.method for row in read_csv(out / "metrics.csv")} == {"raw", "steady", "window", "truth"}
    assert "window" not in {row.method for row in read_csv(out / "scores.csv")}


def test_numbers_are_those_of_the_evaluator(stores: Path, cells: CellMovie, tmp_path: Path) -> None:
    from image_translation.frame import Frame
    from image_translation.metrics.evaluator import Evaluator

    out = tmp_path / "scores"
    assert (
        evaluate(stores / "steady.ome.zarr", "--raw", stores / "raw.ome.zarr", "--phase", stores / "phase", "-o", out)
        == 0
    )
    evaluator = Evaluator("fov", CHANNELS, {"steady": 0.0})
    rows = []
    for t in range(8):
        rows += evaluator.add("raw", Frame(t, cells.raw[t], phase=cells.phase[t]))
        rows += evaluator.add("steady", Frame(t, cells.steady[t]))
    rows += evaluator.finish()
    assert sorted(map(repr, rows)) == sorted(map(repr, read_csv(out / "metrics.csv")))


def test_tables_are_not_overwritten_without_overwrite(
    stores: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    out = stores / "scores"
    out.mkdir()
    (out / "metrics.csv").write_text("mine")
    assert evaluate(stores, "--phase", stores / "phase", "-o", out) == 2
    assert "exists; choose another -o" in caplog.text
    assert (out / "metrics.csv").read_text() == "mine"
    assert evaluate(stores, "--phase", stores / "phase", "-o", out, "--overwrite") == 0
    assert len(read_csv(out / "metrics.csv")) > 100


def test_without_phase_or_truth_flicker_is_unknown(
    stores: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(stores) == 0
    assert "give --phase or --truth" in caplog.text
    out = capsys.readouterr().out
    assert "\nflicker" not in out
    assert "\npearson" in out


def test_the_movie_in_the_provenance_is_used(
    tmp_path: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    movie = np.concatenate([cells.phase[:, np.newaxis], cells.truth], axis=1)
    store(tmp_path / "movie.zarr", movie, ("BF", *CHANNELS), scale=(300.0, 1, 1, 1, 1))
    out = tmp_path / "out"
    request = {
        "input": {"movie": str(tmp_path / "movie.zarr"), "channel": "BF", "positions": {"fov": {"frames": [2, 8]}}}
    }
    pairs = (cells.raw[2:-1] + cells.raw[3:]) / 2
    for name, frames, later in (("raw", cells.raw[2:], 0), ("steady", cells.steady[2:], 0), ("window", pairs, 0.5)):
        store(out / f"{name}.ome.zarr", frames, scale=(300.0, 1, 1, 1, 1))
        add_provenance(out / f"{name}.ome.zarr", request, translation=[300 * (2 + later), 0, 0, 0, 0])
    caplog.set_level(logging.INFO)
    assert evaluate(out, "-o", tmp_path / "scores") == 0
    assert f"was made from {tmp_path / 'movie.zarr'}, which is used" in caplog.text
    rows = read_csv(tmp_path / "scores" / "metrics.csv")
    frames = [r.frame for r in rows if (r.method, r.metric, r.channel) == ("raw", "pearson_truth", "Nuclei")]
    assert frames == [2, 3, 4, 5, 6, 7]
    known = {
        row.frame: row.value
        for row in rows
        if (row.method, row.metric, row.channel) == ("truth", "pearson_raw", "Nuclei")
    }
    expected = np.corrcoef(cells.raw[4, 0].ravel(), cells.truth[4, 0].ravel())[0, 1]
    assert known[4] == pytest.approx(expected, abs=1e-5)
    assert [r.value for r in rows if (r.method, r.metric) == ("window", "lag")] == pytest.approx([-0.5, -0.5], abs=0.1)
    assert capsys.readouterr().out.startswith("fov, Nuclei: steady is best, with ")


def test_a_plate_has_one_card_and_each_position_its_own_with_verbose(
    tmp_path: Path, cells: CellMovie, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("raw", "steady"):
        movie = getattr(cells, name)[:, :, np.newaxis]
        write_plate(tmp_path / f"{name}.ome.zarr", {"A/1/0": movie, "A/2/0": movie[:, :, :, ::-1]}, channels=CHANNELS)
    assert evaluate(tmp_path, "--channels", "Membrane") == 0
    out = capsys.readouterr().out
    assert out.startswith("Membrane: which method is best cannot be told in all 2 positions.\n")  # without the phase
    assert "Means of 2 positions" in out
    assert "A/1/0" not in out
    assert "Nuclei" not in out
    assert evaluate(tmp_path, "--channels", "Membrane", "-v") == 0
    out = capsys.readouterr().out
    assert "A/1/0, Membrane: which method is best cannot be told, because flicker is not known" in out
    assert "\n\nA/2/0, Membrane: " in out
    assert evaluate(tmp_path, "--position", "A/2/*") == 0
    assert "A/1/0" not in capsys.readouterr().out


def test_a_single_frame_is_scored_for_fidelity(
    tmp_path: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    store(tmp_path / "some.zarr", cells.raw[:1])
    store(tmp_path / "true.zarr", cells.truth[:1])
    assert evaluate(tmp_path / "some.zarr", "--truth", tmp_path / "true.zarr") == 0
    out = capsys.readouterr().out
    assert out.startswith("Nuclei: 1 image, data range ")
    assert "flicker" not in out
    assert evaluate(tmp_path / "some.zarr") == 0
    assert "has one frame: metrics over time need two" in caplog.text


def test_invalid_frames_are_skipped(stores: Path, cells: CellMovie, tmp_path: Path) -> None:
    broken = cells.raw.copy()
    broken[3] = np.nan
    store(tmp_path / "broken.zarr", broken)
    phase = cells.phase.copy()
    phase[5] = 0
    store(tmp_path / "dark.zarr", phase, ("Phase3D",))
    out = tmp_path / "scores"
    assert evaluate(tmp_path / "broken.zarr", "--phase", tmp_path / "dark.zarr", "-o", out) == 0
    rows = read_csv(out / "metrics.csv")
    of = {
        m: [r.frame for r in rows if (r.metric, r.channel, r.method) == (m, "Nuclei", "raw")]
        for m in ("change", "sharpness")
    }
    assert of == {"change": [0, 1, 6], "sharpness": [0, 1, 2, 4, 5, 6, 7]}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing.zarr"], "the prediction nothing.zarr: no such file or directory; give an existing path"),
        (["{}", "--truth", "nothing.zarr"], "--truth nothing.zarr: no such file or directory; give an existing path"),
        (["{}/steady.ome.zarr", "{}/phase"], "none of steady, phase is called raw; name the raw prediction with --raw"),
        (["{}", "--truth", "{}/phase"], "the truth has none of the channels Nuclei, Membrane of the prediction raw"),
        (["{}", "--channels", "DAPI"], "the raw prediction has no channel DAPI"),
        (["{}", "--position", "B/1/0"], "--position B/1/0 matches nothing"),
        (["{}", "--phase", "{}/true"], "choose one with --channel NAME"),
        (["{}", "--truth", "{}/small"], "has frames of 32 x 32 and the raw prediction of 144 x 144 pixels"),
        (["{}", "--truth", "{}/short"], "has 5 frames from frame 0 on; the 8 frames 0 to 7 are needed"),
        (["{}", "{}/short"], "the prediction short {}/short has 5 frames"),
        (["{}", "{}/late"], "begins 3.3 frames after the raw prediction"),
        (["{}/empty"], "is neither an OME-Zarr store nor a directory of *.ome.zarr"),
    ],
)
def test_mismatching_stores_are_one_line_errors(
    arguments: list[str], text: str, stores: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture
) -> None:
    store(stores / "small", cells.truth[:, :, :32, :32])
    store(stores / "short", cells.truth[:5])
    store(stores / "late", cells.truth)
    add_provenance(stores / "late", {}, translation=[3.3, 0, 0, 0, 0])
    (stores / "empty").mkdir()
    assert evaluate(*[argument.replace("{}", str(stores)) for argument in arguments]) == 2
    assert text.replace("{}", str(stores)) in caplog.text
    assert [record.levelname for record in caplog.records if record.levelname != "INFO"] == ["ERROR"]
    assert "\n" not in caplog.records[-1].message
