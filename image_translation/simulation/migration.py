"""Simulation of a cell population: lineages, persistent random walk, repulsion, slow shape changes."""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from image_translation.simulation.flicker import stage_shift, strength
from image_translation.simulation.population import Array, Population
from image_translation.simulation.spec import MovieSpec

_ROUNDING_TIME = 7  # frames over which a cell rounds up before it divides
_SPREADING_TIME = 12  # frames over which daughter cells spread after the division
_ROUNDED_SCALE = 0.55  # radius of a rounded cell, relative to the spread cell
_NEWBORN_SCALE = 0.42  # radius of a newborn cell, relative to the spread cell
_MIN_DIVISION_AGE = 25  # frames
_CONTACT_DISTANCE = 0.75  # cells closer than this fraction of the sum of their radii repel each other
_REPULSION = 0.2  # fraction of the overlap by which each of two cells moves in one step
_REPULSION_STEPS = 3  # per frame
_INITIAL_REPULSION_STEPS = 60  # before the first frame
_HARMONICS = 4  # of the cell outline and of the nuclear outline
_MAX_NUCLEOLI = 4  # per nucleus


class _Lineage(NamedTuple):
    """First frame, last frame plus one, and index of the mother (-1 for none) of each cell: (N,) each."""

    birth: NDArray[np.int64]
    end: NDArray[np.int64]
    parent: NDArray[np.int64]


def simulate_population(spec: MovieSpec, padding: int) -> Population:
    """Simulate the cells of a movie.

    Cells move in a periodic domain larger than the field, whose boundary is not visible. Their motion is a persistent
    random walk, partly shared between neighbours, with repulsion between overlapping cells.

    Parameters
    ----------
    spec
        Parameters of the movie.
    padding
        Margin around the field that is also rendered, in pixels.

    Returns
    -------
    Population
        State of the cells in every frame.
    """
    rng = np.random.default_rng([spec.seed, 1])
    margin = padding + 3.0 * spec.cell_radius + 4.0 * strength(spec, "stage")
    domain = np.array(spec.shape) + 2 * margin
    # Cells overlap, so that their total area must exceed the area to be covered.
    coverage = spec.density * (1 + 0.5 * spec.density**2)
    founders = max(1, round(domain.prod() * coverage / (np.pi * spec.cell_radius**2)))
    lineage = _lineage(rng, founders, spec)
    count = len(lineage.birth)
    radius = _inherit(spec.cell_radius * np.exp(0.13 * _normal(rng, count)), lineage.parent)
    age, left = _ages(lineage, spec.frames)
    mitotic = 1 - _smoothstep(left / _ROUNDING_TIME)
    young = np.where(lineage.parent < 0, 0.0, 1 - _smoothstep((age + 1) / _SPREADING_TIME))
    resting = np.where(rng.random(count) < spec.rounded, _ROUNDED_SCALE, 1.0)
    spread = np.minimum(np.minimum(resting, 1 - (1 - _ROUNDED_SCALE) * mitotic), 1 - (1 - _NEWBORN_SCALE) * young)
    angle = rng.uniform(0, 2 * np.pi, count) + 0.5 * _slow_noise(rng, spec, (count,))
    aspect = 0.2 * spread * (1 - mitotic) * _slow_noise(rng, spec, (count,)) + 0.2 * mitotic
    stretch = _stretch(angle, aspect)
    positions = _migrate(rng, spec, domain, lineage=lineage, radius=radius * spread, stretch=stretch)
    outline = _harmonics(_slow_noise(rng, spec, (count, _HARMONICS, 2)), 0.13) * spread[..., None]
    stage = np.array([stage_shift(spec, t) for t in range(spec.frames)])
    return Population(
        birth=lineage.birth,
        end=lineage.end,
        parent=lineage.parent,
        radius=radius,
        thickness=_inherit(np.exp(0.4 * _normal(rng, count)), lineage.parent),
        stain=_inherit(np.exp(0.1 * _normal(rng, count, 2)), lineage.parent),
        chromatin=np.where(lineage.parent < 0, 1.0, 0.5 + 0.5 * _smoothstep(age / (2 * _SPREADING_TIME))),
        texture_origin=rng.uniform(0, 4096, (count, 2)),
        nucleus_outline=_harmonics(_normal(rng, count, _HARMONICS, 2), 0.06),
        nucleoli=_nucleoli(rng, count),
        stage=stage,
        center=positions % domain - margin + stage[:, None],
        wraps=np.floor(positions / domain).astype(np.int64),
        stretch=stretch,
        spread=spread,
        outline=outline,
    )


