"""A random texture, shifted by whole pixels, and uniform flows."""

import numpy as np
from scipy.ndimage import gaussian_filter

SHAPE = (96, 120)


def texture(seed=0, shape=(160, 160)):
    return (gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2) * 10).astype(np.float32)


def shifted(dy, dx, seed=0):
    return texture(seed)[np.newaxis, 30 - dy : 30 - dy + SHAPE[0], 30 - dx : 30 - dx + SHAPE[1]]


def uniform(dy, dx, shape=SHAPE):
    return np.stack([np.full(shape, dy), np.full(shape, dx)]).astype(np.float32)
