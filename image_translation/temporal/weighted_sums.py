"""Several weighted sums of the same images, at the speed at which memory is read."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Multiplications in one matrix product. BLAS libraries use threads above about this size, and those would compete with
# the network for the processor.
_PRODUCT = 2**18
_PRODUCTS_PER_BLOCK = 8


def weighted_sums(weights: NDArray[np.float32], images: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return several weighted sums of the same images, made block by block in the processor's cache.

    Parameters
    ----------
    weights
        Weights of shape (K, N), float32.
    images
        N images of one shape, float32.

    Returns
    -------
    list[NDArray[np.float32]]
        K new images of the same shape, float32.
    """
    if not weights.size:
        return []
    n_sums, n_images = weights.shape
    sums = [np.empty(images[0].shape, dtype=np.float32) for _ in range(n_sums)]
    columns = max(1, _PRODUCT // weights.size)
    inputs = np.empty((_PRODUCTS_PER_BLOCK, n_images, columns), dtype=np.float32)
    outputs = np.empty((_PRODUCTS_PER_BLOCK, n_sums, columns), dtype=np.float32)
    whole = images[0].size - images[0].size % columns
    sources = [image.reshape(-1) for image in images]
    targets = [image.reshape(-1) for image in sums]
    source_rows = [source[:whole].reshape(-1, columns) for source in sources]
    target_rows = [target[:whole].reshape(-1, columns) for target in targets]
    for start in range(0, whole // columns, _PRODUCTS_PER_BLOCK):
        rows = slice(start, start + _PRODUCTS_PER_BLOCK)
        n_rows = len(source_rows[0][rows])
        for k, source_row in enumerate(source_rows):
            inputs[:n_rows, k] = source_row[rows]
        np.matmul(weights, inputs[:n_rows], out=outputs[:n_rows])
        for k, target_row in enumerate(target_rows):
            target_row[rows] = outputs[:n_rows, k]
    rest = weights @ np.stack([source[whole:] for source in sources])
    for k, target in enumerate(targets):
        target[whole:] = rest[k]
    return sums