def _lineage(rng: np.random.Generator, founders: int, spec: MovieSpec) -> _Lineage:
    """Draw the time and the mother of each birth; cells that outlive the movie end long after it."""
    mean_life = 100 / spec.divisions if spec.divisions else np.inf
    births, ends, parents = [0] * founders, [0] * founders, [-1] * founders
    queue = deque(range(founders))
    while queue:
        cell = queue.popleft()
        minimum = 2 if parents[cell] < 0 else _MIN_DIVISION_AGE
        life = minimum + (rng.exponential(mean_life) if spec.divisions else np.inf)
        ends[cell] = births[cell] + round(min(life, 10 * spec.frames + 10 * _ROUNDING_TIME))
        if ends[cell] < spec.frames:
            queue.extend((len(births), len(births) + 1))
            births += [ends[cell]] * 2
            parents += [cell] * 2
            ends += [0] * 2
    return _Lineage(*(np.array(column, np.int64) for column in (births, ends, parents)))


def _ages(lineage: _Lineage, frames: int) -> tuple[Array, Array]:
    """Return the number of frames since the birth and until the end of each cell: both (T, N)."""
    time = np.arange(frames, dtype=float)[:, None]
    return time - lineage.birth, lineage.end - time


def _inherit(values: Array, parent: NDArray[np.int64]) -> Array:
    """Set the values (N, ...) of daughters to those of their mother, in place; mothers precede daughters."""
    for cell in np.flatnonzero(parent >= 0):
        values[cell] = values[parent[cell]]
    return values


def _migrate(
    rng: np.random.Generator, spec: MovieSpec, domain: Array, *, lineage: _Lineage, radius: Array, stretch: Array
) -> Array:
    """Simulate the motion of cells of radii `radius` (T, N); return unwrapped positions (T, N, 2)."""
    frames, count = radius.shape
    own = _smooth_noise(rng, frames, (count, 2), 5.0)
    shared = _FlowField(rng, domain)
    independent = 1 - spec.collective
    # The mean norm of a pair of standard normal numbers is sqrt(pi / 2).
    step = spec.speed / np.sqrt(np.pi / 2) / np.hypot(independent, spec.collective)
    trajectories = np.zeros((frames, count, 2))
    positions = rng.uniform(0, 1, (count, 2)) * domain
    _repel(positions, np.flatnonzero(lineage.birth == 0), radius[0], domain, _INITIAL_REPULSION_STEPS)
    for t in range(frames):
        born = np.flatnonzero((lineage.birth == t) & (lineage.parent >= 0))
        mothers = lineage.parent[born]
        side = np.where(np.arange(len(born)) % 2, 1, -1)[:, None]
        positions[born] = positions[mothers] + side * (0.5 * radius[t, born])[:, None] * stretch[t - 1, mothers, :, 0]
        alive = np.flatnonzero((lineage.birth <= t) & (t < lineage.end))
        if t:
            positions[alive] += step * (independent * own[t, alive] + spec.collective * shared(positions[alive], t))
            _repel(positions, alive, radius[t], domain, _REPULSION_STEPS)
        trajectories[t] = positions
    return trajectories


class _FlowField:
    """Smooth, divergence-free, slowly changing velocity field (y, x) in the periodic domain; rms of 1 per axis."""

    def __init__(self, rng: np.random.Generator, domain: Array) -> None:
        waves = np.array([(0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1)])
        self._wave = 2 * np.pi * waves / domain
        self._direction = self._wave[:, ::-1] * (1, -1) / np.linalg.norm(self._wave, axis=1, keepdims=True)
        self._phase = rng.uniform(0, 2 * np.pi, len(waves))
        self._rate = rng.normal(0, 0.05, len(waves))
        self._drift = rng.normal(0, 0.5, 2)

    def __call__(self, positions: Array, t: int) -> Array:
        amplitude = np.sin(positions @ self._wave.T + self._phase + self._rate * t)
        return np.asarray(amplitude @ self._direction * np.sqrt(1.5 / len(self._wave)) * np.sqrt(2) + self._drift)


