"""Let a population of simulated cells live: lineage, persistent random walk, contact, slow change of shape."""

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from image_translation.simulation.population import Array, Population

if TYPE_CHECKING:
    from image_translation.simulation.spec import MovieSpec

_ROUNDING = 7  # frames from a spread mother to her division
_SPREADING = 12  # frames from the division to spread daughters
_ROUNDED = 0.55  # radius of a rounded cell, in radii of the spread one
_NEWBORN = 0.42
_MATURE = 25  # least age at which a cell divides, in frames
_CONTACT = 0.75  # cells push each other when nearer than this share of the sum of their radii
_PUSH = 0.2  # share of the overlap that one push removes
_PUSHES = 3  # pushes in a frame
_SETTLE = 60  # pushes before the first frame
_HARMONICS = 4
_NUCLEOLI = 4


class _Lineage(NamedTuple):
    birth: NDArray[np.int64]
    end: NDArray[np.int64]
    parent: NDArray[np.int64]


def grow(spec: "MovieSpec", padding: int) -> Population:
    """Draw the cells of a movie and let them move.

    Cells live on a torus larger than the field, whose seam is out of sight. They walk at random with persistence,
    partly in common, and push each other away.

    Parameters
    ----------
    spec
        What to simulate.
    padding
        Pixels round the field in which cells must be true as well.

    Returns
    -------
    The cells at every frame.
    """
    rng = np.random.default_rng([spec.seed, 1])
    margin = padding + 3.0 * spec.cell_radius
    domain = np.array(spec.shape) + 2 * margin
    # neighbours overlap, so that covering the ground takes more than the sum of their areas
    crowd = spec.density * (1 + 0.5 * spec.density**2)
    founders = max(1, round(domain.prod() * crowd / (np.pi * spec.cell_radius**2)))
    lineage = _lineage(rng, founders, spec)
    count = len(lineage.birth)
    radius = _inherit(spec.cell_radius * np.exp(0.13 * _normal(rng, count)), lineage.parent)
    age, left = _ages(lineage, spec.frames)
    mitotic = 1 - _smoothstep(left / _ROUNDING)
    young = np.where(lineage.parent < 0, 0.0, 1 - _smoothstep((age + 1) / _SPREADING))
    habit = np.where(rng.random(count) < spec.rounded, _ROUNDED, 1.0)
    spread = np.minimum(np.minimum(habit, 1 - (1 - _ROUNDED) * mitotic), 1 - (1 - _NEWBORN) * young)
    angle = rng.uniform(0, 2 * np.pi, count) + 0.5 * _wander(rng, spec, (count,))
    aspect = 0.2 * spread * (1 - mitotic) * _wander(rng, spec, (count,)) + 0.2 * mitotic
    stretch = _stretch(angle, aspect)
    path = _walk(rng, spec, domain, lineage=lineage, reach=radius * spread, stretch=stretch)
    outline = _complex(_wander(rng, spec, (count, _HARMONICS, 2)), 0.13) * spread[..., None]
    return Population(
        birth=lineage.birth,
        end=lineage.end,
        parent=lineage.parent,
        radius=radius,
        height=_inherit(np.exp(0.4 * _normal(rng, count)), lineage.parent),
        stain=_inherit(np.exp(0.1 * _normal(rng, count, 2)), lineage.parent),
        chromatin=np.where(lineage.parent < 0, 1.0, 0.5 + 0.5 * _smoothstep(age / (2 * _SPREADING))),
        origin=rng.uniform(0, 4096, (count, 2)),
        nucleus_outline=_complex(_normal(rng, count, _HARMONICS, 2), 0.06),
        nucleoli=_nucleoli(rng, count),
        center=path % domain - margin,
        lap=np.floor(path / domain).astype(np.int64),
        stretch=stretch,
        spread=spread,
        outline=outline,
    )


def _lineage(rng: np.random.Generator, founders: int, spec: "MovieSpec") -> _Lineage:
    """Draw who is born from whom and when; a cell that outlives the movie ends long after it."""
    mean_life = 100 / spec.divisions if spec.divisions else np.inf
    births, ends, parents = [0] * founders, [0] * founders, [-1] * founders
    waiting = deque(range(founders))
    while waiting:
        cell = waiting.popleft()
        youth = 2 if parents[cell] < 0 else _MATURE
        life = youth + (rng.exponential(mean_life) if spec.divisions else np.inf)
        ends[cell] = births[cell] + round(min(life, 10 * spec.frames + 10 * _ROUNDING))
        if ends[cell] < spec.frames:
            waiting.extend((len(births), len(births) + 1))
            births += [ends[cell]] * 2
            parents += [cell] * 2
            ends += [0] * 2
    return _Lineage(*(np.array(column, np.int64) for column in (births, ends, parents)))


def _ages(lineage: _Lineage, frames: int) -> tuple[Array, Array]:
    """Frames since the birth and until the end of each cell: both (T, N)."""
    time = np.arange(frames, dtype=float)[:, None]
    return time - lineage.birth, lineage.end - time


def _inherit(values: Array, parent: NDArray[np.int64]) -> Array:
    """Give daughters the values (N, ...) of their mother, who precedes them."""
    for cell in np.flatnonzero(parent >= 0):
        values[cell] = values[parent[cell]]
    return values


