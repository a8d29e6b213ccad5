"""Intensity normalisation: read, estimate and apply the statistics of images; detect dropped frames.

The normalisation method belongs to the checkpoint: a network trained on (x - median) / IQR of the field of view
predicts a wrong stain from an input normalised in another way. Stored statistics have the layout that VisCy writes
(https://github.com/mehta-lab/VisCy).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import DataError

Method = Literal["median_iqr", "mean_std", "percentiles", "none"]
METHODS: tuple[Method, ...] = get_args(Method)
Source = Literal["auto", "stored", "estimated"]
SOURCES: tuple[Source, ...] = get_args(Source)
"""Where statistics come from: the metadata of a store, its pixels, or the former if they agree with the latter."""
Over = Literal["fov", "timepoint", "dataset"]
OVER: tuple[Over, ...] = get_args(Over)
"""What statistics are pooled over: all frames of a field of view, each frame by itself, or all fields of a store."""
DEFAULT_OVER: Over = "fov"
DEFAULT_METHOD: Method = "median_iqr"
"""Assumed for checkpoints without normalisation metadata; used to train VSCyto2D."""

_NORMAL_IQR = 1.349  # interquartile range of the normal distribution, in standard deviations
_PERCENTILES, _NORMAL_RANGE = (1, 99), 4.653  # mapped to 0 and 1; their distance in the normal distribution, likewise
_GRID_SPACING = 32  # pixels between samples in large frames, as in VisCy
GRID_POINTS = 32  # least number along the shorter axis: the grid of small frames is finer
_AGREEMENT = 0.02  # of the scale, by which statistics of samples of one movie may differ
_DISAGREEMENT, _STANDARD_ERRORS = 0.1, 4.0  # of stored statistics with the pixels; the first in units of the scale
_MAX_SAMPLES = 2**20  # upper limit of the values kept for an estimate, for any length of movie
STORED_KEYS: dict[Method, tuple[str, str]] = {
    "median_iqr": ("median", "iqr"),
    "mean_std": ("mean", "std"),
    "percentiles": ("p1", "p99_p1"),
}


@dataclass(frozen=True, slots=True)
class Statistics:
    """Centre and scale of the intensities of one channel.

    Attributes
    ----------
    center, scale
        In the intensity units of the image; `scale` is positive. With the method "percentiles", the centre is the 1st
        percentile, and the scale its distance from the 99th, so that these two become 0 and 1.
    source
        "metadata" if read from the store, "estimated" if computed from the pixels, "none" for no normalisation.
    degenerate
        True if the scale was zero and a fallback is used; callers should warn.
    """

    center: float
    scale: float
    source: Literal["metadata", "estimated", "none"]
    degenerate: bool = False

    def agrees_with(self, other: "Statistics") -> bool:
        """Return whether centre and scale differ by at most 2 % of the scale, which no stain shows."""
        most = _AGREEMENT * other.scale
        return abs(self.center - other.center) <= most and abs(self.scale - other.scale) <= most


def from_metadata(
    attributes: Mapping[str, Any], channel: str, method: Method, over: Over = DEFAULT_OVER, t: int = 0
) -> Statistics | None:
    """Read statistics from the attributes of a position, or of the root of its store.

    Parameters
    ----------
    attributes
        ``attributes["normalization"][channel]`` holds "fov_statistics", "dataset_statistics" and, by the number of the
        frame as text, "timepoint_statistics"; each has the keys "mean", "std", "median", "iqr" and, in stores of newer
        versions of VisCy, "p1" and "p99_p1".
    channel
        Name of the channel.
    method
        "median_iqr", "mean_std", "percentiles" or "none".
    over
        Which of the three to read.
    t
        Number of the frame, for "timepoint".

    Returns
    -------
    Statistics or None
        None if the channel has no entry, or one that is malformed, not finite, or without a positive scale.
    """
    if method == "none":
        return _identity()
    block: Any = attributes
    for key in ("normalization", channel, f"{over}_statistics", *([str(t)] if over == "timepoint" else [])):
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


def grid_sample(image: NDArray[Any], points: int = GRID_POINTS) -> NDArray[np.float64]:
    """Sample an image on a regular grid.

    The spacing is 32 pixels as in VisCy, and smaller if the shorter side is below 1024 pixels, so that every
    frame of at least 32 x 32 pixels gives about 1000 samples.

    Parameters
    ----------
    image
        Shape (Y, X), any real dtype.
    points
        Least number of samples along the shorter side, if it has as many pixels.

    Returns
    -------
    ndarray
        Samples, (N,) float64 (float32 would lose precision at a large offset).
    """
    spacing = min(max(min(image.shape) // points, 1), _GRID_SPACING)
    start = spacing // 2
    return image[start::spacing, start::spacing].astype(np.float64).ravel()


def estimate(samples: Iterable[NDArray[np.float64]], method: Method) -> Statistics:
    """Estimate the statistics of a movie from samples of its valid frames.

    Memory is bounded: above about a million values, every second value is dropped, evenly over all frames.

    Parameters
    ----------
    samples
        One array per valid frame, from `grid_sample`.
    method
        "median_iqr", "mean_std", "percentiles" or "none".

    Returns
    -------
    Statistics
        An interquartile range of zero (sparse cells on a constant background) is replaced by 1.349 standard
        deviations, a distance of the percentiles of zero by 4.653, a standard deviation of zero by 1; `degenerate` is
        set in these cases.

    Raises
    ------
    DataError
        If there are no samples.
    """
    if method == "none":
        return _identity()
    values = _gather(samples)
    deviation = float(values.std())
    if method == "median_iqr":
        lower, center, upper = (float(value) for value in np.percentile(values, (25, 50, 75)))
        candidates = [upper - lower, _NORMAL_IQR * deviation]
    elif method == "percentiles":
        center, upper = (float(value) for value in np.percentile(values, _PERCENTILES))
        candidates = [upper - center, _NORMAL_RANGE * deviation]
    else:
        center = float(values.mean())
        candidates = [deviation]
    scale = next((candidate for candidate in candidates if _is_scale(candidate)), 1.0)
    return Statistics(center, scale, "estimated", degenerate=scale != candidates[0])


def explains(statistics: Statistics, samples: Sequence[NDArray[np.float64]], method: Method) -> bool:
    """Return whether given statistics may be those of the movie from which samples were taken.

    Parameters
    ----------
    statistics
        Statistics by the method.
    samples
        One array per valid frame, from `grid_sample`.
    method
        "median_iqr", "mean_std" or "percentiles".

    Returns
    -------
    bool
        False if centre or scale differ from those of the samples by more than a tenth of the scale and four standard
        errors, which the differences between the frames show.
    """
    pooled, single = estimate(samples, method), [estimate([sample], method) for sample in samples]
    for given, found, values in (
        (statistics.center, pooled.center, [each.center for each in single]),
        (statistics.scale, pooled.scale, [each.scale for each in single]),
    ):
        error = float(np.std(values)) / np.sqrt(len(values))
        if abs(given - found) > _DISAGREEMENT * pooled.scale + _STANDARD_ERRORS * error:
            return False
    return True


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
        Same shape, float32. The subtraction is computed in float64 to preserve precision at large offsets and for
        unsigned integers, in blocks, without a float64 copy of the image.
    """
    out = np.empty(image.shape, np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot represent is infinite, and spoils the prediction visibly
        np.subtract(image, statistics.center, out=out, dtype=np.float64, casting="same_kind")
        return np.divide(out, np.float32(statistics.scale), out=out)


def is_valid(image: NDArray[Any]) -> bool:
    """Return whether an image was acquired, as opposed to a dropped frame.

    Parameters
    ----------
    image
        Shape (Y, X) or (C, Y, X), any real dtype.

    Returns
    -------
    bool
        False if any channel has a pixel that is not finite in float32, or is constant (all zero where a chunk is
        missing). An image of a single pixel is always constant; it is invalid if zero.
    """
    planes = image.reshape(-1, *image.shape[-2:])
    return all(_is_valid_plane(plane) for plane in planes)


def _is_valid_plane(plane: NDArray[Any]) -> bool:
    # Minimum and maximum detect NaN (which both propagate) and infinity without a boolean array.
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
    # Smaller values are zero or subnormal in float32.
    return bool(np.finfo(np.float32).tiny <= value < np.inf)


def _identity() -> Statistics:
    return Statistics(0.0, 1.0, "none")
