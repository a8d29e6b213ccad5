"""Motion of simulated cells: a persistent random walk or streaming sheets, and repulsion between overlapping cells."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from image_translation.simulation.lineage import Lineage
from image_translation.simulation.random_process import Array, smooth_noise
from image_translation.simulation.spec import MovieSpec

_CONTACT_DISTANCE = 0.75  # cells closer than this fraction of the sum of their radii repel each other
_REPULSION = 0.2  # fraction of the overlap by which each of two cells moves in one step
_REPULSION_STEPS = 3  # per frame
_INITIAL_REPULSION_STEPS = 60  # before the first frame
_WALK_MEMORY = 5.0  # frames, standard deviation of the Gaussian that smooths the velocity of a walking cell
_STREAM_MEMORY = 1.2  # the same for streaming cells
_STREAM_LENGTH = 5.0  # cell radii, standard deviation of the Gaussian correlation of their velocities in space
_STREAM_COLLECTIVE = 0.93  # fraction of their motion that streaming cells share with neighbours

Field = Callable[[Array, int], Array]


def migrate(
    rng: np.random.Generator, spec: MovieSpec, domain: Array, *, lineage: Lineage, radius: Array, stretch: Array
) -> Array:
    """Simulate the motion of cells in a periodic domain.

    Parameters
    ----------
    rng
        Generator of the random numbers.
    spec
        Parameters of the movie.
    domain
        Height and width of the domain, in pixels: (2,).
    lineage
        Births and ends of the cells.
    radius
        Radii of the cells, in pixels: (T, N).
    stretch
        Transformations of the cells, along whose first material axis they divide: (T, N, 2, 2).

    Returns
    -------
    NDArray[np.float64]
        Unwrapped positions (y, x), in pixels: (T, N, 2).
    """
    frames, count = radius.shape
    streams = spec.motion == "stream"
    own = smooth_noise(rng, frames, (count, 2), _STREAM_MEMORY if streams else _WALK_MEMORY)
    shared: Field = _StreamField(rng, domain, spec) if streams else _FlowField(rng, domain)
    collective = _STREAM_COLLECTIVE if streams else spec.collective
    independent = 1 - collective
    # The mean norm of a pair of standard normal numbers is sqrt(pi / 2).
    step = spec.speed / np.sqrt(np.pi / 2) / np.hypot(independent, collective)
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
            positions[alive] += step * (independent * own[t, alive] + collective * shared(positions[alive], t))
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


class _StreamField:
    """Velocity field (y, x) of streaming sheets in the periodic domain; rms of 1 per axis.

    A Gaussian random field, correlated over several cells in space and over 2 to 3 frames in time: a Fourier series
    whose coefficients are smooth random processes.
    """

    def __init__(self, rng: np.random.Generator, domain: Array, spec: MovieSpec) -> None:
        length = _STREAM_LENGTH * spec.cell_radius
        most_y, most_x = np.ceil(3 / (2 * np.pi * length) * domain).astype(int)  # beyond, the spectrum is negligible
        waves = np.stack(np.meshgrid(np.arange(most_y + 1), np.arange(-most_x, most_x + 1), indexing="ij"), -1)
        waves = waves.reshape(-1, 2)
        waves = waves[(waves[:, 0] > 0) | (waves[:, 1] >= 0)]  # the other half are complex conjugates
        self._wave = 2 * np.pi * waves / domain
        variance = np.exp(-((self._wave * length) ** 2).sum(axis=1) / 2)
        variance[1:] *= 2  # each stands for two conjugates; the first is the mean
        self._amplitude = np.sqrt(variance / variance.sum())[:, None]
        self._coefficients = smooth_noise(rng, spec.frames, (2, len(waves), 2), _STREAM_MEMORY)

    def __call__(self, positions: Array, t: int) -> Array:
        angle = positions @ self._wave.T
        cosine, sine = self._coefficients[t] * self._amplitude
        return np.asarray(np.cos(angle) @ cosine + np.sin(angle) @ sine)


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