def _repel(positions: Array, alive: NDArray[np.int64], radius: Array, domain: Array, steps: int) -> None:
    """Move overlapping cells apart, in place."""
    if len(alive) < 2:
        return
    size = radius[alive]
    for _ in range(steps):
        wrapped = positions[alive] % domain
        wrapped[wrapped >= domain] = 0  # rounding of the remainder may give the domain size itself
        pairs = cKDTree(wrapped, boxsize=domain).query_pairs(2 * _CONTACT_DISTANCE * size.max(), output_type="ndarray")
        first, second = pairs.T
        gap = wrapped[first] - wrapped[second]
        gap -= domain * np.rint(gap / domain)
        distance = np.maximum(np.linalg.norm(gap, axis=1), 1e-6)
        overlap = np.maximum(_CONTACT_DISTANCE * (size[first] + size[second]) - distance, 0)
        step = gap * (_REPULSION * overlap / distance)[:, None]
        np.add.at(positions, alive[first], step)
        np.add.at(positions, alive[second], -step)


def _stretch(angle: Array, aspect: Array) -> Array:
    """Return matrices (..., 2, 2) that stretch by exp(aspect) along the first material axis, then rotate."""
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    return np.asarray(rotation * np.exp(np.stack([aspect, -aspect], -1))[..., None, :])


def _nucleoli(rng: np.random.Generator, count: int) -> Array:
    """Draw positions (y, x) and radii (N, M, 3) of nucleoli, in nuclear radii; the radius is 0 if there is none."""
    angle = rng.uniform(0, 2 * np.pi, (count, _MAX_NUCLEOLI))
    distance = 0.6 * np.sqrt(rng.random((count, _MAX_NUCLEOLI)))
    size = rng.uniform(0.11, 0.24, (count, _MAX_NUCLEOLI))
    present = np.arange(_MAX_NUCLEOLI) < rng.integers(1, _MAX_NUCLEOLI + 1, (count, 1))
    return np.stack([distance * np.sin(angle), distance * np.cos(angle), size * present], -1)


def _slow_noise(rng: np.random.Generator, spec: MovieSpec, shape: tuple[int, ...]) -> Array:
    """Draw standard normal numbers (T, *shape) that vary slowly in time, or are constant without deformation."""
    if not spec.deformation:
        return np.broadcast_to(rng.standard_normal(shape), (spec.frames, *shape))
    return _smooth_noise(rng, spec.frames, shape, 14.0 / spec.deformation)


def _smooth_noise(rng: np.random.Generator, frames: int, shape: tuple[int, ...], sigma: float) -> Array:
    """Draw standard normal numbers (T, *shape), smoothed along time by a Gaussian of `sigma` frames."""
    radius = int(np.ceil(4 * sigma))
    noise = rng.standard_normal((frames + 2 * radius, *shape))
    smooth = gaussian_filter1d(noise, sigma, axis=0, truncate=4.0)[radius : radius + frames]
    kernel = gaussian_filter1d(np.eye(1, 2 * radius + 1, radius)[0], sigma, truncate=4.0)
    return np.asarray(smooth / np.linalg.norm(kernel))


def _harmonics(pairs: Array, amplitude: float) -> NDArray[np.complex128]:
    """Return Fourier coefficients (..., K) of an outline from numbers (..., K, 2); they decrease with the order."""
    order = np.arange(1, pairs.shape[-2] + 1)
    return np.asarray((pairs[..., 0] + 1j * pairs[..., 1]) * amplitude / order)


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    """Draw standard normal numbers, clipped to -2 and 2."""
    return rng.standard_normal(shape).clip(-2, 2)


def _smoothstep(x: Array) -> Array:
    """Return the cubic smoothstep function: 0 below 0, 1 above 1."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))
