"""Simulation of a cell population: lineages, motion, and slow shape changes."""

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.flicker import stage_shift, strength
from image_translation.simulation.lineage import ROUNDED_SCALE, SPREADING_TIME, draw_lineage
from image_translation.simulation.motion import migrate
from image_translation.simulation.population import Array, Population
from image_translation.simulation.random_process import clipped_normal, smooth_noise, smoothstep
from image_translation.simulation.spec import MovieSpec

_HARMONICS = 4  # of the cell outline and of the nuclear outline
_MAX_NUCLEOLI = 4  # per nucleus


def simulate_population(spec: MovieSpec, padding: int) -> Population:
    """Simulate the cells of a movie.

    Cells move in a periodic domain larger than the field, whose boundary is not visible. See `motion` for
    how they move.

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
    lineage = draw_lineage(rng, founders, spec)
    count = len(lineage.birth)
    radius = lineage.inherit(spec.cell_radius * np.exp(0.13 * clipped_normal(rng, count)))
    age, _ = lineage.ages(spec.frames)
    mitotic = np.where(lineage.detaches, 0.0, lineage.rounding(spec.frames))
    resting = np.where(rng.random(count) < spec.rounded, ROUNDED_SCALE, 1.0)
    spread = np.minimum(resting, lineage.spreading(spec.frames))
    angle = rng.uniform(0, 2 * np.pi, count) + 0.5 * _slow_noise(rng, spec, (count,))
    aspect = 0.2 * spread * (1 - mitotic) * _slow_noise(rng, spec, (count,)) + 0.2 * mitotic
    stretch = _stretch(angle, aspect)
    positions = migrate(rng, spec, domain, lineage=lineage, radius=radius * spread, stretch=stretch)
    outline = _harmonics(_slow_noise(rng, spec, (count, _HARMONICS, 2)), 0.13) * spread[..., None]
    stage = np.array([stage_shift(spec, t) for t in range(spec.frames)])
    return Population(
        birth=lineage.birth,
        end=lineage.end,
        parent=lineage.parent,
        radius=radius,
        thickness=lineage.inherit(np.exp(0.4 * clipped_normal(rng, count))),
        stain=lineage.inherit(np.exp(0.1 * clipped_normal(rng, count, 2))),
        chromatin=np.where(lineage.parent < 0, 1.0, 0.5 + 0.5 * smoothstep(age / (2 * SPREADING_TIME))),
        texture_origin=rng.uniform(0, 4096, (count, 2)),
        nucleus_outline=_harmonics(clipped_normal(rng, count, _HARMONICS, 2), 0.06),
        nucleoli=_nucleoli(rng, count),
        stage=stage,
        center=positions % domain - margin + stage[:, None],
        wraps=np.floor(positions / domain).astype(np.int64),
        stretch=stretch,
        spread=spread,
        outline=outline,
    )


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
    return smooth_noise(rng, spec.frames, shape, 14.0 / spec.deformation)


def _harmonics(pairs: Array, amplitude: float) -> NDArray[np.complex128]:
    """Return Fourier coefficients (..., K) of an outline from numbers (..., K, 2); they decrease with the order."""
    order = np.arange(1, pairs.shape[-2] + 1)
    return np.asarray((pairs[..., 0] + 1j * pairs[..., 1]) * amplitude / order)
