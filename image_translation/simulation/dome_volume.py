"""Domes over height: the matter and the stains of `domes`, in the slices and planes of a `Volume`.

The stained membrane is a thin shell: the surface of each cell and its base.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.appearance import NUCLEOLUS_HEIGHT, TEXTURE_CONTRAST, draw_living_texture
from image_translation.simulation.domes import SHELL, Dome, DomeGeometry, Domes, Granules
from image_translation.simulation.geometry import coverage
from image_translation.simulation.heights import THINNEST, Heights, Relief
from image_translation.simulation.population import Array, Population
from image_translation.simulation.spec import MovieSpec
from image_translation.simulation.volume import MEMBRANE_STAIN, Volume, section, sheet

_Map = NDArray[np.float32]


_STAIN = np.float32(0.7 * MEMBRANE_STAIN)  # of a shell without a width of its own, as bright as a wall of spread cells


def add_domes(
    volume: Volume, domes: Domes, relief: Relief, *, population: Population, heights: Heights, t: int, spec: MovieSpec,
    granules: Granules,
) -> None:  # fmt: skip
    """Add optical path and stains of the cells of frame `t` to an empty volume, in place.

    Parameters
    ----------
    volume
        Volume of the padded field.
    domes, relief, population, heights
        The cells.
    t
        Index of the frame.
    spec
        Parameters of the movie.
    granules
        The granules of the cells.
    """
    geometry = DomeGeometry(population, t, spec.shape)
    for cell in population.alive(t):
        dome = geometry.dome(cell)
        if dome is not None:
            nucleus = heights.nucleus[t, cell], heights.nuclear_radius[cell]
            solid = _solid(dome, heights.cell[t, cell], *nucleus)
            _add_path(volume, solid, geometry.thickness[cell], np.float32(spec.nuclear_contrast))
            radius = geometry.radius[cell] * geometry.spread[cell]
            membrane = geometry.membrane_dose[cell] * coverage(radius * (1 - dome.distance))
            _add_stains(volume, solid, geometry.dose[cell], membrane)
    pixels, height = granules.pixels(population, t), granules.height[population.alive(t)].ravel()
    _add_granules(volume, pixels, height, relief.top, spec.granularity)
    living = draw_living_texture(spec, t, domes.nucleus.shape)
    texture = 1 + TEXTURE_CONTRAST * living * (1 - 0.7 * domes.nucleus)
    volume.path[:] *= np.asarray(spec.contrast * texture, np.float32)


@dataclass(frozen=True, eq=False)
class _Solid:
    """A cell over height: its shape in the plane, and lower and upper surfaces of the cell and the nuclear parts."""

    dome: Dome
    base: _Map
    top: _Map
    nucleus: tuple[_Map, _Map]
    nucleoli: tuple[_Map, _Map]


def _solid(dome: Dome, height: float, center: float, nuclear_radius: float) -> _Solid:
    half = np.maximum(np.float32(nuclear_radius) * dome.nuclear_profile, THINNEST)
    middle, inner = np.float32(center), np.float32(NUCLEOLUS_HEIGHT) * half
    return _Solid(
        dome=dome,
        base=np.zeros_like(dome.profile),
        top=np.float32(height) * dome.profile,
        nucleus=(middle - half, middle + half),
        nucleoli=(middle - inner, middle + inner),
    )


def _add_path(volume: Volume, solid: _Solid, thickness: np.float32, nuclear_contrast: np.float32) -> None:
    dome = solid.dome
    volume.add_path(dome.box, thickness * dome.profile, solid.base, solid.top)
    volume.add_path(dome.box, nuclear_contrast * thickness * dome.nuclear_profile, *solid.nucleus)
    volume.add_path(dome.box, nuclear_contrast * np.float32(0.9) * thickness * dome.nucleoli, *solid.nucleoli)


def _add_stains(volume: Volume, solid: _Solid, dose: np.float32, membrane: _Map) -> None:
    dome = solid.dome
    base = _STAIN * membrane
    surface = base * (2 / SHELL * dome.shell - 1)  # the surface is larger than its base
    for number, plane in enumerate(volume.planes):
        nucleus = dome.nucleus * section(plane, *solid.nucleus)
        nucleus -= np.float32(0.55) * dome.nucleoli * section(plane, *solid.nucleoli)
        volume.stains[(0, number, *dome.box)] += dose * nucleus
        membranes = base * sheet(plane, solid.base) + surface * sheet(plane, solid.top)
        volume.stains[(1, number, *dome.box)] += membranes


def _add_granules(
    volume: Volume,
    pixels: tuple[Array, NDArray[np.int64], NDArray[np.int64]],
    height: Array,
    top: _Map,
    strength: float,
) -> None:
    """Add granules to the two slices around each, whose height is relative to that of the cells, `top`."""
    value, y, x = pixels
    rows, columns = (index.clip(0, side - 1) for index, side in zip((y, x), top.shape, strict=True))
    inside = (rows == y) & (columns == x) & (top[rows, columns] > 0)
    middle = (slice(None), y.shape[1] // 2, y.shape[2] // 2)
    position = (height * top[rows[middle], columns[middle]] - volume.slices[0]) / (volume.slices[1] - volume.slices[0])
    below = np.floor(position).clip(0, len(volume.slices) - 2).astype(int)
    weight = (position - below).clip(0, 1)
    for layer, part in ((below, 1 - weight), (below + 1, weight)):
        index = np.broadcast_to(layer[:, None, None], value.shape)[inside]
        added = strength * part[:, None, None] * value
        np.add.at(volume.path, (index, y[inside], x[inside]), added[inside].astype(np.float32))
