"""What a path can be: OME-Zarr, a TIFF file, a folder or a pattern of them, or something else, which is said."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.stores import write_image

from image_translation import data
from image_translation.errors import DataError, UsageError
from image_translation.sources import open_movie
from image_translation.sources.movie_metadata import MovieMetadata, parse_pixel_size

MOVIE = np.random.default_rng(0).integers(0, 250, (12, 16, 24), dtype=np.uint8)  # T, Y, X


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "frames"
    path.mkdir()
    for t, frame in enumerate(MOVIE):
        tifffile.imwrite(path / f"img_{t}.tif", frame)
    (path / "._img_0.tif").write_text("hidden, of another system")
    (path / "notes.txt").write_text("no frame")
    return path


@pytest.mark.parametrize("pattern", ["", "*.tif", "img_[0-9]*.ti?"])
def test_a_folder_and_a_pattern_are_movies(folder: Path, pattern: str, monkeypatch: pytest.MonkeyPatch):
    position = open_movie(folder / pattern).position("fov")
    assert position.shape == (12, 1, 1, 16, 24)
    for t, frame in enumerate(MOVIE):
        np.testing.assert_array_equal(position.read(t, 0, 0), frame)
    assert position.chunk_files(10, 0, 0) == [folder / "img_10.tif"]
    monkeypatch.chdir(folder.parent)
    assert open_movie(Path("frames") / pattern).position("fov").shape[0] == 12


def test_files_of_a_folder_can_be_stacks(tmp_path: Path):
    stacks = MOVIE.reshape(2, 6, 16, 24)
    for t, stack in enumerate(stacks):
        tifffile.imwrite(tmp_path / f"t{t}.tif", stack, metadata={"axes": "ZYX"})
    position = open_movie(tmp_path).position("fov")
    assert position.shape == (2, 1, 6, 16, 24)
    np.testing.assert_array_equal(position.read(1, 0, 4), stacks[1, 4])
    for t, stack in enumerate(stacks):
        tifffile.imwrite(tmp_path / f"t{t}.tif", stack, metadata=None, photometric="minisblack")
    with pytest.raises(UsageError, match=r"axes are: T 2, I 6, Y 16, X 24; name them .* TZYX or TCYX"):
        open_movie(tmp_path)
    assert open_movie(tmp_path, MovieMetadata(axes="TCYX")).position("fov").shape == (2, 6, 1, 16, 24)
    with pytest.raises(UsageError, match=r"--axes ZYX: a file of .* has the axes I 6, Y 16, X 24"):
        open_movie(tmp_path, MovieMetadata(axes="ZYX"))


def test_a_frame_of_another_size_is_an_error(folder: Path):
    tifffile.imwrite(folder / "img_7.tif", MOVIE[7, :8])
    position = open_movie(folder).position("fov")
    with pytest.raises(DataError, match=r"img_7.tif is not like img_0.tif, .* Y 8, X 24, uint8, and the first Y 16"):
        position.read(7, 0, 0)
    (folder / "img_8.tif").unlink()
    with pytest.raises(DataError, match=r"cannot read .*img_8.tif: No such file"):
        position.read(8, 0, 0)


def test_a_store_is_opened_as_before_and_says_itself_what_it_is(tmp_path: Path):
    for version, place in (("0.4", ".zattrs"), ("0.5", "zarr.json")):
        path = write_image(tmp_path / f"{version}.ome.zarr", MOVIE[:, None, None], version=version)
        assert open_movie(path).description == f"OME-Zarr {version}, fov"
        with pytest.raises(UsageError, match=f"--interval: is for TIFF movies; .* in 'multiscales' of {place}"):
            open_movie(path, MovieMetadata(interval=5))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "movie.nd2",
            r"is a file; an OME-Zarr store is a directory; .*TIFF.* convert other formats .*'Get your data in'",
        ),
        ("movie.tif", r"movie.tif is no TIFF file, whatever its name says"),
        ("empty", r"is not an OME-Zarr store .*TIFF.*'Get your data in'"),
        ("nothing.tif", r"the movie .* does not exist"),
        ("empty/*.tif", r"no file matches"),
    ],
)
def test_the_error_for_something_else_names_the_ways(tmp_path: Path, name: str, message: str):
    (tmp_path / "empty").mkdir()
    for other in ("movie.nd2", "movie.tif"):
        (tmp_path / other).write_text("something else")
    with pytest.raises((DataError, UsageError), match=message) as raised:
        open_movie(tmp_path / name)
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(DataError, match="is a named pipe"):
        open_movie(tmp_path / "a.tif")


def test_names_files_folders_and_patterns_are_located(folder: Path):
    assert data.locate(folder, kind="movie") == folder
    assert data.resolve(folder / "img_0.tif", kind="movie") == folder / "img_0.tif"
    assert data.locate(folder / "*.tif", kind="movie") == folder / "*.tif"
    assert data.locate("demo_movie", kind="movie").name == "demo_movie.ome.zarr"
    with pytest.raises(UsageError, match=r"\*.png: no file matches this pattern"):
        data.locate(folder / "*.png", kind="movie")


def test_given_metadata_survive_arguments_and_json():
    given = MovieMetadata(axes="TYX", interval=2.5, pixel_size=(2.0, 0.5, 0.5))
    assert given.to_arguments() == ["--axes=TYX", "--interval=2.5", "--pixel-size=2.0,0.5,0.5"]
    assert MovieMetadata.from_json(given.to_json() | {"movie": "a.tif"}) == given
    assert MovieMetadata().to_json() == {}
    assert MovieMetadata.from_json({"axes": 5, "pixel_size": "x"}) == MovieMetadata()
    assert parse_pixel_size("2,0.5,0.5") == given.pixel_size
    with pytest.raises(UsageError, match="'2;5': give a number of micrometres"):
        parse_pixel_size("2;5")


def test_tifffile_does_not_log(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    tifffile.imwrite(tmp_path / "a.tif", MOVIE, metadata={"axes": "TYX"})
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.DEBUG), pytest.raises(DataError, match="damaged or incomplete"):
        open_movie(tmp_path / "a.tif")
    assert not caplog.records
