"""VisCy's networks that run through VisCy's own modules: `UNeXt2`, `Unet25d` ("2.5D") and `Unet2d` ("2D").

Their architectures are inferred from weights; VisCy is imported only to build them. `UNeXt2` is from Liu et al.,
"Robust virtual staining of landmark organelles with Cytoland", Nature Machine Intelligence, 2025; the 2.5D U-Net from
Guo et al., "Revealing architectural order with quantitative label-free imaging and deep learning", eLife, 2020.
"""

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from image_translation.errors import DataError
from image_translation.network.architecture import (
    Name,
    Shapes,
    count,
    head_values,
    require_head_pool,
    stage_values,
    weight_shapes,
)
from image_translation.network.checkpoint import StateDict

_HEAD_FACTOR = 4  # by which the head of `UNeXt2` enlarges its features, whatever the stem
_MAX_DEPTH = 1024  # planes
_BACKBONES: dict[tuple[tuple[int, ...], int], str] = {
    ((2, 2, 6, 2), 40): "convnextv2_atto",
    ((2, 2, 6, 2), 48): "convnextv2_femto",
    ((2, 2, 6, 2), 64): "convnextv2_pico",
    ((2, 2, 8, 2), 80): "convnextv2_nano",
    ((3, 3, 9, 3), 96): "convnextv2_tiny",
    ((3, 3, 27, 3), 96): "convnextv2_small",
    ((3, 3, 27, 3), 128): "convnextv2_base",
    ((3, 3, 27, 3), 192): "convnextv2_large",
    ((3, 3, 27, 3), 352): "convnextv2_huge",
}
"""Names in timm, by the numbers of blocks in the stages and of channels in the first one; each stage doubles them."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UNeXt2Architecture:
    """Hyper-parameters of VisCy's `UNeXt2`; the fields are its arguments.

    Attributes
    ----------
    in_channels, out_channels
        Number of input and output channels.
    in_stack_depth, out_stack_depth
        Number of planes of the input and of the prediction.
    backbone
        Name of the encoder in timm.
    stem_kernel_size
        Kernel size and stride of the first convolution, (Z, Y, X) pixels.
    decoder_conv_blocks, decoder_upsample_pre_conv
        Number of blocks in each decoder stage, and whether a convolution precedes its upsampling.
    head_expansion_ratio, head_pool
        Expansion ratio of the convolutions in the head, and whether the head pools.
    """

    name: ClassVar[Name] = "UNeXt2"
    untold: ClassVar[tuple[str, ...]] = ("head_pool",)

    in_channels: int
    out_channels: int
    in_stack_depth: int
    out_stack_depth: int
    backbone: str
    stem_kernel_size: tuple[int, ...]
    decoder_conv_blocks: int
    decoder_upsample_pre_conv: bool
    head_expansion_ratio: int
    head_pool: bool

    @property
    def dims(self) -> tuple[int, ...]:
        """Number of channels in each encoder stage."""
        (blocks, first), *_ = (key for key, name in _BACKBONES.items() if name == self.backbone)
        return tuple(first * 2**i for i in range(len(blocks)))

    @property
    def stride(self) -> int:
        """Height and width of the input must be multiples of this number of pixels."""
        return int(self.stem_stride * 2 ** (len(self.dims) - 1))

    @property
    def stem_stride(self) -> int:
        """Pixels of the image per pixel of the first stage."""
        return self.stem_kernel_size[-1]

    @property
    def values_per_pixel(self) -> float:
        """Estimate of the values that the layers hold at once, per pixel in y and x of an image, on a CPU."""
        depth, width = self.out_stack_depth, self.out_channels * self.head_expansion_ratio
        last = stage_values(max(self.dims[0], (depth + 2) * 4 * width), self.stem_stride)
        return max(last, head_values(width, 4 * width, depth))

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of VisCy's class."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class UNetArchitecture:
    """Hyper-parameters of VisCy's `Unet25d` or `Unet2d`.

    Attributes
    ----------
    name
        Which of the two.
    in_channels, out_channels
        Number of input and output channels.
    in_stack_depth, out_stack_depth
        Number of planes of the input and of the prediction.
    dims
        Number of channels at each resolution, from the finest to the coarsest.
    block_layers
        Number of convolutions in each block.
    kernel_size
        Of the convolutions, (Y, X) pixels.
    residual
        Whether the input of each block is added to its output.
    task
        "reg" for a network that ends with a convolution, "seg" for one that ends with a rectifier.
    """

    name: Literal["Unet25d", "Unet2d"]
    in_channels: int
    out_channels: int
    in_stack_depth: int
    out_stack_depth: int
    dims: tuple[int, ...]
    block_layers: int
    kernel_size: tuple[int, ...]
    residual: bool
    task: Literal["reg", "seg"]

    @property
    def stride(self) -> int:
        """Height and width of the input must be multiples of this number of pixels."""
        return int(2 ** (len(self.dims) - 1))

    @property
    def stem_stride(self) -> int:
        """Pixels of the image per pixel of the first stage."""
        return 1

    @property
    def values_per_pixel(self) -> float:
        """Estimate of the values that the layers hold at once, per pixel in y and x of an image, on a CPU."""
        return stage_values(self.dims[0] * self.in_stack_depth, 1)

    @property
    def head_pool(self) -> None:
        """Whether the head pools, which is no option."""
        return

    @property
    def untold(self) -> tuple[str, ...]:
        """Names of the properties that have no effect on the weights."""
        return ("residual", "out_stack_depth" if self.name == "Unet25d" else "task")

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of VisCy's class."""
        depths = {"in_stack_depth": self.in_stack_depth, "out_stack_depth": self.out_stack_depth}
        three = self.name == "Unet25d"
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            **(depths if three else {}),
            "xy_kernel_size" if three else "kernel_size": self.kernel_size,
            "residual": self.residual,
            "num_blocks": len(self.dims) - 1,
            "num_block_layers": self.block_layers,
            "num_filters": list(self.dims),
            "task": self.task,
        }


