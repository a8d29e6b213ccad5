"""Flicker: change from frame to frame along the motion.

With an estimated flow, only the ratio of the changes of two movies is meaningful.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.correlation import pearson_at, ratio
from image_translation.metrics.motion import (
    REDUCTION,
    Motion,
    MotionEstimator,
    stays_inside,
    warp_back,
    warped_difference,
)
from image_translation.metrics.reference import IntensityScale

_UNKNOWN = np.array([np.nan])

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def change(
    before: NDArray[np.float32], after: NDArray[np.float32], flow: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the mean absolute difference of two frames along the motion.

    Parameters
    ----------
    before, after
        The frames, (C, Y, X) float32: predictions, or their errors.
    flow
        Displacement of the pixels of the first frame, (2, Y, X) float32: (dy, dx) in pixels, as
        ``movie.Movie.displacement`` returns it.
    valid
        Pixels of the first frame to compare, (Y, X) bool; those that leave the frame are left out.

    Returns
    -------
    NDArray[np.float64]
        Differences of shape (C,), in the unit of the frames; NaN if there are no pixels to compare.
    """
    return _mean_where(warped_difference(before, after, flow), valid & stays_inside(flow))


@dataclass(slots=True, eq=False)
class Step:
    """Time step from one frame to the next, with the change of the raw movie, the reference of the others.

    Attributes
    ----------
    motion
        The motion.
    raw_changes
        Change of the raw movie along the motion, over all pixels and over the fast ones, (C,) float64 each; NaN until
        the raw movie is scored.
    raw_detail
        Inner product of the two raw frames in each band along the motion, (3, C) float64; NaN until the raw movie is
        scored; see ``bands.inner_product``.
    fast_pixels, event_pixels
        Flat indices of the pixels of ``motion.fast`` and ``motion.events``, int.
    """

    motion: Motion
    raw_changes: tuple[NDArray[np.float64], NDArray[np.float64]] = (_UNKNOWN, _UNKNOWN)
    raw_detail: NDArray[np.float64] = field(default_factory=lambda: np.full((3, 1), np.nan))
    fast_pixels: NDArray[np.intp] = field(init=False)
    event_pixels: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        """Find the indices of the fast pixels and of those of events."""
        self.fast_pixels = np.flatnonzero(self.motion.fast)
        self.event_pixels = np.flatnonzero(self.motion.events)

    def warp_back(self, after: NDArray[np.float32]) -> NDArray[np.float32]:
        """Warp the reduced frame at the end of the step, (C, y, x), to the time of its beginning."""
        return warp_back(after, self.motion.flow * np.float32(1 / REDUCTION))

    def score(
        self, images: Pair, references: Pair, scale: IntensityScale | None = None, *, is_raw: bool = False
    ) -> dict[str, NDArray[np.float64]]:
        """Score the change of a movie over this step. The raw movie must be scored first.

        Parameters
        ----------
        images
            The two frames, reduced, (C, y, x) float32 each.
        references
            The frames of the truth, or of raw without truth, at the beginning and the end of the step, reduced.
        scale
            Intensity scale of the references, if they are the truth: then the change of the error is measured.
        is_raw
            Whether the frames are those of the raw movie.

        Returns
        -------
        dict
            ``change`` and ``change_fast``; their ratios to those of raw, ``flicker`` and ``flicker_fast``; the
            correlations with the references, ``fast`` and ``events``; (C,) each.
        """
        before, after = images
        if scale:
            before, after = before - scale.convert(references[0]), after - scale.convert(references[1])
        motion = self.motion
        difference = warped_difference(before, after, motion.flow / np.float32(REDUCTION))
        changes = _mean_where(difference, motion.valid), _mean_where(difference, motion.valid & motion.fast)
        if is_raw:
            self.raw_changes = changes
        pairs = zip(images, references, strict=True)
        return {
            "change": changes[0],
            "change_fast": changes[1],
            "flicker": ratio(changes[0], self.raw_changes[0]),
            "flicker_fast": ratio(changes[1], self.raw_changes[1]),
            "fast": pearson_at(images[0], references[0], self.fast_pixels),
            "events": np.mean([pearson_at(a, b, self.event_pixels) for a, b in pairs], axis=0),
        }


class Steps:
    """Time steps of a movie that are still needed, by the index of the frame that they begin with."""

    def __init__(self) -> None:
        self._estimator = MotionEstimator()
        self._steps: dict[int, Step] = {}

    def add(self, index: int, images: NDArray[np.float32] | None) -> None:
        """Add the next frame in which the motion is visible, (C, Y, X) float32, None if it is invalid."""
        motion = self._estimator.add(images)
        if motion is not None:
            self._steps[index - 1] = Step(motion)

    def get(self, index: int) -> Step | None:
        """Return the step from frame `index` to the next; None if its motion is not known."""
        return self._steps.get(index)

    def release(self, oldest: int) -> None:
        """Drop the steps from frames before `oldest`."""
        self._steps = {index: step for index, step in self._steps.items() if index >= oldest}


def _mean_where(images: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean of images (C, Y, X) over some of their pixels, (C,) float64; NaN if there are none."""
    mask = where.view(np.uint8)
    return np.array([cv2.mean(image, mask)[0] if where.any() else np.nan for image in images])
