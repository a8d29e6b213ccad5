"""Principal components of feature maps, and how much a map changes. Pixels are samples, channels are features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError

# All pixels of a stage at half the resolution of a 1024 x 1024 frame. See `fit_basis` for what fewer would cost.
SAMPLES = 512 * 512
_BLOCK = 16_384  # pixels that are converted to float64 at a time
_ROUNDING = 1e-6  # share of the variance below which a component is the rounding of float32
_CLEAR_SUM, _CLEAR_SKEWNESS = 0.3, 0.05  # far beyond what the drawing of pixels changes


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Principal components of feature maps.

    Attributes
    ----------
    mean
        Mean of each channel, (C,) float64.
    components
        Directions of unit length, the one of most variance first, (n, C) float64; zero where no variance is left.
    explained
        Share of the total variance of each, (n,) float64, in [0, 1].
    variance
        That of all channels together.
    pixels
        Number of pixels that the basis was fitted to.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    explained: NDArray[np.float64]
    variance: float
    pixels: int

    @property
    def channels(self) -> int:
        """Number of channels of the maps."""
        return self.mean.size


def fit_basis(maps: Sequence[NDArray[Any]], components: int = 3, *, samples: int = SAMPLES, seed: int = 0) -> Basis:
    """Find the principal components of one map, or those that several maps have in common.

    Equal maps give equal bases, whatever the order of the channels. A component whose entries clearly have a sum (0.3
    of the largest possible) has a positive one: a high score is much activity. Otherwise the skewness of the scores is
    positive: few pixels are bright. Where that is below 0.05, too, the sum decides, and at last the largest entry.

    Parameters
    ----------
    maps
        Each (C, H, W), any float dtype. Pixels with a channel that is not finite are left out.
    components
        Number of components; there are at most C.
    samples
        Number of pixels to which larger maps are reduced together: one is drawn from each of so many runs. Of normally
        distributed, independent pixels, the angle between a component of variance a and that of all pixels is about the
        root of the sum of a b / (a - b)^2 / `samples` over all others, of variance b, in radians. Twice that is a safe
        bound; components of nearly equal variance have none.
    seed
        Of the drawing.

    Raises
    ------
    UsageError
        There is no map, one is not of three axes, the numbers of channels differ, or a number is below 1.
    """
    if not maps or components < 1 or samples < 1:
        msg = f"{len(maps)} maps, {components} components of {samples} pixels: each must be at least 1"
        raise UsageError(msg)
    for features in maps:
        _require_map(features, maps[0].shape[0])
    pixels = _drawn_pixels(maps, samples, np.random.default_rng(seed))
    channels, count = pixels.shape
    kept = min(components, channels)
    mean, found, explained, variance = np.zeros(channels), np.zeros((kept, channels)), np.zeros(kept), 0.0
    if count:
        mean, centred, order = _centred(pixels)
        if centred.any():
            from sklearn.decomposition import PCA  # takes seconds

            fitted = PCA(min(kept, count), svd_solver="covariance_eigh").fit(centred.T)
            shares = fitted.explained_variance_ratio_.astype(np.float64)
            real = np.flatnonzero(shares > _ROUNDING)
            found[np.ix_(real, order)] = _signed(fitted.components_[real], centred)
            explained[real] = shares[real]
            variance = float(fitted.explained_variance_[0] / shares[0])
    return Basis(mean, found, explained, variance, count)


def project(features: NDArray[Any], basis: Basis) -> NDArray[np.float32]:
    """Return the scores of a map (C, H, W) in a basis, (n, H, W) float32; NaN where a channel is not finite.

    Raises
    ------
    UsageError
        The basis is of another number of channels.
    """
    _require_map(features, basis.channels)
    flat = features.reshape(basis.channels, -1)
    scores = np.empty((len(basis.components), flat.shape[1]), np.float32)
    for part, block, finite in _blocks(flat):
        centred = np.where(finite, block - basis.mean[:, np.newaxis], 0)
        scores[:, part] = np.where(finite, basis.components @ centred, np.nan)
    return scores.reshape(-1, *features.shape[1:])


def spectrum(features: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share of the variance of all principal components, (C,) float64, the largest first.

    All finite pixels of the map (C, H, W) count. The shares add up to 1, or are zero where the map is constant.
    """
    _require_map(features, features.shape[0])
    channels = features.shape[0]
    count, total, squares = 0, np.zeros(channels), np.zeros((channels, channels))
    centre: NDArray[np.float64] | None = None
    for _, block, finite in _blocks(features.reshape(channels, -1)):
        pixels = block[:, finite]
        if pixels.size:
            centre = pixels[:, 0].copy() if centre is None else centre  # so that a constant is exactly zero
            pixels -= centre[:, np.newaxis]
            count += pixels.shape[1]
            total += pixels.sum(axis=1)
            squares += pixels @ pixels.T
    covariance = squares - np.outer(total, total) / max(count, 1)
    variances = np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0)
    whole = variances.sum()
    return variances / whole if whole > 0 else np.zeros(channels)


