"""Stain movies in memory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def predictor(checkpoint: str) -> Callable[[Array], Array]:
    """Return a function that stains a normalised phase (Y, X): (C, Y, X) float32, by a checkpoint's path or name."""
    from image_translation import data
    from image_translation.network import loading
    from image_translation.network.predictor import Predictor

    spec, weights = loading.read_spec(data.resolve_checkpoint(checkpoint))
    network = Predictor(loading.build_network(spec, weights), spec.stride, device="cpu", tta=False)
    return lambda phase: network.predict([phase[np.newaxis]])[0]


def normalise(phase: Array) -> Array:
    """Subtract the mean of a movie (T, Y, X), and divide by its standard deviation."""
    from image_translation import normalize

    statistics = normalize.estimate([normalize.grid_sample(image) for image in phase], "mean_std")
    return np.stack([normalize.apply(image, statistics) for image in phase])


def smooth(raw: Array, phase: Array, methods: tuple[str, ...]) -> dict[str, Array]:
    """Smooth a raw stain (T, C, Y, X) with its phase (T, Y, X), and return the result of each method."""
    from image_translation.staining.options import SmoothOptions
    from image_translation.temporal.filter import apply

    filters = SmoothOptions("demo_ckpt", "demo_movie", Path(), methods=methods).filters()
    return {method: apply(temporal_filter, raw, phase=phase) for method, temporal_filter in filters.items()}
