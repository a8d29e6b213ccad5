"""Scores of principal components, and channels, as colours.

Maps that are to be compared share one basis and one contrast: then equal colours mean equal features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError

# Lights of channels, R, G and B. Blue and orange are told apart with any colour vision, and add up to white.
COLOURS = {"blue": (0.0, 0.5, 1.0), "orange": (1.0, 0.5, 0.0), "gray": (1.0, 1.0, 1.0)}
_FLUORESCENCE = (0.5, 99.8)  # percentiles that become black and full colour


def limits(scores: Sequence[NDArray[Any]], low: float = 1, high: float = 99) -> NDArray[np.float64]:
    """Return the range of each component that is to be shown, the same for all maps, (n, 2) float64.

    Parameters
    ----------
    scores
        Of each map, (n, H, W), in a common basis.
    low, high
        Percentiles of the finite scores of all maps together; where they coincide the range is the whole one.

    Raises
    ------
    UsageError
        The numbers of components differ.
    """
    counts = sorted({len(map_scores) for map_scores in scores})
    if len(counts) != 1:
        msg = f"maps of {counts} components have no common contrast; project them on one basis"
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
    """Return scores (n, H, W) as colours, (H, W, 3) uint8: the first three components are red, green and blue.

    Two components are orange and blue lights, one is gray. Last components whose range is empty do not count; without
    any, the picture is medium gray. Pixels that are not finite are black. For `contrast` see `limits`.
    """
    shown = scores[:3]
    varying = np.flatnonzero(contrast[: len(shown), 1] > contrast[: len(shown), 0])
    count = varying[-1] + 1 if varying.size else 0
    finite = np.isfinite(shown).all(axis=0)
    levels = [_stretched(plane, window) for plane, window in zip(shown[:count], contrast[:count], strict=True)]
    if count == 3:
        return _bytes(np.stack(levels, axis=-1), finite)
    if count == 0:
        return _bytes(np.full((*finite.shape, 3), 0.5), finite)
    return _bytes(_lights(levels, ("gray",) if count == 1 else ("orange", "blue")), finite)


def composite(
    channels: Sequence[NDArray[Any]],
    colours: Sequence[str] = ("blue", "orange"),
    contrast: NDArray[np.float64] | None = None,
) -> NDArray[np.uint8]:
    """Add channels up as coloured lights, (H, W, 3) uint8; pixels that are not finite are black.

    Parameters
    ----------
    channels
        Each (H, W), any float dtype.
    colours
        Names out of `COLOURS`, one for each channel; blue and orange in equal strength are white or gray.
    contrast
        Dark and full value of each channel, (n, 2); without it, the percentiles 0.5 and 99.8 of each.

    Raises
    ------
    UsageError
        A colour is unknown, or there is not one for each channel.
    """
    if len(colours) < len(channels) or not channels or not set(colours) <= set(COLOURS):
        msg = (
            f"colours {', '.join(colours)} for {len(channels)} channels: needed is one of {', '.join(COLOURS)} for each"
        )
        raise UsageError(msg)
    if contrast is None:
        contrast = np.concatenate([limits([channel[np.newaxis]], *_FLUORESCENCE) for channel in channels])
    finite = np.logical_and.reduce([np.isfinite(channel) for channel in channels])
    levels = [
        _stretched(channel, window) if window[1] > window[0] else np.zeros(channel.shape)
        for channel, window in zip(channels, contrast, strict=True)
    ]
    return _bytes(_lights(levels, colours), finite)


def _stretched(plane: NDArray[Any], window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values of 0 at the low and 1 at the high end of a window; half where it is empty."""
    low, high = window
    if high <= low:
        return np.full(plane.shape, 0.5)
    return np.clip((np.nan_to_num(plane.astype(np.float64)) - low) / (high - low), 0, 1)


def _lights(levels: Sequence[NDArray[np.float64]], colours: Sequence[str]) -> NDArray[np.float64]:
    lights = [level[..., np.newaxis] * COLOURS[colour] for level, colour in zip(levels, colours, strict=False)]
    return np.minimum(np.sum(lights, axis=0), 1)


def _bytes(rgb: NDArray[np.float64], finite: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.rint(255 * np.where(finite[..., np.newaxis], rgb, 0)).astype(np.uint8)
