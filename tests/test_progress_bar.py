"""Progress on stderr: one bar on a terminal, few lines elsewhere, and a first line before the heavy libraries."""

import logging
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from support.checkpoints import needs_viscy

from image_translation import progress_bar
from image_translation.progress_bar import ProgressBar, above_bar


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_each_part_is_one_line(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 0.0, 10.0, 31.0, 31.0, 50.0, 60.0])
    monkeypatch.setattr(progress_bar, "monotonic", lambda: next(now))
    with caplog.at_level(logging.INFO), ProgressBar(20, "staining", count=10) as bar:
        for _ in range(3):
            bar.update(3)
        bar.begin("drawing figures")
        bar.update(11)
    assert caplog.messages == ["staining: 10 frames", "staining: 45 %", "drawing figures"]
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_one_bar_and_messages_are_above_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with caplog.at_level(logging.INFO), ProgressBar(20, "staining") as bar:
        bar.update(10)
        with above_bar():
            terminal.write("a message\n")
        bar.begin("drawing figures")
        bar.update(10)
    assert caplog.messages == []
    shown = terminal.getvalue()
    assert "\ra message\n" in shown  # the bar was cleared first
    assert "drawing figures: 100%" in shown.splitlines()[-1]


@needs_viscy
def test_commands_say_what_they_do_before_heavy_libraries_are_imported(tmp_path: Path) -> None:
    program = """
import sys
sys.modules.update(dict.fromkeys(["torch", "zarr", "iohub", "tensorstore", "matplotlib"]))  # their import fails
from image_translation.cli import main
from image_translation.part2_smoothing_script import main as script
for number, arguments in enumerate((
    ["smooth", "-c", "demo_ckpt", "-m", "demo_movie", "-o", "out"],
    ["demo", "-o", "out"],
    ["evaluate", "."],
    ["inspect", "-c", "demo_ckpt", "-m", "demo_movie", "-o", "out"],
    ["train", "simulated", "--source", "Phase3D", "--target", "Nuclei", "-o", "out"],
    ["simulate", "-o", "out/a.zarr"],
    ["--demo", "-o", "out/figures"],
)):
    try:
        (script if number == 6 else main)(arguments)
    except ImportError as error:
        print("and then", error.name, file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = result.stderr.splitlines()
    assert len(lines) == 14, result.stderr
    for said, failed in zip(lines[::2], lines[1::2], strict=True):
        assert said.startswith(("image-translation: loading PyTorch", "image-translation: loading the simulation"))
        assert failed.startswith("and then")
