"""The command ``inspect -o``: its plan, and the files it writes."""

import csv
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.stores import phase, write_image

from image_translation.cli.commands import main
from image_translation.errors import DataError, UsageError
from image_translation.explorer.export import make_plan, write_inspection
from image_translation.explorer.inspector import Inspector
from image_translation.explorer.options import InspectOptions
from image_translation.omezarr.store import open_store

STAGES = ["stem", "encoder 1", "encoder 2", "decoder 1", "head"]


@pytest.fixture
def command(tiny_checkpoint: Path, movie: Path, tmp_path: Path) -> list[str]:
    return ["inspect", "-c", str(tiny_checkpoint), "-m", str(movie), "-o", str(tmp_path / "out"), "--device", "cpu"]


def test_the_command_writes_figures_and_a_table(
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
    assert "--stage encoder 9: no such stage; choose one of stem, encoder 1" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "4:9"], "--frames 4:9 is not in"),
        (["--frames", "4:2"], "--frames 4:2 holds no frame"),
        (["--time", "-1"], "frame -1 is not in"),
        (["--position", "B/1/1"], "B/1/1"),
        (["--device", "abacus"], "abacus"),
        (["-m", "pretrained_ckpt"], "pretrained_ckpt: is a checkpoint, but a movie is needed"),
    ],
)
def test_invalid_arguments_are_reported_before_the_network_is_loaded(
    command: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], message: str
) -> None:
    assert main([*command, *arguments]) == 2
    (error,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert message in error
    assert "loading the network" not in caplog.text
    assert not (tmp_path / "out").exists()


def test_a_plan_holds_what_is_to_be_run_and_writes_nothing(tiny_checkpoint: Path, movie: Path, tmp_path: Path) -> None:
    options = InspectOptions(str(tiny_checkpoint), str(movie), tmp_path / "out", time=4, compare=1, device="cpu")
    plan = make_plan(options)
    assert list(plan.inputs) == [4, 1]
    assert plan.frames == range(6)
    assert plan.title == f"{tiny_checkpoint.name} on {movie.name}, fov z0"
    assert not options.output.exists()
    assert write_inspection(plan) == options.output / "overview.png"


def test_a_movie_that_does_not_change_has_no_figure_of_change(
    tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_image(tmp_path / "still.zarr", np.repeat(phase(1, (40, 52)), 3, axis=0))
    options = InspectOptions(str(tiny_checkpoint), str(path), tmp_path / "out", device="cpu")
    options.output.mkdir()
    (options.output / "change.png").touch()  # of an earlier run
    write_inspection(make_plan(options))
    assert "frames 0 to 2 do not change: change.png is not written" in caplog.text
    assert {one.name for one in options.output.iterdir()} == {"overview.png", "features.csv"}


def test_blank_frames_are_reported_by_the_plan(tiny_checkpoint: Path, tmp_path: Path) -> None:
    frames = phase(5, (40, 52))
    frames[2:] = 0
    path = write_image(tmp_path / "blank.zarr", frames)

    def plan(time: int, start: int, stop: int) -> None:
        options = InspectOptions(
            str(tiny_checkpoint), str(path), tmp_path / "out", time=time, frames=(start, stop), device="cpu"
        )
        make_plan(options)

    plan(0, 1, 5)
    with pytest.raises(DataError, match="all frames whose change is to be measured are blank"):
        plan(0, 2, 5)
    with pytest.raises(DataError, match=r"frame 3 .* is blank"):
        plan(3, 0, 5)


def test_several_positions_or_planes_need_a_choice(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = write_image(tmp_path / "deep.zarr", np.repeat(phase(2, (40, 52)), 2, axis=2))
    with pytest.raises(UsageError, match="--z all: only one plane can be inspected"):
        make_plan(InspectOptions(str(tiny_checkpoint), str(path), tmp_path / "out", z="all", device="cpu"))


def test_pixels_unlike_those_of_the_training_are_told(
    tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "tiny.ckpt"
    shutil.copy(tiny_checkpoint, checkpoint)
    units = dict.fromkeys("zyx", "micrometer")
    path = write_image(tmp_path / "in.zarr", phase(2, (40, 52)), scale=(1, 1, 1, 0.5, 0.5), units=units)
    position = open_store(path).position("fov")
    assert Inspector(str(checkpoint), device="cpu").pixel_size_note(position) is None
    Path(f"{checkpoint}.json").write_text('{"pixel_size": [null, 0.25, 0.25]}')
    note = Inspector(str(checkpoint), device="cpu").pixel_size_note(position)
    assert note
    assert "trained with pixels of 0.25 x 0.25 um (y, x), and those of the movie are 0.5 x 0.5 um (y, x)" in note
    assert "smooth --resample" in note
    make_plan(InspectOptions(str(checkpoint), str(path), tmp_path / "out", device="cpu"))
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [note]
