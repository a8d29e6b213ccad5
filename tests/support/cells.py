"""A small synthetic movie of moving cells: phase, true stains, a prediction with flicker and one without."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

SIDE = 144
CHANNELS = ("Nuclei", "Membrane")


@dataclass(frozen=True)
class CellMovie:
    """Phase (T, Y, X), stains (T, 2, Y, X), and true flow to the next frame (T - 1, 2, Y, X), all float32.

    `raw` is a prediction with flicker, `steady` is `raw` averaged along the true motion.
    """

    phase: np.ndarray
    truth: np.ndarray
    raw: np.ndarray
    steady: np.ndarray
    flow: np.ndarray


@cache
def cells_movie(frames: int = 14, seed: int = 0, flicker: float = 1.0, speed: float = 1.5) -> CellMovie:
    """Render nine cells with textured nuclei and bright outlines, each with a constant velocity of its own.

    The errors of the raw prediction are a gain of each cell and a smooth additive field, independent in each frame.
    The steady prediction is the mean of raw over seven frames along the true motion: the best a filter can do.
    """
    rng = np.random.default_rng(seed)
    starts = np.stack(np.meshgrid(*[[32.0, 72.0, 112.0]] * 2, indexing="ij"), -1).reshape(-1, 2)
    angle = rng.uniform(0, 2 * np.pi, len(starts))
    velocity = speed * rng.uniform(0.3, 1.0, (len(starts), 1)) * np.stack([np.sin(angle), np.cos(angle)], -1)
    texture = gaussian_filter(rng.normal(size=(len(starts), 64, 64)), (0, 1.2, 1.2))
    texture /= texture.std()
    y, x = np.indices((SIDE, SIDE)).astype(float)

    def draw(t: float, gains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        image = np.zeros((3, SIDE, SIDE))
        for start, step, cell_texture, gain in zip(starts, velocity, texture, gains, strict=True):
            dy, dx = y - start[0] - (t - frames / 2) * step[0], x - start[1] - (t - frames / 2) * step[1]
            radius = np.hypot(dy, dx)
            texture_value = map_coordinates(cell_texture, [dy + 32, dx + 32], order=3, mode="constant")
            inside = 1 / (1 + np.exp((radius - 11) / 0.7))
            nucleus = 1 / (1 + np.exp((radius - 5.5) / 0.7)) * (1 + 0.25 * texture_value)
            ring = np.exp(-(((radius - 11) / 1.2) ** 2))
            image += np.stack([inside * (1 + 0.3 * texture_value), gain * nucleus, gain * ring])
        return image[0], image[1:]

    unit_gains = np.ones(len(starts))
    drawn = [draw(t, unit_gains) for t in range(frames)]
    phase = np.stack([p for p, _ in drawn]) + 0.02 * gaussian_filter(rng.normal(size=(frames, SIDE, SIDE)), (0, 1, 1))
    truth = np.stack([stains for _, stains in drawn])
    centres = starts + (np.arange(frames)[:, None, None] - frames / 2) * velocity
    distance = np.hypot(y - centres[:, :, 0, None, None], x - centres[:, :, 1, None, None])
    motion = np.where(distance.min(1)[:, None] < 16, np.moveaxis(velocity[distance.argmin(1)], -1, 1), 0.0)
    field = gaussian_filter(rng.normal(size=(frames, 2, SIDE, SIDE)), (0, 0, 5, 5))
    gains = 1 + 0.12 * flicker * rng.normal(size=(frames, len(starts)))
    raw = np.stack([draw(t, gains[t])[1] for t in range(frames)]) + 0.08 * flicker * field / field.std()
    steady = np.zeros_like(raw)
    for t in range(frames):
        near = range(max(0, t - 3), min(frames, t + 4))
        for other in near:
            points = np.stack([y, x]) + (other - t) * motion[t]
            for c in range(2):
                steady[t, c] += map_coordinates(raw[other, c], points, order=3, mode="nearest") / len(near)
    arrays = [array.astype(np.float32) for array in (phase, truth, raw, steady, motion[:-1])]
    for array in arrays:
        array.setflags(write=False)  # they are shared by tests
    return CellMovie(*arrays)
