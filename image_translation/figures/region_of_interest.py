"""Regions of interest of a movie: the region of highest contrast, and a window that tracks a moving cell."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_STEP = 16  # pixels that a cell may move from frame to frame, along each axis
_PERCENTILES = (0.5, 99.8)
Corner = tuple[int, int]
Region = tuple[slice, slice]


def highest_contrast_region(image: NDArray[np.float32], side: int) -> Region:
    """Return the square region of an image with the highest sum of standard deviations over the channels.

    Parameters
    ----------
    image
        Image of shape (C, Y, X), float32.
    side
        Height and width of the region in pixels; less where the image is smaller.
    """
    image = np.nan_to_num(image, posinf=0, neginf=0)
    height, width = image.shape[1:]
    sides = (min(side, height), min(side, width))
    best, chosen = -1.0, (0, 0)
    for y in _grid_starts(height, sides[0], sides[0] // 2):
        for x in _grid_starts(width, sides[1], sides[1] // 2):
            contrast = float(image[:, y : y + sides[0], x : x + sides[1]].std(axis=(1, 2)).sum())
            if contrast > best:
                best, chosen = contrast, (y, x)
    return slice(chosen[0], chosen[0] + sides[0]), slice(chosen[1], chosen[1] + sides[1])


def expand_region(region: Region, shape: Sequence[int], side: int) -> Region:
    """Expand a region about its centre to `side` pixels, within an image of shape (Y, X)."""
    slices = []
    for old, length in zip(region, shape, strict=True):
        new = min(length, max(side, old.stop - old.start))
        start = min(max(0, (old.start + old.stop - new) // 2), length - new)
        slices.append(slice(start, start + new))
    return slices[0], slices[1]


def track_cell(phase: NDArray[np.float32], stain: NDArray[np.float32], side: int) -> list[Corner]:
    """Choose a moving stained cell, and return the position of a square window that tracks it.

    Windows on a grid are tracked forward and backward from the middle frame by template matching of their central half
    in the phase (normalised cross-correlation: Lewis 1995, Fast normalized cross-correlation, Vision Interface). The
    chosen window moves far, correlates well and has a high contrast of the stain. Its path is replaced by the
    best-fitting steady motion, because a window that followed lateral jitter would hide the flicker which that causes.

    Parameters
    ----------
    phase
        Consecutive frames, (K, Y, X) float32; frames that are constant or not finite are skipped.
    stain
        Stain of the middle frame K // 2, (C, Y, X) float32.
    side
        Height and width of the window in pixels; less where the frames are smaller.

    Returns
    -------
    list of tuple of int
        Upper left corner (y, x) of the window in each frame; the window lies within the frame.
    """
    n_frames, height, width = phase.shape
    sides = (min(side, height), min(side, width))
    contrast = np.sum([_local_contrast(np.nan_to_num(channel), sides) for channel in stain], axis=0)
    usable = [bool(np.isfinite(frame).all() and frame.max() > frame.min()) for frame in phase]
    phase = _without_outliers(phase)
    best, chosen = -1.0, [(0, 0)] * n_frames
    for y in _grid_starts(height, sides[0], sides[0] // 4):
        for x in _grid_starts(width, sides[1], sides[1] // 4):
            path, agreement = _track_window(phase, usable, (y, x), sides)
            distance = float(np.hypot(path[-1][0] - path[0][0], path[-1][1] - path[0][1]))
            score = (0.5 + distance) * agreement**2 * (1e-6 + contrast[y + sides[0] // 2, x + sides[1] // 2])
            if score > best:
                best, chosen = score, path
    return _fit_steady_motion(chosen, (height - sides[0], width - sides[1]))


def _without_outliers(phase: NDArray[np.float32]) -> NDArray[np.float32]:
    """Limit a movie to percentiles, scaled to between 0 and 1: squares of extreme pixels would overflow."""
    values = phase[np.isfinite(phase)]
    low, high = (float(limit) for limit in np.percentile(values, _PERCENTILES)) if values.size else (0.0, 1.0)
    return ((np.clip(phase, low, high) - low) / ((high - low) or 1.0)).astype(np.float32)


def _fit_steady_motion(path: Sequence[Corner], last: Corner) -> list[Corner]:
    """Fit a motion of constant velocity to a path by least squares; clip its corners to between 0 and `last`."""
    times = np.arange(len(path)) - (len(path) - 1) / 2
    corners = np.array(path, dtype=float)
    speed = times @ corners / max(1e-12, float(times @ times))
    fitted = np.clip(np.rint(corners.mean(axis=0) + np.outer(times, speed)), 0, last)
    return [(int(y), int(x)) for y, x in fitted]


def _grid_starts(length: int, side: int, step: int) -> range:
    return range(0, length - side + 1, max(1, step))


def _local_contrast(image: NDArray[np.float32], sides: tuple[int, int]) -> NDArray[np.float32]:
    """Return the standard deviation in half a window around each pixel, relative to that of the image."""
    size = (sides[1] // 2 + 1, sides[0] // 2 + 1)
    image = np.asarray((image - image.mean()) / max(float(image.std()), 1e-12), dtype=np.float32)
    mean = cv2.blur(image, size)
    return np.sqrt(np.maximum(cv2.blur(image * image, size) - mean * mean, 0))


def _track_window(
    phase: NDArray[np.float32], usable: Sequence[bool], start: Corner, sides: tuple[int, int]
) -> tuple[list[Corner], float]:
    """Track a window from the middle frame in both directions; return its corners and the mean correlation."""
    middle = len(phase) // 2
    path, agreements = {middle: start}, []
    for frames in (range(middle + 1, len(phase)), range(middle - 1, -1, -1)):
        last, corner = middle, start
        for t in frames:
            if usable[t] and usable[last]:
                corner, agreement = _match_window(phase[last], phase[t], corner, sides)
                agreements.append(max(0.0, agreement))
            if usable[t]:
                last = t
            path[t] = corner
    return [path[t] for t in range(len(phase))], float(np.mean(agreements)) if agreements else 1.0


def _match_window(
    image: NDArray[np.float32], following: NDArray[np.float32], corner: Corner, sides: tuple[int, int]
) -> tuple[Corner, float]:
    """Match the central half of a window in the next frame; return its new corner and the correlation."""
    tops = [start + side // 4 for start, side in zip(corner, sides, strict=True)]
    sizes = [max(1, side // 2) for side in sides]
    template = image[tops[0] : tops[0] + sizes[0], tops[1] : tops[1] + sizes[1]]
    if template.std() <= 1e-6 * max(1e-12, float(np.abs(template).max())):
        return corner, 0.0
    # Shifts for which the window stays within the frame.
    shifts = [
        (max(-MAX_STEP, -start), min(MAX_STEP, length - side - start))
        for start, side, length in zip(corner, sides, image.shape, strict=True)
    ]
    y, x = (slice(top + a, top + size + b) for top, size, (a, b) in zip(tops, sizes, shifts, strict=True))
    found = cv2.matchTemplate(following[y, x], template, cv2.TM_CCOEFF_NORMED)
    _, agreement, _, (dx, dy) = cv2.minMaxLoc(found)
    return (corner[0] + dy + shifts[0][0], corner[1] + dx + shifts[1][0]), float(agreement)
