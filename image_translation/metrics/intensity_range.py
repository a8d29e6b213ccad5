"""Range of intensities in which float32 arithmetic neither overflows nor underflows in the metrics."""

import numpy as np
from numpy.typing import NDArray

STEP = 40  # exponent of the least factor, so that movies in one unit get the same; up to 2**20 there is none
LIMIT = 1e9  # its fourth power, as in the structural similarity, is finite in float32
_TYPICAL_PERCENTILE = 90  # of the absolute value: a few broken pixels do not count
_SPACING = 4  # pixels between the samples of the percentile


class IntensityRange:
    """Scales the images of movies that share a unit by a power of two, if their unit is extreme, and limits outliers.

    Metrics are ratios and correlations: they do not depend on the scale, and a pixel that is `LIMIT` times as bright as
    the others determines them whatever its value.

    Attributes
    ----------
    factors
        Factor of each channel, (C,) float64; 1 in usual units, and until the first image.
    """

    def __init__(self) -> None:
        self.factors: NDArray[np.float64] | None = None

    def limit(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a finite image (C, Y, X) float32 in the range; the same object if nothing is to be done."""
        highest = np.maximum(image.max(axis=(1, 2)), -image.min(axis=(1, 2))).astype(np.float64)
        if self.factors is None:
            self.factors = np.array([_factor(channel, top) for channel, top in zip(image, highest, strict=True)])
        if (self.factors == 1).all() and (highest <= LIMIT).all():
            return image
        limits = np.minimum(LIMIT / self.factors, np.finfo(np.float32).max).astype(np.float32)[:, None, None]
        scales = self.factors[:, None, None]
        return np.asarray(np.clip(image, -limits, limits) * scales, dtype=np.float32)

    def restore(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values (C,), measured in scaled images, in the unit of the original ones."""
        return values if self.factors is None else values / self.factors


def _factor(channel: NDArray[np.float32], highest: float) -> float:
    """Return a power of two that brings the typical intensity of a channel below 2**20; 1 for usual ones."""
    sample = np.abs(channel[::_SPACING, ::_SPACING])
    typical = float(np.percentile(sample, _TYPICAL_PERCENTILE)) or highest
    return 2.0 ** (-STEP * round(np.log2(typical) / STEP)) if typical else 1.0
