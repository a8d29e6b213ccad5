"""Simulated worlds in which the temporal filters are judged: causes of flicker, motions, optics and cells.

Each world has one cause of flicker or none, so that a method is judged cause by cause. The filters were tuned on
walking and streaming `spread` cells of other seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.stained import Array, normalise, predictor

DENSITIES = (0.4, 0.55, 0.7, 0.85, 0.95)
FIRST_SEED = 800_000
_FOCUS, _NOISE = {"focus_jitter": 0.3}, {"noise": 0.05, "texture_jitter": 0.5}
_OTHER = {"cells": "domes", "optics": "reconstructed"}


@dataclass(frozen=True)
class World:
    """A kind of movie.

    Attributes
    ----------
    name
        Motion and cause of flicker.
    spec
        Parameters that differ from those of `MovieSpec`.
    registered
        Whether the cause of flicker is a displacement, which needs registration.
    second
        Whether the movie is of the second simulator, for which the second network was trained.
    """

    name: str
    spec: Mapping[str, Any]
    registered: bool = False
    second: bool = False


WORLDS: Mapping[str, World] = MappingProxyType({
    world.name: world
    for world in (
        World("walk 0.9 px, focus", {"speed": 0.9, **_FOCUS}),
        World("walk 2 px, focus", {"speed": 2.0, **_FOCUS}),
        World("walk 3.6 px, focus", {"speed": 3.6, **_FOCUS}),
        World("still, noise", {"speed": 0.2, **_NOISE}),
        World("walk 2 px, noise", {"speed": 2.0, **_NOISE}),
        World("walk 2 px, gain", {"speed": 2.0, "gain_jitter": 0.1, "background_jitter": 0.05}),
        World("walk 3.6 px, none", {"speed": 3.6}),
        World("stream 3.6 px, none", {"speed": 3.6, "motion": "stream"}),
        World("stream 2 px, focus", {"speed": 2.0, "motion": "stream", **_FOCUS}),
        World("dividing, detaching, focus", {"speed": 1.0, "divisions": 2.0, "detaching": 1.5, **_FOCUS}),
        World("walk 2 px, lateral", {"speed": 2.0, "lateral_jitter": 0.7}, registered=True),
        World("walk 2 px, stage", {"speed": 2.0, "stage_jitter": 0.7}, registered=True),
        World("domes 0.9 px, focus", {"speed": 0.9, "focus_jitter": 0.1, **_OTHER}, second=True),
        World("domes 2 px, noise", {"speed": 2.0, **_NOISE, **_OTHER}, second=True),
        World("domes stream 3.6 px, none", {"speed": 3.6, "motion": "stream", **_OTHER}, second=True),
    )
})  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One movie to simulate and stain."""

    world: World
    seed: int
    density: float
    side: int
    frames: int
    checkpoint: str


@dataclass(frozen=True, eq=False)
class Stained:
    """Simulated movie with its raw prediction.

    Attributes
    ----------
    movie
        The simulation, for its true motion.
    phase
        Normalised phase, (T, Y, X) float32.
    truth, raw
        True and predicted stains, (T, 2, Y, X) float32.
    shifts
        Displacement of each true frame by the registration, (T, 2) float32: (dy, dx) in pixels.
    """

    movie: Any
    phase: Array
    truth: Array
    raw: Array
    shifts: Array

    def motion(self, t: int) -> tuple[Array, NDArray[np.bool_]]:
        """Return the true motion from frame `t` to the next, (2, Y, X) in pixels, and where it is known, (Y, X)."""
        flow, valid = self.movie.displacement(t, t + 1)
        return flow + (self.shifts[t + 1] - self.shifts[t])[:, np.newaxis, np.newaxis], valid


def stain(job: Job) -> Stained:
    """Simulate a movie and predict its stains."""
    from image_translation.simulation.movie import Movie
    from image_translation.simulation.spec import MovieSpec

    parameters = {"density": job.density, **job.world.spec}
    movie = Movie(MovieSpec(shape=(job.side, job.side), frames=job.frames, seed=job.seed, **parameters))
    movie._scene = lru_cache(16)(movie._scene)  # type: ignore[method-assign]  # noqa: SLF001 - drawn for each displacement
    images = np.stack([movie.frame(t) for t in range(job.frames)])
    phase, predict = normalise(images[:, 0]), _predictor(job.checkpoint)
    raw = np.stack([predict(image) for image in phase])
    return Stained(movie, phase, images[:, 1:], raw, np.zeros((job.frames, 2), np.float32))


def register(stained: Stained, checkpoint: str) -> Stained:
    """Take the jitter out of a movie as ``smooth --register`` does, and stain it again.

    Raises
    ------
    RegistrationRefusedError
        If the evidence of jitter is weak.
    """
    from image_translation.temporal.registration import estimate_jitter, moves_along, tile_shifts

    phase, truth = stained.phase, stained.truth
    tiles = np.stack([tile_shifts(*pair) for pair in pairwise(phase)])
    shifts = estimate_jitter(tiles, np.ones(len(phase), bool)).shifts
    tiles_of_truth = np.stack([tile_shifts(*pair) for pair in pairwise(truth.sum(axis=1))])
    if moves_along(tiles, tiles_of_truth):
        truth = np.stack([[_displaced(image, by) for image in frame] for frame, by in zip(truth, shifts, strict=True)])
    phase = np.stack([_displaced(image, by) for image, by in zip(phase, shifts, strict=True)])
    predict = _predictor(checkpoint)
    raw = np.stack([predict(image) for image in phase])
    of_truth = shifts if truth is not stained.truth else np.zeros_like(shifts)
    return Stained(stained.movie, phase, truth, raw, of_truth.astype(np.float32))


def _displaced(image: Array, by: NDArray[np.float64]) -> Array:
    return np.asarray(ndimage.shift(image, by, order=3, mode="reflect"), np.float32)


_predictor = cache(predictor)  # a worker stains several movies
