"""What the frames of a movie are measured by: the motion, the unit of the truth, and how much raw itself changes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.correlation import DescribedImage, describe, pearson
from image_translation.metrics.flicker import REDUCTION, Motion, MotionMeter, mean_where, move_back, moved_difference
from image_translation.metrics.similarity import data_range, pearson_at

_SAME_UNIT = 2.0  # factor between the spreads of prediction and truth up to which their units are taken to be the same

_BLURS = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)

_UNKNOWN = np.array([np.nan])

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """How the truth is brought to the unit of the prediction: times `factor`, plus `offset`, each (C,) float32.

    Attributes
    ----------
    factor, offset
        1 and 0, unless the truth was recorded in another unit.
    value_range
        Range of its values after that, (C,) float64.
    """

    factor: NDArray[np.float32]
    offset: NDArray[np.float32]
    value_range: NDArray[np.float64]

    def convert(self, truth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring true stains, (C, Y, X), to the unit of the prediction."""
        if not self.offset.any() and (self.factor == 1).all():
            return truth
        return truth * self.factor[:, np.newaxis, np.newaxis] + self.offset[:, np.newaxis, np.newaxis]


def find_unit(raw: DescribedImage, truth: DescribedImage) -> Unit:
    """Compare the first frame that both have.

    Where the standard deviations differ by more than a factor of 2, the truth is taken to be in another unit, counts of
    a camera perhaps, and is given the mean and the standard deviation of raw.
    """
    ratio = np.divide(raw.norm, truth.norm, out=np.ones_like(raw.norm), where=(truth.norm > 0) & (raw.norm > 0))
    factor = np.where((ratio < 1 / _SAME_UNIT) | (ratio > _SAME_UNIT), ratio, 1.0)
    offset = np.where(factor == 1, 0.0, raw.mean - factor * truth.mean)
    return Unit(factor.astype(np.float32), offset.astype(np.float32), data_range(truth.data) * factor)


def find_resolution(raw: DescribedImage, truth: DescribedImage) -> NDArray[np.float64]:
    """Find how blurred the truth must be to look most like the prediction.

    Returns
    -------
    NDArray[np.float64]
        Standard deviation of the Gaussian of each channel in pixels, (C,); the one of a few that gives the highest
        Pearson correlation.
    """
    correlations = np.array([pearson(describe(blur(truth.data, [sigma])), raw) for sigma in _BLURS])
    return np.array(_BLURS)[np.nan_to_num(correlations, nan=-1.0).argmax(axis=0)]


def blur(images: NDArray[np.float32], sigmas: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float32]:
    """Blur channels, (C, Y, X), each by a Gaussian of its standard deviation in pixels, or all by one; 0 is none."""
    each = np.broadcast_to(sigmas, len(images))
    blurred = [
        cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image for image, sigma in zip(images, each, strict=True)
    ]
    return np.stack(blurred).astype(np.float32, copy=False)


@dataclass(slots=True, eq=False)
class Step:
    """The way from one frame of the movie to the next.

    Attributes
    ----------
    motion
        How it moves.
    raw_changes
        Change of the raw movie along the motion, over all pixels and over the fast ones, (C,) float64 each; NaN until
        it is known.
    raw_shared
        What two raw frames share along the motion in each octave, (3, C) float64; see ``bands.shared``.
    fast_places, event_places
        Numbers of the pixels of ``optical_flow.fast`` and ``optical_flow.events``, row by row, int.
    """

    motion: Motion
    raw_changes: tuple[NDArray[np.float64], NDArray[np.float64]] = (_UNKNOWN, _UNKNOWN)
    raw_shared: NDArray[np.float64] = field(default_factory=lambda: np.full((3, 1), np.nan))
    fast_places: NDArray[np.intp] = field(init=False)
    event_places: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        """Find the numbers of the fast pixels, and of those where something happened."""
        self.fast_places = np.flatnonzero(self.motion.fast)
        self.event_places = np.flatnonzero(self.motion.events)

    def move_back(self, after: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the frame at the end of the step, reduced, (C, y, x), as it would look if nothing had moved."""
        return move_back(after, self.motion.flow * np.float32(1 / REDUCTION))

    def follow(
        self, images: Pair, references: Pair, unit: Unit | None = None, *, is_raw: bool = False
    ) -> dict[str, NDArray[np.float64]]:
        """Follow a frame of a movie to the next one.

        Parameters
        ----------
        images
            The two frames, reduced, (C, y, x) float32 each.
        references
            The frames of the truth, else of raw, at the two ends of the step, reduced.
        unit
            That of the references, if they are the truth: then the change of the difference from them counts.
        is_raw
            Whether the frames are the raw ones, by whose change the others are judged.

        Returns
        -------
        dict
            ``change`` and ``change_fast``; those over raw's as ``flicker`` and ``flicker_fast``; the correlations with
            the references ``fast`` and ``events``; (C,) each.
        """
        before, after = images
        if unit:
            before, after = before - unit.convert(references[0]), after - unit.convert(references[1])
        motion = self.motion
        difference = moved_difference(before, after, motion.flow / np.float32(REDUCTION))
        changes = mean_where(difference, motion.valid), mean_where(difference, motion.valid & motion.fast)
        if is_raw:
            self.raw_changes = changes
        pairs = zip(images, references, strict=True)
        return {
            "change": changes[0],
            "change_fast": changes[1],
            "flicker": ratio(changes[0], self.raw_changes[0]),
            "flicker_fast": ratio(changes[1], self.raw_changes[1]),
            "fast": pearson_at(images[0], references[0], self.fast_places),
            "events": np.mean([pearson_at(a, b, self.event_places) for a, b in pairs], axis=0),
        }


class Steps:
    """The steps of a movie that are still needed, by the number of the frame that they lead away from.

    Parameters
    ----------
    lasting
        See `MotionMeter`.
    """

    def __init__(self, *, lasting: bool) -> None:
        self._meter = MotionMeter(lasting=lasting)
        self._steps: dict[int, Step] = {}

    def add(self, index: int, images: NDArray[np.float32] | None) -> None:
        """Take what the motion of the next frame is seen in, (C, Y, X) float32, None if it is invalid."""
        motion = self._meter.add(images)
        if motion is not None:
            self._steps[index - 1] = Step(motion)

    def get(self, index: int) -> Step | None:
        """Return the step from frame `index` to the next, if it is known."""
        return self._steps.get(index)

    def release(self, oldest: int) -> None:
        """Let go of the steps from frames before `oldest`."""
        self._steps = {index: step for index, step in self._steps.items() if index >= oldest}


def ratio(values: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, and give NaN where the reference is not above 0 or not known."""
    values, reference = np.broadcast_arrays(values, reference)
    return np.divide(values, reference, out=np.full(values.shape, np.nan), where=reference > 0)
