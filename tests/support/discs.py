"""Images of bright discs on a dark background."""

from collections.abc import Sequence

import numpy as np


def discs(shape: tuple[int, int], centres: Sequence[tuple[int, int]], radius: float) -> np.ndarray:
    """Return an image (Y, X), float32, that is 1 in the discs and 0 elsewhere."""
    y, x = np.indices(shape)
    inside = [np.hypot(y - row, x - column) <= radius for row, column in centres]
    return np.any(inside, axis=0).astype(np.float32) if inside else np.zeros(shape, np.float32)
