"""Random patches of simulated fields to train on: a wide range of cells, optics and normalisations."""

from collections.abc import Iterator
from itertools import count
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch.utils.data import IterableDataset

from image_translation.simulate import Movie, MovieSpec

Direction = Literal["phase2fluor", "fluor2phase"]
Image = NDArray[np.float32]

FIELD = 256
"""Side, in pixels, of a simulated field; its normalisation is taken over the whole of it."""

_MOVIE = 8  # frames of a simulated movie, of which two are drawn
_REUSE = 2  # batches for each new field: simulating costs a third of a step


class Batches(IterableDataset[dict[str, torch.Tensor]]):
    """Random patches of a pool of simulated fields, in which every second batch replaces one.

    Endless; yields ``{"source": ..., "target": ...}``, each of shape (B, C, 1, Y, X), float32, as `VSUNet` takes them.

    Parameters
    ----------
    direction
        Which channels are the input and which the target.
    batch_size
        Patches in a batch.
    patch
        Side of a patch in pixels.
    pool
        Number of fields kept.
    seed
        The batches are a function of the arguments and nothing else.
    """

    def __init__(self, direction: Direction, *, batch_size: int, patch: int, pool: int, seed: int) -> None:
        self._direction = direction
        self._batch_size = batch_size
        self._patch = patch
        self._pool = pool
        self._seed = seed

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Simulate and cut, from the beginning."""
        rng = np.random.default_rng(self._seed)
        fields = _fields(self._direction, rng)
        pool = [next(fields) for _ in range(self._pool)]
        for step in count(1):
            chosen = rng.integers(len(pool), size=self._batch_size)
            pairs = [_cut(pool[i], self._patch, rng) for i in chosen]
            source, target = (torch.from_numpy(np.stack(side)[:, :, None]) for side in zip(*pairs, strict=True))
            yield {"source": source, "target": target}
            if step % _REUSE == 0:
                pool[step // _REUSE % len(pool)] = next(fields)


def _fields(direction: Direction, rng: np.random.Generator) -> Iterator[tuple[Image, Image]]:
    """Yield normalised inputs and their targets, (C, Y, X) float32 each, without end."""
    draw = _phase_to_stains if direction == "phase2fluor" else _stains_to_phase
    while True:
        movie = Movie(_random_spec(direction, rng))
        for t in rng.choice(_MOVIE, 2, replace=False):
            image = movie.frame(int(t))
            yield draw(image[:1], image[1:], rng)


def _random_spec(direction: Direction, rng: np.random.Generator) -> MovieSpec:
    """Draw cells and optics from a wide range; phase as a target is always seen by the same optics."""
    cells = {
        "shape": (FIELD, FIELD),
        "frames": _MOVIE,
        "seed": int(rng.integers(2**31)),
        "density": rng.choice([rng.uniform(0.03, 0.3), rng.uniform(0.3, 1.0), 1.0], p=[0.4, 0.45, 0.15]),
        "cell_radius": np.exp(rng.uniform(np.log(11), np.log(34))),
        "divisions": rng.uniform(0, 4),
        "rounded": rng.choice([rng.uniform(0, 0.1), rng.uniform(0.1, 0.6)], p=[0.7, 0.3]),
        "debris": rng.exponential(0.5),
    }
    steady = {"flicker": 0.0, "background": 0.0, "noise": 0.0, "debris": 0.0}
    optics = {
        "contrast": np.exp(rng.uniform(np.log(0.3), np.log(3))),
        "nuclear_contrast": rng.uniform(0.1, 0.8),
        "granularity": rng.uniform(0.3, 2.5),
        "background": np.exp(rng.uniform(np.log(0.003), np.log(0.15))),
        "noise": np.exp(rng.uniform(np.log(0.002), np.log(0.05))),
        "defocus": rng.uniform(-0.4, 0.5),
        "halo": rng.choice([0.0, rng.uniform(0, 0.9)], p=[0.3, 0.7]),
        "flicker": rng.uniform(0, 3),
    }
    return MovieSpec(**(cells | (optics if direction == "phase2fluor" else steady)))


def _phase_to_stains(phase: Image, stains: Image, rng: np.random.Generator) -> tuple[Image, Image]:
    if rng.random() < 0.25:
        phase = _digitise(phase, rng)
    return _normalise(phase, rng), stains


def _stains_to_phase(phase: Image, stains: Image, rng: np.random.Generator) -> tuple[Image, Image]:
    """Dim, blur and soil the stains as a camera might."""
    blur, noise, haze = rng.uniform(0, 1.2), rng.uniform(0, 0.08), rng.uniform(0, 0.2)
    hazy = stains + haze * gaussian_filter(stains, (0, 12, 12))
    seen = gaussian_filter(hazy, (0, blur, blur)) + noise * rng.standard_normal(stains.shape, np.float32)
    return _normalise(seen, rng), phase


def _digitise(phase: Image, rng: np.random.Generator) -> Image:
    """Store as 8 bits, with the darkest pixels clipped, as instruments export it."""
    low = np.percentile(phase, rng.uniform(0, 30))
    levels = rng.uniform(60, 255)
    return np.rint(np.clip((phase - low) / (phase.max() - low), 0, 1) * levels).astype(np.float32)


def _normalise(image: Image, rng: np.random.Generator) -> Image:
    """Mean 0 and standard deviation 1 over the field, each channel; nearly so, as another field would have it."""
    mean, std = image.mean(axis=(1, 2), keepdims=True), image.std(axis=(1, 2), keepdims=True)
    gain = np.exp(rng.normal(0, 0.15, mean.shape))
    return np.asarray((image - mean) / (std + 1e-6) * gain + rng.normal(0, 0.1, mean.shape), np.float32)


def _cut(pair: tuple[Image, Image], patch: int, rng: np.random.Generator) -> tuple[Image, Image]:
    """Cut the same random patch from both images, turned and mirrored at random."""
    y, x = rng.integers(0, FIELD - patch + 1, 2)
    turns, mirror = int(rng.integers(4)), 1 - 2 * int(rng.integers(2))
    cut = (np.rot90(image[:, y : y + patch, x : x + patch], turns, (1, 2))[:, :, ::mirror] for image in pair)
    first, second = (np.ascontiguousarray(image) for image in cut)
    return first, second