VisCyArchitecture = UNeXt2Architecture | UNetArchitecture


def infer_viscy_architecture(
    path: Path, network: Name, state: StateDict, stated: Mapping[str, Any]
) -> VisCyArchitecture:
    """Infer the architecture of a network that runs through VisCy from the shapes of its weights.

    Parameters
    ----------
    path
        Path of the checkpoint, for error messages.
    network, state
        Results of `architecture.select_network_weights`.
    stated
        Holds what has no effect on the weights: ``head_pool`` of a `UNeXt2`, ``residual`` and ``out_stack_depth`` of a
        `Unet25d`, ``residual`` and ``task`` of a `Unet2d`.

    Raises
    ------
    DataError
        If weights that determine the architecture are missing, VisCy has no such network, or it is not stated what
        weights do not tell.
    UsageError
        If it is not stated whether the head pools.
    """
    shapes = weight_shapes(state)
    try:
        if network == "UNeXt2":
            return _infer_unext2(path, shapes, stated)
        return _infer_u_net(path, "Unet25d" if network == "Unet25d" else "Unet2d", shapes, stated)
    except (LookupError, ValueError, ZeroDivisionError) as error:
        msg = f"{path}: incomplete weights of a {network} network (missing or invalid: {error})"
        raise DataError(msg) from error


def make_viscy_network(path: Path, architecture: VisCyArchitecture) -> nn.Module:
    """Make VisCy's network on the device "meta", which allocates and initialises nothing.

    Raises
    ------
    DataError
        If VisCy refuses the architecture; `path`, that of the checkpoint, is named in the message.
    """
    make = _import_class(architecture)
    try:
        with torch.device("meta"):
            return make(**architecture.arguments())
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        msg = f"{path}: VisCy cannot make the {architecture.name} that these weights are of: {error}"
        raise DataError(" ".join(msg.split())) from error


def _import_class(architecture: VisCyArchitecture) -> Callable[..., nn.Module]:
    """Import VisCy's class of a network, and say so, because it takes many seconds."""
    if "viscy.unet.networks" not in sys.modules:
        _log.info("importing VisCy for its %s, which takes up to half a minute", architecture.name)
    if architecture.name == "UNeXt2":
        from viscy.unet.networks.unext2 import UNeXt2

        return UNeXt2
    if architecture.name == "Unet25d":
        from viscy.unet.networks.Unet25D import Unet25d

        return Unet25d
    from viscy.unet.networks.Unet2D import Unet2d

    return Unet2d


