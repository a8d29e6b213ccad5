"""The commands and examples of README and docs work, one after the other, as a reader would type them."""

import re
import shlex
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from support.figure_helpers import empty_training_figures

from image_translation import part2_smoothing_script
from image_translation.cli import commands
from image_translation.data import resolve_checkpoint
from image_translation.data.lookup import CACHE_VARIABLE
from image_translation.data.simulated import simulated_positions, write_simulated_movie, write_simulated_plate
from image_translation.metrics.rows import read_csv
from image_translation.simulation.spec import MovieSpec
from image_translation.staining import run as run_module

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = (README, *sorted((ROOT / "docs").glob("*.md")))
SHAKING = MovieSpec(shape=(192, 192), frames=12, stage_jitter=1.0)
FIELD = MovieSpec(shape=(192, 192), frames=2)


def frames() -> np.ndarray:
    """Return the phase of a movie that is no OME-Zarr, (T, Y, X) uint8."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (4, 96, 96), np.uint8)  # four, because savgol is left out of short movies


def write_frames(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for t, frame in enumerate(frames()):
        tifffile.imwrite(folder / f"a_t{t}.tif", frame)


# What a reader puts in the place of a name in capitals, or has already.
READERS_OWN: dict[str, Callable[[Path], object]] = {
    "CHECKPOINT": lambda path: shutil.copy(resolve_checkpoint("demo_ckpt"), path),
    "MOVIE.ome.zarr": lambda path: write_simulated_movie(SHAKING, path),
    "TRUTH.ome.zarr": lambda path: write_simulated_movie(SHAKING, path),
    "PLATE.ome.zarr": lambda path: write_simulated_plate(simulated_positions(FIELD, 2), path),
    "mine.ome.zarr": lambda path: shutil.copytree("data/demo/motion.ome.zarr", path),
    "RESULTS": lambda path: smooth("MOVIE.ome.zarr", path),
    "raw.ome.zarr": lambda path: shutil.copytree("RESULTS/raw.ome.zarr", path),
    "a.ome.zarr": lambda path: shutil.copytree("RESULTS/motion.ome.zarr", path),
    "b.ome.zarr": lambda path: shutil.copytree("RESULTS/window.ome.zarr", path),
    "movie.tif": lambda path: tifffile.imwrite(path, frames(), imagej=True, metadata={"axes": "TYX"}),
    "plain.tif": lambda path: tifffile.imwrite(path, frames(), photometric="minisblack", metadata=None),
    "frames": write_frames,
    "frames/*_t*.tif": lambda path: write_frames(path.parent),
    "movie.ome.zarr": lambda path: shutil.copytree("MOVIE.ome.zarr", path),
}
# Commands that take long do less; the last value of an option counts.
LESS = {
    "simulate": ["--size", "64x64", "--frames", "3"],
    "train": [
        "--steps",
        "2",
        "--round",
        "2",
        "--patch",
        "192",
        "--batch-size",
        "1",
        "--size",
        "small",
        "--workers",
        "0",
    ],
}
NOT_RUN = {
    r"pip install|uv (sync|venv|pip)|uvx|source|nix develop": "changes the environment, or makes another",
    r"uv run pytest|uv run ruff|uv run pre-commit|uv run python -m benchmarks": "development, tested by doing it",
    r"uv run jupyter": "an editor; its notebook is tested by itself",
    r"uv run napari": "opens a window; the plugin is tested in one",
    r"marimo|image-translation inspect(?!.* -o )": "serves a page, which is tested in a browser",
    r"image-translation fetch \w|dask ssh|ssh|curl|.*tcp://": "needs the network",
    r"tar|md5sum|read|./upload_zenodo.sh|#SBATCH": "tested with the guide to publishing",
}


def blocks(document: Path) -> list[tuple[str, str]]:
    """Return language and text of each block that can be run."""
    found = re.findall(r"^```(sh|python)\n(.*?)^```", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [(language, text.replace("\\\n", " ")) for language, text in found]


def shown_commands(document: Path) -> list[str]:
    return [line for language, text in blocks(document) if language == "sh" for line in text.splitlines() if line]


def arguments_of(line: str) -> list[str] | None:
    """Return the arguments of a line that runs the command line of this package."""
    match = re.match(
        r"(?:srun |uv run )*(image-translation|python image_translation/part2_smoothing_cli.py) (.*)", line
    )
    if match is None:
        return None
    return ["smooth"] * (match[1] != "image-translation") + shlex.split(match[2], comments=True)


def smooth(movie: str, output: Path) -> None:
    prepare([movie])
    assert commands.main(["smooth", "-c", "demo_ckpt", "-m", movie, "-o", str(output)]) == 0


def prepare(words: list[str]) -> None:
    """Make what the reader has already."""
    for word in words:
        if word in READERS_OWN and not Path(word).exists():
            READERS_OWN[word](Path(word))


def run(line: str) -> None:
    if any(re.match(pattern, line) for pattern in NOT_RUN):
        return
    script = re.match(r"python image_translation/part2_smoothing_script.py (.*)", line)
    if script:
        assert part2_smoothing_script.main([*shlex.split(script[1]), "--frames", ":4"]) == 0, line
        return
    arguments = arguments_of(line)
    assert arguments is not None, f"neither a command that can be run, nor in NOT_RUN: {line}"
    prepare(arguments)
    assert commands.main([*arguments, *LESS.get(arguments[0], [])]) == 0, line


@pytest.fixture
def _less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw figures where a reader is told to look at them, and validate on few fields: both take most of the time."""
    draw = run_module.write_figures

    def draw_of_demo(plan: Any, stores: Any, results: Any, directory: Path, **options: Any) -> None:
        if "demo" in plan.options.output.name:
            draw(plan, stores, results, directory, **options)
        else:
            directory.mkdir()

    monkeypatch.setattr(run_module, "write_figures", draw_of_demo)
    empty_training_figures(monkeypatch)
    monkeypatch.setattr("image_translation.training.patches._SIMULATED_VALIDATION_FIELDS", 2)


