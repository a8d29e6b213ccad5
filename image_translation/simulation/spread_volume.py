"""Spread cells over height: the matter and the stains of `appearance`, in the slices and planes of a `Volume`.

A cell body lies between the substrate and the surface of the cell; nuclei are ellipsoids, and nucleoli are in their
middle. The stained membrane is the wall between adjacent cells, the surface of the cells, and their base.
"""

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.appearance import (
    CYTOPLASM,
    MEMBRANE_SIGMA,
    NUCLEAR_PEAK,
    NUCLEOLUS_HEIGHT,
    TEXTURE_CONTRAST,
    Textures,
    draw_living_texture,
    per_cell,
    relative_height,
    sample,
    smooth_path,
)
from image_translation.simulation.geometry import coverage
from image_translation.simulation.heights import Heights, Relief, draw_relief
from image_translation.simulation.population import Population
from image_translation.simulation.scene import Scene
from image_translation.simulation.spec import MovieSpec
from image_translation.simulation.volume import MEMBRANE_STAIN, Volume, section, share, sheet

_Map = NDArray[np.float32]

_LAYER = 3.0  # pixels of height over which the granules differ
_LAYER_SHIFT = 97.0  # pixels in the texture from one layer to the next
_LAYER_CONTRAST = 1.8  # of the granules in a layer, of which several average along the optical path
_STEEPEST = 3.0  # slope of the surface of a cell; steeper ones are steps between two cells


def spread_relief(scene: Scene, population: Population, heights: Heights, t: int) -> Relief:
    """Return the heights of the cells of frame `t`, drawn as a scene."""
    profile = relative_height(scene, population)
    return draw_relief(heights, t, scene.nearest, profile, scene.nuclear_profile)


def add_spread_cells(
    volume: Volume, scene: Scene, relief: Relief, *, population: Population, t: int, spec: MovieSpec, textures: Textures
) -> None:
    """Add optical path and stains of the cells of frame `t` to a volume, in place.

    Parameters
    ----------
    volume
        Volume of the padded field.
    scene, relief, population
        The cells.
    t
        Index of the frame.
    spec
        Parameters of the movie.
    textures
        Textures of cytoplasm and chromatin.
    """
    cells = _Cells(scene, relief, population, t, textures)
    _add_path(volume, cells, spec)
    _add_stains(volume, cells)


class _Cells:
    """The cells of a frame over height.

    Attributes
    ----------
    base, top
        Lower and upper surface of the cells, in pixels above the substrate.
    nucleus, nucleoli
        The same of the nuclei and the nucleoli.
    clouds
        Texture of cytoplasm and chromatin.
    """

    def __init__(self, scene: Scene, relief: Relief, population: Population, t: int, textures: Textures) -> None:
        self.scene, self.population, self.t = scene, population, t
        self.base, self.top = np.zeros_like(relief.top), relief.top
        inner = np.float32(NUCLEOLUS_HEIGHT) * relief.half
        self.nucleus = relief.center - relief.half, relief.center + relief.half
        self.nucleoli = relief.center - inner, relief.center + inner
        self.clouds = sample(textures.clouds, scene, population)
        self._granules = textures.granules
        self._layers: dict[int, _Map] = {}

    def granules(self, height: float) -> _Map:
        """Return the granules at a height, between those of two layers; call it with increasing heights."""
        below, fraction = divmod(height / _LAYER, 1)
        first = int(below)
        for layer in [layer for layer in self._layers if layer < first]:
            del self._layers[layer]
        for layer in (first, first + 1):
            if layer not in self._layers:
                self._layers[layer] = sample(self._granules, self.scene, self.population, layer * _LAYER_SHIFT)
        angle = fraction * np.pi / 2  # the variance is the same between two layers
        return np.float32(np.cos(angle)) * self._layers[first] + np.float32(np.sin(angle)) * self._layers[first + 1]


def _add_path(volume: Volume, cells: _Cells, spec: MovieSpec) -> None:
    scene = cells.scene
    thickness, squared_radius, body = smooth_path(scene, cells.population, cells.t)
    contrast = spec.contrast * spec.nuclear_contrast
    nucleus = NUCLEAR_PEAK * thickness * scene.nucleus * scene.nuclear_profile * (0.6 + 0.4 * np.exp(-squared_radius))
    nucleus *= contrast * (1 + 0.08 * spec.granularity * cells.clouds)
    nucleoli = contrast * 0.9 * thickness * scene.nucleoli
    living = draw_living_texture(spec, cells.t, body.shape)
    nuclear_thickness = cells.nucleus[1] - cells.nucleus[0]
    for number, (height, (bottom, top)) in enumerate(zip(volume.slices, volume.edges, strict=True)):
        in_nucleus = share(*cells.nucleus, bottom, top)
        filled = scene.nucleus * np.minimum(in_nucleus * nuclear_thickness / np.float32(top - bottom), 1)
        granules = spec.granularity * _LAYER_CONTRAST * cells.granules(height) + living
        texture = 1 + TEXTURE_CONTRAST * granules * (1 - 0.7 * filled) + 0.08 * spec.granularity * cells.clouds
        path = spec.contrast * body * np.maximum(texture, 0) * share(cells.base, cells.top, bottom, top)
        path += nucleus * in_nucleus + nucleoli * share(*cells.nucleoli, bottom, top)
        volume.path[number] += np.asarray(path, np.float32)


def _add_stains(volume: Volume, cells: _Cells) -> None:
    scene, population, t = cells.scene, cells.population, cells.t
    # The total amount of stain is preserved when a nucleus shrinks.
    dose = population.stain[:, 0] * population.chromatin[t] / population.nucleus_spread[t] ** 2
    chromatin = per_cell(dose, scene) * scene.nucleus * (1 + 0.12 * cells.clouds.clip(-2.5, 2.5))
    nucleoli = 0.55 * per_cell(dose, scene) * scene.nucleus * scene.nucleoli
    dose = population.stain[:, 1] / np.sqrt(population.spread[t])
    rim = per_cell(dose, scene) * np.exp(-((scene.depth / MEMBRANE_SIGMA) ** 2) / 2)
    cytoplasm = CYTOPLASM * per_cell(dose, scene) * np.clip(scene.depth / 3 + 0.5, 0, 1)
    base = np.float32(MEMBRANE_STAIN) * per_cell(dose, scene) * coverage(scene.depth)
    surface = base * np.sqrt(1 + np.hypot(*np.gradient(cells.top)).clip(0, _STEEPEST) ** 2)
    for number, plane in enumerate(volume.planes):
        nucleus = section(plane, *cells.nucleus)
        volume.stains[0, number] += chromatin * nucleus - nucleoli * section(plane, *cells.nucleoli)
        inside = rim + cytoplasm * (1 - 0.5 * scene.nucleus * nucleus)
        volume.stains[1, number] += inside * section(plane, cells.base, cells.top)
        volume.stains[1, number] += base * sheet(plane, cells.base) + surface * sheet(plane, cells.top)
