"""Registration: displacement of a frame against a reference frame, of the whole image and place by place.

A smoothed stain belongs on the label-free image that it was predicted from, so its displacement against the raw
prediction should be zero. Blur and changes of brightness displace nothing.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.motion import REDUCTION

_TILE = 32  # pixels of the reduced image
_SIGMA = 1.0  # pixels of the reduced image
_RIDGE = 1e-3  # relative to the mean of the diagonal: tiles without texture have no displacement

Shift = NDArray[np.float64]


def displacements(
    image: NDArray[np.float32], reference: NDArray[np.float32]
) -> tuple[Shift, Shift, NDArray[np.float64]]:
    """Estimate the displacement of a frame against a reference, as one shift and as a shift of each tile.

    Least squares on the image gradient (Lucas and Kanade 1981, An iterative image registration technique, IJCAI
    674-679) in one step, together with a gain and an offset. Displacements of more than a few pixels come out too
    small.

    Parameters
    ----------
    image, reference
        Reduced frames, (C, y, x) float32; see `motion.reduce`.

    Returns
    -------
    rigid : ndarray
        Displacement (dy, dx) of the frame in pixels of the full resolution, (C, 2) float64; NaN if it is constant.
    local : ndarray
        The same for N tiles of 64 x 64 pixels, (C, N, 2).
    texture : ndarray
        Weight of each tile, (C, N): its share of the squared gradient; 0 everywhere in a constant image.
    """
    results = [_channel(*pair) for pair in zip(image, reference, strict=True)]
    rigid, local, texture = (np.array(values) for values in zip(*results, strict=True))
    return rigid, local, texture


def typical_length(local: Shift, texture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median length of displacements (C, N, 2), weighted by texture, (C,) float64; NaN without texture."""
    lengths = np.hypot(local[..., 0], local[..., 1])
    return np.array([_weighted_median(*channel) for channel in zip(lengths, texture, strict=True)])


def _channel(image: NDArray[np.float32], reference: NDArray[np.float32]) -> tuple[Shift, Shift, NDArray[np.float64]]:
    smooth, other = (np.asarray(cv2.GaussianBlur(frame, (0, 0), _SIGMA), np.float32) for frame in (image, reference))
    mean = (smooth + other) / 2  # its gradient has no bias towards either
    dy, dx = np.gradient(mean) if min(mean.shape) > 1 else (np.zeros_like(mean),) * 2
    # Unknowns dy, dx, gain and offset, and the value that they explain.
    tiles = _tiles(np.stack([-dy, -dx, mean - mean.mean(), np.ones_like(mean), smooth - other]))
    products = tiles @ tiles.swapaxes(1, 2)
    normal, products = products[:, :4, :4], products[:, :4, 4]
    texture = normal[:, 0, 0] + normal[:, 1, 1]
    if not texture.sum() > 0:
        return np.full(2, np.nan), np.zeros((len(tiles), 2)), np.zeros(len(tiles))
    rigid = _solve(normal.sum(axis=0)[np.newaxis], products.sum(axis=0)[np.newaxis])[0]
    return rigid, _solve(normal, products), texture / texture.sum()


def _tiles(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cut images (K, y, x) into tiles (N, K, pixels); incomplete tiles at the end of large images are left out."""
    count, height, width = images.shape
    rows, columns = min(_TILE, height), min(_TILE, width)
    down, across = height // rows, width // columns
    cut = images[:, : down * rows, : across * columns].reshape(count, down, rows, across, columns)
    return cut.transpose(1, 3, 0, 2, 4).astype(np.float64).reshape(down * across, count, rows * columns)


def _solve(normal: NDArray[np.float64], products: NDArray[np.float64]) -> Shift:
    """Solve the normal equations (N, 4, 4) with a ridge; return the shifts (N, 2) in pixels of the full resolution."""
    scale = np.sqrt(np.maximum(np.einsum("nii->ni", normal), np.finfo(np.float64).tiny))
    scaled = normal / (scale[:, :, np.newaxis] * scale[:, np.newaxis]) + _RIDGE * np.eye(4)
    return REDUCTION * (np.linalg.solve(scaled, (products / scale)[..., np.newaxis])[..., 0] / scale)[:, :2]


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    if not weights.sum() > 0:
        return np.nan
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
