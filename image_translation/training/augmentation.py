"""Normalisation and augmentation of training patches: random crops, flips, affine maps, intensity changes, blur, noise.

The transforms are those of MONAI (https://monai.io) as wrapped by VisCy. Geometric transforms are applied to source and
target together; intensity transforms are applied to the source only, because the target is what the network learns.
"""

import math
from collections.abc import Sequence
from typing import Any

from viscy.transforms import (
    NormalizeSampled,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandWeightedCropd,
)

from image_translation.normalize import STORED_KEYS, Method
from image_translation.training.options import Augmentation

WEIGHT = "weight"
"""Key of the sampling map: patches are cropped more often where it is bright, so that few show only background."""


def normalizations(source: Sequence[str], target: Sequence[str], method: Method) -> list[Any]:
    """Return transforms that normalise sources by the statistics of their field, and targets by those of all fields.

    A sample maps channels to images (1, Z, Y, X), and contains the statistics of each channel in VisCy's layout.
    """
    target_keys = dict(zip(("subtrahend", "divisor"), STORED_KEYS["mean_std"], strict=True))
    steps = [NormalizeSampled(list(target), "dataset_statistics", **target_keys)]
    if method != "none":
        source_keys = dict(zip(("subtrahend", "divisor"), STORED_KEYS[method], strict=True))
        steps.append(NormalizeSampled(list(source), "fov_statistics", **source_keys))
    return steps


def augmentations(
    source: Sequence[str],
    target: Sequence[str],
    strength: Augmentation,
    *,
    shape: tuple[int, int],
    depth: int,
    patch: int,
    samples: int,
) -> list[Any]:
    """Return the random transforms from a normalised field to patches; a centre crop to the patch size must follow.

    Parameters
    ----------
    source, target
        Names of the channels.
    strength
        "none": random crops only. "weak": also flips and small intensity changes. "strong": also random rotation,
        shear and scale, large changes of contrast and intensity, blur and noise.
    shape
        Height and width of the smallest field, in pixels.
    depth
        Number of planes of a field, which all undergo the same geometric transforms.
    patch
        Height and width of a patch, in pixels.
    samples
        Number of patches per field.
    """
    channels, sources = [*source, *target], list(source)
    # a crop that is rotated by any angle must contain the patch
    side = math.ceil(patch * math.sqrt(2)) if strength == "strong" else patch
    size = (depth, *(min(side, length) for length in shape))
    steps = [RandWeightedCropd(channels, w_key=WEIGHT, spatial_size=size, num_samples=samples)]
    if strength != "none":
        steps += [RandFlipd(channels, prob=0.5, spatial_axis=1), RandFlipd(channels, prob=0.5, spatial_axis=2)]
    if strength == "weak":
        steps.append(RandScaleIntensityd(sources, prob=0.5, factors=0.1))
    if strength == "strong":
        steps += [
            RandAffined(
                channels, prob=0.8, rotate_range=(math.pi, 0.0, 0.0), shear_range=(0.0, 0.0, 0.0, 0.05, 0.0, 0.05),
                scale_range=(0.0, 0.3, 0.3), padding_mode="reflection",
            ),
            RandAdjustContrastd(sources, prob=0.3, gamma=(0.75, 1.5)),
            RandScaleIntensityd(sources, prob=0.5, factors=0.5),
            RandGaussianSmoothd(sources, prob=0.5, sigma_x=(0.25, 1.0), sigma_y=(0.25, 1.0), sigma_z=(0.0, 0.0)),
            RandGaussianNoised(sources, prob=0.5, mean=0.0, std=0.2),
        ]  # fmt: skip
    return steps
