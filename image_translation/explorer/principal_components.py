"""Principal component analysis of feature maps: pixels are samples, channels are variables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError

_BLOCK_VALUES = 2**18  # per block of pixels, so that a block stays in the processor's cache
_MEDIAN_PIXELS = 256  # pixels of a map to take the median of, which is subtracted before summing
_MIN_SHARE = 1e-6  # share of the variance below which a component is float32 rounding error
_MIN_SUM, _MIN_SKEWNESS = 0.3, 0.05  # magnitudes from which on they decide the sign of a component


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Principal components of feature maps.

    Attributes
    ----------
    mean
        Mean of each channel, (C,) float64.
    components
        Unit vectors by decreasing variance, (n, C) float64; zero where no variance is left.
    explained
        Share of the total variance of each component, (n,) float64, in [0, 1].
    variance
        Total variance of all channels.
    pixels
        Number of finite pixels that the basis was fitted to.
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
    """Fit the principal components of one map, or common ones of several maps, to all pixels.

    The basis is deterministic and does not depend on the order of the channels. The sign of a component is such that
    the sum of its entries is positive if its magnitude is at least 0.3 of the largest possible: a high score is high
    activity. Otherwise the skewness of the scores is positive: few pixels are bright. If that is below 0.05, too, the
    sum decides, and as a last resort the largest entry.

    The components are the eigenvectors of the covariance, which is accumulated block by block in the precision of the
    maps: much faster than a singular value decomposition of all pixels, and as accurate for all components above
    rounding error.

    Parameters
    ----------
    maps
        Each (C, H, W), any float dtype. Pixels with a channel that is not finite are left out.
    components
        Number of components; at most C are returned.

    Raises
    ------
    UsageError
        There is no map, a map has not three axes, the numbers of channels differ, or `components` is less than 1.
    """
    if not maps or components < 1:
        msg = f"{len(maps)} maps, {components} components: both must be at least 1"
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
        significant = np.flatnonzero(shares > _MIN_SHARE)
        explained[significant] = np.minimum(shares[significant], 1)
        found[np.ix_(significant, pixels.order)] = _orient(vectors.T[::-1][significant], pixels, moments)
    mean = np.zeros(channels)
    mean[pixels.order] = moments.mean
    return Basis(mean, found, explained, moments.variance, moments.pixels)


def project(features: NDArray[Any], basis: Basis) -> NDArray[np.float32]:
    """Return the scores of a map (C, H, W) in a basis, (n, H, W) float32; NaN where a channel is not finite.

    Raises
    ------
    UsageError
        Map and basis differ in the number of channels.
    """
    _require_map(features, basis.channels)
    flat = features.reshape(basis.channels, -1)
    scores = np.empty((len(basis.components), flat.shape[1]), np.float32)
    for part, block, finite in _blocks(flat):
        centred = np.where(finite, block - basis.mean[:, np.newaxis], 0)
        scores[:, part] = np.where(finite, basis.components @ centred, np.nan)
    return scores.reshape(-1, *features.shape[1:])


def spectrum(features: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share of the variance of all principal components of a map (C, H, W), (C,) float64, largest first.

    Pixels that are not finite are left out. The shares add up to 1; they are zero if the map is constant.
    """
    _require_map(features, features.shape[0])
    variances = np.maximum(np.linalg.eigvalsh(_moments(_Pixels([features], np.float64)).covariance)[::-1], 0)
    total = variances.sum()
    return variances / total if total > 0 else variances


def _require_map(features: NDArray[Any], channels: int) -> None:
    if features.ndim != 3 or not features.size:
        msg = f"a feature map must have shape (C, H, W), all at least 1, not {features.shape}"
        raise UsageError(msg)
    if features.shape[0] != channels:
        msg = f"the map has {features.shape[0]} channels; it must have {channels}, as the basis or the first map"
        raise UsageError(msg)


class _Pixels:
    """Finite pixels of maps (C, H, W) in blocks, with a canonical order of channels and an offset subtracted.

    The order depends on the values alone, so that rounding does not depend on the order of the channels. The offset is
    the median of a sample of pixels, so that a constant map is exactly zero and a large offset costs no precision.

    Attributes
    ----------
    order
        Indices that sort the channels, (C,).
    origin
        The subtracted offset, (C,) in that order.
    """

    def __init__(self, maps: Sequence[NDArray[Any]], dtype: Any = np.float32) -> None:
        self._flats = [features.reshape(features.shape[0], -1) for features in maps]
        self._dtype = np.result_type(dtype, *maps)
        first = self._flats[0]
        with np.errstate(invalid="ignore", over="ignore"):
            self.order = np.lexsort((first[:, 0], first.mean(axis=1, dtype=self._dtype)))
        self.origin = np.zeros(len(first), self._dtype)
        sample = np.concatenate(
            [flat[self.order, :: max(1, flat.shape[1] // _MEDIAN_PIXELS)] for flat in self._flats], axis=1
        )
        sample = sample[:, np.isfinite(sample).all(axis=0)].astype(self._dtype)
        self.origin = (
            np.median(sample, axis=1).astype(self._dtype)
            if sample.size
            else next((block[:, 0].copy() for block, _ in self if block.size), self.origin)
        )

    def __iter__(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield blocks (C, N), and their sums over the pixels, (C,)."""
        length = max(1, _BLOCK_VALUES // len(self.order))
        for flat in self._flats:
            for start in range(0, flat.shape[1], length):
                block = flat[:, start : start + length][self.order].astype(self._dtype, copy=False)
                with np.errstate(invalid="ignore", over="ignore"):
                    block -= self.origin[:, np.newaxis]
                    sums = block.sum(axis=1)
                if not np.isfinite(sums).all():  # faster than testing every pixel
                    block = block[:, np.isfinite(block).all(axis=0)]
                    sums = block.sum(axis=1)
                yield block, sums


class _Moments(NamedTuple):
    """Number of pixels, and mean (C,) and covariance (C, C) of their channels in the order of `_Pixels`, float64."""

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


def _orient(components: NDArray[np.float64], pixels: _Pixels, moments: _Moments) -> NDArray[np.float64]:
    """Set the sign of each component, (n, C), by the rule that `fit_basis` describes."""
    totals = components.sum(axis=1) / np.sqrt(components.shape[1])
    skewness = np.zeros(len(components))
    undecided = np.abs(totals) <= _MIN_SUM
    if undecided.any():
        skewness[undecided] = _skewness(components[undecided], pixels, moments)
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    signs = np.sign(largest)
    for values, least in ((totals, _MIN_SHARE), (skewness, _MIN_SKEWNESS), (totals, _MIN_SUM)):  # later ones override
        signs = np.where(np.abs(values) > least, np.sign(values), signs)
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
    """Yield blocks of the pixels of a map (C, N): their slice, a copy in float64, and which pixels are finite."""
    length = max(1, _BLOCK_VALUES // len(flat))
    for start in range(0, flat.shape[1], length):
        part = slice(start, start + length)
        block = flat[:, part].astype(np.float64)
        yield part, block, np.asarray(np.isfinite(block).all(axis=0))
