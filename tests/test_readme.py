"""The commands and examples of README and docs work."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from image_translation import part2_smoothing_script
from image_translation.cli import commands
from image_translation.data.lookup import CACHE_VARIABLE
from image_translation.metrics.rows import read_csv

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PREFIXES = {
    "image-translation": [],
    "python image_translation/part2_smoothing_cli.py": ["smooth"],
    "uv run image-translation": [],
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def shown_commands() -> list[list[str]]:
    found = []
    for line in "".join(blocks("sh")).splitlines():
        for prefix, command in PREFIXES.items():
            if line.startswith(f"{prefix} "):
                found.append(command + shlex.split(line.removeprefix(prefix)))
    return found


def test_commands_are_parsed() -> None:
    assert len(shown_commands()) >= 5
    for command in shown_commands():
        assert callable(commands.make_parser().parse_args(command).run)
    script = "python image_translation/part2_smoothing_script.py"
    shown = [line for line in "".join(blocks("sh")).splitlines() if line.startswith(script)]
    assert shown
    for line in shown:
        part2_smoothing_script._parser().parse_args(shlex.split(line.removeprefix(script)))


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_commands_of_the_docs_are_parsed(path: Path) -> None:
    text = "".join(re.findall(r"```sh\n(.*?)```", path.read_text(), flags=re.DOTALL)).replace("\\\n", " ")
    for line in text.splitlines():
        command = re.match(r"(?:srun |uv run )?image-translation (.*)", line)
        if command:
            assert callable(commands.make_parser().parse_args(shlex.split(command[1], comments=True)).run)


def test_the_exercise_can_be_opened() -> None:
    (line,) = [line for line in "".join(blocks("sh")).splitlines() if "jupyter" in line]
    assert line == "uv run jupyter lab exercise.ipynb"
    assert (ROOT / "exercise.ipynb").is_file()
    assert find_spec("jupyterlab")


def test_the_notebook_exists() -> None:
    (line,) = [line for line in "".join(blocks("sh")).splitlines() if line.startswith("marimo ")]
    assert line == "marimo edit image_translation/part1_inspection_widget.py"
    assert (ROOT / line.split()[-1]).is_file()


def test_linked_files_exist() -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    assert {"CONTRIBUTING.md", "LICENSE", "docs/metrics.md", "docs/explorer.jpg"} <= set(links)
    for link in links:
        assert (ROOT / link).exists(), link


@pytest.mark.slow
def test_the_demo_and_the_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], network_class: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    for _ in range(2):  # the second run replaces what the first one made
        assert commands.main(["demo"]) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[-2:] == ["figures: data/demo/figures", "data/demo"]
        assert any(line.startswith("over_smoothing") for line in out)
    rows = read_csv(tmp_path / "data" / "demo" / "metrics.csv")
    for channel in ("Nuclei", "Membrane"):
        values = [
            row.value for row in rows if (row.method, row.channel, row.metric) == ("raw", channel, "pearson_truth")
        ]
        assert sum(values) / len(values) > 0.8
    namespace: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, namespace)
    assert namespace["nuclei"].shape == (32, 320, 320)
    assert {row.method for row in namespace["rows"]} == {"truth", "phase", "raw", "savgol"}
