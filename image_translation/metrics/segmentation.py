"""Segmentation of the nuclei of a movie: one diameter and one threshold for all frames, found in some of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from image_translation.metrics.objects import Labels, find_objects, movie_threshold, typical_diameter

_SAMPLED_FRAMES = 16


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What `find_objects` needs to segment a movie.

    Attributes
    ----------
    diameter
        Diameter of a typical nucleus, in pixels.
    threshold
        Threshold of the smoothed image, the same in all frames.
    """

    diameter: float
    threshold: float

    def apply(self, image: NDArray[np.float32]) -> Labels:
        """Segment a frame, (Y, X) float32; the nuclei are numbered from 1, in this frame only."""
        return find_objects(image, self.diameter, self.threshold)


def sample_frames(numbers: range) -> range:
    """Return some frame numbers of a movie, evenly spaced, in which its segmentation is found."""
    return numbers[:: max(1, len(numbers) // _SAMPLED_FRAMES)][:_SAMPLED_FRAMES]


def find_segmentation(images: Sequence[NDArray[np.float32]], diameter: float | None = None) -> Segmentation | None:
    """Find the segmentation of a movie.

    Parameters
    ----------
    images
        Some valid frames, (Y, X) float32.
    diameter
        Diameter of a typical nucleus, in pixels; None estimates it.

    Returns
    -------
    Segmentation or None
        None if there is nothing bright in the images.
    """
    if diameter is None:
        diameter = typical_diameter(images)
    if not (images and isfinite(diameter)):
        return None
    threshold = movie_threshold(images, diameter)
    return Segmentation(diameter, threshold) if isfinite(threshold) else None
