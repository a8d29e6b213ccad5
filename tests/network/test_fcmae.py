"""The plain PyTorch network computes the same as VisCy's with the same weights."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import SMALL_ARCHITECTURE

from image_translation.data.lookup import resolve_checkpoint
from image_translation.network.architecture import Architecture
from image_translation.network.fcmae import FCMAE
from image_translation.network.loading import build_network, read_spec


def images(count: int, channels: int, shape: tuple[int, int], planes: int = 1) -> torch.Tensor:
    return torch.randn(count, channels, planes, *shape, generator=torch.Generator().manual_seed(0))


def viscy(network_class: Any, architecture: Architecture) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: torch.nn.Module = network_class(**asdict(architecture), pretraining=False)
        for weight in network.parameters():  # the initial biases and response norms are zero, which hides mistakes
            weight.data += 0.1 * torch.randn_like(weight)
    return network.eval().requires_grad_(requires_grad=False)


def plain(original: torch.nn.Module, architecture: Architecture) -> FCMAE:
    network = FCMAE(architecture)
    network.load_state_dict(original.state_dict())
    return network.eval().requires_grad_(requires_grad=False)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten().double(), b.flatten().double()]))[0, 1])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"encoder_blocks": (2, 1, 3), "dims": (8, 16, 32), "decoder_conv_blocks": 2},
        {"encoder_blocks": (3, 2), "dims": (12, 24)},
        {"in_channels": 2, "out_channels": 1},
        {"out_channels": 3, "stem_kernel_size": (1, 4, 4), "dims": (16, 32)},
        {"out_channels": 4, "dims": (16, 32)},
        {"head_conv": True, "stem_kernel_size": (1, 4, 4), "dims": (16, 32)},
        {"head_conv": True, "head_conv_pool": False, "stem_kernel_size": (1, 4, 4), "dims": (16, 32)},
        {"head_conv": True, "head_conv_expansion_ratio": 2, "stem_kernel_size": (1, 4, 4), "in_channels": 2},
        {"in_stack_depth": 15, "stem_kernel_size": (5, 4, 4), "dims": (24, 48)},  # as VSCyto3D
        {"in_stack_depth": 5, "stem_kernel_size": (5, 4, 4), "in_channels": 2, "out_channels": 1},
        {"in_stack_depth": 21, "stem_kernel_size": (7, 4, 4), "dims": (24, 48), "head_conv": True},
        {
            "in_stack_depth": 21,
            "stem_kernel_size": (7, 4, 4),
            "dims": (24, 48),
            "head_conv": True,
            "head_conv_pool": False,  # as VSNeuromast
        },
    ],
)
def test_output_is_equal_to_that_of_viscy(
    network_class: Any, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = Architecture(**asdict(SMALL_ARCHITECTURE) | changes)
    original = viscy(network_class, architecture)
    network = plain(original, architecture)
    x = images(
        2, architecture.in_channels, (2 * architecture.stride, 3 * architecture.stride), architecture.in_stack_depth
    )
    with torch.inference_mode():
        expected = original(x)
        tolerance = {"rtol": 1e-4, "atol": 1e-4 * float(expected.std())}
        torch.testing.assert_close(network(x), expected, **tolerance)
        monkeypatch.setattr("image_translation.network.fcmae._CHUNK_SIZE", 300)  # many chunks, the last one shorter
        torch.testing.assert_close(network(x), expected, **tolerance)
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # in one chunk, as on a GPU
        torch.testing.assert_close(network(x), expected, **tolerance)


@pytest.mark.parametrize("name", ["demo_ckpt", "demo_ckpt_fluor2phase"])
def test_bundled_networks_agree_with_viscy_in_every_precision(network_class: Any, name: str) -> None:
    spec, state = read_spec(Path(resolve_checkpoint(name)))
    original = network_class(**asdict(spec.architecture), pretraining=False).eval()
    original.load_state_dict({key: weight.float() for key, weight in state.items()})
    network = build_network(spec, state)
    rows, columns = torch.meshgrid(torch.arange(160), torch.arange(192), indexing="ij")
    cells = torch.sin(rows / 7) * torch.cos(columns / 9)
    x = (cells + 0.1 * images(1, spec.architecture.in_channels, cells.shape)).float()
    with torch.inference_mode():
        expected = original(x)
        assert correlation(network(x), expected) > 0.9999
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(x)
        assert correlation(rough, expected) > 0.999


def test_large_image_is_accurate_to_single_precision(network_class: Any) -> None:
    original = viscy(network_class, SMALL_ARCHITECTURE)
    x = images(1, 1, (512, 768))
    with torch.inference_mode():
        own = plain(original, SMALL_ARCHITECTURE)(x)
        exact = original.double()(x.double())
    assert (own - exact).abs().max() < 1e-5 * exact.std()


@pytest.mark.parametrize("mixed", [False, True])
def test_a_channel_that_is_zero_everywhere_gives_finite_output(network_class: Any, mixed: bool) -> None:
    network = plain(viscy(network_class, SMALL_ARCHITECTURE), SMALL_ARCHITECTURE)
    for block in network.encoder.stages[0].blocks:
        block.mlp.fc1.weight.zero_()
        block.mlp.fc1.bias.zero_()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        assert torch.isfinite(network(images(1, 1, (16, 16)))).all()


def test_prediction_does_not_depend_on_the_other_images_of_a_batch(network_class: Any) -> None:
    network = plain(viscy(network_class, SMALL_ARCHITECTURE), SMALL_ARCHITECTURE)
    x = images(3, 1, (32, 48))
    x[1] *= 50
    with torch.inference_mode():
        for image, predicted in zip(x, network(x), strict=True):
            torch.testing.assert_close(network(image[None])[0], predicted, rtol=1e-4, atol=1e-5)


def test_building_does_not_import_viscy_or_its_dependencies(tiny_checkpoint: Path) -> None:
    heavy = ("viscy", "monai", "timm", "torchvision", "lightning")
    code = (
        "import sys, torch\n"
        "before = set(sys.modules)\n"
        "from pathlib import Path\n"
        "from image_translation.network.loading import build_network, read_spec\n"
        f"network = build_network(*read_spec(Path({str(tiny_checkpoint)!r})))\n"
        "with torch.inference_mode():\n"
        "    network(torch.zeros(1, 1, 1, 8, 8))\n"
        f"print(*[name for name in {heavy!r} if name in set(sys.modules) - before])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
