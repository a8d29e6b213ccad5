"""Where to look in a movie: a lively part of the field, and in it a cell that moves, with a window that follows it."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

REACH = 16  # pixels that a cell may move from one frame to the next
Corner = tuple[int, int]
Crop = tuple[slice, slice]


def busiest(image: NDArray[np.float32], side: int) -> Crop:
    """Choose the crop of an image (C, Y, X) with the most contrast in all channels.

    Parameters
    ----------
    image
        Image of shape (C, Y, X), float32.
    side
        Height and width of the crop in pixels; less where the image is smaller.
    """
    image = np.nan_to_num(image, posinf=0, neginf=0)
    height, width = image.shape[1:]
    sides = (min(side, height), min(side, width))
    best, chosen = -1.0, (0, 0)
    for y in _starts(height, sides[0], sides[0] // 2):
        for x in _starts(width, sides[1], sides[1] // 2):
            contrast = float(image[:, y : y + sides[0], x : x + sides[1]].std(axis=(1, 2)).sum())
            if contrast > best:
                best, chosen = contrast, (y, x)
    return slice(chosen[0], chosen[0] + sides[0]), slice(chosen[1], chosen[1] + sides[1])


def around(crop: Crop, shape: Sequence[int], side: int) -> Crop:
    """Widen a crop of an image of shape (Y, X) on all sides, to `side` pixels if the image is large enough."""
    slices = []
    for old, length in zip(crop, shape, strict=True):
        new = min(length, max(side, old.stop - old.start))
        start = min(max(0, (old.start + old.stop - new) // 2), length - new)
        slices.append(slice(start, start + new))
    return slices[0], slices[1]


def follow(phase: NDArray[np.float32], stain: NDArray[np.float32], side: int) -> list[Corner]:
    """Find a stained cell that moves, and where a square window must lie in each frame to follow it.

    Windows on a grid are followed both ways from the middle frame, each by the shift at which the middle of the window
    correlates best with the phase of the next frame (normalised cross-correlation: Lewis 1995, Fast normalized
    cross-correlation, Vision Interface). The one is chosen that goes far, correlates well and holds much stain. It goes
    at the speed that fits best: a window that follows every jitter of the phase would hide the flicker that it causes.

    Parameters
    ----------
    phase
        Consecutive frames, (K, Y, X) float32; a frame that is not finite or constant is passed over.
    stain
        The stain in the middle one of them, frame K // 2, (C, Y, X) float32.
    side
        Height and width of the window in pixels; less where the frames are smaller.

    Returns
    -------
    list of tuple of int
        Upper left corner (y, x) of the window in each frame; it always lies within the frame.
    """
    n_frames, height, width = phase.shape
    sides = (min(side, height), min(side, width))
    contrast = np.sum([_local_contrast(np.nan_to_num(channel), sides) for channel in stain], axis=0)
    usable = [bool(np.isfinite(frame).all() and frame.std() > 0) for frame in phase]
    best, chosen = -1.0, [(0, 0)] * n_frames
    for y in _starts(height, sides[0], sides[0] // 4):
        for x in _starts(width, sides[1], sides[1] // 4):
            path, agreement = _track(phase, usable, (y, x), sides)
            distance = float(np.hypot(path[-1][0] - path[0][0], path[-1][1] - path[0][1]))
            score = (0.5 + distance) * agreement**2 * (1e-6 + contrast[y + sides[0] // 2, x + sides[1] // 2])
            if score > best:
                best, chosen = score, path
    return _straight(chosen, (height - sides[0], width - sides[1]))


def _straight(path: Sequence[Corner], last: Corner) -> list[Corner]:
    """Fit a steady motion to a path; its corners stay between 0 and the last possible ones."""
    times = np.arange(len(path)) - (len(path) - 1) / 2
    corners = np.array(path, dtype=float)
    speed = times @ corners / max(1e-12, float(times @ times))
    fitted = np.clip(np.rint(corners.mean(axis=0) + np.outer(times, speed)), 0, last)
    return [(int(y), int(x)) for y, x in fitted]


def _starts(length: int, side: int, step: int) -> range:
    return range(0, length - side + 1, max(1, step))


def _local_contrast(image: NDArray[np.float32], sides: tuple[int, int]) -> NDArray[np.float32]:
    """Return the standard deviation in the middle half of a window about each pixel, in units of the image's own."""
    size = (sides[1] // 2 + 1, sides[0] // 2 + 1)
    image = np.asarray((image - image.mean()) / max(float(image.std()), 1e-12), dtype=np.float32)
    mean = cv2.blur(image, size)
    return np.sqrt(np.maximum(cv2.blur(image * image, size) - mean * mean, 0))


def _track(
    phase: NDArray[np.float32], usable: Sequence[bool], start: Corner, sides: tuple[int, int]
) -> tuple[list[Corner], float]:
    """Follow a window from the middle frame both ways; return its corners, and the mean correlation of its steps."""
    middle = len(phase) // 2
    path, agreements = {middle: start}, []
    for frames in (range(middle + 1, len(phase)), range(middle - 1, -1, -1)):
        last, corner = middle, start
        for t in frames:
            if usable[t] and usable[last]:
                corner, agreement = _step(phase[last], phase[t], corner, sides)
                agreements.append(max(0.0, agreement))
            if usable[t]:
                last = t
            path[t] = corner
    return [path[t] for t in range(len(phase))], float(np.mean(agreements)) if agreements else 1.0


def _step(
    image: NDArray[np.float32], following: NDArray[np.float32], corner: Corner, sides: tuple[int, int]
) -> tuple[Corner, float]:
    """Find the middle half of a window in the next frame."""
    tops = [start + side // 4 for start, side in zip(corner, sides, strict=True)]
    sizes = [max(1, side // 2) for side in sides]
    template = image[tops[0] : tops[0] + sizes[0], tops[1] : tops[1] + sizes[1]]
    if template.std() <= 1e-6 * max(1e-12, float(np.abs(template).max())):
        return corner, 0.0
    # The window is to stay within the frame.
    room = [
        (max(-REACH, -start), min(REACH, length - side - start))
        for start, side, length in zip(corner, sides, image.shape, strict=True)
    ]
    y, x = (slice(top + a, top + size + b) for top, size, (a, b) in zip(tops, sizes, room, strict=True))
    found = cv2.matchTemplate(following[y, x], template, cv2.TM_CCOEFF_NORMED)
    _, agreement, _, (dx, dy) = cv2.minMaxLoc(found)
    return (corner[0] + dy + room[0][0], corner[1] + dx + room[1][0]), float(agreement)
