"""VisCy's `FullyConvolutionalMAE` in plain PyTorch, for inference: the same weights and results in less time.

It is a U-Net of ConvNeXt V2 blocks (Woo et al., "ConvNeXt V2", CVPR 2023) whose decoder upsamples by pixel shuffle,
from VisCy (https://github.com/mehta-lab/VisCy), where it is also called "UNeXt2_2D" and "fcmae". The stem turns the
planes of a stack into channels, and the head turns channels into planes; all layers between them are 2D. VisCy's
implementation is used for training; importing it takes 15 s because it imports MONAI and timm. Tests compare the two.

This one is faster for three reasons. Features stay in the channels-last memory format, so that no block copies them.
The scale of the global response normalisation is folded into the weights of the next layer, which saves two arrays of
the size of the widest features. On a CPU these features are computed in chunks that fit into the cache.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everywhere

from image_translation.network.architecture import Architecture

_CHUNK_SIZE = 2**20  # features per chunk: fits into the cache of a core
_MIN_ENERGY = 1e-24  # lower limit of the squared response of a channel
_EPS = 1e-6  # of the normalisation layers that VisCy takes from timm


class FCMAE(nn.Module):
    """Fully convolutional U-Net of ConvNeXt V2 blocks; its weights have the same names and shapes as in VisCy.

    Parameters
    ----------
    architecture
        Hyper-parameters.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.encoder = _Encoder(architecture)
        self.decoder = _Decoder(architecture)
        self.head: nn.Module = _ConvHead(architecture) if architecture.head_conv else _ShuffleHead(architecture)

    def forward(self, x: Tensor) -> Tensor:
        """Predict a batch: (B, C_in, Z, Y, X) -> (B, C_out, Z, Y, X), with Y and X multiples of the stride."""
        prediction: Tensor = self.head(self.decoder(self.encoder(x)))
        return prediction


