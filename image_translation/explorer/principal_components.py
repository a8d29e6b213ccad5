"""Principal components of feature maps, and how much a map changes. Pixels are samples, channels are features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError

_VALUES = 2**18  # of a block of pixels that is worked on at a time: so many stay in a processor's cache
_PROBES = 256  # pixels of a map whose median is taken off before the sums
_ROUNDING = 1e-6  # share of the variance below which a component is the rounding of float32
_CLEAR_SUM, _CLEAR_SKEWNESS = 0.3, 0.05


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
        Number of pixels that the basis was fitted to: those that are finite.
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


def fit_basis(maps: Sequence[NDArray[Any]], components: int = 3) -> Basis:
    """Find the principal components of one map, or those that several maps have in common, from all their pixels.

    Equal maps give equal bases, whatever the order of the channels. A component whose entries clearly have a sum (0.3
    of the largest possible) has a positive one: a high score is much activity. Otherwise the skewness of the scores is
    positive: few pixels are bright. Where that is below 0.05, too, the sum decides, and at last the largest entry.

    They are the eigenvectors of the covariance, which is summed up block by block, in the precision of the maps: much
    quicker than the singular values of all pixels, and exact enough wherever a component is more than rounding.

    Parameters
    ----------
    maps
        Each (C, H, W), any float dtype. Pixels with a channel that is not finite are left out.
    components
        Number of components; there are at most C.

    Raises
    ------
    UsageError
        There is no map, one is not of three axes, the numbers of channels differ, or there is to be no component.
    """
    if not maps or components < 1:
        msg = f"{len(maps)} maps, {components} components: each must be at least 1"
        raise UsageError(msg)
    for features in maps:
        _require_map(features, maps[0].shape[0])
    pixels = _Pixels(maps)
    moments = _moments(pixels)
    channels = maps[0].shape[0]
    kept = min(components, channels)
    found, explained = np.zeros((kept, channels)), np.zeros(kept)
    if moments.variance > 0:
        variances, vectors = np.linalg.eigh(moments.covariance)
        shares = variances[::-1][:kept] / moments.variance
        real = np.flatnonzero(shares > _ROUNDING)
        explained[real] = np.minimum(shares[real], 1)
        found[np.ix_(real, pixels.order)] = _signed(vectors.T[::-1][real], pixels, moments)
    mean = np.zeros(channels)
    mean[pixels.order] = moments.mean
    return Basis(mean, found, explained, moments.variance, moments.pixels)


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
    variances = np.maximum(np.linalg.eigvalsh(_moments(_Pixels([features], np.float64)).covariance)[::-1], 0)
    whole = variances.sum()
    return variances / whole if whole > 0 else variances


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


class _Pixels:
    """The finite pixels of maps (C, H, W), block by block, less about their median, with channels in a fixed order.

    As the order depends on the values alone, sums over channels round alike, however the channels came; and as the
    median of some pixels is taken off, a constant is exactly zero, and a large offset costs no precision.

    Attributes
    ----------
    order
        Number of the channel that comes first, and so on, (C,).
    origin
        What is taken off, (C,) in that order.
    """

    def __init__(self, maps: Sequence[NDArray[Any]], dtype: Any = np.float32) -> None:
        self._flats = [features.reshape(features.shape[0], -1) for features in maps]
        self._dtype = np.result_type(dtype, *maps)
        first = self._flats[0]
        with np.errstate(invalid="ignore", over="ignore"):
            self.order = np.lexsort((first[:, 0], first.mean(axis=1, dtype=self._dtype)))
        self.origin = np.zeros(len(first), self._dtype)
        some = np.concatenate([flat[self.order, :: max(1, flat.shape[1] // _PROBES)] for flat in self._flats], axis=1)
        some = some[:, np.isfinite(some).all(axis=0)].astype(self._dtype)
        self.origin = (
            np.median(some, axis=1).astype(self._dtype)
            if some.size
            else next((block[:, 0].copy() for block, _ in self if block.size), self.origin)
        )

    def __iter__(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield blocks (C, N), and their sums over the pixels, (C,)."""
        length = max(1, _VALUES // len(self.order))
        for flat in self._flats:
            for start in range(0, flat.shape[1], length):
                block = flat[:, start : start + length][self.order].astype(self._dtype, copy=False)
                with np.errstate(invalid="ignore", over="ignore"):
                    block -= self.origin[:, np.newaxis]
                    sums = block.sum(axis=1)
                if not np.isfinite(sums).all():  # quicker than to look at every pixel
                    block = block[:, np.isfinite(block).all(axis=0)]
                    sums = block.sum(axis=1)
                yield block, sums


class _Moments(NamedTuple):
    """Number of pixels; of their channels, in the order of `_Pixels`, means (C,) and covariance (C, C), float64."""

    pixels: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @property
    def variance(self) -> float:
        return float(np.trace(self.covariance))


def _moments(pixels: _Pixels) -> _Moments:
    channels = len(pixels.order)
    count, total, products = 0, np.zeros(channels), np.zeros((channels, channels))
    for block, sums in pixels:
        count += block.shape[1]
        total += sums
        products += block @ block.T
    covariance = (products - np.outer(total, total) / max(count, 1)) / max(count - 1, 1)
    return _Moments(count, pixels.origin + total / max(count, 1), covariance)


def _signed(components: NDArray[np.float64], pixels: _Pixels, moments: _Moments) -> NDArray[np.float64]:
    """Turn each component, (n, C), into the direction that `fit_basis` promises."""
    totals = components.sum(axis=1) / np.sqrt(components.shape[1])
    skewness = np.zeros(len(components))
    doubtful = np.abs(totals) <= _CLEAR_SUM
    if doubtful.any():
        skewness[doubtful] = _skewness(components[doubtful], pixels, moments)
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    signs = np.sign(largest)
    for values, clear in ((totals, _ROUNDING), (skewness, _CLEAR_SKEWNESS), (totals, _CLEAR_SUM)):  # the last one wins
        signs = np.where(np.abs(values) > clear, np.sign(values), signs)
    return signs[:, np.newaxis] * components


def _skewness(components: NDArray[np.float64], pixels: _Pixels, moments: _Moments) -> NDArray[np.float64]:
    """Return the skewness of the scores of each component, (n,)."""
    deviations = np.sqrt(np.vecdot(components @ moments.covariance, components))
    directions = components / deviations[:, np.newaxis]
    means = (directions @ (moments.mean - pixels.origin)).astype(pixels.origin.dtype)
    directions = directions.astype(pixels.origin.dtype)
    cubes = np.zeros(len(components))
    for block, _ in pixels:
        scores = directions @ block
        scores -= means[:, np.newaxis]
        cubes += np.vecdot(scores * scores, scores)
    return cubes / moments.pixels


def _blocks(flat: NDArray[Any]) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.bool_]]]:
    """Yield runs of the pixels of a map (C, N): where they are, their copy in float64, and which are finite."""
    length = max(1, _VALUES // len(flat))
    for start in range(0, flat.shape[1], length):
        part = slice(start, start + length)
        block = flat[:, part].astype(np.float64)
        yield part, block, np.asarray(np.isfinite(block).all(axis=0))
