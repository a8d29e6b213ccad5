"""The package as it is shipped: the versions agree, the bundled checkpoints are there, and the Nix shell parses."""

import json
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

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


def test_modules_are_explained() -> None:
    explained = (ROOT / "CONTRIBUTING.md").read_text()
    modules = {path.name for path in (ROOT / "image_translation").glob("*.py")} - {"__init__.py"}
    assert {module for module in modules if f"`{module}`" not in explained} == set()


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
