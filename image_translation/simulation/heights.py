"""Heights over the substrate: of the planes of a stack, of cells, and of the nuclei in them.

A cell is a dome on a flat substrate, and its nucleus an ellipsoid of constant size in it, whose height varies slowly.
Heights are in pixels, like all lengths, and have random numbers of their own: they change nothing in the plane.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.population import Array, Population
from image_translation.simulation.random_process import smooth_noise
from image_translation.simulation.spec import MovieSpec

_Map = NDArray[np.float32]

ASPECT = {"spread": 0.75, "domes": 1.2}
"""Height of a typical cell relative to its radius, by the way of drawing cells."""

_TALLEST = 2.0  # height of a cell relative to its radius, as of a sphere
_FLATNESS = 0.6  # height of a nucleus relative to its width
_MOST_OF_CELL = 0.8  # height of a nucleus relative to that of its cell, at most
_MEMORY = 14.0  # frames over which a nucleus rises or sinks, if cells deform typically
_COVER = np.float32(0.5)  # pixels, thickness of a cell above its nucleus, at least

THINNEST = np.float32(0.5)
"""Half the thickness of a nucleus at its edge, in pixels."""


@dataclass(frozen=True, eq=False)
class Heights:
    """Heights of N cells over T frames, in pixels above the substrate.

    Attributes
    ----------
    cell
        Height of the middle of each cell: (T, N).
    nucleus
        Height of the centre of each nucleus: (T, N).
    nuclear_radius
        Half the height of each nucleus: (N,).
    """

    cell: Array
    nucleus: Array
    nuclear_radius: Array


@dataclass(frozen=True, eq=False)
class Relief:
    """Heights of the cell that is seen at each pixel, in pixels above the substrate: maps (Y, X), float32.

    Attributes
    ----------
    top
        Height of the cell's surface; 0 where there is no cell.
    center
        Height of the centre of the nucleus.
    half
        Half the thickness of the nucleus; without meaning where there is none.
    """

    top: _Map
    center: _Map
    half: _Map


def middle_height(spec: MovieSpec) -> float:
    """Return the height of the middle of a stack: half the height of a typical cell."""
    return ASPECT[spec.cells] * spec.cell_radius / 2


def plane_heights(spec: MovieSpec) -> Array:
    """Return the heights of the planes of a stack, from the lowest one up: (Z,)."""
    return np.asarray(middle_height(spec) + spec.plane_spacing * (np.arange(spec.planes) - (spec.planes - 1) / 2))


def draw_heights(population: Population, spec: MovieSpec) -> Heights:
    """Draw the heights of all cells and nuclei.

    A cell becomes taller when it rounds up, until it is a sphere. Its nucleus is in the middle of it on average.
    """
    rng = np.random.default_rng([spec.seed, 10])
    aspect, radius = ASPECT[spec.cells], population.radius
    # Part of the differences of the optical thickness between cells is due to their refractive index.
    spread = aspect * radius * np.sqrt(population.thickness)
    cell = np.minimum(spread / population.spread**1.3, _TALLEST * radius * population.spread)
    half = np.minimum(_FLATNESS * population.nucleus_radius, _MOST_OF_CELL / 2 * spread)
    if spec.deformation:
        noise = smooth_noise(rng, spec.frames, radius.shape, _MEMORY / spec.deformation)
    else:
        noise = np.broadcast_to(rng.standard_normal(radius.shape), cell.shape)
    room = np.maximum(cell - 2 * half, 0)
    return Heights(cell=cell, nucleus=half + room * (0.5 + 0.2 * noise).clip(0.1, 0.9), nuclear_radius=half)


def draw_relief(heights: Heights, t: int, nearest: NDArray[np.int32], profile: _Map, nuclear_profile: _Map) -> Relief:
    """Return the heights of the cells that are seen in frame `t`.

    Parameters
    ----------
    heights
        Heights of all cells.
    t
        Index of the frame.
    nearest
        Index of the cell at each pixel, -1 for none: (Y, X) int.
    profile
        Height of the cell relative to its middle, 0 to 1: (Y, X).
    nuclear_profile
        Thickness of its nucleus relative to that of its middle, 0 where there is none: (Y, X).
    """

    def per_cell(values: Array) -> _Map:
        return np.where(nearest < 0, np.float32(0), values.astype(np.float32)[nearest])

    center = per_cell(heights.nucleus[t])
    half = np.maximum(per_cell(heights.nuclear_radius) * nuclear_profile, THINNEST)
    top = per_cell(heights.cell[t]) * profile
    top = np.where(nuclear_profile > 0, np.maximum(top, center + half + _COVER), top)
    return Relief(top=top, center=center, half=half)
