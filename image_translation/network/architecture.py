"""Recognise VisCy's 2D network by its weights, and read off their shapes how it was built.

Most checkpoints do not say how their network was built, but every number that it takes shows in the shapes of the
weights. Where hyper-parameters contradict them, the weights are right.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from image_translation.errors import DataError
from image_translation.network.checkpoint import StateDict

Shapes = Mapping[str, tuple[int, ...]]

_ANCHOR = "encoder.stem.conv2d.weight"
_OTHER_ARCHITECTURES = {
    "encoder_stages.": "UNeXt2, which stains 3D stacks",
    "skip_conv_layer": "the 2.5D U-Net, which stains stacks",
    "down_conv_block_0": "the 2D U-Net",
    "projection.": "a contrastive encoder, which stains nothing",
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """How VisCy's `FullyConvolutionalMAE` is built; the fields are its arguments.

    Attributes
    ----------
    in_channels, out_channels
        Channels of the input and of the output.
    encoder_blocks, dims
        Blocks and channels of each stage of the encoder.
    decoder_conv_blocks
        Blocks of each stage of the decoder.
    stem_kernel_size
        Patch of the first convolution, (Z, Y, X) pixels.
    in_stack_depth
        Planes of the input.
    head_conv, head_conv_expansion_ratio, head_conv_pool
        Whether the head has convolutions, how wide, and whether it pools.
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
    def stride(self) -> int:
        """Number of pixels of which height and width must be a multiple."""
        return int(max(self.stem_kernel_size[1:]) * 2 ** (len(self.dims) - 1))


def network_weights(path: Path, state: StateDict) -> StateDict:
    """Pick the weights of the network out of a state dict.

    Parameters
    ----------
    path
        Named in errors.
    state
        Weights under any prefix, and perhaps those of other modules.

    Returns
    -------
    dict
        Weights by the names that the network gives them.

    Raises
    ------
    DataError
        The network is another one, or a weight is not finite.
    """
    prefix = next((name.removesuffix(_ANCHOR) for name in state if name.endswith(_ANCHOR)), None)
    if prefix is None:
        found = next((text for key, text in _OTHER_ARCHITECTURES.items() if any(key in name for name in state)), None)
        what = f"a checkpoint of {found}" if found else f"an unknown network (first weight: {next(iter(state))})"
        msg = f"{path}: {what}; needed is VisCy's UNeXt2_2D (FullyConvolutionalMAE)"
        raise DataError(msg)
    own = {name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)}
    broken = [name for name, weight in own.items() if not torch.isfinite(weight).all()]
    if broken:
        msg = f"{path}: {len(broken)} of {len(own)} weights are NaN or infinite: {_shortened(broken)}"
        raise DataError(msg)
    return own


def infer(path: Path, state: StateDict, config: Mapping[str, Any]) -> Architecture:
    """Read the architecture off the shapes of the weights.

    Parameters
    ----------
    path
        Named in errors.
    state
        As `network_weights` returns it.
    config
        The hyper-parameters of the network as far as the checkpoint has them. They are needed for `head_conv_pool`
        only, which leaves no trace in the weights; VisCy's default, True, is assumed without them.

    Raises
    ------
    DataError
        Weights that tell the architecture are missing.
    """
    shapes = shapes_of(state)
    try:
        stem = shapes["encoder.stem.conv3d.weight"]
        dims = tuple(
            shapes[f"encoder.stages.{i}.blocks.0.dwconv.weight"][0] for i in range(_count(shapes, "encoder.stages."))
        )
        depth = stem[2] * (dims[0] // stem[0])  # the patches of a stack share the channels of the first stage
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
        msg = f"{path}: incomplete weights of a UNeXt2_2D network (no usable {error})"
        raise DataError(msg) from error


def compare(path: Path, wanted: Shapes, found: Shapes) -> None:
    """Raise `DataError`, with the differences in one line, unless the weights have the wanted names and shapes."""
    differences = {
        "missing": [name for name in wanted if name not in found],
        "unexpected": [name for name in found if name not in wanted],
        "of another shape": [name for name in wanted if name in found and wanted[name] != found[name]],
    }
    if any(differences.values()):
        parts = "; ".join(f"{what}: {_shortened(names)}" for what, names in differences.items() if names)
        msg = f"{path}: the weights do not fit VisCy's UNeXt2_2D network; {parts}"
        raise DataError(msg)


def model_config(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the hyper-parameters of the network in a Lightning checkpoint, empty if it has none."""
    hyper_parameters = content.get("hyper_parameters")
    config = hyper_parameters.get("model_config") if isinstance(hyper_parameters, Mapping) else None
    return config if isinstance(config, Mapping) else {}


def doubts(architecture: Architecture, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each thing that the hyper-parameters contradict or leave open."""
    for field in fields(architecture):
        value = getattr(architecture, field.name)
        stated = config.get(field.name, value)
        if (tuple(stated) if isinstance(stated, list | tuple) else stated) != value:
            yield f"the hyper-parameters say {field.name}={stated}, the weights {value}; the weights are followed"
    if architecture.head_conv and "head_conv_pool" not in config:
        yield "the checkpoint does not say whether its head pools; VisCy's default, pooling, is assumed"


def shapes_of(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight."""
    return {name: tuple(weight.shape) for name, weight in state.items()}


def _count(names: Iterable[str], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".", 1)[0] for name in names if name.startswith(prefix)})


def _shortened(names: list[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
