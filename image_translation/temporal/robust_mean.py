"""Mean over a stack of images that leaves out, place by place, what is unlike the others."""

import cv2
import numpy as np
from numpy.typing import NDArray

from image_translation.temporal.median import median

_SPREAD = 5.0  # typical deviations from the median at which an image is out of question
_GRAIN = 2.0  # pixels, over which deviations are pooled: weights that change from pixel to pixel would add noise
_LEAST_DEVIATION = 0.1  # standard deviations of an image, below which all is the same
_REST = 1e-6  # weight of an image that is out of question, so that there is always one
_VOTE = 0.8  # least trust of an image that has a vote
_NEGLIGIBLE = 1e-20  # squared deviation, where all images are constant and equal
_SAMPLED = 4  # each so manieth row and column tells the typical deviation


def robust_mean(
    images: NDArray[np.float32], weights: NDArray[np.float32], trust: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Average images with weights, less of those that deviate from their median.

    The median is that of all images, not the first of them: what deviates from the frame in question may be right, and
    the frame the one that flickers. Images that are not to be trusted have no vote; there the first one votes in their
    place, so that it stands where most of the others cannot be compared with it. An image's weight falls off as a
    Gaussian of its deviation (Welsch's function, see Holland and Welsch 1977, Robust regression using iteratively
    reweighted least-squares).

    Parameters
    ----------
    images
        K images of one channel, (K, Y, X) float32, finite; the first is the one in question.
    weights
        Of each image, (K,) float32, above 0.
    trust
        In each pixel, (K, Y, X) float32, 0 to 1; that of the first image is 1.

    Returns
    -------
    NDArray[np.float32]
        Shape (Y, X).
    """
    if len(images) == 1:
        return images[0].copy()
    votes = np.where(trust > _VOTE, images, images[0])
    deviations = np.square(images - median(votes))
    for deviation in deviations:
        cv2.GaussianBlur(deviation, (0, 0), _GRAIN, dst=deviation)
    typical = 1.5 * float(median(deviations[:, ::_SAMPLED, ::_SAMPLED]).mean())
    least = (_LEAST_DEVIATION * float(images[0].std())) ** 2
    scale = 2 * _SPREAD**2 * max(typical, least, _NEGLIGIBLE)
    trusted = weights[:, np.newaxis, np.newaxis] * trust * (np.exp(-deviations / np.float32(scale)) + np.float32(_REST))
    return np.einsum("kyx,kyx->yx", trusted, images) / trusted.sum(axis=0)
