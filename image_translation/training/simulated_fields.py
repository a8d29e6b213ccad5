"""Simulated training data: fields with random cells, optics and normalisation, and random patches of them."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch.utils.data import Dataset

from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import CHANNELS, MovieSpec
from image_translation.training.options import SIMULATED_SIZE

Image = NDArray[np.float32]
Sample = dict[str, torch.Tensor]

_MOVIE_LENGTH, _FRAMES = 8, 2  # frames of a simulated movie, and how many of them become fields
FLICKER = {"focus_jitter": 0.15, "gain_jitter": 0.03, "halo_jitter": 0.15, "lateral_jitter": 0.5}
"""Causes of flicker in the training: up to three times these strengths, more than in the real movies measured."""
_STEPS_PER_FIELD = 2  # steps between new fields: simulating one takes half as long as a step on a CPU


class SimulatedFields:
    """Simulated fields of view, with normalised sources; each is simulated when it is first used.

    Field n is a pair of source and target, each (C, Z, Y, X) float32; it is a function of the arguments and of n. For
    stacks of N planes, it has 2 N - 1 planes, so that patches show the cells at all heights.

    Parameters
    ----------
    source, target
        Names of the channels: ``Phase3D`` on one side, one or both stains on the other. Phase as a source has random
        contrast, focus, noise and flicker; as a target it has constant optics.
    seed
        Seed of cells, optics and normalisation.
    cache_size
        Number of fields to keep in memory.
    depth
        Number of planes of a patch.
    """

    def __init__(
        self, source: Sequence[str], target: Sequence[str], *, seed: int, cache_size: int, depth: int = 1
    ) -> None:
        self._phase_is_target = target[0] == CHANNELS[0]
        self._source, self._target = ([CHANNELS.index(name) for name in side] for side in (source, target))
        self._seed, self._cache_size, self.depth = seed, cache_size, depth
        self._cache: OrderedDict[int, tuple[Image, Image]] = OrderedDict()

    def __getitem__(self, number: int) -> tuple[Image, Image]:
        """Return a field from the cache, or simulate it."""
        if number not in self._cache:
            movie = number // _FRAMES
            for offset, pair in enumerate(self._simulate(movie)):
                self._cache[movie * _FRAMES + offset] = pair
            while len(self._cache) > self._cache_size + _FRAMES:
                self._cache.popitem(last=False)
        return self._cache[number]

    def _simulate(self, movie: int) -> Iterator[tuple[Image, Image]]:
        rng = np.random.default_rng([self._seed, 0, movie])
        planes = 2 * self.depth - 1
        simulated = Movie(_random_spec(rng, planes, constant_optics=self._phase_is_target))
        for t in rng.choice(_MOVIE_LENGTH, _FRAMES, replace=False):
            image = simulated.frame(int(t))
            image = image[:, None] if planes == 1 else image
            source, target = image[self._source], image[self._target]
            acquired = _degrade_stains(source, rng) if self._phase_is_target else _quantise_phase(source, rng)
            yield _normalise(acquired, rng), target


class SimulatedPatches(Dataset[list[Sample]]):
    """Random patches of a pool of simulated fields, without end; every second step replaces a field of the pool.

    Item n is a list of one ``{"source": ..., "target": ...}``, each of shape (C, Z, Y, X), float32, as `VSUNet`
    needs them; it is a function of the arguments and of n, so that a training can be resumed at any step.

    Parameters
    ----------
    fields
        Fields to cut patches from; their cache must be larger than the pool.
    batch_size
        Patches per step, on all devices together.
    patch
        Height and width of a patch, in pixels.
    pool
        Number of fields in the pool.
    seed
        Seed of the patches.
    """

    def __init__(self, fields: SimulatedFields, *, batch_size: int, patch: int, pool: int, seed: int) -> None:
        self._fields, self._batch_size, self._patch, self._pool, self._seed = fields, batch_size, patch, pool, seed

    def __getitem__(self, number: int) -> list[Sample]:
        """Cut a random patch from a random field of the pool."""
        rng = np.random.default_rng([self._seed, 1, number])
        oldest = number // self._batch_size // _STEPS_PER_FIELD
        field = self._fields[oldest + int(rng.integers(self._pool))]
        return [to_sample(*_random_patch(field, self._fields.depth, self._patch, rng))]


class SimulatedValidationSet(Dataset[Sample]):
    """The first `count` simulated fields, uncropped in the plane, for validation; of stacks, the middle planes."""

    def __init__(self, fields: SimulatedFields, count: int) -> None:
        self._fields, self._count = fields, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Sample:
        """Return a field as ``{"source": ..., "target": ...}``, each of shape (C, Z, Y, X), float32."""
        depth = self._fields.depth
        source, target = (image[:, depth // 2 : depth // 2 + depth] for image in self._fields[number])
        return to_sample(source, target)


def to_sample(source: Image, target: Image) -> Sample:
    """Convert images (C, Z, Y, X) of source and target into a sample of tensors."""
    return {"source": torch.from_numpy(source), "target": torch.from_numpy(target)}


def _random_spec(rng: np.random.Generator, planes: int, *, constant_optics: bool) -> MovieSpec:
    """Choose random cells and optics from wide ranges."""
    stack = {"planes": planes, "plane_spacing": np.exp(rng.uniform(np.log(1), np.log(4)))} if planes > 1 else {}
    cells = stack | {
        "shape": (SIMULATED_SIZE, SIMULATED_SIZE),
        "frames": _MOVIE_LENGTH,
        "seed": int(rng.integers(2**31)),
        "density": rng.choice([rng.uniform(0.03, 0.3), rng.uniform(0.3, 1.0), 1.0], p=[0.3, 0.45, 0.25]),
        "cell_radius": np.exp(rng.uniform(np.log(11), np.log(34))),
        "speed": rng.uniform(0, 5),
        "divisions": rng.uniform(0, 4),
        "rounded": rng.choice([rng.uniform(0, 0.1), rng.uniform(0.1, 0.6)], p=[0.7, 0.3]),
        "debris": rng.exponential(0.5),
    }
    if constant_optics:
        return MovieSpec(**cells | {"flicker": 0.0, "background": 0.0, "noise": 0.0, "debris": 0.0})
    optics = {
        "contrast": np.exp(rng.uniform(np.log(0.3), np.log(3))),
        "nuclear_contrast": rng.uniform(0.1, 0.8),
        "granularity": rng.uniform(0.3, 2.5),
        "background": np.exp(rng.uniform(np.log(0.003), np.log(0.15))),
        "noise": np.exp(rng.uniform(np.log(0.002), np.log(0.05))),
        "defocus": rng.uniform(-0.4, 0.5),
        "halo": rng.choice([0.0, rng.uniform(0, 0.9)], p=[0.3, 0.7]),
    }
    flicker = rng.uniform(0, 3)
    return MovieSpec(**cells | optics | {cause: flicker * strength for cause, strength in FLICKER.items()})


def _quantise_phase(phase: Image, rng: np.random.Generator) -> Image:
    """Quantise a quarter of the images to 8 bits, with the darkest pixels clipped, as some instruments export them."""
    if rng.random() >= 0.25:
        return phase
    low = np.percentile(phase, rng.uniform(0, 30))
    levels = rng.uniform(60, 255)
    return np.rint(np.clip((phase - low) / (phase.max() - low), 0, 1) * levels).astype(np.float32)


def _degrade_stains(stains: Image, rng: np.random.Generator) -> Image:
    """Add out-of-focus haze, blur and camera noise to stains."""
    blur, noise, haze = rng.uniform(0, 1.2), rng.uniform(0, 0.08), rng.uniform(0, 0.2)
    hazy = stains + haze * gaussian_filter(stains, (0, 0, 12, 12))
    return gaussian_filter(hazy, (0, 0, blur, blur)) + noise * rng.standard_normal(stains.shape, np.float32)


def _normalise(image: Image, rng: np.random.Generator) -> Image:
    """Normalise each channel to mean 0 and standard deviation 1, with random errors as between real fields."""
    mean, std = image.mean(axis=(1, 2, 3), keepdims=True), image.std(axis=(1, 2, 3), keepdims=True)
    gain = np.exp(rng.normal(0, 0.15, mean.shape))
    return np.asarray((image - mean) / (std + 1e-6) * gain + rng.normal(0, 0.1, mean.shape), np.float32)


def _random_patch(pair: tuple[Image, Image], depth: int, patch: int, rng: np.random.Generator) -> tuple[Image, Image]:
    """Cut the same random patch from both images, with a random rotation by 90 degrees and a random flip."""
    y, x = rng.integers(0, SIMULATED_SIZE - patch + 1, 2)
    turns, step = int(rng.integers(4)), 1 - 2 * int(rng.integers(2))
    z = int(rng.integers(depth)) if depth > 1 else 0  # the images have 2 depth - 1 planes
    box = (slice(None), slice(z, z + depth), slice(y, y + patch), slice(x, x + patch))
    cut = (np.rot90(image[box], turns, (2, 3))[..., ::step] for image in pair)
    first, second = (np.ascontiguousarray(image) for image in cut)
    return first, second
