"""Simulated stores, and the embedded movie and plate, which are generated once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr.format import FormatV04
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v04.image_label import ImageLabel

from image_translation import data
from image_translation.data import simulated
from image_translation.data.lookup import CACHE_VARIABLE
from image_translation.errors import DataError, UsageError
from image_translation.omezarr.store import open_store
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import MovieSpec


def test_concurrent_requests_generate_the_movie_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "DEMO", MovieSpec(shape=(64, 64), frames=6, flicker=2.0))
    made = []
    write = simulated.write_simulated_movie

    def counted(spec: MovieSpec, path: Path) -> None:
        made.append(path)
        write(spec, path)

    monkeypatch.setattr(simulated, "write_simulated_movie", counted)
    path = tmp_path / "cache" / "movie.ome.zarr"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(simulated.ensure_demo_movie, [path] * 4))
    assert made == [path]
    assert open_store(path).position("fov").read(5, 0, 0).std() > 0


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=f"^demo_movie: the cache {tmp_path}/file/cache cannot be used: .*; set IMAGE_"):
        data.fetch("demo_movie")


def test_the_embedded_plate_has_fields_of_increasing_density(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "DEMO_FIELD", MovieSpec(shape=(64, 64), frames=2, density=1.0, flicker=1.0))
    monkeypatch.setattr(simulated, "DEMO_FIELDS", 10)
    path = tmp_path / "plate.ome.zarr"
    simulated.ensure_demo_plate(path)
    made = path.stat().st_mtime_ns
    simulated.ensure_demo_plate(path)
    assert path.stat().st_mtime_ns == made
    store = open_store(path)
    assert store.layout == "plate"
    assert store.names == (*(f"A/{n}/0" for n in range(1, 9)), "B/1/0", "B/2/0")
    first, last = (store.position(name) for name in (store.names[0], store.names[-1]))
    assert first.channels == ("Phase3D", "Nuclei", "Membrane")
    assert first.shape == (2, 3, 1, 64, 64)
    assert first.pixel_size == last.pixel_size == simulated.PIXEL_SIZE
    stained = [(position.read(1, 2, 0) > 0.1).mean() for position in (first, last)]
    assert stained[0] < 0.7 * stained[1]


def test_labels_are_a_valid_segmentation_over_time_of_the_image(tmp_path: Path) -> None:
    spec = MovieSpec(shape=(64, 80), frames=4, speed=4.0, density=0.9, cell_radius=10.0)
    path = tmp_path / "movie.ome.zarr"
    simulated.write_simulated_movie(spec, path)
    movie = Movie(spec)
    nodes = {node.zarr.basename(): node for node in Reader(parse_url(path, fmt=FormatV04()))()}
    assert nodes["movie.ome.zarr"].data[0].shape == (4, 3, 1, 64, 80)
    for number, name in enumerate(("nuclei", "cells")):
        stored = nodes[name].data[0]
        assert stored.shape == (4, 1, 1, 64, 80)
        assert stored.dtype == np.int32
        for t in range(4):
            np.testing.assert_array_equal(stored[t, 0, 0], movie.labels(t)[number])
        label = ImageLabel.from_zarr(zarr.open_group(path / "labels" / name, mode="r"))
        assert label.attributes.image_label.source.image == "../../"
        scale = label.attributes.multiscales[0].datasets[0].coordinateTransformations[0].scale
        assert tuple(scale) == open_store(path).position("fov").levels[0].scale
    rows = np.loadtxt(path / "labels" / "man_track.txt", dtype=int)
    np.testing.assert_array_equal(rows, movie.lineage())


def test_stacks_are_stored_with_their_spacing_and_labels(tmp_path: Path) -> None:
    spec = MovieSpec(shape=(64, 80), frames=2, planes=5, plane_spacing=3.0, density=0.9, cell_radius=10.0)
    path = tmp_path / "movie.ome.zarr"
    simulated.write_simulated_movie(spec, path)
    movie, stored = Movie(spec), open_store(path).position("fov")
    assert stored.shape == (2, 3, 5, 64, 80)
    assert stored.levels[0].scale == (300.0, 1.0, 1.5, 0.5, 0.5)
    for t in range(2):
        frame = np.array([[stored.read(t, channel, z) for z in range(5)] for channel in range(3)])
        np.testing.assert_array_equal(frame, movie.frame(t))
    for number, name in enumerate(("nuclei", "cells")):
        labels = zarr.open_group(path / "labels" / name, mode="r")
        np.testing.assert_array_equal(labels["0"][1, 0], movie.labels(1)[number])
        transformation = labels.attrs["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
        assert transformation["scale"] == [300.0, 1.0, 1.5, 0.5, 0.5]
    high = max(float(movie.frame(t)[0].max()) for t in range(2))
    windows = stored.attributes["omero"]["channels"]
    assert windows[0]["window"]["max"] == pytest.approx(high)
    assert stored.attributes["image_translation"]["simulation"]["planes"] == 5


def test_a_plate_of_stacks_contains_the_same_movies_as_single_stores(tmp_path: Path) -> None:
    specs = simulated.simulated_positions(MovieSpec(shape=(64, 64), frames=1, planes=3), 2)
    simulated.write_simulated_plate(specs, tmp_path / "plate.ome.zarr")
    store = open_store(tmp_path / "plate.ome.zarr")
    for name, spec in specs.items():
        position = store.position(name)
        assert position.shape == (1, 3, 3, 64, 64)
        frame = Movie(spec).frame(0)
        np.testing.assert_array_equal([[position.read(0, c, z) for z in range(3)] for c in range(3)], frame)


def test_a_movie_of_single_planes_is_recorded_as_before_there_were_stacks(tmp_path: Path) -> None:
    path = tmp_path / "movie.ome.zarr"
    simulated.write_simulated_movie(MovieSpec(shape=(64, 64), frames=1), path)
    stored = open_store(path).position("fov")
    assert stored.levels[0].scale == (300.0, 1.0, 1.0, 0.5, 0.5)
    assert not {"planes", "plane_spacing"} & set(stored.attributes["image_translation"]["simulation"])


def test_labels_are_not_read_as_images(tmp_path: Path) -> None:
    specs = simulated.simulated_positions(MovieSpec(shape=(64, 64), frames=2), 2)
    simulated.write_simulated_plate(specs, tmp_path / "plate.ome.zarr")
    store = open_store(tmp_path / "plate.ome.zarr")
    assert store.names == tuple(specs)
    for name, spec in specs.items():
        position = store.position(name)
        assert position.shape == (2, 3, 1, 64, 64)
        assert position.channels == ("Phase3D", "Nuclei", "Membrane")
        frame = Movie(spec).frame(1)
        np.testing.assert_array_equal([position.read(1, channel, 0) for channel in range(3)], frame)
        assert (position.path / "labels" / "man_track.txt").exists()


def test_a_plate_contains_the_same_movies_as_single_stores(tmp_path: Path) -> None:
    spec = MovieSpec(shape=(64, 64), frames=2)
    specs = simulated.simulated_positions(spec, 3)
    simulated.write_simulated_plate(specs, tmp_path / "plate.ome.zarr")
    simulated.write_simulated_movie(specs["A/2/0"], tmp_path / "one.ome.zarr")
    plate = open_store(tmp_path / "plate.ome.zarr").position("A/2/0")
    one = open_store(tmp_path / "one.ome.zarr").position("fov")
    assert (plate.read(1, 0, 0) == one.read(1, 0, 0)).all()
    with pytest.raises(UsageError, match="exists; choose another name"):
        simulated.write_simulated_plate(specs, tmp_path / "plate.ome.zarr")
