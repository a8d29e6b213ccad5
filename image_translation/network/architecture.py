"""Infer the architecture of VisCy's `FullyConvolutionalMAE` from the shapes of its weights.

Most checkpoints do not store the hyper-parameters of their network, but the weight shapes determine almost all of them.
Where stored hyper-parameters contradict the shapes, the shapes are used.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from image_translation.errors import DataError
from image_translation.memory import require_memory
from image_translation.network.checkpoint import StateDict

Shapes = Mapping[str, tuple[int, ...]]

_ANCHOR = "encoder.stem.conv2d.weight"
_AVERAGED = re.compile(r"(^|[._])(ema|swa|averag|shadow|teacher)", re.IGNORECASE)
_DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_OTHER_ARCHITECTURES = {
    "encoder_stages.": "UNeXt2, which predicts 3D stacks",
    "skip_conv_layer": "the 2.5D U-Net, which predicts from stacks",
    "down_conv_block_0": "the 2D U-Net",
    "projection.": "a contrastive encoder, which predicts no images",
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """Hyper-parameters of VisCy's `FullyConvolutionalMAE`; the fields are its arguments.

    Attributes
    ----------
    in_channels, out_channels
        Number of input and output channels.
    encoder_blocks, dims
        Number of blocks and of channels in each encoder stage.
    decoder_conv_blocks
        Number of blocks in each decoder stage.
    stem_kernel_size
        Kernel size and stride of the first convolution, (Z, Y, X) pixels.
    in_stack_depth
        Number of planes of the input, and of the prediction.
    head_conv, head_conv_expansion_ratio, head_conv_pool
        Whether the head has convolutions, their expansion ratio, and whether the head pools.
    """

    in_channels: int
    out_channels: int
    encoder_blocks: tuple[int, ...]
    dims: tuple[int, ...]
    decoder_conv_blocks: int
    stem_kernel_size: tuple[int, ...]
    in_stack_depth: int
    head_conv: bool = False
    head_conv_expansion_ratio: int = 4
    head_conv_pool: bool = True

    @property
    def out_stack_depth(self) -> int:
        """Number of planes of the prediction."""
        return self.in_stack_depth

    @property
    def stride(self) -> int:
        """Height and width of the input must be multiples of this number of pixels."""
        return int(max(self.stem_kernel_size[1:]) * 2 ** (len(self.dims) - 1))


def select_network_weights(path: Path, state: StateDict) -> StateDict:
    """Select the weights of the network from a state dict.

    Parameters
    ----------
    path
        Path of the checkpoint, for error messages.
    state
        Weights, with any prefix; those of other modules are ignored, and those of an averaged copy if there are others.

    Returns
    -------
    dict
        Weights by their name in the network.

    Raises
    ------
    DataError
        If the network has another architecture, or its weights are not floating-point numbers, not finite, or all zero.
    """
    prefix = next(iter(_copies(state)), None)
    if prefix is None:
        found = next((text for key, text in _OTHER_ARCHITECTURES.items() if any(key in name for name in state)), None)
        what = f"a checkpoint of {found}" if found else f"an unknown network (first weight: {next(iter(state))})"
        msg = f"{path}: {what}; only VisCy's UNeXt2_2D (FullyConvolutionalMAE) is supported"
        raise DataError(msg)
    own = {name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)}
    others = {name: weight.dtype for name, weight in own.items() if weight.dtype not in _DTYPES}
    if others:
        dtypes = ", ".join(sorted({str(dtype).removeprefix("torch.") for dtype in others.values()}))
        msg = (
            f"{path}: {len(others)} of {len(own)} weights are {dtypes}: {_shortened(list(others))}; only "
            "float16, bfloat16, float32 and float64 are supported: save the network in float32"
        )
        raise DataError(msg)
    require_memory(4 * sum(weight.numel() for weight in own.values()), f"{path} (a network in float32)", DataError)
    non_finite = [name for name, weight in own.items() if not torch.isfinite(weight).all()]
    if non_finite:
        msg = f"{path}: {len(non_finite)} of {len(own)} weights are NaN or infinite: {_shortened(non_finite)}"
        raise DataError(msg)
    if not any(bool(weight.any()) for weight in own.values()):
        raise DataError(f"{path}: all weights are zero: the file does not contain a trained network")
    return own


def describe_copies(state: StateDict) -> list[str]:
    """Say which copy of the network `select_network_weights` takes from a state dict, if there are several."""
    taken, *others = _copies(state)
    if not others:
        return []
    names = ", ".join(f"{prefix}*" for prefix in others)
    return [f"the checkpoint has {1 + len(others)} copies of the network: {taken}* is used, and not {names}"]


def _copies(state: StateDict) -> list[str]:
    """Return the prefixes of the copies of the network, averaged ones last."""
    prefixes = dict.fromkeys(name.removesuffix(_ANCHOR) for name in state if name.endswith(_ANCHOR))
    return sorted(prefixes, key=lambda prefix: bool(_AVERAGED.search(prefix)))


def infer_architecture(path: Path, state: StateDict, config: Mapping[str, Any]) -> Architecture:
    """Infer the architecture from the shapes of the weights.

    Parameters
    ----------
    path
        Path of the checkpoint, for error messages.
    state
        Weights from `select_network_weights`.
    config
        Hyper-parameters stored in the checkpoint, if any. Only `head_conv_pool` is read, which has no effect on the
        weights; its default is True, as in VisCy.

    Raises
    ------
    DataError
        If weights that determine the architecture are missing.
    """
    shapes = weight_shapes(state)
    try:
        stem = shapes["encoder.stem.conv3d.weight"]
        dims = tuple(
            shapes[f"encoder.stages.{i}.blocks.0.dwconv.weight"][0] for i in range(_count(shapes, "encoder.stages."))
        )
        depth = stem[2] * (dims[0] // stem[0])  # the planes of a stack share the channels of the first stage
        decoder = f"decoder.decoder_stages.{len(dims) - 2}.conv.blocks."
        features = shapes[f"{decoder}0.mlp.fc2.weight"][0]
        head = shapes.get("head.conv.1.weight")
        return Architecture(
            in_channels=stem[1],
            out_channels=head[0] // 4 if head else features // (depth * stem[-1] ** 2),
            encoder_blocks=tuple(_count(shapes, f"encoder.stages.{i}.blocks.") for i in range(len(dims))),
            dims=dims,
            decoder_conv_blocks=_count(shapes, decoder),
            stem_kernel_size=stem[2:],
            in_stack_depth=depth,
            head_conv=head is not None,
            head_conv_expansion_ratio=head[1] // head[0] if head else 4,
            head_conv_pool=bool(config.get("head_conv_pool", True)),
        )
    except (LookupError, ZeroDivisionError) as error:
        msg = f"{path}: incomplete weights of a UNeXt2_2D network (missing or invalid: {error})"
        raise DataError(msg) from error


def require_shapes(path: Path, expected: Shapes, found: Shapes) -> None:
    """Raise a `DataError` that lists the differences unless the weights have the expected names and shapes."""
    differences = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "of another shape": [name for name in expected if name in found and expected[name] != found[name]],
    }
    if any(differences.values()):
        parts = "; ".join(f"{kind}: {_shortened(names)}" for kind, names in differences.items() if names)
        msg = f"{path}: the weights do not match VisCy's UNeXt2_2D network; {parts}"
        raise DataError(msg)


def model_config(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the hyper-parameters of the network from a Lightning checkpoint; empty if there are none."""
    hyper_parameters = content.get("hyper_parameters")
    config = hyper_parameters.get("model_config") if isinstance(hyper_parameters, Mapping) else None
    return config if isinstance(config, Mapping) else {}


def find_discrepancies(architecture: Architecture, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each hyper-parameter that contradicts the weights, or that is needed and not stored."""
    for field in fields(architecture):
        value = getattr(architecture, field.name)
        stated = config.get(field.name, value)
        if (tuple(stated) if isinstance(stated, list | tuple) else stated) != value:
            yield f"the hyper-parameters say {field.name}={stated}, the weights {value}; the weights are used"
    if architecture.head_conv and "head_conv_pool" not in config:
        yield "the checkpoint does not store head_conv_pool; VisCy's default, True, is assumed"


def weight_shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight."""
    return {name: tuple(weight.shape) for name, weight in state.items()}


def _count(names: Iterable[str], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".", 1)[0] for name in names if name.startswith(prefix)})


def _shortened(names: list[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
