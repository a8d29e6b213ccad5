"""Fixture that writes checkpoints."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import Save


@pytest.fixture(scope="session")
def viscy_classes(network_class: Any) -> dict[str, Any]:
    """VisCy's networks by the names of their classes."""
    from viscy.unet.networks.Unet2D import Unet2d
    from viscy.unet.networks.Unet25D import Unet25d
    from viscy.unet.networks.unext2 import UNeXt2

    return {one.__name__: one for one in (UNeXt2, network_class)} | {"Unet25d": Unet25d, "Unet2d": Unet2d}


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a checkpoint as Lightning does, with the given additional keys."""

    def write(state: dict[str, torch.Tensor], **further: Any) -> Path:
        content = {"epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.5.0", "state_dict": state, "loops": {}}
        path = tmp_path / "net.ckpt"
        torch.save(content | {"callbacks": {}, "optimizer_states": [{"state": {}, "param_groups": []}]} | further, path)
        return path

    return write
