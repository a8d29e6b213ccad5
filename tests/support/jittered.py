"""A texture on a stage that jitters."""

import numpy as np
from scipy.ndimage import fourier_shift, gaussian_filter

FRAMES, SIDE = 11, 96


def movie(path: np.ndarray | None = None, channels: int = 1, depth: int = 1, seed: int = 0) -> np.ndarray:
    """Return textures (T, C, Z, Y, X) whose content is displaced along a path (T, 2)."""
    rng = np.random.default_rng(seed)
    scene = gaussian_filter(rng.normal(size=(channels, depth, SIDE + 32, SIDE + 32)), (0, 0, 3, 3), mode="wrap")
    steps = np.zeros((FRAMES, 2)) if path is None else path
    spectrum = np.fft.fft2(scene / scene.std())
    frames = [np.fft.ifft2(fourier_shift(spectrum, (0, 0, *step))).real for step in steps]
    return np.stack(frames)[..., 16:-16, 16:-16].astype(np.float32)


def to_and_fro() -> np.ndarray:
    path = np.array([(0.7, -0.4) if t % 2 else (-0.7, 0.4) for t in range(FRAMES)])
    return path - path.mean(axis=0)
