"""The course notebook: it agrees with its text version, has its outputs, and runs from top to bottom."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from image_translation.data.lookup import CACHE_VARIABLE

ROOT = Path(__file__).parents[1]
NOTEBOOK, TEXT = ROOT / "exercise.ipynb", ROOT / "exercise.py"
SMALLER = {"STEPS": 2, "FRAMES": 2, "STRENGTHS": 2}


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def cells(notebook):
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def test_text_version_agrees_with_notebook(notebook):
    assert cells(jupytext.read(TEXT)) == cells(notebook)


def test_notebook_has_its_outputs(notebook):
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    images = [output for output in outputs if {"image/png", "image/jpeg"} & {*output.get("data", {})}]
    assert len(images) >= 12
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert NOTEBOOK.stat().st_size < 6e6


def test_outputs_contain_no_local_paths(notebook):
    outputs = [str(output.get("text", "")) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not re.search(r"/(home|root|tmp|Users|work)/", "".join(outputs))


def test_every_question_has_a_hidden_answer(notebook):
    text = "\n".join(source for kind, source in cells(notebook) if kind == "markdown")
    questions = re.findall(r"\*\*Question (\d+)\.\*\*", text)
    assert questions == [str(number) for number in range(1, len(questions) + 1)]
    assert text.count("<details><summary>Answer</summary>") == text.count("</details>") == len(questions)


def test_notebook_defines_no_functions_or_classes(notebook):
    code = "\n".join(source for kind, source in cells(notebook) if kind == "code")
    assert not re.search(r"^\s*(def|class) ", code, re.MULTILINE)


@pytest.mark.slow
def test_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    notebook = jupytext.read(TEXT)
    (settings,) = [cell for cell in notebook.cells if "settings" in cell.metadata.get("tags", [])]
    for name, value in SMALLER.items():
        settings.source, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", settings.source, flags=re.MULTILINE)
        assert count == 1
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    assert (tmp_path / "data" / "exercise" / "small" / "scores" / "scores.csv").exists()