class _Encoder(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.stem = _Stem(architecture)
        inputs = (architecture.dims[0], *architecture.dims[:-1])
        strides = (1, *[2] * (len(inputs) - 1))
        self.stages = nn.ModuleList(
            _Stage(before, channels, [_EncoderBlock(channels) for _ in range(blocks)], stride)
            for before, channels, blocks, stride in zip(
                inputs, architecture.dims, architecture.encoder_blocks, strides, strict=True
            )
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [self.stem(x)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]


class _Stem(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        depth, height, width = architecture.stem_kernel_size
        inputs, channels = architecture.in_channels, architecture.dims[0]
        # One of the two is used, for stacks and for single planes, but both are part of the state dict.
        steps = architecture.in_stack_depth // depth
        self.conv3d = nn.Conv3d(inputs, channels // steps, (depth, height, width), (depth, height, width))
        self.conv2d = nn.Conv2d(inputs, channels, (height, width), (height, width))
        self.norm = _ChannelNorm(architecture.dims[0])

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] == 1:
            features = self.conv2d(x.squeeze(2).contiguous(memory_format=torch.channels_last))
        else:
            features = self.conv3d(x).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        normalized: Tensor = self.norm(features)
        return normalized


class _Stage(nn.Module):
    def __init__(self, before: int, channels: int, blocks: Sequence[nn.Module], stride: int = 1) -> None:
        super().__init__()
        unchanged = before == channels and stride == 1
        convolution = nn.Conv2d(before, channels, stride, stride)
        self.downsample = nn.Identity() if unchanged else nn.Sequential(_ChannelNorm(before, _EPS), convolution)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.blocks(self.downsample(x))
        return features


class _Decoder(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        *dims, stem = *reversed(architecture.dims), architecture.stem_kernel_size[-1]
        depth = architecture.in_stack_depth
        if architecture.head_conv:  # the planes, and one on either side
            dims[-1] = (depth + 2) * architecture.in_channels * 4 * architecture.head_conv_expansion_ratio
        else:
            dims[-1] = architecture.out_channels * depth * stem**2
        blocks = architecture.decoder_conv_blocks
        self.decoder_stages = nn.ModuleList(_DecoderStage(before, after, blocks) for before, after in pairwise(dims))

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for stage, skip in zip(self.decoder_stages, reversed(features[:-1]), strict=True):
            x = stage(x, skip)
        return x


class _DecoderStage(nn.Module):
    def __init__(self, before: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.conv = _Stage(before // 4 + before // 2, channels, [_DecoderBlock(channels) for _ in range(blocks)])

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        features: Tensor = self.conv(torch.cat([F.pixel_shuffle(x, 2), skip], dim=1))
        return features


class _ShuffleHead(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self._factor = architecture.stem_kernel_size[-1]
        self._shape = (architecture.out_channels, architecture.in_stack_depth)

    def forward(self, x: Tensor) -> Tensor:
        planes = _pooled(F.pixel_shuffle(x.contiguous(), self._factor), self._factor)
        return planes.reshape(len(x), *self._shape, *planes.shape[2:])


class _ConvHead(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        ratio, outputs = architecture.head_conv_expansion_ratio, 4 * architecture.out_channels
        self.conv = nn.Sequential(
            _HeadConvolution(architecture.in_channels * ratio, outputs * ratio), nn.Conv3d(outputs * ratio, outputs, 1)
        )
        self._pool = architecture.head_conv_pool
        self._planes = architecture.in_stack_depth + 2

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_shuffle(x.contiguous(), 2)
        if self._pool:
            x = _pooled(x, 2)
        x = self.conv(x.reshape(len(x), -1, self._planes, *x.shape[2:]))
        return F.pixel_shuffle(x.transpose(1, 2), 2).transpose(1, 2)


class _HeadConvolution(nn.Module):
    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, outputs, 3, padding=(0, 1, 1))
        self.adn = nn.ModuleDict({"A": nn.PReLU()})

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.adn["A"](F.instance_norm(self.conv(x)))
        return activated


class _EncoderBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels, bias=False)
        self.layernorm = nn.LayerNorm(channels)
        self.mlp = _Mlp(channels, pointwise=False)

    def forward(self, x: Tensor) -> Tensor:
        return _residual(x, self.dwconv, self.layernorm, self.mlp)


class _DecoderBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, _EPS)
        self.mlp = _Mlp(channels, pointwise=True)

    def forward(self, x: Tensor) -> Tensor:
        return _residual(x, self.conv_dw, self.norm, self.mlp)


class _Mlp(nn.Module):
    """Two linear layers (1 x 1 convolutions in the decoder) with a global response normalisation between them."""

    def __init__(self, channels: int, *, pointwise: bool) -> None:
        super().__init__()
        wide = 4 * channels
        self.fc1 = nn.Conv2d(channels, wide, 1) if pointwise else nn.Linear(channels, wide)
        self.grn = nn.LayerNorm(wide)  # only holds weight and bias of the response normalisation
        self.fc2 = nn.Conv2d(wide, channels, 1) if pointwise else nn.Linear(wide, channels)

    def fold(self, energy: Tensor) -> tuple[Tensor, Tensor]:
        """Fold the response normalisation into the weights of the second layer.

        Parameters
        ----------
        energy
            Sum of squares of each feature over an image, (B, 4C) float32.

        Returns
        -------
        weight, bias : Tensor
            Shapes (B, 4C, C) and (C,).
        """
        response = energy.clamp_min(_MIN_ENERGY).sqrt()
        scale = 1 + self.grn.weight * (response / (response.mean(-1, keepdim=True) + _EPS))
        weight = self.fc2.weight.flatten(1)
        return (weight * scale.unsqueeze(1)).mT, F.linear(self.grn.bias, weight, self.fc2.bias)


def _residual(x: Tensor, depthwise: nn.Conv2d, norm: nn.LayerNorm, mlp: _Mlp) -> Tensor:
    """Apply a residual block to features (B, C, H, W), channels last in memory."""
    pixels = depthwise(x).permute(0, 2, 3, 1).flatten(1, 2)  # (B, H * W, C), without a copy
    in_chunks = x.device.type == "cpu" and not torch.compiler.is_compiling()
    wide, energy = (_widen_in_chunks if in_chunks else _widen)(pixels, norm, mlp)
    weight, bias = mlp.fold(energy)
    residual = x.permute(0, 2, 3, 1).flatten(1, 2) + bias
    mixed = wide.dtype != residual.dtype  # then the residual sum stays in the higher precision
    out = residual + wide @ weight.to(wide.dtype) if mixed else torch.baddbmm(residual, wide, weight)
    return out.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)


def _widen(pixels: Tensor, norm: nn.LayerNorm, mlp: _Mlp) -> tuple[Tensor, Tensor]:
    """Compute the features between the two layers, (B, N, 4C), and their sum of squares over an image, (B, 4C)."""
    wide = F.gelu(F.linear(norm(pixels), mlp.fc1.weight.flatten(1), mlp.fc1.bias))
    return wide, torch.linalg.vector_norm(wide, dim=1, dtype=torch.float32).square()


def _widen_in_chunks(pixels: Tensor, norm: nn.LayerNorm, mlp: _Mlp) -> tuple[Tensor, Tensor]:
    """Compute the same as `_widen` in chunks; on a CPU the sum of squares is many times faster than the norm."""
    weight, bias = mlp.fc1.weight.flatten(1), mlp.fc1.bias
    size = max(1, _CHUNK_SIZE // len(weight))
    wide, energies = None, []
    for number, image in enumerate(pixels):
        energy = torch.zeros(len(weight))
        for start in range(0, len(image), size):
            chunk = torch.ops.aten.gelu_(F.linear(norm(image[start : start + size]), weight, bias))
            energy += chunk.float().square().sum(0)
            if wide is None:
                wide = chunk.new_empty((*pixels.shape[:2], len(weight)))
            wide[number, start : start + size] = chunk
        energies.append(energy)
    assert wide is not None  # noqa: S101 - there is at least one pixel
    return wide, torch.stack(energies)


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of images, (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _pooled(x: Tensor, factor: int) -> Tensor:
    """Average over blocks of `factor` pixels, against checkerboard artefacts (Aitken et al., arXiv:1707.02937)."""
    return F.avg_pool2d(F.pad(x, (factor - 1, 0, factor - 1, 0)), factor, stride=1)
