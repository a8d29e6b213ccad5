"""Invalid frames in a store: NaN, or zeros for tools that cannot cope with NaN.

Zeros are told from a prediction that happens to be zero everywhere: in a channel of a valid frame without any other
value, the first pixel is `MARK`, which no tool tells from zero. So a plane of zeros is invalid wherever it is read,
in unfinished stores, too, and for each plane of a stack by itself.
"""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Blank = Literal["nan", "zero"]
NAN: Final = "nan"
ZERO: Final = "zero"
BLANK = "blank"  # key in the provenance of a store
MARK = np.finfo(np.float32).tiny


def fill(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a frame as it is stored: zeros if a pixel is not finite, and marked where it is valid and zero.

    Parameters
    ----------
    image
        Shape (C, Y, X), float32; it is not modified.
    """
    if not np.isfinite(image).all():
        return np.zeros_like(image)
    empty = ~image.any(axis=(-2, -1))
    if not empty.any():
        return image
    marked = image.copy()
    marked[empty, 0, 0] = MARK
    return marked


def unfill(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a stored plane (Y, X) or frame (C, Y, X) as it was before `fill`; NaN where it is invalid."""
    if not plane.any():
        return np.full_like(plane, np.nan)
    first = plane[..., 0, 0]
    marked = (first == MARK) & (np.count_nonzero(plane, axis=(-2, -1)) == 1)
    if not marked.any():
        return plane
    restored = plane.copy()
    restored[..., 0, 0] = np.where(marked, np.float32(0), first)
    return restored
