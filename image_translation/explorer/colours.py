"""Component scores and channels as RGB colours.

Maps that are to be compared share one basis and one contrast: then equal colours mean equal features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError

# RGB of channels at full intensity. Blue and orange are distinct with any colour vision, and add up to white.
COLOURS = {"blue": (0.0, 0.5, 1.0), "orange": (1.0, 0.5, 0.0), "gray": (1.0, 1.0, 1.0)}
_COMPOSITE_PERCENTILES = (0.5, 99.8)  # shown as black and as full colour


def contrast_limits(scores: Sequence[NDArray[Any]], low: float = 1, high: float = 99) -> NDArray[np.float64]:
    """Return the range of each component to be displayed, the same for all maps, (n, 2) float64.

    Parameters
    ----------
    scores
        Scores of each map in a common basis, (n, H, W).
    low, high
        Percentiles of the finite scores of all maps together; where they coincide, minimum and maximum are taken.

    Raises
    ------
    UsageError
        The numbers of components differ.
    """
    counts = sorted({len(map_scores) for map_scores in scores})
    if len(counts) != 1:
        msg = f"maps of {counts} components cannot share a contrast; project them on one basis"
        raise UsageError(msg)
    ranges = np.zeros((counts[0], 2))
    for n in range(counts[0]):
        values = np.concatenate([map_scores[n][np.isfinite(map_scores[n])] for map_scores in scores])
        if values.size:
            ranges[n] = np.percentile(values, (low, high))
            if ranges[n, 0] == ranges[n, 1]:
                ranges[n] = values.min(), values.max()
    return ranges


def to_rgb(scores: NDArray[Any], contrast: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Map scores (n, H, W) to colours (H, W, 3) uint8: the first three components are red, green and blue.

    Two components are orange and blue, one is gray. Trailing components with an empty range are ignored; if no
    component is left, the image is medium gray. Pixels that are not finite are black. For `contrast` see
    `contrast_limits`.
    """
    shown = scores[:3]
    varying = np.flatnonzero(contrast[: len(shown), 1] > contrast[: len(shown), 0])
    count = varying[-1] + 1 if varying.size else 0
    finite = np.isfinite(shown).all(axis=0)
    levels = [_rescale(plane, limits) for plane, limits in zip(shown[:count], contrast[:count], strict=True)]
    if count == 3:
        return _to_uint8(np.stack(levels, axis=-1), finite)
    if count == 0:
        return _to_uint8(np.full((*finite.shape, 3), 0.5), finite)
    return _to_uint8(_blend(levels, ("gray",) if count == 1 else ("orange", "blue")), finite)


def composite(
    channels: Sequence[NDArray[Any]],
    colours: Sequence[str] = ("blue", "orange"),
    contrast: NDArray[np.float64] | None = None,
) -> NDArray[np.uint8]:
    """Overlay channels additively, each in a colour, (H, W, 3) uint8; pixels that are not finite are black.

    Parameters
    ----------
    channels
        Each (H, W), any float dtype.
    colours
        Names out of `COLOURS`, one for each channel; blue and orange in equal strength are white or gray.
    contrast
        Values of each channel shown as black and as full colour, (n, 2); default are its percentiles 0.5 and 99.8.

    Raises
    ------
    UsageError
        A colour is unknown, or there is not one for each channel.
    """
    if len(colours) < len(channels) or not channels or not set(colours) <= set(COLOURS):
        msg = f"colours {', '.join(colours)} for {len(channels)} channels: give one of {', '.join(COLOURS)} for each"
        raise UsageError(msg)
    if contrast is None:
        contrast = np.concatenate(
            [contrast_limits([channel[np.newaxis]], *_COMPOSITE_PERCENTILES) for channel in channels]
        )
    finite = np.logical_and.reduce([np.isfinite(channel) for channel in channels])
    levels = [
        _rescale(channel, limits) if limits[1] > limits[0] else np.zeros(channel.shape)
        for channel, limits in zip(channels, contrast, strict=True)
    ]
    return _to_uint8(_blend(levels, colours), finite)


def _rescale(plane: NDArray[Any], limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rescale values from the contrast limits to [0, 1]; 0.5 where these are equal."""
    low, high = limits
    if high <= low:
        return np.full(plane.shape, 0.5)
    return np.clip((np.nan_to_num(plane.astype(np.float64)) - low) / (high - low), 0, 1)


def _blend(levels: Sequence[NDArray[np.float64]], colours: Sequence[str]) -> NDArray[np.float64]:
    """Add up levels in [0, 1], each in its colour."""
    rgb = [level[..., np.newaxis] * COLOURS[colour] for level, colour in zip(levels, colours, strict=False)]
    return np.minimum(np.sum(rgb, axis=0), 1)


def _to_uint8(rgb: NDArray[np.float64], finite: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.rint(255 * np.where(finite[..., np.newaxis], rgb, 0)).astype(np.uint8)
