"""Controls: images that are blurred, shifted or otherwise disturbed by a known amount."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq

from image_translation.errors import UsageError

_SEED = 0
_FINEST, _ABSORPTION = 0.2, 0.4  # cycles a pixel that the optics still pass; share of absorption in dense parts


@dataclass(frozen=True)
class Disturbance:
    """A way to disturb an image, and how strongly it can be done.

    Attributes
    ----------
    name, unit
        What it is called, and what its strength is measured in.
    neutral
        Strength at which the image stays as it is.
    least, most, step
        Range of strengths that make sense, and steps in which to go through them.
    usual
        A strength that shows something.
    moves
        Whether it changes where things are, so that the truth is to be moved with the image.
    """

    name: str
    unit: str
    neutral: float
    least: float
    most: float
    step: float
    usual: float
    _function: Callable[[NDArray[np.float32], float], NDArray[Any]]
    moves: bool = False

    def apply(self, image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
        """Disturb an image.

        Parameters
        ----------
        image
            Shape (C, Y, X), float32, normalised: its unit is a standard deviation, an interquartile range or the like.
        strength
            In `unit`. At `neutral`, the image itself is returned.

        Returns
        -------
        ndarray
            float32, same shape. What lies beyond the edges is the mirrored image.

        Raises
        ------
        UsageError
            The strength is not between `least` and `most`.
        """
        if not self.least <= strength <= self.most:
            raise UsageError(f"{self.name} {strength:g} {self.unit}: must be from {self.least:g} to {self.most:g}")
        if strength == self.neutral:
            return image
        return self._function(image, strength).astype(np.float32)


def _blur(image: NDArray[np.float32], sigma: float) -> NDArray[Any]:
    radius = int(np.ceil(4 * sigma))
    size = (2 * radius + 1,) * 2
    return _each(image, lambda plane: cv2.GaussianBlur(plane, size, sigma, borderType=cv2.BORDER_REFLECT_101))


def _shift(image: NDArray[np.float32], pixels: float) -> NDArray[Any]:
    return _warp(image, np.array([[1, 0, -pixels], [0, 1, -pixels]], np.float64))


def _magnify(image: NDArray[np.float32], factor: float) -> NDArray[Any]:
    if factor < 1:
        image = _blur(image, (1 / factor - 1) / 2)  # else what is finer than the new grid would be folded into it
    height, width = image.shape[1:]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    return _warp(image, np.hstack([np.eye(2) / factor, (centre * (1 - 1 / factor))[:, np.newaxis]]))


def _defocus(image: NDArray[np.float32], depths: float) -> NDArray[Any]:
    """Propagate phase: what is fine turns over before what is coarse; see `optics`, whose microscope this is."""
    wave = np.pi * depths * _frequencies(image.shape[1:]) / _FINEST**2
    transfer = (np.cos(wave) - _ABSORPTION * np.sin(wave)).astype(np.float32)
    mirrored = np.pad(image, ((0, 0), (0, image.shape[1]), (0, image.shape[2])), mode="symmetric")
    return irfft2(rfft2(mirrored) * transfer, mirrored.shape[1:])[:, : image.shape[1], : image.shape[2]]


def _frequencies(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the squared spatial frequencies of an image that is mirrored, for the half spectrum."""
    return np.asarray(fftfreq(2 * shape[0])[:, np.newaxis] ** 2 + rfftfreq(2 * shape[1]) ** 2)


def _contrast(image: NDArray[np.float32], factor: float) -> NDArray[Any]:
    return image * np.float32(factor)


def _brightness(image: NDArray[np.float32], offset: float) -> NDArray[Any]:
    return image + np.float32(offset)


def _noise(image: NDArray[np.float32], sigma: float) -> NDArray[Any]:
    return image + sigma * np.random.default_rng(_SEED).standard_normal(image.shape, np.float32)


def _warp(image: NDArray[np.float32], backwards: NDArray[np.float64]) -> NDArray[Any]:
    """Take each pixel (x, y) from where a (2, 3) matrix leads it."""
    size = image.shape[:0:-1]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    # Of an axis of one pixel there is no mirror image, and OpenCV would look for it for ever.
    border = cv2.BORDER_REPLICATE if 1 in size else cv2.BORDER_REFLECT_101
    return _each(image, lambda plane: cv2.warpAffine(plane, backwards, size, flags=flags, borderMode=border))


def _each(image: NDArray[np.float32], function: Callable[[NDArray[np.float32]], NDArray[Any]]) -> NDArray[Any]:
    return np.stack([function(plane) for plane in image])


DISTURBANCES = {
    one.name: one
    for one in (
        Disturbance("blur", "px (standard deviation)", 0, 0, 8, 0.25, 1, _blur),
        Disturbance("shift", "px to the right and down", 0, 0, 32, 1, 1, _shift, moves=True),
        Disturbance("defocus", "depths of field (of optics that resolve 5 px)", 0, -3, 3, 0.1, 0.6, _defocus),
        Disturbance("magnification", "x", 1, 0.5, 2, 0.05, 1.25, _magnify, moves=True),
        Disturbance("contrast", "x", 1, 0.1, 3, 0.05, 0.5, _contrast),
        Disturbance("brightness", "of the normalised image, added", 0, -3, 3, 0.1, 0.5, _brightness),
        Disturbance("noise", "of the normalised image (standard deviation)", 0, 0, 2, 0.05, 0.2, _noise),
    )
}
