"""Synthetic activations, without a network."""

import numpy as np

from image_translation.explorer.inspector import Activations
from image_translation.network.features import Placement

PLACEMENTS = {"stem": Placement(1), "encoder 1": Placement(2), "head": Placement(1), "decoder 7": Placement(1)}


def make_activations(seed: int = 0, *, channels: int = 6, shift: int = 0) -> Activations:
    """A field of 32 x 32 pixels, and linear functions of it and of its neighbours as stages."""
    field = np.random.default_rng(99).normal(size=(1, 32, 32))
    field = np.roll(field, shift, axis=-1).astype(np.float32)
    rng = np.random.default_rng(seed)
    neighbours = np.stack([np.roll(field[0], (y, x), (0, 1)) for y in range(2) for x in range(2)])

    def stage(step: int, count: int) -> np.ndarray:
        weights = rng.normal(size=(count, 4)) * np.array([4, 3, 2, 1])
        return np.tensordot(weights, neighbours, 1)[:, ::step, ::step].astype(np.float32)

    features = {"stem": stage(1, channels), "encoder 1": stage(2, channels), "head": stage(1, 2)}
    return Activations(field, ("Phase3D",), None, prediction=features["head"], features=features, placements=PLACEMENTS)
