"""The package as it is shipped: the versions agree, the bundled checkpoints are there, and the Nix shell parses."""

import ast
import json
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import pytest

from image_translation.cli.commands import COMMANDS
from image_translation.data.lookup import EMBEDDED_CHECKPOINTS, resolve
from image_translation.network.loading import read_spec

ROOT = Path(__file__).parents[1]


def test_one_version_everywhere() -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version("image-translation") == stated
    assert f"\n## {stated} - " in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {stated}\n" in (ROOT / "CITATION.cff").read_text()


def test_dependencies_are_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    explained = (ROOT / "CONTRIBUTING.md").read_text()
    for requirement in project["dependencies"]:
        name = re.match(r"[a-z-]+", requirement)
        assert name
        assert name[0] in explained


PACKAGE = ROOT / "image_translation"
PACKAGES = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))


def test_packages_are_explained() -> None:
    explained = (ROOT / "CONTRIBUTING.md").read_text()
    names = {f"{path.name}/" for path in PACKAGES} | {path.name for path in PACKAGE.glob("*.py")}
    assert {name for name in names - {"__init__.py", "__main__.py"} if f"`{name}`" not in explained} == set()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_each_package_explains_its_modules(package: Path) -> None:
    explained = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    if package.name == "cli":
        modules -= set(COMMANDS)  # "each other module is the command of its name"
    assert {module for module in modules if f"`{module}`" not in explained} == set()


def test_the_way_of_a_frame_is_that_of_the_code() -> None:
    """Every dotted name in CONTRIBUTING.md exists, and each module of the walk imports the next ones."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    names = re.findall(r"`((?:\w+\.)+\w+)`", text)
    packages = "|".join(path.name for path in PACKAGES)
    found = [name for name in names if re.match(rf"({packages}|frame|normalize)\.(?!py)", name)]
    assert len(found) > 25
    for name in found:
        if find_spec("viscy") or not name.startswith("training."):
            resolve_name(f"image_translation.{name}")
    walk = {
        "staining.run": ["staining.plan", "staining.task"],
        "staining.task": ["staining.stream"],
        "staining.stream": ["frame", "normalize", "network.predictor", "staining.writer"],
        "staining.writer": ["metrics.evaluator", "omezarr.plane_stack", "staining.progress"],
        "staining.methods": ["temporal.filter"],
    }
    for module, imports in walk.items():
        source = (PACKAGE / f"{module.replace('.', '/')}.py").read_text()
        for other in imports:
            package, _, last = f"image_translation.{other}".rpartition(".")
            assert re.search(rf"from {package}\.{last} import|from {package} import .*\b{last}\b", source), (
                module,
                other,
            )


def test_modules_are_short() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path.name for path, count in lines.items() if count > 350} <= {"part1_inspection_widget.py"}


@pytest.mark.parametrize("name", EMBEDDED_CHECKPOINTS)
def test_bundled_checkpoints_say_what_they_are(name: str) -> None:
    spec, _ = read_spec(resolve(name))
    assert spec.path.stat().st_size < 3_000_000
    assert spec.normalization
    channels = (spec.input_channels, spec.output_channels)
    forward = (("Phase3D",), ("Nuclei", "Membrane"))
    assert channels == (forward if name == "demo_ckpt" else forward[::-1])
    assert "emonstration" in spec.description


def test_deposit_metadata_are_json() -> None:
    assert {"title", "upload_type", "creators"} <= set(json.loads((ROOT / "meta.json").read_text())["metadata"])


@pytest.mark.skipif(not shutil.which("nix-instantiate"), reason="Nix is not installed")
def test_nix_shell_parses() -> None:
    subprocess.run(["nix-instantiate", "--parse", ROOT / "flake.nix"], check=True, capture_output=True)
