"""Fixtures of complete runs with a random network, without figures unless a test requests them."""

from pathlib import Path
from typing import Any

import pytest

from image_translation.cli.commands import main
from image_translation.staining import run as run_module


@pytest.fixture
def draw_figures() -> None:
    """Requested by tests that need figures, which take longer than everything else."""


@pytest.fixture(autouse=True)
def _skip_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw_nothing(*arguments: Any, **_: Any) -> None:
        arguments[-1].mkdir()
        (arguments[-1] / "nothing.png").write_text("")

    if "draw_figures" not in request.fixturenames:
        monkeypatch.setattr(run_module, "write_figures", draw_nothing)


@pytest.fixture
def run(tiny_checkpoint: Path, tmp_path: Path) -> Any:
    """Run the command on a movie; return its exit code."""

    def run(movie: Path, *options: object, output: Path = tmp_path / "out") -> int:
        arguments = ["smooth", "-c", tiny_checkpoint, "-m", movie, "-o", output, "--device", "cpu", *options]
        return main([str(argument) for argument in arguments])

    return run
