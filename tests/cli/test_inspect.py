"""The command ``inspect``: its arguments, and the start of the page."""

import socket
from pathlib import Path
from typing import Any

import pytest
from support.stores import phase, write_image

from image_translation.cli.commands import main
from image_translation.explorer.presets import Presets
from image_translation.explorer.server import PageServer
from image_translation.frame import Crop


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("movie") / "cells.ome.zarr", phase(6, (40, 52)))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Address, notebook, arguments, and whether a browser is opened, of each page that would be served."""
    pages: list[tuple[Any, ...]] = []

    def record(server: PageServer, notebook: Path, arguments: list[str], *, browser: bool) -> None:
        pages.append((server.address, notebook, arguments, browser))
        server.listener.close()

    monkeypatch.setattr(PageServer, "run", record)
    return pages


def test_without_an_output_the_page_is_opened(
    tiny_checkpoint: Path, movie: Path, served: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert main(["inspect", "-c", str(tiny_checkpoint), "-m", str(movie), *given, "--no-browser"]) == 0
    assert main(["inspect", "--no-token"]) == 0
    (address, notebook, arguments, browser), (open_address, *_, open_browser) = served
    assert notebook.exists()
    presets = Presets(
        str(tiny_checkpoint), str(movie), None, 2, 0, 3, ("a", "b c"), Crop(1, 2, 3, 4), "stem", None, "auto"
    )
    assert arguments == presets.to_arguments()
    assert (browser, open_browser) == (False, True)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"Press Ctrl-C to stop the page at {address}"
    assert "?access_token=" in address
    assert said[1] == f"Press Ctrl-C to stop the page at {open_address}"
    assert "access_token" not in open_address
    assert said[2].startswith("It asks for no token: every user of this machine")


@pytest.mark.parametrize("port", ["-1", "65536", "99999", "abc", "2718.0", ""])
def test_invalid_ports_are_refused(
    port: str, served: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["inspect", "--port", port])
    (line,) = capsys.readouterr().err.splitlines()
    assert f"argument --port: '{port}' is not a port; give a number from 1 to 65535, or leave it out" in line
    assert served == []


def test_a_port_in_use_is_refused(caplog: pytest.LogCaptureFixture, served: list[tuple[Any, ...]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert main(["inspect", "--port", str(port)]) == 1
    assert f"--port {port}: in use at 127.0.0.1" in caplog.text
    assert served == []


@pytest.mark.parametrize("files", [[], ["-o", "out"]])
def test_a_device_that_is_not_there_is_refused_before_anything_is_read(
    files: list[str], movie: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, served: list[tuple[Any, ...]]
) -> None:
    (tmp_path / "broken.zarr").mkdir()
    files = [str(tmp_path / name) if name == "out" else name for name in files]
    asked = ["-c", "demo_ckpt", "-m", str(tmp_path / "broken.zarr"), "--device", "cuda:99"]
    assert main(["inspect", *asked, *files]) == 2
    assert main(["smooth", "-c", "demo_ckpt", "-m", str(movie), "-o", str(tmp_path / "o"), *asked[-2:]]) == 2
    first, second = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert first == second
    assert "--device cuda:99: not available here; choose auto or one of" in first
    assert served == []


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
            "--port is for the page",
        ),
        (["-o", "out", "-c", "demo_ckpt", "-m", "demo_movie", "--no-token"], "--no-token is for the page"),
        (["--no-token", "--host", "0.0.0.0"], "--no-token with --host 0.0.0.0"),
        (["--host", "no-such-host.invalid"], "--host no-such-host.invalid: unknown"),
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
