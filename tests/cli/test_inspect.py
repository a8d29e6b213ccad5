"""The command ``inspect``: its arguments, and the start of the page."""

from pathlib import Path

import pytest
from support.stores import phase, write_image

from image_translation.cli import inspect
from image_translation.cli.commands import main
from image_translation.explorer.presets import Presets
from image_translation.frame import Crop


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("movie") / "cells.ome.zarr", phase(6, (40, 52)))


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
    arguments = command[middle + 1 :]
    presets = Presets(
        str(tiny_checkpoint), str(movie), None, 2, 0, 3, ("a", "b c"), Crop(1, 2, 3, 4), "stem", None, "auto"
    )
    assert arguments == presets.to_arguments()
    assert "The page opens" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0:3"], "--frames is for files; add -o DIR"),
        (["--overwrite"], "--overwrite is for files; add -o DIR"),
        (["--z", "all"], "--z all: the page shows one plane"),
        (["-c", "demo_movie"], "demo_movie: is an OME-Zarr store, but a checkpoint is needed"),
        (["-o", "out"], "-o requires a checkpoint: give -c"),
        (["-o", "out", "-c", "demo_ckpt"], "-o requires a movie: give -m"),
        (
            ["-o", "out", "-c", "demo_ckpt", "-m", "demo_movie", "--port", "1"],
            "--port and --no-browser are for the page",
        ),
    ],
)
def test_options_of_the_page_and_of_files_exclude_each_other(
    caplog: pytest.LogCaptureFixture, arguments: list[str], message: str
) -> None:
    assert main(["inspect", *arguments]) == 2
    assert message in caplog.text


@pytest.mark.parametrize("crop", ["1,2,3", "0,0,0,5", "a,b,c,d", "-1,0,5,5"])
def test_invalid_crops_are_refused(crop: str) -> None:
    with pytest.raises(SystemExit):
        main(["inspect", "-c", "demo_ckpt", "-m", "demo_movie", "-o", "x", f"--crop={crop}"])
