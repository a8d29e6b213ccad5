"""Fixture that writes checkpoints."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import Save


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a checkpoint as Lightning does, with the given additional keys."""

    def write(state: dict[str, torch.Tensor], **further: Any) -> Path:
        content = {"epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.5.0", "state_dict": state, "loops": {}}
        path = tmp_path / "net.ckpt"
        torch.save(content | {"callbacks": {}, "optimizer_states": [{"state": {}, "param_groups": []}]} | further, path)
        return path

    return write
