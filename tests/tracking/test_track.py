"""``track`` on small movies of nine cells, whose nuclei move little, and on a simulated movie with its true labels."""

import csv
import json
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from support.cells import CHANNELS, CellMovie, cells_movie
from support.stores import edit_json, write_image, write_plate

from image_translation import extras
from image_translation.cli.commands import main
from image_translation.data.simulated import write_simulated_movie
from image_translation.metrics.tracking import Movie, match_nuclei, score_tracks
from image_translation.omezarr.store import Position, open_store
from image_translation.omezarr.tracked_labels import open_tracked_labels
from image_translation.simulation.spec import MovieSpec
from image_translation.tracking import read_napari_tracks

FRAMES = 6
SCALE, UNITS = (60.0, 1.0, 2.0, 0.5, 0.5), {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}


@pytest.fixture(scope="module")
def cells() -> CellMovie:
    return cells_movie(frames=FRAMES)


def store(path: Path, stains: np.ndarray, channels: tuple[str, ...] = CHANNELS, **options: Any) -> Path:
    """Write stains (T, C, Y, X)."""
    data = np.ascontiguousarray(stains)[:, :, np.newaxis]
    return write_image(path, data, **{"channels": channels, "scale": SCALE, "units": UNITS} | options)


@pytest.fixture
def results(tmp_path: Path, cells: CellMovie) -> Path:
    """A directory such as ``smooth`` writes."""
    store(tmp_path / "out" / "raw.ome.zarr", cells.raw)
    store(tmp_path / "out" / "motion.ome.zarr", cells.steady)
    return tmp_path / "out"


def track(*arguments: object) -> int:
    return main(["track", *map(str, arguments)])


def read(position: Position, z: int = 0) -> np.ndarray:
    return np.stack([position.read(t, 0, z) for t in range(position.shape[0])])


def table(directory: Path) -> list[dict[str, str]]:
    with (directory / "nuclei.csv").open() as file:
        return list(csv.DictReader(file))


def labels_of(path: Path, name: str = "fov") -> Position:
    found = open_store(path).position(name).labels("nuclei")
    assert found is not None
    return found


