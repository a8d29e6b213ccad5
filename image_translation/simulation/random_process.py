"""Random numbers of cells: normal numbers, constant or smooth in time, and what they are made into."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Array = NDArray[np.float64]


def smooth_noise(rng: np.random.Generator, frames: int, shape: tuple[int, ...], sigma: float) -> Array:
    """Draw standard normal numbers (T, *shape), smoothed along time by a Gaussian of `sigma` frames.

    Their correlation falls to 1/e after two `sigma`.
    """
    radius = int(np.ceil(4 * sigma))
    noise = rng.standard_normal((frames + 2 * radius, *shape))
    smooth = gaussian_filter1d(noise, sigma, axis=0, truncate=4.0)[radius : radius + frames]
    kernel = gaussian_filter1d(np.eye(1, 2 * radius + 1, radius)[0], sigma, truncate=4.0)
    return np.asarray(smooth / np.linalg.norm(kernel))


def clipped_normal(rng: np.random.Generator, *shape: int) -> Array:
    """Draw standard normal numbers, clipped to -2 and 2."""
    return rng.standard_normal(shape).clip(-2, 2)


def smoothstep(x: Array) -> Array:
    """Return the cubic smoothstep function: 0 below 0, 1 above 1."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))