def _walk(
    rng: np.random.Generator, spec: "MovieSpec", domain: Array, *, lineage: _Lineage, reach: Array, stretch: Array
) -> Array:
    """Move the cells, of radii `reach` (T, N): their places (T, N, 2) on the torus, unwrapped."""
    frames, count = reach.shape
    own = _smooth_noise(rng, frames, (count, 2), 5.0)
    shared = _Stream(rng, domain)
    alone = 1 - spec.collective
    # the mean length of a pair of standard normal numbers is sqrt(pi / 2)
    pace = spec.speed / np.sqrt(np.pi / 2) / np.hypot(alone, spec.collective)
    path = np.zeros((frames, count, 2))
    here = rng.uniform(0, 1, (count, 2)) * domain
    _push(here, np.flatnonzero(lineage.birth == 0), reach[0], domain, _SETTLE)
    for t in range(frames):
        born = np.flatnonzero((lineage.birth == t) & (lineage.parent >= 0))
        mothers = lineage.parent[born]
        side = np.where(np.arange(len(born)) % 2, 1, -1)[:, None]
        here[born] = here[mothers] + side * (0.5 * reach[t, born])[:, None] * stretch[t - 1, mothers, :, 0]
        alive = np.flatnonzero((lineage.birth <= t) & (t < lineage.end))
        if t:
            here[alive] += pace * (alone * own[t, alive] + spec.collective * shared(here[alive], t))
            _push(here, alive, reach[t], domain, _PUSHES)
        path[t] = here
    return path


class _Stream:
    """A smooth flow without sources on the torus, common to all cells, that changes slowly; (y, x) rms of 1 each."""

    def __init__(self, rng: np.random.Generator, domain: Array) -> None:
        waves = np.array([(0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1)])
        self._wave = 2 * np.pi * waves / domain
        self._across = self._wave[:, ::-1] * (1, -1) / np.linalg.norm(self._wave, axis=1, keepdims=True)
        self._phase = rng.uniform(0, 2 * np.pi, len(waves))
        self._rate = rng.normal(0, 0.05, len(waves))
        self._drift = rng.normal(0, 0.5, 2)

    def __call__(self, place: Array, t: int) -> Array:
        swing = np.sin(place @ self._wave.T + self._phase + self._rate * t)
        return np.asarray(swing @ self._across * np.sqrt(1.5 / len(self._wave)) * np.sqrt(2) + self._drift)


def _push(here: Array, alive: NDArray[np.int64], reach: Array, domain: Array, times: int) -> None:
    """Push overlapping cells apart, in place."""
    if len(alive) < 2:
        return
    size = reach[alive]
    for _ in range(times):
        place = here[alive] % domain
        place[place >= domain] = 0  # rounding of the remainder may give the domain itself
        pairs = cKDTree(place, boxsize=domain).query_pairs(2 * _CONTACT * size.max(), output_type="ndarray")
        first, second = pairs.T
        gap = place[first] - place[second]
        gap -= domain * np.rint(gap / domain)
        distance = np.maximum(np.linalg.norm(gap, axis=1), 1e-6)
        overlap = np.maximum(_CONTACT * (size[first] + size[second]) - distance, 0)
        step = gap * (_PUSH * overlap / distance)[:, None]
        np.add.at(here, alive[first], step)
        np.add.at(here, alive[second], -step)


def _stretch(angle: Array, aspect: Array) -> Array:
    """Matrices (..., 2, 2) that stretch by exp(aspect) along the first axis of the material, then turn."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    return np.asarray(turn * np.exp(np.stack([aspect, -aspect], -1))[..., None, :])


def _nucleoli(rng: np.random.Generator, count: int) -> Array:
    """Places and radii (N, M, 3) in nuclear radii; a place that is not taken has radius 0."""
    angle = rng.uniform(0, 2 * np.pi, (count, _NUCLEOLI))
    off = 0.6 * np.sqrt(rng.random((count, _NUCLEOLI)))
    size = rng.uniform(0.11, 0.24, (count, _NUCLEOLI))
    taken = np.arange(_NUCLEOLI) < rng.integers(1, _NUCLEOLI + 1, (count, 1))
    return np.stack([off * np.sin(angle), off * np.cos(angle), size * taken], -1)


def _wander(rng: np.random.Generator, spec: "MovieSpec", shape: tuple[int, ...]) -> Array:
    """Draw standard normal numbers (T, *shape) that change slowly over time, or not at all without deformation."""
    if not spec.deformation:
        return np.broadcast_to(rng.standard_normal(shape), (spec.frames, *shape))
    return _smooth_noise(rng, spec.frames, shape, 14.0 / spec.deformation)


def _smooth_noise(rng: np.random.Generator, frames: int, shape: tuple[int, ...], tau: float) -> Array:
    """Draw standard normal numbers (T, *shape), correlated over some `tau` frames."""
    reach = int(np.ceil(4 * tau))
    noise = rng.standard_normal((frames + 2 * reach, *shape))
    smooth = gaussian_filter1d(noise, tau, axis=0, truncate=4.0)[reach : reach + frames]
    kernel = gaussian_filter1d(np.eye(1, 2 * reach + 1, reach)[0], tau, truncate=4.0)
    return np.asarray(smooth / np.linalg.norm(kernel))


def _complex(pairs: Array, amplitude: float) -> NDArray[np.complex128]:
    """Harmonics (..., K) of an outline from numbers (..., K, 2): weaker the higher they are."""
    order = np.arange(1, pairs.shape[-2] + 1)
    return np.asarray((pairs[..., 0] + 1j * pairs[..., 1]) * amplitude / order)


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    """Draw standard normal numbers, none of them beyond 2."""
    return rng.standard_normal(shape).clip(-2, 2)


def _smoothstep(x: Array) -> Array:
    """Rise from 0 at 0 to 1 at 1, without a kink."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))
