"""Recognise VisCy's networks by their weights, and infer the architecture of its `FullyConvolutionalMAE`.

Most checkpoints do not store the hyper-parameters of their network, but the weight shapes determine almost all of them.
Where stored hyper-parameters contradict the shapes, the shapes are used. The architectures of VisCy's other networks
are in `viscy_networks`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from image_translation.errors import DataError, UsageError
from image_translation.memory import require_memory
from image_translation.network.checkpoint import StateDict

Shapes = Mapping[str, tuple[int, ...]]
Name = Literal["FullyConvolutionalMAE", "UNeXt2", "Unet25d", "Unet2d"]
"""Names of VisCy's classes."""

COUNTERS = ".num_batches_tracked"
"""Ends the names of counters that batch normalisation keeps beside its weights, and that predictions do not use."""

_ANCHORS: dict[str, Name] = {
    "encoder.stem.conv2d.weight": "FullyConvolutionalMAE",
    "encoder_stages.stages_0.blocks.0.conv_dw.weight": "UNeXt2",
    "down_conv_block_0.Conv3d_0.weight": "Unet25d",
    "down_conv_block_0.Conv2d_0.weight": "Unet2d",
}
"""A weight that every network of a class has, and no other."""

_AVERAGED = re.compile(r"(^|[._])(ema|swa|averag|shadow|teacher)", re.IGNORECASE)
_DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
_OTHER_NETWORKS = {"projection.": "a contrastive encoder, which predicts no images"}


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
        Whether the head has convolutions, their expansion ratio, and whether such a head pools.
    """

    name: ClassVar[Name] = "FullyConvolutionalMAE"

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

    @property
    def stem_stride(self) -> int:
        """Pixels of the image per pixel of the first stage."""
        return self.stem_kernel_size[-1]

    @property
    def values_per_pixel(self) -> float:
        """Estimate of the values that the layers hold at once, per pixel in y and x of an image, on a CPU."""
        depth, ratio, outputs = self.in_stack_depth, self.head_conv_expansion_ratio, self.out_channels
        if not self.head_conv:
            return stage_values(max(self.dims[0], depth * outputs * self.stem_stride**2), self.stem_stride)
        last = stage_values(max(self.dims[0], (depth + 2) * self.in_channels * 4 * ratio), self.stem_stride)
        return max(last, head_values(self.in_channels * ratio, 4 * outputs * ratio, depth))

    @property
    def head_pool(self) -> bool | None:
        """Whether the head pools; None where this is no option, because it has no convolutions."""
        return self.head_conv_pool if self.head_conv else None

    @property
    def untold(self) -> tuple[str, ...]:
        """Names of the properties that have no effect on the weights."""
        return ("head_pool",) if self.head_conv else ()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of VisCy's class."""
        return asdict(self)


def stage_values(channels: int, stride: int) -> float:
    """Return the values of a stage of blocks per pixel of the image: of four times the channels, about three times."""
    return 12 * channels / stride**2


def head_values(channels: int, outputs: int, depth: int) -> float:
    """Return the values of a 3 x 3 x 3 convolution at half the resolution, with the patches that it multiplies."""
    return (27 * channels + outputs) * depth / 4


def select_network_weights(path: Path, state: StateDict) -> tuple[Name, StateDict]:
    """Recognise the network in a state dict, and select its weights.

    Parameters
    ----------
    path
        Path of the checkpoint, for error messages.
    state
        Weights, with any prefix; those of other modules are ignored, and those of an averaged copy if there are others.

    Returns
    -------
    name : str
        Name of VisCy's class.
    weights : dict
        Weights by their name in the network, without `COUNTERS`.

    Raises
    ------
    DataError
        If the network has another architecture, or its weights are not floating-point numbers, not finite, or all zero.
    """
    copies = _copies(state)
    if not copies:
        found = next((text for key, text in _OTHER_NETWORKS.items() if any(key in name for name in state)), None)
        what = f"a checkpoint of {found}" if found else f"an unknown network (first weight: {next(iter(state))})"
        msg = f"{path}: {what}; supported are VisCy's {', '.join(_ANCHORS.values())}"
        raise DataError(msg)
    prefix, network = next(iter(copies.items()))
    own = {
        name.removeprefix(prefix): weight
        for name, weight in state.items()
        if name.startswith(prefix) and not name.endswith(COUNTERS)
    }
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
    return network, own