@pytest.mark.slow
@pytest.mark.usefixtures("network_class", "_less")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_reader_can_follow_from_an_empty_directory(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    namespace: dict[str, Any] = {}
    for language, text in blocks(document):
        shutil.rmtree("OUTPUT_DIR", ignore_errors=True)  # readers choose another one each time
        if language == "python":
            exec(text, namespace)
        else:
            for line in filter(None, text.splitlines()):
                run(line)
    if document == README:
        assert namespace["nuclei"].shape == (32, 320, 320)
        assert set(namespace["scores"].ranking) == {"raw", "savgol"}
        assert Path("data/demo/figures/report.html").exists()
        stained = [row for row in read_csv(Path("data/demo/metrics.csv")) if row.metric == "pearson_truth"]
        for channel in ("Nuclei", "Membrane"):
            values = [row.value for row in stained if (row.method, row.channel) == ("raw", channel)]
            assert sum(values) / len(values) > 0.8


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_parsed(document: Path) -> None:
    for line in shown_commands(document):
        arguments = arguments_of(line)
        if arguments is not None:
            assert callable(commands.make_parser().parse_args(arguments).run)
            assert set(re.findall(r"\b[A-Z]{4,}(?:\.ome\.zarr)?\b", line)) <= {*READERS_OWN, "OUTPUT_DIR", "CHECKSUM"}


def test_the_files_of_notebooks_exist() -> None:
    lines = shown_commands(README)
    assert "uv run jupyter lab exercise.ipynb" in lines
    assert find_spec("jupyterlab")
    assert "marimo edit image_translation/part1_inspection_widget.py" in lines
    for name in ("exercise.ipynb", "image_translation/part1_inspection_widget.py"):
        assert (ROOT / name).is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_linked_files_exist(document: Path) -> None:
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", document.read_text()):
        assert (document.parent / link).exists(), link
