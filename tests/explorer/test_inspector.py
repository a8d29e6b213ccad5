"""Looking inside: what is shown to the network, and what is written of it."""

import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stores import phase, write_image

from image_translation.cli import inspect
from image_translation.cli.commands import main
from image_translation.errors import DataError, UsageError
from image_translation.explorer.inspector import BlankFrameError, Inspector
from image_translation.explorer.options import InspectOptions
from image_translation.explorer.presets import Presets
from image_translation.explorer.stage_statistics import stage_changes
from image_translation.explorer.stage_tiles import stage_colours, tile_rows
from image_translation.frame import Crop
from image_translation.network.predictor import Predictor
from image_translation.omezarr.statistics import field_statistics
from image_translation.omezarr.store import open_store

STAGES = ["stem", "encoder 1", "encoder 2", "decoder 1", "head"]


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("movie") / "cells.ome.zarr", phase(6, (40, 52)))


@pytest.fixture(scope="module")
def inspector(tiny_checkpoint: Path) -> Inspector:
    return Inspector(str(tiny_checkpoint), device="cpu")


def test_the_network_is_shown_what_the_command_shows_it(inspector: Inspector, movie: Path, tiny_model: Any) -> None:
    position = open_store(movie).position("fov")
    view = inspector.look(position, 2, 0)
    image = position.read(2, 0, 0).astype(np.float64)
    whole = np.stack([position.read(t, 0, 0) for t in range(6)]).astype(np.float64)
    np.testing.assert_allclose(view.image[0], (image - whole.mean()) / whole.std(), rtol=0.05, atol=0.05)
    spec, network = tiny_model
    np.testing.assert_array_equal(
        view.prediction, Predictor(network, spec.stride, device="cpu").predict([view.image])[0]
    )
    assert list(view.features) == STAGES
    assert view.image_channels == ("Phase3D",)
    assert view.truth is None


def test_a_crop_is_normalised_as_part_of_the_field(inspector: Inspector, movie: Path) -> None:
    position = open_store(movie).position("fov")
    whole, part = inspector.look(position, 2, 0), inspector.look(position, 2, 0, crop=Crop(4, 8, 24, 20))
    np.testing.assert_array_equal(part.image, whole.image[:, 4:28, 8:28])
    assert part.prediction.shape == (2, 24, 20)


def test_what_is_not_there_is_said(inspector: Inspector, movie: Path, tmp_path: Path) -> None:
    position = open_store(movie).position("fov")
    for arguments, message in (
        ({"t": 6, "z": 0}, r"frame 6 is not in .*; it has 0 to 5"),
        ({"t": 0, "z": 1}, r"plane 1 is not in .*; it has 0 to 0"),
        ({"t": 0, "z": 0, "crop": Crop(20, 0, 24, 20)}, r"the crop \(20, 0, 24, 20\) .* is not in .*, 40 x 52"),
        ({"t": 0, "z": 0, "channels": ["Nuclei"]}, "--channel Nuclei is not in"),
        ({"t": 0, "z": 0, "channels": ["Phase3D", "Phase3D"]}, "takes 1 channels"),
    ):
        with pytest.raises(UsageError, match=message):
            inspector.look(position, **arguments)  # type: ignore[arg-type]
    frames = phase(3, (40, 52))
    frames[1] = 0
    blank = open_store(write_image(tmp_path / "blank.zarr", frames)).position("fov")
    with pytest.raises(DataError, match=r"frame 1 .* is blank"):
        inspector.look(blank, 1, 0)


def test_a_frame_that_cannot_be_read_spoils_no_other(inspector: Inspector, tmp_path: Path) -> None:
    frames = phase(3, (40, 52))
    path = write_image(tmp_path / "broken.zarr", frames)
    for t in range(3):
        chunk = next(one for one in (path / "0" / str(t)).rglob("0") if one.is_file())
        chunk.write_bytes(chunk.read_bytes()[:50])
        position = open_store(path).position("fov")
        with pytest.raises(DataError, match=f"cannot read frame {t}"):
            inspector.read(position, t, 0)
        if t < 2:
            assert inspector.read(position, 2, 0).image.std() == pytest.approx(1, abs=0.3)
    with pytest.raises(DataError, match="cannot read frame 0"):
        field_statistics(position, 0, "mean_std")


def test_the_change_of_the_input_and_of_every_stage_is_measured(inspector: Inspector, movie: Path) -> None:
    position = open_store(movie).position("fov")
    still = stage_changes(lambda _: inspector.look(position, 2, 0), range(3))
    assert list(still) == ["input", *STAGES]
    assert all(np.array_equal(values, [0, 0]) for values in still.values())
    moving = stage_changes(lambda t: inspector.look(position, t, 0), range(3))
    assert all((values > 0).all() for values in moving.values())


def test_a_blank_frame_leaves_a_gap(inspector: Inspector, movie: Path) -> None:
    position = open_store(movie).position("fov")

    def look(t: int) -> Any:
        if t in {0, 3}:
            raise BlankFrameError("blank")
        return inspector.look(position, t, 0)

    changes = stage_changes(look, range(6))
    for values in changes.values():
        np.testing.assert_array_equal(np.isfinite(values), [False, True, False, False, True])
    with pytest.raises(DataError, match="all frames"):
        stage_changes(lambda _: look(0), range(3))

    def corrupt(t: int) -> Any:
        raise DataError("a truncated chunk")

    with pytest.raises(DataError, match="a truncated chunk"):
        stage_changes(corrupt, range(3))


