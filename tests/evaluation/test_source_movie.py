"""The movie that a prediction was made from is found by its name, and recognised by its pixels."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stores import phase, write_image, write_plate

from image_translation.data import movie_paths
from image_translation.data.movie_paths import recall_movie, remember_movie
from image_translation.evaluation.source_movie import find_source
from image_translation.omezarr.digest import digest_of_movie
from image_translation.omezarr.store import open_store


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    return write_image(tmp_path / "microscope" / "cells.zarr", phase(9))


@pytest.fixture
def request_of(movie: Path) -> Any:
    digest = digest_of_movie(open_store(movie).position("fov"), (0,), range(2, 8), (0,))
    positions = {"fov": {"shape": [9, 1, 1, 24, 36], "frames": [2, 8], "pixels": digest}}
    return {"input": {"movie": "cells.zarr", "channel": "Phase3D", "z": [0], "positions": positions}}


def digest(request: dict[str, Any]) -> str:
    return str(request["input"]["positions"]["fov"]["pixels"])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results" / "motion.ome.zarr"


def test_it_is_found_where_it_lay(request_of: Any, results: Path, movie: Path) -> None:
    assert find_source(request_of, results) is None
    remember_movie(movie, digest(request_of))
    found = find_source(request_of, results)
    assert found is not None
    assert found.path == movie.resolve()
    shutil.rmtree(movie)
    assert find_source(request_of, results) is None


def test_it_is_found_in_a_directory_that_holds_the_results(request_of: Any, results: Path, movie: Path) -> None:
    beside = results.parent.parent / "cells.zarr"
    write_image(beside, phase(9, seed=1))  # another movie of this name
    assert find_source(request_of, results) is None
    shutil.rmtree(beside)
    shutil.copytree(movie, beside)
    found = find_source(request_of, results)
    assert found is not None
    assert found.path == beside.resolve()


def test_a_movie_that_has_grown_or_been_replaced(request_of: Any, results: Path, movie: Path) -> None:
    remember_movie(movie, digest(request_of))
    data = phase(9)
    write_image(movie, np.concatenate([data, phase(3, seed=2)]))
    assert find_source(request_of, results) is not None
    write_image(movie, data[:7])  # a frame of the request is missing
    assert find_source(request_of, results) is None
    write_image(movie, phase(9, seed=3))
    assert find_source(request_of, results) is None
    write_image(movie, data, channels=("BF",))
    assert find_source(request_of, results) is None
    write_plate(movie, {"A/1/0": data})
    assert find_source(request_of, results) is None


def test_the_path_that_an_earlier_version_stored_is_believed(results: Path, movie: Path) -> None:
    found = find_source({"input": {"movie": str(movie), "channel": "Phase3D"}}, results)
    assert found is not None
    assert found.path == movie
    assert find_source({"input": {"movie": str(movie.with_name("gone.zarr"))}}, results) is None


@pytest.mark.parametrize(
    "request_", [{}, {"input": None}, {"input": {"movie": 3}}, {"input": {"movie": "a", "positions": {"A": None}}}]
)
def test_a_request_that_says_nothing(request_: dict[str, Any], results: Path) -> None:
    assert find_source(request_, results) is None


def test_a_cache_that_cannot_be_written_does_not_matter(
    movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(movie_paths, "cache_directory", lambda: tmp_path / "file")
    remember_movie(movie, "abc")
    assert recall_movie("cells.zarr", "abc") is None
