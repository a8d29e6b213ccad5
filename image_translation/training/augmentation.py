"""What is done to a field before a network trains on it: cut at random, turned, dimmed, blurred and soiled.

The transforms are MONAI's (https://monai.io), by the names that VisCy gives them. What changes the geometry changes
source and target alike; what changes the intensities changes the source alone, for the target is what is to be found.
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
"""Key of the image whose bright places are drawn more often, so that patches seldom show empty ground."""


def normalizations(source: Sequence[str], target: Sequence[str], method: Method) -> list[Any]:
    """Return what brings sources to the scale of their field, and targets to that of all fields.

    A sample holds, beside its images (1, 1, Y, X) by channel, the statistics by channel, as VisCy keeps them.
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
    patch: int,
    samples: int,
) -> list[Any]:
    """Return the random steps between a normalised field and patches, which a crop at the centre then completes.

    Parameters
    ----------
    source, target
        Names of the channels.
    strength
        "none": cut only. "weak": mirrored, a little dimmed. "strong": turned and stretched at will, too, with other
        contrast, blur and noise.
    shape
        Height and width of the smallest field.
    patch
        Side of a patch in pixels.
    samples
        Patches of a field.
    """
    both, sources = [*source, *target], list(source)
    # what is turned at will must be larger than what is cut from its centre
    reach = math.ceil(patch * math.sqrt(2)) if strength == "strong" else patch
    size = (1, *(min(reach, side) for side in shape))
    steps = [RandWeightedCropd(both, w_key=WEIGHT, spatial_size=size, num_samples=samples)]
    if strength != "none":
        steps += [RandFlipd(both, prob=0.5, spatial_axis=1), RandFlipd(both, prob=0.5, spatial_axis=2)]
    if strength == "weak":
        steps.append(RandScaleIntensityd(sources, prob=0.5, factors=0.1))
    if strength == "strong":
        steps += [
            RandAffined(
                both, prob=0.8, rotate_range=(math.pi, 0.0, 0.0), shear_range=(0.0, 0.0, 0.0, 0.05, 0.0, 0.05),
                scale_range=(0.0, 0.3, 0.3), padding_mode="reflection",
            ),
            RandAdjustContrastd(sources, prob=0.3, gamma=(0.75, 1.5)),
            RandScaleIntensityd(sources, prob=0.5, factors=0.5),
            RandGaussianSmoothd(sources, prob=0.5, sigma_x=(0.25, 1.0), sigma_y=(0.25, 1.0), sigma_z=(0.0, 0.0)),
            RandGaussianNoised(sources, prob=0.5, mean=0.0, std=0.2),
        ]  # fmt: skip
    return steps