def test_equal_views_have_equal_colours(inspector: Inspector, movie: Path) -> None:
    position = open_store(movie).position("fov")
    one, other = inspector.look(position, 0, 0), inspector.look(position, 5, 0)
    colours = stage_colours([one, other])
    tiles = [[tile for _, row in tile_rows(view, colours, 0.5) for tile in row] for view in (one, other, one)]
    assert [tile.name for tile in tiles[0]] == ["input Phase3D", "prediction", *STAGES]
    assert [tile.pixel_size for tile in tiles[0]] == [0.5, 0.5, 1.0, 1.0, 2.0, 1.0, 0.5]
    for first, second, again in zip(*tiles, strict=True):
        np.testing.assert_array_equal(first.image, again.image)
        assert not np.array_equal(first.image, second.image)


@pytest.fixture
def command(tiny_checkpoint: Path, movie: Path, tmp_path: Path) -> list[str]:
    return ["inspect", "-c", str(tiny_checkpoint), "-m", str(movie), "-o", str(tmp_path / "out"), "--device", "cpu"]


def test_the_command_writes_pictures_and_numbers(
    command: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    assert main([*command, "--time", "1", "--compare", "4", "--stage", "encoder 2", "--crop", "0,0,40,40"]) == 0
    names = {"overview.png", "comparison.png", "change.png", "stage.png", "features.csv"}
    assert {path.name for path in out.iterdir()} == names
    with (out / "features.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == ["input", *STAGES]
    assert (rows[1]["channels"], rows[1]["height"], rows[-1]["pc3"]) == ("8", "20", "")
    assert all(float(row["change"]) > 0 for row in rows)
    assert main(command) == 2
    assert "overview.png exists; choose another -o, or replace it with --overwrite" in caplog.text
    assert main([*command, "--overwrite", "--stage", "encoder 9"]) == 2
    assert "--stage encoder 9: the stages are stem, encoder 1" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "4:9"], "--frames 4:9 is not in"),
        (["--frames", "4:2"], "--frames 4:2 holds no frame"),
        (["--time", "-1"], "frame -1 is not in"),
        (["--position", "B/1/1"], "B/1/1"),
        (["--device", "abacus"], "abacus"),
        (["-m", "pretrained_ckpt"], "pretrained_ckpt: is a checkpoint, and a movie is needed"),
    ],
)
def test_wrong_arguments_are_answered_before_the_network_is_loaded(
    command: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], message: str
) -> None:
    assert main([*command, *arguments]) == 2
    (error,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert message in error
    assert "loading the network" not in caplog.text
    assert not (tmp_path / "out").exists()


def test_without_an_output_the_page_is_opened(
    tiny_checkpoint: Path, movie: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(inspect.os, "execv", lambda _, command: started.append(command))
    monkeypatch.setattr(inspect.subprocess, "call", lambda _: 0)
    given = [
        "--time",
        "2",
        "--z",
        "0",
        "--channel",
        "a",
        "b c",
        "--crop",
        "1,2,3,4",
        "--stage",
        "stem",
        "--compare",
        "3",
    ]
    with pytest.raises(SystemExit):
        main(["inspect", "-c", str(tiny_checkpoint), "-m", str(movie), *given, "--port", "2718", "--no-browser"])
    (command,) = started
    middle = command.index("--")
    assert command[1:middle] == ["-m", "marimo", "-y", "run", str(inspect.PAGE), "--port", "2718", "--headless"]
    assert inspect.PAGE.exists()
    words = command[middle + 1 :]
    presets = Presets(
        str(tiny_checkpoint), str(movie), None, 2, 0, 3, ("a", "b c"), Crop(1, 2, 3, 4), "stem", None, "auto"
    )
    assert words == presets.words()
    assert "The page opens" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0:3"], "--frames is for pictures in a directory: add -o DIR"),
        (["--overwrite"], "--overwrite is for pictures in a directory: add -o DIR"),
        (["--z", "all"], "--z all: the page shows one plane"),
        (["-c", "demo_movie"], "demo_movie: is an OME-Zarr store, and a checkpoint is needed"),
        (["-o", "out"], "-o needs a checkpoint, too: -c"),
        (["-o", "out", "-c", "demo_ckpt"], "-o needs a movie, too: -m"),
        (
            ["-o", "out", "-c", "demo_ckpt", "-m", "demo_movie", "--port", "1"],
            "--port and --no-browser are for the page",
        ),
    ],
)
def test_what_belongs_to_the_page_and_what_to_pictures(
    caplog: pytest.LogCaptureFixture, arguments: list[str], message: str
) -> None:
    assert main(["inspect", *arguments]) == 2
    assert message in caplog.text


@pytest.mark.parametrize("crop", ["1,2,3", "0,0,0,5", "a,b,c,d", "-1,0,5,5"])
def test_crops_that_are_none_are_refused(crop: str) -> None:
    with pytest.raises(SystemExit):
        main(["inspect", "-c", "demo_ckpt", "-m", "demo_movie", "-o", "x", f"--crop={crop}"])


def test_options_are_checked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        InspectOptions("demo_ckpt", "demo_movie", tmp_path / "file").check()