def describe_copies(state: StateDict) -> list[str]:
    """Say which copy of the network `select_network_weights` takes from a state dict, if there are several."""
    taken, *others = _copies(state)
    if not others:
        return []
    names = ", ".join(f"{prefix}*" for prefix in others)
    return [f"the checkpoint has {1 + len(others)} copies of the network: {taken}* is used, and not {names}"]


def _copies(state: StateDict) -> dict[str, Name]:
    """Return the prefixes of the copies of the network, averaged ones last, with the names of their classes."""
    found = {
        name.removesuffix(anchor): network
        for name in state
        for anchor, network in _ANCHORS.items()
        if name.endswith(anchor)
    }
    return {prefix: found[prefix] for prefix in sorted(found, key=lambda prefix: bool(_AVERAGED.search(prefix)))}


def infer_architecture(path: Path, state: StateDict, stated: Mapping[str, Any]) -> Architecture:
    """Infer the architecture of a `FullyConvolutionalMAE` from the shapes of the weights.

    Parameters
    ----------
    path
        Path of the checkpoint, for error messages.
    state
        Weights from `select_network_weights`.
    stated
        Holds ``head_pool`` for a head with convolutions, since pooling has no effect on the weights.

    Raises
    ------
    DataError
        If weights that determine the architecture are missing.
    UsageError
        If it is not stated whether the head pools.
    """
    shapes = weight_shapes(state)
    try:
        stem = shapes["encoder.stem.conv3d.weight"]
        dims = tuple(
            shapes[f"encoder.stages.{i}.blocks.0.dwconv.weight"][0] for i in range(count(shapes, "encoder.stages."))
        )
        depth = stem[2] * (dims[0] // stem[0])  # the planes of a stack share the channels of the first stage
        decoder = f"decoder.decoder_stages.{len(dims) - 2}.conv.blocks."
        features = shapes[f"{decoder}0.mlp.fc2.weight"][0]
        head = shapes.get("head.conv.1.weight")
        return Architecture(
            in_channels=stem[1],
            out_channels=head[0] // 4 if head else features // (depth * stem[-1] ** 2),
            encoder_blocks=tuple(count(shapes, f"encoder.stages.{i}.blocks.") for i in range(len(dims))),
            dims=dims,
            decoder_conv_blocks=count(shapes, decoder),
            stem_kernel_size=stem[2:],
            in_stack_depth=depth,
            head_conv=head is not None,
            head_conv_expansion_ratio=head[1] // head[0] if head else 4,
            head_conv_pool=require_head_pool(path, stated) if head else True,
        )
    except (LookupError, ZeroDivisionError) as error:
        msg = f"{path}: incomplete weights of a UNeXt2_2D network (missing or invalid: {error})"
        raise DataError(msg) from error


def require_head_pool(path: Path, stated: Mapping[str, Any]) -> bool:
    """Return whether the head pools, which weights cannot tell; raise a `UsageError` if it is not stated."""
    pool = stated.get("head_pool")
    if pool is None:
        msg = (
            f"{path}: it is not known whether the network's head pools (averages over 2 x 2 pixels, against "
            "checkerboard artefacts), which weights do not show, and a wrong guess would spoil the stain: give "
            "--head-pool yes or --head-pool no, as in the training (head_conv_pool or head_pool of VisCy's "
            f'model_config), or write {{"head_pool": true}} or false into {path.name}.json beside the file'
        )
        raise UsageError(msg)
    if not isinstance(pool, bool):
        msg = f"{path}: the metadata give {pool!r:.100} as head_pool; it must be true or false"
        raise DataError(msg)
    return pool


def require_shapes(path: Path, network: str, expected: Shapes, found: Shapes) -> None:
    """Raise a `DataError` that lists the differences unless the weights have the expected names and shapes."""
    differences = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "of another shape": [name for name in expected if name in found and expected[name] != found[name]],
    }
    if any(differences.values()):
        parts = "; ".join(f"{kind}: {_shortened(names)}" for kind, names in differences.items() if names)
        msg = f"{path}: the weights do not match VisCy's {network}; {parts}"
        raise DataError(msg)


def weight_shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight."""
    return {name: tuple(weight.shape) for name, weight in state.items()}


def count(names: Iterable[str], prefix: str) -> int:
    """Return how many different parts follow a prefix in the names, up to the next dot."""
    return len({name.removeprefix(prefix).split(".", 1)[0] for name in names if name.startswith(prefix)})


def _shortened(names: list[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
