"""What an installation without an extra says, and that the extras are those of the package's metadata."""

import re
import tomllib
from pathlib import Path

import pytest
import torch
from support.stores import phase, write_image

from image_translation import extras
from image_translation.cli.commands import main
from image_translation.errors import UsageError
from image_translation.extras import EXTRAS, require_extra

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
TRAIN = ["train", "simulated", "--source", "Phase3D", "--target", "Nuclei", "-o"]
REMEDY = "uv sync --extra train, or pip install -e '.[train]'"


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=;\[ ]", one)[0] for one in requirements if isinstance(one, str)}


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes modules appear not to be installed, and all others to be."""

    def hide(*modules: str) -> None:
        monkeypatch.setattr(extras, "find_spec", lambda name: None if name in modules else object())

    return hide


def test_the_extras_are_those_of_the_metadata_and_development_has_all() -> None:
    stated = {name: names(found) for name, found in PROJECT["project"]["optional-dependencies"].items()}
    assert {name: set(packages) for name, packages in EXTRAS.items()} == stated
    assert set().union(*stated.values()) <= names(PROJECT["dependency-groups"]["dev"])
    assert not set().union(*stated.values()) & names(PROJECT["project"]["dependencies"])


def test_what_is_missing_is_listed(without) -> None:
    without()
    require_extra("--tracking", "tracking")
    without("viscy")
    require_extra("--tracking", "tracking")
    without("ctc_metrics")
    with pytest.raises(UsageError, match=r"^--tracking needs py-ctcmetrics, which is not installed: uv sync") as caught:
        require_extra("--tracking", "tracking")
    assert str(caught.value).endswith("uv sync --extra tracking, or pip install -e '.[tracking]'")
    without("lightning", "monai", "tensorboard", "viscy")
    with pytest.raises(UsageError, match=r"^train needs lightning, monai, tensorboard and viscy, which are not inst"):
        require_extra("train", "train")


def test_a_training_needs_the_extra(without, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    without("lightning", "viscy")
    assert main([*TRAIN, str(tmp_path / "out")]) == 2
    assert caplog.messages == [f"error: train needs lightning and viscy, which are not installed: {REMEDY}"]
    assert not (tmp_path / "out").exists()


@pytest.fixture
def u_net(tmp_path: Path) -> Path:
    """As much of a 2D U-Net of VisCy as its description is read from."""
    shapes = {"down_conv_block_0": (4, 1), "bottom_transition_block": (8, 4), "terminal_block": (1, 4)}
    weights = {f"model.{name}.Conv2d_0.weight": torch.ones(*shape, 3, 3) for name, shape in shapes.items()}
    stated = {"format": 1, "residual": False, "task": "reg", "normalization": "mean_std"}
    torch.save({"state_dict": weights, "image_translation": stated}, tmp_path / "u_net.ckpt")
    return tmp_path / "u_net.ckpt"


@pytest.mark.parametrize("command", ["smooth", "inspect"])
def test_networks_of_viscy_need_the_extra(
    without, u_net: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    without("viscy")
    write_image(tmp_path / "m.ome.zarr", phase(3, (32, 32)))
    arguments = ["-c", str(u_net), "-m", str(tmp_path / "m.ome.zarr"), "-o", str(tmp_path / "out")]
    assert main([command, *arguments]) == 2
    assert caplog.messages[-1] == f"error: {u_net}: its Unet2d needs viscy, which is not installed: {REMEDY}"
    assert not (tmp_path / "out").exists()
