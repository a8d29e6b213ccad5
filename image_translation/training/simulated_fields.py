"""Simulated fields and random patches of them to train on: a wide range of cells, optics and normalisations."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch.utils.data import Dataset

from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import CHANNELS, MovieSpec
from image_translation.training.options import SIMULATED_SIDE

Image = NDArray[np.float32]
Sample = dict[str, torch.Tensor]

_MOVIE, _FRAMES = 8, 2  # frames of a simulated movie, and how many of them are drawn
_REUSE = 2  # steps for each new field: simulating one costs half a step on a CPU


class SimulatedFields:
    """Simulated fields of view, each normalised over the whole of it, and drawn when it is first asked for.

    Field n is a pair of source and target, (C, Y, X) float32 each; it is a function of the arguments and of n.

    Parameters
    ----------
    source, target
        Names of the channels: ``Phase3D`` on one side, some of the stains on the other. Phase as a source has any
        contrast, focus, noise and flicker; as a target it is always seen by the same steady optics.
    seed
        Another seed, other fields.
    keep
        Number of fields that are remembered.
    """

    def __init__(self, source: Sequence[str], target: Sequence[str], *, seed: int, keep: int) -> None:
        self._phase_is_target = target[0] == CHANNELS[0]
        self._source, self._target = ([CHANNELS.index(name) for name in side] for side in (source, target))
        self._seed, self._keep = seed, keep
        self._known: OrderedDict[int, tuple[Image, Image]] = OrderedDict()

    def __getitem__(self, number: int) -> tuple[Image, Image]:
        """Simulate a field, unless it is remembered."""
        if number not in self._known:
            movie = number // _FRAMES
            for offset, pair in enumerate(self._simulate(movie)):
                self._known[movie * _FRAMES + offset] = pair
            while len(self._known) > self._keep + _FRAMES:
                self._known.popitem(last=False)
        return self._known[number]

    def _simulate(self, movie: int) -> Iterator[tuple[Image, Image]]:
        rng = np.random.default_rng([self._seed, 0, movie])
        drawn = Movie(_random_spec(rng, steady=self._phase_is_target))
        for t in rng.choice(_MOVIE, _FRAMES, replace=False):
            image = drawn.frame(int(t))
            source, target = image[self._source], image[self._target]
            seen = _soiled_stains(source, rng) if self._phase_is_target else _exported_phase(source, rng)
            yield _normalise(seen, rng), target


class SimulatedPatches(Dataset[list[Sample]]):
    """Random patches of simulated fields, endless: some fields are in use, and every second step replaces one.

    Item n is a list of one ``{"source": ..., "target": ...}``, each of shape (C, 1, Y, X), float32, as `VSUNet` takes
    them; it is a function of the arguments and of n, so that a training can go on from any step.

    Parameters
    ----------
    fields
        Where the patches are cut from; it should remember more fields than are in use.
    batch_size
        Patches of a step, of all devices together.
    patch
        Side of a patch in pixels.
    pool
        Number of fields in use.
    seed
        Another seed, other patches.
    """

    def __init__(self, fields: SimulatedFields, *, batch_size: int, patch: int, pool: int, seed: int) -> None:
        self._fields, self._batch_size, self._patch, self._pool, self._seed = fields, batch_size, patch, pool, seed

    def __getitem__(self, number: int) -> list[Sample]:
        """Draw one of the fields in use, and a patch of it."""
        rng = np.random.default_rng([self._seed, 1, number])
        oldest = number // self._batch_size // _REUSE
        return [sample(*_cut(self._fields[oldest + int(rng.integers(self._pool))], self._patch, rng))]


class WholeFields(Dataset[Sample]):
    """The first `count` simulated fields, uncut, to judge by."""

    def __init__(self, fields: SimulatedFields, count: int) -> None:
        self._fields, self._count = fields, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Sample:
        """Return a field as ``{"source": ..., "target": ...}``, each of shape (C, 1, Y, X), float32."""
        return sample(*self._fields[number])


def sample(source: Image, target: Image) -> Sample:
    """Turn a pair of images (C, Y, X) into what a network is trained on: tensors of shape (C, 1, Y, X)."""
    return {"source": torch.from_numpy(source[:, None]), "target": torch.from_numpy(target[:, None])}


def _random_spec(rng: np.random.Generator, *, steady: bool) -> MovieSpec:
    """Draw cells and optics from a wide range."""
    cells = {
        "shape": (SIMULATED_SIDE, SIMULATED_SIDE),
        "frames": _MOVIE,
        "seed": int(rng.integers(2**31)),
        "density": rng.choice([rng.uniform(0.03, 0.3), rng.uniform(0.3, 1.0), 1.0], p=[0.3, 0.45, 0.25]),
        "cell_radius": np.exp(rng.uniform(np.log(11), np.log(34))),
        "speed": rng.uniform(0, 5),
        "divisions": rng.uniform(0, 4),
        "rounded": rng.choice([rng.uniform(0, 0.1), rng.uniform(0.1, 0.6)], p=[0.7, 0.3]),
        "debris": rng.exponential(0.5),
    }
    if steady:
        return MovieSpec(**cells | {"flicker": 0.0, "background": 0.0, "noise": 0.0, "debris": 0.0})
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
    return MovieSpec(**cells | optics)


def _exported_phase(phase: Image, rng: np.random.Generator) -> Image:
    """Store some as 8 bits, with the darkest pixels clipped, as instruments export it."""
    if rng.random() >= 0.25:
        return phase
    low = np.percentile(phase, rng.uniform(0, 30))
    levels = rng.uniform(60, 255)
    return np.rint(np.clip((phase - low) / (phase.max() - low), 0, 1) * levels).astype(np.float32)


def _soiled_stains(stains: Image, rng: np.random.Generator) -> Image:
    """Dim, blur and soil the stains as a camera might."""
    blur, noise, haze = rng.uniform(0, 1.2), rng.uniform(0, 0.08), rng.uniform(0, 0.2)
    hazy = stains + haze * gaussian_filter(stains, (0, 12, 12))
    return gaussian_filter(hazy, (0, blur, blur)) + noise * rng.standard_normal(stains.shape, np.float32)


def _normalise(image: Image, rng: np.random.Generator) -> Image:
    """Mean 0 and standard deviation 1 over the field, each channel; nearly so, as another field would have it."""
    mean, std = image.mean(axis=(1, 2), keepdims=True), image.std(axis=(1, 2), keepdims=True)
    gain = np.exp(rng.normal(0, 0.15, mean.shape))
    return np.asarray((image - mean) / (std + 1e-6) * gain + rng.normal(0, 0.1, mean.shape), np.float32)


def _cut(pair: tuple[Image, Image], patch: int, rng: np.random.Generator) -> tuple[Image, Image]:
    """Cut the same random patch from both images, turned and mirrored at random."""
    y, x = rng.integers(0, SIMULATED_SIDE - patch + 1, 2)
    turns, mirror = int(rng.integers(4)), 1 - 2 * int(rng.integers(2))
    cut = (np.rot90(image[:, y : y + patch, x : x + patch], turns, (1, 2))[:, :, ::mirror] for image in pair)
    first, second = (np.ascontiguousarray(image) for image in cut)
    return first, second
