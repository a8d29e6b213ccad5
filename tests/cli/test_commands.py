"""The command line: exit codes and messages, also as a process, and after a kill or Ctrl-C."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from support.figure_helpers import draw_no_figures
from support.stores import phase, write_image

from image_translation.cli import program
from image_translation.cli.commands import main
from image_translation.errors import UsageError
from image_translation.omezarr.selection import select_channel
from image_translation.omezarr.store import open_store
from image_translation.staining.journal import PARTIAL

SCRIPT = Path(__file__).parents[2] / "image_translation" / "part2_smoothing_cli.py"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["smooth"], "the following arguments are required: -c/--checkpoint, -m/--movie, -o/--output"),
        (["smooth", "-c", "a", "-m", "b", "-o", "c", "--window", "x"], "argument --window: invalid int value: 'x'"),
        (["smooth", "-c", "a", "-m", "b", "-o", "c", "--frames", "3"], "'3' is not START:STOP"),
        (["smooth", "-c", "a", "-m", "b", "-o", "c", "--meth", "raw"], "unrecognized arguments: --meth raw"),
        (["smooth", "-c", "a", "-m", "b", "-o", "c", "--precision", "fp8"], "choose from"),
        (["simulate", "-o", "x", "--size", "12"], "'12' is not HEIGHTxWIDTH"),
        (["blend"], "invalid choice: 'blend'"),
        (["blend\x1b[2J\n"], r"'blend\x1b[2J\n'"),
        (
            ["smooth", "-c", "a", "-m", "m\udce4", "-o", "c"],
            r"-m/--movie: 'm\udce4' is not valid in the encoding",
        ),
        (["simulate", "-o", "\udcc3\udca9"], r"argument -o/--output: '\udcc3\udca9' is not valid in the encoding"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert text in err


@pytest.mark.parametrize("module", ["image_translation", "image_translation.part2_smoothing_cli"])
def test_the_package_is_executable(module: str) -> None:
    arguments = ["--version"] if module == "image_translation" else ["--help"]
    result = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(
        "image-translation 0." if module == "image_translation" else "usage: image-translation"
    )


@pytest.mark.parametrize("scheduler", ["local", "local:", "local:0", "local:x", "10.0.0.5:8786", "", "local:-1"])
def test_a_scheduler_is_a_number_of_processes_or_an_address(
    scheduler: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["smooth", "-c", "demo_ckpt", "-m", "demo_movie", "-o", str(tmp_path), "--scheduler", scheduler]
    assert main(arguments) == 2
    assert f"--scheduler {scheduler}: must be local:N" in caplog.text


def test_a_scheduler_without_dask(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_translation.extras.find_spec", lambda name: None)
    arguments = ["smooth", "-c", "demo_ckpt", "-m", "demo_movie", "-o", str(tmp_path), "--scheduler", "local:2"]
    assert main(arguments) == 2
    assert "--scheduler local:2 needs distributed, which is not installed: uv sync --extra cluster" in caplog.text


def test_help_shows_every_option_and_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        main(["smooth", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    flags = """--checkpoint --movie --output --position --channel --z --frames --methods --window --savgol-window
        --savgol-polyorder --normalization --device --precision --batch-size --tta --overwrite --dry-run --verbose
        --skip --scheduler --backend --no-cache --head-pool"""
    for flag in flags.split():
        assert flag in out
    assert "(default: 11)" in out
    assert "default: True" not in out


def test_a_system_error_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert main(["simulate", "-o", str(tmp_path / "file" / "movie.zarr"), "--frames", "1"]) == 1
    assert "Not a directory" in caplog.text


def test_names_in_files_do_not_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    movie = write_image(tmp_path / "m.zarr", phase(2).repeat(2, axis=1), channels=("\x1b[2J", "b"))
    handler = program._LogHandler(sys.stderr)
    handler.handle(logging.makeLogRecord({"msg": "the channel \x1b[2J\x07 is\nblue"}))
    assert capsys.readouterr().err == "the channel \\x1b[2J\\x07 is\nblue\n"
    with pytest.raises(UsageError) as caught:
        select_channel(open_store(movie).position("fov"), "c")
    assert str(caught.value).isprintable()


def test_simulate_writes_the_requested_movie(tmp_path: Path) -> None:
    from image_translation.omezarr.store import open_store
    from image_translation.simulation.movie import Movie
    from image_translation.simulation.spec import MovieSpec

    path = tmp_path / "cells.ome.zarr"
    arguments = [
        "--size",
        "48x64",
        "--frames",
        "3",
        "--speed",
        "2",
        "--flicker",
        "3",
        "--density",
        "0.5",
        "--seed",
        "7",
    ]
    assert main(["simulate", "-o", str(path), *arguments]) == 0
    position = open_store(path).position("fov")
    assert position.channels == ("Phase3D", "Nuclei", "Membrane")
    movie = Movie(MovieSpec(shape=(48, 64), frames=3, speed=2, flicker=3, density=0.5, seed=7))
    for t in range(3):
        np.testing.assert_array_equal([position.read(t, c, 0) for c in range(3)], movie.frame(t))
    assert main(["simulate", "-o", str(path), "--frames", "1"]) == 2
    assert [child.name for child in tmp_path.iterdir()] == ["cells.ome.zarr"]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def wait_for_frames(output: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until the journal says that so many raw frames are on disk."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        notes = output / PARTIAL / "positions" / "fov" / "progress.json"
        if notes.exists() and json.loads(notes.read_text()).get("raw fov z0", 0) >= count:
            return
    raise AssertionError(f"the run ended before frame {count}: {process.communicate()}")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize(("version", "kill"), [("0.4", False), ("0.5", True)])
def test_kill_interrupt_and_resume(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, version: str, *, kill: bool
) -> None:
    movie = write_image(tmp_path / "in.zarr", phase(110, (64, 64)), version=version)
    arguments = ["-c", str(tiny_checkpoint), "-m", str(movie), "--batch-size", "3", "--device", "cpu"]
    arguments += ["--methods", "raw", "window", "savgol"]
    cut = [*arguments, "-o", str(tmp_path / "cut")]

    if kill:
        process = start(cut)
        wait_for_frames(tmp_path / "cut", 10, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert {path.name for path in (tmp_path / "cut").iterdir()} == {PARTIAL}

    process = start(cut)
    wait_for_frames(tmp_path / "cut", 60, process)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - asked < 2
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {PARTIAL}

    draw_no_figures(monkeypatch)
    assert main(["smooth", *cut]) == 0
    assert main(["smooth", *arguments, "-o", str(tmp_path / "whole")]) == 0
    for method in ("raw", "window", "savgol"):
        whole, resumed = (
            zarr.open_array(tmp_path / name / f"{method}.ome.zarr" / "0", mode="r")[:] for name in ("whole", "cut")
        )
        # One thread there and several here: the same but for the order of sums.
        np.testing.assert_allclose(resumed, whole, atol=1e-5)
    assert not (tmp_path / "cut" / PARTIAL).exists()