def test_a_nucleus_has_one_label_in_all_formats(
    results: Path, cells: CellMovie, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(results) == 0
    out = results / "tracks" / "fov"
    assert capsys.readouterr().out == (
        f"fov: 9 tracks of {9 * FRAMES} nuclei in {FRAMES} frames, 0 divisions\n{results / 'tracks'}\n"
    )
    image = labels_of(results / "motion.ome.zarr")
    labels = read(image)
    rows = table(out)
    assert len(rows) == 9 * FRAMES
    for row in rows:
        t, y, x = int(row["frame"]), float(row["y"]), float(row["x"])
        track_id = int(row["track"])
        inside = labels[t] == track_id
        assert labels[t, round(y), round(x)] == track_id
        assert int(row["area"]) == inside.sum()
        assert float(row["mean_intensity"]) == pytest.approx(cells.steady[t, 0][inside].mean(), rel=1e-5)
        assert (row["parent"], int(row["lineage"])) == ("0", track_id)
        assert float(row["time_s"]) == 60 * t
        assert float(row["y_um"]) == pytest.approx(y / 2)
        assert float(row["area_um2"]) == pytest.approx(inside.sum() / 4)
        centre = np.argwhere(labels[0] == track_id).mean(axis=0)
        assert np.hypot(*(centre - (y, x))) < 12  # the next cell is 40 pixels away
        np.testing.assert_array_equal(tifffile.imread(out / "ctc" / f"mask{t:03}.tif"), labels[t])
    assert (out / "ctc" / "res_track.txt").read_text() == "".join(f"{n} 0 {FRAMES - 1} 0\n" for n in range(1, 10))
    assert image.levels[0].scale == SCALE
    assert image.attributes["image-label"]["source"] == {"image": "../../"}
    assert open_store(results / "raw.ome.zarr").position("fov").labels("nuclei") is None
    assert not (results / "tracks" / ".partial").exists()
    assert (out / "tracks.png").stat().st_size > 10_000


def test_other_programs_read_what_is_written(results: Path) -> None:
    from ctc_metrics.metrics import valid
    from ctc_metrics.utils.filesystem import read_tracking_file
    from geff import read as read_geff
    from geff.core_io import read_to_memory
    from geff.validate.data import ValidationConfig, validate_data
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    assert track(results) == 0
    out = results / "tracks" / "fov"
    nodes = list(Reader(parse_url(str(results / "motion.ome.zarr")))())
    assert [node.data[0].shape for node in nodes if node.metadata.get("name") == "nuclei"] == [(FRAMES, 1, 144, 144)]

    validate_data(read_to_memory(out / "tracks.geff"), ValidationConfig(graph=True, tracklet=True, lineage=True))
    graph, metadata = read_geff(out / "tracks.geff")
    assert (len(graph.nodes), len(graph.edges)) == (9 * FRAMES, 9 * (FRAMES - 1))
    assert [(axis.name, axis.scale, axis.scaled_unit) for axis in metadata.axes] == [
        ("t", 60, "second"), ("z", 2, "micrometer"), ("y", 0.5, "micrometer"), ("x", 0.5, "micrometer"),
    ]  # fmt: skip
    related = (out / "tracks.geff" / metadata.related_objects[0].path).resolve()
    assert related == (results / "motion.ome.zarr" / "labels" / "nuclei" / "0").resolve()

    masks = sorted((out / "ctc").glob("mask*.tif"))
    present = [[label for label in np.unique(tifffile.imread(mask)).tolist() if label] for mask in masks]
    assert valid(masks, np.array(read_tracking_file(str(out / "ctc" / "res_track.txt"))), present) == 1


def test_napari_shows_the_tracks(results: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # napari's own, at its import
        layers = pytest.importorskip("napari.layers", reason="napari is not installed")

    assert track(results) == 0
    layer = layers.Tracks(**read_napari_tracks(results / "tracks" / "fov"))
    assert layer.data.shape == (9 * FRAMES, 5)
    np.testing.assert_array_equal(layer.scale, [60, 2, 0.5, 0.5])


def test_invalid_frames_are_gaps(results: Path, cells: CellMovie, capsys: pytest.CaptureFixture[str]) -> None:
    """One is NaN, and one, which the provenance of the store calls invalid, looks like any other."""
    broken = np.concatenate([cells.steady, cells.steady[::-1]])
    broken[3] = np.nan
    provenance = {
        "request": {"input": {"positions": {"fov": {"frames": [20, 20 + 2 * FRAMES]}}}},
        "invalid_frames": [23, 27],
    }
    path = results / "motion.ome.zarr"
    shutil.rmtree(path)
    store(path, broken, attributes={"image_translation": provenance})
    assert track(results) == 0
    out = results / "tracks" / "fov"
    assert json.loads((out / "tracks.json").read_text())["found"]["invalid_frames"] == [3, 7]
    labels = read(labels_of(path))
    assert not labels[[3, 7]].any()
    for t in (2, 4, 6, 8):
        np.testing.assert_array_equal(np.unique(labels[t]), range(10))
    lines = (out / "ctc" / "res_track.txt").read_text().splitlines()
    assert lines[0] == "1 0 2 0"
    assert len(lines) == 27
    assert not tifffile.imread(out / "ctc" / "mask003.tif").any()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_of_a_plate_all_positions_are_tracked(tmp_path: Path, cells: CellMovie, version: str) -> None:
    stains = cells.steady[:, :, np.newaxis]
    movies = {"A/1/0": stains, "B/2/0": stains[:4]}
    write_plate(tmp_path / "out" / "raw.ome.zarr", movies, channels=CHANNELS, version=version)
    assert track(tmp_path / "out", "--position", "A/1/0") == 0
    assert not (tmp_path / "out/tracks/B").exists()
    assert track(tmp_path / "out") == 0
    for name, stain in movies.items():
        labels = read(labels_of(tmp_path / "out" / "raw.ome.zarr", name))
        assert labels.shape == (len(stain), 144, 144)
        assert len(table(tmp_path / "out" / "tracks" / name)) == 9 * len(stain)
    assert track(tmp_path / "out/raw.ome.zarr", "-o", tmp_path / "other", "--position", "B/2/0") == 0
    assert track(tmp_path / "out/raw.ome.zarr", "-o", tmp_path / "other", "--position", "A/1/0") == 0
    alone = open_store(tmp_path / "other" / "nuclei.ome.zarr")
    assert alone.names == ("A/1/0", "B/2/0")
    np.testing.assert_array_equal(read(alone.position("B/2/0")), labels)


def test_a_position_that_cannot_be_read_does_not_stop_the_others(
    tmp_path: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture
) -> None:
    stains = cells.steady[:, :, np.newaxis]
    path = write_plate(tmp_path / "out" / "raw.ome.zarr", {"A/1/0": stains, "B/2/0": stains}, channels=CHANNELS)
    chunk = path / "A/1/0/0/2/0/0/0/0"
    content = chunk.read_bytes()
    chunk.write_bytes(content[:100])
    assert track(tmp_path / "out") == 1
    assert "1 of 2 positions could not be tracked: A/1/0; repeat the command" in caplog.text
    assert not (tmp_path / "out/tracks/A/1/0/tracks.json").exists()
    assert open_store(path).position("A/1/0").labels("nuclei") is None
    chunk.write_bytes(content)
    written = (tmp_path / "out/tracks/B/2/0/tracks.json").stat()
    assert track(tmp_path / "out") == 0
    assert len(table(tmp_path / "out/tracks/A/1/0")) == 9 * FRAMES
    assert (tmp_path / "out/tracks/B/2/0/tracks.json").stat() == written
    assert sorted(child.name for child in (path / "A/1/0/labels").iterdir() if child.name[0] != ".") == ["nuclei"]


def test_other_tracks_are_not_replaced_without_overwrite(
    results: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture
) -> None:
    assert track(results) == 0
    mine = results / "tracks" / "fov" / "mine.txt"
    mine.write_text("notes")
    before = (results / "tracks/fov/nuclei.csv").read_bytes()
    assert track(results, "--reach", 5) == 2
    assert "has tracks of other options or images (reach: None there, 5.0 now); choose another -o" in caplog.text
    assert (results / "tracks/fov/nuclei.csv").read_bytes() == before
    assert track(results, "--method", "raw", "--overwrite") == 0
    assert (results / "tracks/fov/nuclei.csv").read_bytes() != before
    assert mine.read_text() == "notes"
    assert labels_of(results / "motion.ome.zarr")
    assert labels_of(results / "raw.ome.zarr")
    edit_json(results / "raw.ome.zarr" / ".zattrs", lambda attributes: attributes.update(made="again"))
    assert track(results, "--method", "raw") == 2
    assert "(the image has changed)" in caplog.text


def test_labels_of_others_are_kept(results: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = results / "motion.ome.zarr" / "labels" / "nuclei"
    write_image(path, np.ones((FRAMES, 1, 1, 144, 144), np.uint16), channels=None)
    assert track(results) == 2
    assert "are labels of another program; choose -o, or replace them with --overwrite" in caplog.text
    assert read(labels_of(results / "motion.ome.zarr")).all()


def test_nothing_is_written_into_other_stores(results: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = results / "raw.ome.zarr"
    assert track(path) == 2
    assert "is a store and no results directory of smooth: nothing is written into it" in caplog.text
    assert track(path, "-o", results / "mine") == 0
    assert open_store(path).position("fov").labels("nuclei") is None
    alone = open_store(results / "mine" / "nuclei.ome.zarr").position("fov")
    np.testing.assert_array_equal(np.unique(read(alone)), range(10))
    assert "source" not in alone.attributes["image-label"]


@pytest.mark.parametrize("name", ["Nuclei_prediction", "DAPI"])
def test_the_channel_is_found_by_its_name(tmp_path: Path, cells: CellMovie, name: str) -> None:
    stains = cells.steady[:, ::-1].copy()
    stains[:, 0] = 0
    path = store(tmp_path / "a.ome.zarr", stains, ("Membrane", name), units=None, scale=None)
    assert track(path, "-o", tmp_path / "right") == 0
    rows = table(tmp_path / "right" / "fov")
    assert len(rows) == 9 * FRAMES
    assert not {"time_s", "y_um", "area_um2"} & set(rows[0])  # neither is known
    if name == "Nuclei_prediction":
        assert track(path, "-o", tmp_path / "named", "--channel", "Nuclei") == 0
        assert (tmp_path / "named/fov/nuclei.csv").read_text() == (tmp_path / "right/fov/nuclei.csv").read_text()


def test_a_stack_is_tracked_in_one_plane(tmp_path: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture) -> None:
    stack = np.stack([cells.raw * 0, cells.raw, cells.steady], axis=2)
    path = write_image(tmp_path / "out" / "raw.ome.zarr", stack, channels=CHANNELS)
    assert track(tmp_path / "out", "--z", "all") == 2
    assert "--z all: nuclei are tracked in one plane, and these are 3 of" in caplog.text
    assert track(tmp_path / "out", "--z", "2") == 0
    image = labels_of(path)
    assert image.shape == (FRAMES, 1, 3, 144, 144)
    assert not read(image, 0).any()
    assert not read(image, 1).any()
    np.testing.assert_array_equal(np.unique(read(image, 2)), range(10))
    assert set(read_napari_tracks(tmp_path / "out/tracks/fov")["data"][:, 2]) == {2}


@pytest.mark.parametrize("frames", [1, 3])
def test_a_movie_without_nuclei_has_empty_tracks(
    tmp_path: Path, cells: CellMovie, frames: int, caplog: pytest.LogCaptureFixture
) -> None:
    store(tmp_path / "out" / "raw.ome.zarr", np.full((frames, 2, 32, 32), np.nan, np.float32))
    assert track(tmp_path / "out") == 0
    assert "fov: no nuclei are found in Nuclei; its labels and tracks are empty" in caplog.text
    assert table(tmp_path / "out/tracks/fov") == []
    assert not read(labels_of(tmp_path / "out" / "raw.ome.zarr")).any()
    assert read_napari_tracks(tmp_path / "out/tracks/fov")["data"].shape == (0, 5)


def test_the_true_stain_of_a_simulated_movie_gives_its_true_lineage(tmp_path: Path) -> None:
    path, frames = tmp_path / "movie.ome.zarr", 10
    write_simulated_movie(MovieSpec(shape=(128, 128), frames=frames, seed=3, divisions=3.0), path)
    assert track(path, "-o", tmp_path / "out") == 0
    truth = open_tracked_labels(open_store(path).position("fov"), "nuclei")
    assert truth
    found = open_store(tmp_path / "out" / "nuclei.ome.zarr").position("fov")
    parents = {child: ours for child, (ours,) in read_napari_tracks(tmp_path / "out" / "fov")["graph"].items()}
    true_movie, movie, matches = Movie(), Movie(), {}
    for t in range(frames):
        true, ours = (image.read(t, 0, 0).astype(np.int64) for image in (truth.image, found))
        true[(np.bincount(true.ravel()) < 40)[true]] = 0  # parts at the edge
        true_movie.add(t, true)
        movie.add(t, ours)
        matches[t] = match_nuclei(true, ours)
    assert len(set(parents.values())) == len(set(truth.parents.values())) == 1
    scores = score_tracks(true_movie.tracks(truth.parents), movie.tracks(parents), matches)
    assert scores.pop("tracking_seg") > 0.85
    assert scores == {
        "tracking_tra": 1, "complete_tracks": 1, "identity_switches": 0, "missed_links": 0, "false_links": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--method", "savgol"], "--method savgol: {} has motion, raw; choose one with --method"),
        (["--channel", "DAPI"], "--channel DAPI is not in {}/motion.ome.zarr; it has Nuclei, Membrane"),
        (["--position", "A/1/0"], "--position A/1/0 matches nothing"),
        (["--z", "3"], "--z 3 is not in {}/motion.ome.zarr; allowed are 0 to 0"),
        (["--diameter", "0"], "--diameter 0.0: must be a number of pixels above 0"),
        (["--reach", "nan"], "--reach nan: must be a number of pixels above 0"),
        (["-o", "{}/raw.ome.zarr/.zattrs"], "-o {}/raw.ome.zarr/.zattrs: is a file"),
    ],
)
def test_wrong_usage_is_one_line(
    results: Path, arguments: list[str], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert track(results, *(argument.format(results) for argument in arguments)) == 2
    assert text.format(results) in caplog.text
    assert "\n" not in caplog.records[-1].message
    assert not (results / "tracks").exists()


def test_what_is_no_result_and_what_is_not_clear_is_refused(
    tmp_path: Path, cells: CellMovie, caplog: pytest.LogCaptureFixture
) -> None:
    assert track(tmp_path) == 2
    assert f"{tmp_path} is neither an OME-Zarr store nor a directory of *.ome.zarr" in caplog.text
    store(tmp_path / "savgol.ome.zarr", cells.steady, ("A", "B"))
    assert track(tmp_path) == 2
    assert f"neither motion nor raw: {tmp_path} has savgol; choose one with --method" in caplog.text
    assert track(tmp_path, "--method", "savgol") == 2
    assert "has the channels A, B, of which none have names of nuclei; choose one with --channel" in caplog.text
    assert track(tmp_path / "savgol.ome.zarr", "--method", "savgol", "-o", tmp_path / "out") == 2
    assert "--method savgol: chooses among the results of smooth" in caplog.text


def test_a_missing_extra_is_one_line(
    results: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "geff" else find_spec(name))
    assert track(results) == 2
    assert "track needs geff, which is not installed: uv sync --extra tracking, or pip install" in caplog.text
