"""Checkpoints with random weights, and assertions about reading them."""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from image_translation.errors import DataError
from image_translation.network.architecture import Architecture
from image_translation.network.fcmae import FCMAE
from image_translation.network.loading import read_spec

VSCYTO2D = {
    "in_channels": 1,
    "out_channels": 2,
    "encoder_blocks": [3, 3, 9, 3],
    "dims": [96, 192, 384, 768],
    "decoder_conv_blocks": 2,
    "stem_kernel_size": [1, 2, 2],
    "in_stack_depth": 1,
    "pretraining": False,
}
SMALL = VSCYTO2D | {"encoder_blocks": [1, 1], "dims": [8, 16], "decoder_conv_blocks": 1}
SMALL_ARCHITECTURE = Architecture(
    in_channels=1,
    out_channels=2,
    encoder_blocks=(1, 1),
    dims=(8, 16),
    decoder_conv_blocks=1,
    stem_kernel_size=(1, 2, 2),
    in_stack_depth=1,
)
STACK_ARCHITECTURE = replace(SMALL_ARCHITECTURE, stem_kernel_size=(5, 2, 2), in_stack_depth=5)
Save = Callable[..., Path]
NO_VISCY = "VisCy is not installed: the extra train brings it"
needs_viscy = pytest.mark.skipif(find_spec("viscy") is None, reason=NO_VISCY)


def save_network(
    path: Path, architecture: Architecture, *, metadata: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """Save a random network of an architecture with some changes, and metadata if given; return the path."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FCMAE(replace(architecture, **changes))
        for weight in network.parameters():  # the initial biases and response norms are zero, which hides mistakes
            weight.data += 0.1 * torch.randn_like(weight)
    content: dict[str, Any] = {"state_dict": {f"model.{name}": weight for name, weight in network.state_dict().items()}}
    torch.save(content | ({"image_translation": {"format": 1, **metadata}} if metadata else {}), path)
    return path


def random_weights(network_class: Any, config: dict[str, Any], prefix: str = "model.") -> dict[str, torch.Tensor]:
    """Initialise VisCy's network; return its weights with a prefix."""
    return {f"{prefix}{name}": weight for name, weight in network_class(**config).state_dict().items()}


def has_weights(network: torch.nn.Module, state: dict[str, torch.Tensor], prefix: str = "model.") -> bool:
    """Return whether a network has exactly these weights."""
    own = network.state_dict()
    return set(state) == {prefix + name for name in own} and all(
        torch.equal(own[name.removeprefix(prefix)], weight.float()) for name, weight in state.items()
    )


def assert_one_line(error: BaseException, path: Path) -> None:
    """Assert that an error message is one line that names the file."""
    assert "\n" not in str(error)
    assert str(error).startswith(f"{path}: ")


def assert_refused(path: Path, message: str) -> None:
    """Assert that reading a checkpoint raises a `DataError` of one line that matches a pattern."""
    with pytest.raises(DataError, match=message) as caught:
        read_spec(path)
    assert_one_line(caught.value, path)