def change(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Return how much a map (C, H, W) differs from an earlier one: 0 if equal, about 1 if unrelated, at most 1.41.

    It is the root of sum((a - b)^2) / sum((a - m)^2 + (b - m)^2), over all channels and pixels that are finite in both,
    with m the mean of a channel over both maps. Gain and offset that both share cancel, and so does the number of
    channels: stages can be compared with each other and with the input. A gain or an offset of one of the maps alone
    is change, as flicker is. Without finite pixels it is NaN.

    Raises
    ------
    UsageError
        The shapes differ.
    """
    if before.shape != after.shape:
        msg = f"the maps have shapes {before.shape} and {after.shape}; only equal ones can be compared"
        raise UsageError(msg)
    finite = np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
    if not finite.any():
        return float("nan")
    difference = spread = 0.0
    for first, second in zip(before, after, strict=True):
        a, b = first[finite].astype(np.float64), second[finite].astype(np.float64)
        difference += float(np.square(a - b).sum())
        mean = (a.mean() + b.mean()) / 2
        spread += float(np.square(a - mean).sum() + np.square(b - mean).sum())
    return float(np.sqrt(difference / spread)) if difference > 0 else 0.0


def _require_map(features: NDArray[Any], channels: int) -> None:
    if features.ndim != 3 or not features.size:
        msg = f"a feature map has shape (C, H, W), none of them zero; this one has {features.shape}"
        raise UsageError(msg)
    if features.shape[0] != channels:
        msg = f"the map has {features.shape[0]} channels, where {channels} are needed: those of the basis or first map"
        raise UsageError(msg)


def _drawn_pixels(maps: Sequence[NDArray[Any]], samples: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return pixels of all maps, (C, N) float32 or float64, finite."""
    share = samples / sum(features[0].size for features in maps)
    drawn = []
    for features in maps:
        flat = features.reshape(features.shape[0], -1)
        count = max(1, round(share * flat.shape[1]))
        pixels = _draw(flat, count, rng)
        if not np.isfinite(pixels).all():
            pixels = _draw(flat[:, np.isfinite(flat).all(axis=0)], count, rng)
        drawn.append(pixels)
    return np.concatenate(drawn, axis=1, dtype=np.result_type(np.float32, *drawn))


def _draw(flat: NDArray[Any], count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return one pixel out of each of `count` runs of equal length, (C, count); all pixels if there are no more."""
    size = flat.shape[1]
    if size <= count:
        return flat
    places = (np.arange(count) + rng.random(count)) * (size / count)
    return flat.take(np.minimum(places.astype(np.intp), size - 1), axis=1)


def _centred(pixels: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.intp]]:
    """Take the mean off pixels (C, N), in place; return it, the rest with channels in a fixed order, and that order.

    As the order depends on the values alone, sums over channels round alike, however the channels came.
    """
    first = pixels[:, 0].astype(np.float64)  # taken off before the mean, so that a constant is exactly zero
    pixels -= pixels[:, :1].copy()
    means = pixels.mean(axis=1)
    pixels -= means[:, np.newaxis]
    order = np.lexsort((first, means, np.vecdot(pixels, pixels)))
    return first + means, pixels[order], order


def _signed(components: NDArray[Any], pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Turn each component, (n, C), into the direction that `fit_basis` promises."""
    signs = np.ones(len(components))
    for n, component in enumerate(components):
        total = component.sum() / np.sqrt(component.size)
        if abs(total) > _CLEAR_SUM:
            signs[n] = np.sign(total)
            continue
        scores = component @ pixels
        squares = scores * scores
        skewness = np.vecdot(squares, scores) / scores.size / np.mean(squares) ** 1.5
        largest = component[np.abs(component).argmax()]
        doubts = ((skewness, _CLEAR_SKEWNESS), (total, _ROUNDING), (largest, 0))
        signs[n] = np.sign(next(value for value, clear in doubts if abs(value) > clear))
    return signs[:, np.newaxis] * components


def _blocks(flat: NDArray[Any]) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.bool_]]]:
    """Yield runs of the pixels of a map (C, N): where they are, their copy in float64, and which are finite."""
    for start in range(0, flat.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        block = flat[:, part].astype(np.float64)
        yield part, block, np.asarray(np.isfinite(block).all(axis=0))
