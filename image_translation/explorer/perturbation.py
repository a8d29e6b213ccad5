"""Perturbations of images by a known amount: blur, shift, defocus, magnification, contrast, brightness and noise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq

from image_translation.errors import UsageError

_SEED = 0
_CUTOFF = 0.2  # spatial frequency that the optics still resolve, in cycles per pixel
_ABSORPTION = 0.4  # ratio of amplitude to phase contrast


@dataclass(frozen=True)
class Perturbation:
    """A kind of image perturbation and the range of its strength.

    Attributes
    ----------
    name, unit
        Name, and unit of the strength.
    neutral
        Strength that leaves the image unchanged.
    minimum, maximum, step
        Range of the strength, and step of a control for it.
    default
        A strength with a visible effect.
    geometric
        Whether pixels are displaced, so that the truth must be transformed with the image.
    """

    name: str
    unit: str
    neutral: float
    minimum: float
    maximum: float
    step: float
    default: float
    _function: Callable[[NDArray[np.float32], float], NDArray[Any]]
    geometric: bool = False

    def apply(self, image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
        """Perturb an image.

        Parameters
        ----------
        image
            Shape (C, Y, X), float32, normalised: in units of its standard deviation, interquartile range or the like.
        strength
            In `unit`. At `neutral`, the image itself is returned.

        Returns
        -------
        ndarray
            float32, same shape. Beyond the edges the image is mirrored.

        Raises
        ------
        UsageError
            The strength is not between `minimum` and `maximum`.
        """
        if not self.minimum <= strength <= self.maximum:
            raise UsageError(f"{self.name} {strength:g} {self.unit}: must be from {self.minimum:g} to {self.maximum:g}")
        if strength == self.neutral:
            return image
        return self._function(image, strength).astype(np.float32)


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[Any]:
    radius = int(np.ceil(4 * sigma))
    size = (2 * radius + 1,) * 2
    return _by_channel(image, lambda plane: cv2.GaussianBlur(plane, size, sigma, borderType=cv2.BORDER_REFLECT_101))


def _shift(image: NDArray[np.float32], pixels: float) -> NDArray[Any]:
    return _warp(image, np.array([[1, 0, -pixels], [0, 1, -pixels]], np.float64))


def _magnify(image: NDArray[np.float32], factor: float) -> NDArray[Any]:
    if factor < 1:
        image = _blur(image, (1 / factor - 1) / 2)  # against aliasing
    height, width = image.shape[1:]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    return _warp(image, np.hstack([np.eye(2) / factor, (centre * (1 - 1 / factor))[:, np.newaxis]]))


def _defocus(image: NDArray[np.float32], depths: float) -> NDArray[Any]:
    """Apply the contrast transfer of a defocused phase image, as of the simulated microscope in `simulation.optics`."""
    wave = np.pi * depths * _squared_frequencies(image.shape[1:]) / _CUTOFF**2
    transfer = (np.cos(wave) - _ABSORPTION * np.sin(wave)).astype(np.float32)
    mirrored = np.pad(image, ((0, 0), (0, image.shape[1]), (0, image.shape[2])), mode="symmetric")
    return irfft2(rfft2(mirrored) * transfer, mirrored.shape[1:])[:, : image.shape[1], : image.shape[2]]


def _squared_frequencies(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the squared spatial frequencies of the half spectrum of a mirrored image."""
    return np.asarray(fftfreq(2 * shape[0])[:, np.newaxis] ** 2 + rfftfreq(2 * shape[1]) ** 2)


def _contrast(image: NDArray[np.float32], factor: float) -> NDArray[Any]:
    return image * np.float32(factor)


def _brightness(image: NDArray[np.float32], offset: float) -> NDArray[Any]:
    return image + np.float32(offset)


def _noise(image: NDArray[np.float32], sigma: float) -> NDArray[Any]:
    return image + sigma * np.random.default_rng(_SEED).standard_normal(image.shape, np.float32)


def _warp(image: NDArray[np.float32], inverse: NDArray[np.float64]) -> NDArray[Any]:
    """Warp an image by a (2, 3) matrix from output to input coordinates (x, y)."""
    size = image.shape[:0:-1]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    # An axis of one pixel cannot be mirrored; OpenCV would loop for ever.
    border = cv2.BORDER_REPLICATE if 1 in size else cv2.BORDER_REFLECT_101
    return _by_channel(image, lambda plane: cv2.warpAffine(plane, inverse, size, flags=flags, borderMode=border))


def _by_channel(image: NDArray[np.float32], function: Callable[[NDArray[np.float32]], NDArray[Any]]) -> NDArray[Any]:
    return np.stack([function(plane) for plane in image])


PERTURBATIONS = {
    one.name: one
    for one in (
        Perturbation("blur", "px (standard deviation)", 0, 0, 8, 0.25, 1, _blur),
        Perturbation("shift", "px to the right and down", 0, 0, 32, 1, 1, _shift, geometric=True),
        Perturbation("defocus", "depths of field (of optics that resolve 5 px)", 0, -3, 3, 0.1, 0.6, _defocus),
        Perturbation("magnification", "x", 1, 0.5, 2, 0.05, 1.25, _magnify, geometric=True),
        Perturbation("contrast", "x", 1, 0.1, 3, 0.05, 0.5, _contrast),
        Perturbation("brightness", "of the normalised image, added", 0, -3, 3, 0.1, 0.5, _brightness),
        Perturbation("noise", "of the normalised image (standard deviation)", 0, 0, 2, 0.05, 0.2, _noise),
    )
}
