"""Intensity statistics of a field of view: read them, estimate them, apply them; and tell an image from a dropped one.

Normalisation belongs to the checkpoint: a network that was trained on (x - median) / IQR of the field of view gives a
wrong stain for anything else. The layout of stored statistics is the one that VisCy writes
(https://github.com/mehta-lab/VisCy).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import DataError

Method = Literal["median_iqr", "mean_std", "none"]
METHODS: tuple[Method, ...] = get_args(Method)
DEFAULT_METHOD: Method = "median_iqr"
"""Of a checkpoint that does not say how its images are to be normalised; VSCyto2D was trained so."""

_NORMAL_IQR = 1.349  # interquartile range of the normal distribution, in standard deviations
_GRID_SPACING = 32  # pixels between samples in large frames, as in VisCy
_GRID_POINTS = 32  # wanted along the shorter axis, which makes the grid of small frames finer
_MAX_SAMPLES = 2**20  # values kept for an estimate, however long the movie
STORED_KEYS: dict[Method, tuple[str, str]] = {"median_iqr": ("median", "iqr"), "mean_std": ("mean", "std")}


@dataclass(frozen=True, slots=True)
class Statistics:
    """Centre and scale of the intensities of one channel of one field of view.

    Attributes
    ----------
    center, scale
        In the intensity units of the image; `scale` is positive.
    source
        "metadata" if read from the store, "estimated" if computed from the pixels, "none" if nothing is to be done.
    degenerate
        True if the wanted scale was zero and another took its place: worth a warning.
    """

    center: float
    scale: float
    source: Literal["metadata", "estimated", "none"]
    degenerate: bool = False


def from_metadata(attributes: Mapping[str, Any], channel: str, method: Method) -> Statistics | None:
    """Read the statistics of a field of view from its attributes.

    Parameters
    ----------
    attributes
        Attributes of the position; ``attributes["normalization"][channel]["fov_statistics"]`` holds the keys
        "mean", "std", "median" and "iqr".
    channel
        Name of the channel.
    method
        "median_iqr", "mean_std" or "none".

    Returns
    -------
    Statistics or None
        None where there is no block for the channel, or it is malformed, not finite, or without a positive scale.
    """
    if method == "none":
        return _identity()
    block: Any = attributes
    for key in ("normalization", channel, "fov_statistics"):
        block = block.get(key) if isinstance(block, Mapping) else None
    if not isinstance(block, Mapping):
        return None
    try:
        center, scale = (float(block[key]) for key in STORED_KEYS[method])
    except (KeyError, TypeError, ValueError):
        return None
    if not (np.isfinite(center) and _is_scale(scale)):
        return None
    return Statistics(center, scale, "metadata")


def grid_sample(image: NDArray[Any]) -> NDArray[np.float64]:
    """Sample an image on a regular grid.

    The spacing is 32 pixels as in VisCy, and smaller in frames whose shorter side is below 1024 pixels, so that every
    frame of at least 32 x 32 pixels gives 1000 samples or so.

    Parameters
    ----------
    image
        Shape (Y, X), any real dtype.

    Returns
    -------
    ndarray
        One axis, float64 (a large offset would cost float32 its precision).
    """
    spacing = min(max(min(image.shape) // _GRID_POINTS, 1), _GRID_SPACING)
    start = spacing // 2
    return image[start::spacing, start::spacing].astype(np.float64).ravel()


def estimate(samples: Iterable[NDArray[np.float64]], method: Method) -> Statistics:
    """Estimate the statistics of a movie from samples of its valid frames.

    Memory stays bounded: once there are more than about a million values, every second one is dropped,
    evenly over all the frames.

    Parameters
    ----------
    samples
        One array for each valid frame, as `grid_sample` gives it.
    method
        "median_iqr", "mean_std" or "none".

    Returns
    -------
    Statistics
        An interquartile range of zero (sparse cells on a constant background) is replaced by 1.349 standard
        deviations, and a standard deviation of zero by 1; `degenerate` is then set.

    Raises
    ------
    DataError
        There is no sample.
    """
    if method == "none":
        return _identity()
    values = _gather(samples)
    deviation = float(values.std())
    if method == "median_iqr":
        lower, center, upper = (float(value) for value in np.percentile(values, (25, 50, 75)))
        candidates = [upper - lower, _NORMAL_IQR * deviation]
    else:
        center = float(values.mean())
        candidates = [deviation]
    scale = next((candidate for candidate in candidates if _is_scale(candidate)), 1.0)
    return Statistics(center, scale, "estimated", degenerate=scale != candidates[0])


def apply(image: NDArray[Any], statistics: Statistics) -> NDArray[np.float32]:
    """Normalise an image: (image - center) / scale.

    Parameters
    ----------
    image
        Any shape, any real dtype and byte order.
    statistics
        Centre and scale.

    Returns
    -------
    ndarray
        float32, same shape. The subtraction is done in float64, a block at a time, so that neither a large offset
        nor an unsigned integer loses anything and no float64 copy of the image is made.
    """
    out = np.empty(image.shape, np.float32)
    np.subtract(image, statistics.center, out=out, dtype=np.float64, casting="same_kind")
    return np.divide(out, np.float32(statistics.scale), out=out)


def is_valid(image: NDArray[Any]) -> bool:
    """Tell an acquired image from a dropped one.

    Parameters
    ----------
    image
        Shape (Y, X) or (C, Y, X), any real dtype.

    Returns
    -------
    bool
        False if a channel has a pixel that is not finite in float32, or only equal pixels: all zero, as where a
        chunk is missing, or any other constant. An image of a single pixel is always constant; it is invalid if zero.
    """
    planes = image.reshape(-1, *image.shape[-2:])
    return all(_is_valid_plane(plane) for plane in planes)


def _is_valid_plane(plane: NDArray[Any]) -> bool:
    # The extremes see NaN (which both propagate) and infinity without an array of flags.
    low, high = float(plane.min()), float(plane.max())
    limit = float(np.finfo(np.float32).max)
    if not (-limit <= low <= high <= limit):
        return False
    return low != 0 if plane.size == 1 else low != high


def _gather(samples: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    kept: list[NDArray[np.float64]] = []
    stride = 1
    for sample in samples:
        kept.append(sample[::stride])
        if sum(part.size for part in kept) > _MAX_SAMPLES:
            kept = [part[::2].copy() for part in kept]
            stride *= 2
    values = np.concatenate(kept) if kept else np.empty(0)
    if not values.size:
        msg = "no valid frame to estimate the normalization from: every frame is empty, constant or not finite"
        raise DataError(msg)
    return values


def _is_scale(value: float) -> bool:
    # Smaller numbers are zero, or nearly so, in float32.
    return bool(np.finfo(np.float32).tiny <= value < np.inf)


def _identity() -> Statistics:
    return Statistics(0.0, 1.0, "none")
