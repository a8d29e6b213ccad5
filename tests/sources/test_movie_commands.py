"""The commands on TIFF movies: the results are those of the same movie as OME-Zarr, and it may grow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from support.checkpoints import needs_viscy
from support.figure_helpers import draw_no_figures
from support.runs import pixels, snapshot
from support.stores import phase, write_image

from image_translation.cli.commands import main
from image_translation.evaluation.options import EvaluationOptions
from image_translation.explorer.options import InspectOptions
from image_translation.network.predictor import Predictor
from image_translation.omezarr.store import open_store
from image_translation.staining.options import SmoothOptions
from image_translation.training.options import TrainOptions

MOVIE = (1000 * phase(frames=9, size=(48, 64)) + 3000).astype(np.uint16)[:, 0, 0]  # T, Y, X
SECONDS, MICROMETRES = 300.0, 0.5
GIVEN = ("--axes", "TYX", "--interval", "300", "--pixel-size", "0.5")

Run = Callable[..., Path]


def write_frames(folder: Path, frames: np.ndarray, start: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    for t, frame in enumerate(frames, start):
        tifffile.imwrite(folder / f"img_t{t}.tif", frame)
    return folder


@pytest.fixture
def smooth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command without its figures; return the directory of the results."""
    draw_no_figures(monkeypatch)

    def run(movie: object, *options: str, output: str = "out", code: int = 0) -> Path:
        path = tmp_path / output
        command = ["smooth", "-c", "demo_ckpt", "-m", str(movie), "-o", str(path), "--methods", "raw", "motion"]
        assert main([*command, "--device", "cpu", *options]) == code
        return path

    return run


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images that the network gets, call by call."""
    numbers: list[int] = []
    predict = Predictor.start
    monkeypatch.setattr(Predictor, "start", lambda self, images: numbers.append(len(images)) or predict(self, images))
    return numbers


def test_pixels_and_scales_are_those_of_the_same_movie_as_ome_zarr(tmp_path: Path, smooth: Run) -> None:
    units = {"t": "second", "y": "micrometer", "x": "micrometer"}
    store = write_image(
        tmp_path / "movie.ome.zarr", MOVIE[:, None, None], channels=None,
        scale=(SECONDS, 1, 1, MICROMETRES, MICROMETRES), units=units,
    )  # fmt: skip
    expected = smooth(store, output="zarr")
    imagej, plain = tmp_path / "imagej.tif", tmp_path / "plain.tif"
    metadata = {"axes": "TYX", "unit": "um", "finterval": SECONDS}
    tifffile.imwrite(imagej, MOVIE, imagej=True, resolution=(1 / MICROMETRES,) * 2, metadata=metadata)
    tifffile.imwrite(plain, MOVIE, photometric="minisblack", metadata=None, compression="lzw")
    frames = write_frames(tmp_path / "frames", MOVIE)
    for number, (movie, options) in enumerate([(imagej, ()), (plain, GIVEN), (frames / "*_t*.tif", GIVEN)]):
        output = smooth(movie, *options, output=str(number))
        for method in ("raw", "motion"):
            name = f"{method}.ome.zarr"
            found, wanted = (snapshot(directory / name) for directory in (output, expected))
            found.pop(".zattrs"), wanted.pop(".zattrs")  # whose provenance names the movie
            assert found == wanted
            images = [open_store(directory / name).position("fov") for directory in (output, expected)]
            assert images[0].levels == images[1].levels
            assert images[0].units == images[1].units


@pytest.mark.parametrize("kind", ["a folder", "a file"])
def test_of_a_movie_that_has_grown_only_the_new_frames_are_stained(
    kind: str, tmp_path: Path, smooth: Run, predicted: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    def write(count: int) -> Path:
        if kind == "a folder":
            return write_frames(tmp_path / "frames", MOVIE[:count])
        tifffile.imwrite(tmp_path / "movie.tif", MOVIE[:count], imagej=True, metadata={"axes": "TYX"})
        return tmp_path / "movie.tif"

    before = pixels(smooth(write(8)), "raw")
    predicted.clear()
    output = smooth(write(9))
    assert sum(predicted) == 1
    assert "1 of 9 frames are new" in caplog.text
    np.testing.assert_array_equal(pixels(output, "raw")[:8], before)
    predicted.clear()
    smooth(write(9))
    assert not predicted


def test_a_frame_that_is_replaced_is_stained_again(tmp_path: Path, smooth: Run, predicted: list[int]) -> None:
    frames = write_frames(tmp_path / "frames", MOVIE)
    smooth(frames)
    predicted.clear()
    tifffile.imwrite(frames / "img_t4.tif", MOVIE[4] + 1)
    smooth(frames)
    assert sum(predicted) == 1


def test_what_is_given_is_part_of_the_request(tmp_path: Path, smooth: Run, caplog: pytest.LogCaptureFixture) -> None:
    movie = tmp_path / "movie.tif"
    tifffile.imwrite(movie, MOVIE, photometric="minisblack", metadata=None)
    output = smooth(movie, *GIVEN)
    source = open_store(output / "raw.ome.zarr").position("fov").attributes["image_translation"]["request"]["input"]
    assert Path(source["movie"]).name == "movie.tif"
    assert {key: source[key] for key in ("axes", "interval", "pixel_size")} == {
        "axes": "TYX", "interval": 300.0, "pixel_size": [0.5]
    }  # fmt: skip
    smooth(movie, *GIVEN, "--interval", "60", code=2)
    assert "input.interval: 300.0 there, 60.0 now" in caplog.text
    assert main(["evaluate", str(output / "raw.ome.zarr"), "--phase", str(movie), *GIVEN]) == 0


def test_results_are_not_written_into_the_movie(tmp_path: Path, smooth: Run, caplog: pytest.LogCaptureFixture) -> None:
    frames = write_frames(tmp_path / "frames", MOVIE[:2])
    smooth(frames, output="frames/out", code=2)
    assert "lies inside the movie" in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        lambda **given: SmoothOptions("demo_ckpt", "demo_movie", Path("out"), **given),
        lambda **given: InspectOptions("demo_ckpt", "demo_movie", Path("out"), **given),
        lambda **given: EvaluationOptions((Path("demo_movie"),), **given),
        pytest.param(
            lambda **given: TrainOptions("demo_movie", ("Phase3D",), ("Nuclei",), Path("out"), **given),
            marks=needs_viscy,
        ),
    ],
    ids=["smooth", "inspect", "evaluate", "train"],
)
def test_impossible_metadata_are_refused_before_anything_is_read(options: Any) -> None:
    from image_translation.errors import UsageError

    options(axes="TYX", interval=1.0, pixel_size=(1.0,)).check()
    for given, flag in (
        ({"axes": "XY"}, "--axes"),
        ({"interval": -1.0}, "--interval"),
        ({"pixel_size": ()}, "--pixel"),
    ):
        with pytest.raises(UsageError, match=flag):
            options(**given).check()


def test_inspect_reads_the_frames_of_a_tiff(tmp_path: Path) -> None:
    from image_translation.explorer.export import make_plan

    write_frames(tmp_path / "frames", MOVIE[:2])
    options = InspectOptions("demo_ckpt", str(tmp_path / "frames/*.tif"), tmp_path, time=1, device="cpu", axes="TYX")
    plan = make_plan(options)
    assert plan.frames == range(2)
    np.testing.assert_array_equal(plan.position.read(1, 0, 0), MOVIE[1])
    assert plan.inputs[1].image.shape[-2:] == MOVIE.shape[1:]