def _infer_unext2(path: Path, shapes: Shapes, stated: Mapping[str, Any]) -> UNeXt2Architecture:
    stages = [f"encoder_stages.stages_{i}.blocks." for i in range(count(shapes, "encoder_stages.stages_"))]
    blocks = tuple(count(shapes, stage) for stage in stages)
    dims = [shapes[f"{stage}0.conv_dw.weight"][0] for stage in stages]
    backbone = _BACKBONES.get((blocks, dims[0]))
    if backbone is None:
        msg = (
            f"{path}: a UNeXt2 whose encoder has {blocks} blocks and {tuple(dims)} channels; "
            f"supported are {', '.join(_BACKBONES.values())}"
        )
        raise DataError(msg)
    stem, head = shapes["stem.conv.weight"], shapes["head.conv.1.weight"]
    if stem[3:] != (_HEAD_FACTOR, _HEAD_FACTOR):
        msg = (
            f"{path}: a UNeXt2 with a stem of {' x '.join(map(str, stem[2:]))} pixels, whose predictions are not of "
            f"the size of the image; supported are stems of {_HEAD_FACTOR} x {_HEAD_FACTOR} pixels in y and x"
        )
        raise DataError(msg)
    decoder = f"decoder.decoder_stages.{len(dims) - 2}.conv.blocks."
    ratio = head[1] // head[0]
    return UNeXt2Architecture(
        in_channels=stem[1],
        out_channels=head[0] // 4,
        in_stack_depth=stem[2] * (dims[0] // stem[0]),  # the planes of a stack share the channels of the first stage
        # The last stage has features for these planes, and for one on either side.
        out_stack_depth=shapes[f"{decoder}0.mlp.fc2.weight"][0] // (head[0] * ratio) - 2,
        backbone=backbone,
        stem_kernel_size=stem[2:],
        decoder_conv_blocks=count(shapes, decoder),
        decoder_upsample_pre_conv=any(".upsample.pixelshuffle.conv_block." in name for name in shapes),
        head_expansion_ratio=ratio,
        head_pool=require_head_pool(path, stated),
    )


def _infer_u_net(
    path: Path, network: Literal["Unet25d", "Unet2d"], shapes: Shapes, stated: Mapping[str, Any]
) -> UNetArchitecture:
    three = network == "Unet25d"
    convolution = "Conv3d" if three else "Conv2d"
    first = shapes[f"down_conv_block_0.{convolution}_0.weight"]
    bottom = shapes["bottom_transition_block.weight" if three else f"bottom_transition_block.{convolution}_0.weight"]
    blocks = range(count(shapes, "down_conv_block_"))
    in_depth = out_depth = 1
    if three:
        # Weights tell by how many planes the stack shrinks, and not to how many.
        out_depth = _required(path, network, stated, "out_stack_depth", range(1, _MAX_DEPTH + 1))
        in_depth = out_depth + bottom[2] - 1
        task = "seg" if "terminal_block.batch_norm_0.weight" in shapes else "reg"
    else:
        task = _required(path, network, stated, "task", ("reg", "seg"))
    return UNetArchitecture(
        name=network,
        in_channels=first[1],
        out_channels=shapes[f"terminal_block.{convolution}_0.weight"][0],
        in_stack_depth=in_depth,
        out_stack_depth=out_depth,
        dims=(*(shapes[f"down_conv_block_{i}.{convolution}_0.weight"][0] for i in blocks), bottom[0]),
        block_layers=sum(
            name.startswith(f"down_conv_block_0.{convolution}_") and name.endswith(".weight") for name in shapes
        ),
        kernel_size=first[-2:],
        residual=_required(path, network, stated, "residual", (False, True)),
        task="seg" if task == "seg" else "reg",
    )


def _required(path: Path, network: str, stated: Mapping[str, Any], key: str, allowed: range | tuple[Any, ...]) -> Any:
    """Return a hyper-parameter that weights do not tell."""
    what = (
        f"1 to {_MAX_DEPTH}" if isinstance(allowed, range) else " or ".join(f"{value!r}".lower() for value in allowed)
    )
    value = stated.get(key)
    if value is None:
        msg = (
            f"{path}: the file does not store {key} of its {network}, and weights do not show it: write it into "
            f'{path.name}.json beside the file, such as {{"{key}": ...}}; allowed are {what}'
        )
        raise DataError(msg)
    if type(value) is not type(allowed[0]) or value not in allowed:
        msg = f"{path}: {key} of the {network} is given as {value!r:.100}; allowed are {what}"
        raise DataError(msg)
    return value
