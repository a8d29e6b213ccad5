"""The script that writes data/figs: its arguments and outputs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import published
from support.loopback_server import LoopbackServer
from support.stores import phase, write_image

from image_translation import data, part2_smoothing_script
from image_translation.data import registry
from image_translation.part2_smoothing_script import main
from image_translation.staining import task

SCRIPT = Path(part2_smoothing_script.__file__)


def test_help_as_a_process_needs_no_heavy_libraries() -> None:
    code = f"""import runpy, sys
sys.argv[1:] = ["--help"]
try:
    runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
except SystemExit as stop:
    assert stop.code == 0
print([name for name in ("torch", "viscy", "matplotlib", "numpy", "zarr") if name in sys.modules])"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
    for flag in ("--demo", "--checkpoint", "--movie", "--output", "--results", "--methods", "--frames", "data/figs"):
        assert flag in result.stdout


def test_without_arguments_the_error_suggests_demo(
    caplog: pytest.LogCaptureFixture, monkeypatch: Any, tmp_path: Path
) -> None:
    with LoopbackServer() as server:
        items = [published.checkpoint("pretrained_ckpt"), published.directory("movie")]
        own = published.write_registry(tmp_path / "registry.toml", server.url, items)
    monkeypatch.setattr(registry, "BUILT_IN", own)
    monkeypatch.setenv(data.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main([]) == 1
    assert f"pretrained_ckpt cannot be fetched: {server.url}/tiny.ckpt: Connection refused" in caplog.text
    assert "Or use --demo, which needs no download." in caplog.text
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--methods", "blur"], "--methods blur: allowed are raw, "),
        (["--frames", "4:2"], "--frames 4:2 holds no frame"),
        (["-c", "no/such.ckpt"], "no/such.ckpt: no such file or directory"),
        (["-o", "movie.zarr/figs"], "-o movie.zarr/figs: lies inside the movie"),
        (["-o", "mine"], "-o mine: holds paper.pdf, which is no figure"),
        (["-o", "out", "--results", "out"], "must not hold the results out"),
        (["-o", "out/figs", "--results", "out"], "must not hold the results out, nor lie inside them"),
        (["-o", "out", "--results", "out/results"], "must not hold the results out/results"),
    ],
)
def test_wrong_usage_is_reported_before_anything_is_done(
    arguments: list[str], text: str, caplog: pytest.LogCaptureFixture, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "movie.zarr", phase(3))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "paper.pdf").write_text("somebody's")
    assert main(["--demo", "-m", "movie.zarr", *arguments]) == 2
    assert text in caplog.text
    assert {path.name for path in tmp_path.iterdir()} == {"movie.zarr", "mine"}


def test_wrong_arguments_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--frames", "3"])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_figures_are_copied_and_results_are_reused(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "movie.ome.zarr", phase(4))
    arguments = ["-c", str(tiny_checkpoint), "-m", "movie.ome.zarr", "--methods", "raw", "window", "--device", "cpu"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "data/figs"
    assert "raw" in out
    names = {path.name for path in (tmp_path / "data" / "figs").iterdir()}
    assert {"Nuclei_combined.png", "Membrane_combined.png", "corrcoef.png", "comparison.mp4", "report.html"} <= names
    (results,) = (tmp_path / "data" / "smoothed").iterdir()
    assert results.name.startswith("movie-")
    assert {"raw.ome.zarr", "window.ome.zarr", "metrics.csv", "figures"} <= {path.name for path in results.iterdir()}

    def compute(*arguments: Any, **options: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(task, "stain", compute)
    (tmp_path / "data" / "figs" / "report.html").write_text("old")
    assert main(arguments) == 0
    assert {path.name for path in (tmp_path / "data" / "figs").iterdir()} == names
    assert "<!DOCTYPE html>" in (tmp_path / "data" / "figs" / "report.html").read_text()
    assert [path.name for path in (tmp_path / "data").iterdir()].count("figs") == 1
    with pytest.raises(AssertionError, match="computed again"):
        main([*arguments, "--frames", "1:3"])
