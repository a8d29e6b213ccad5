"""Cells drawn as domes: smooth ellipsoid caps, whose optical paths and stains add where they overlap.

An alternative to `scene` and `appearance` with the same population and optics. Nuclei are ellipsoids, organelles are
discrete granules that move with their cell, and the membrane stain is the projection of a thin shell.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.appearance import TEXTURE_CONTRAST, draw_debris, draw_living_texture
from image_translation.simulation.geometry import PADDING, CellGeometry, coverage, outline_distance
from image_translation.simulation.population import Population
from image_translation.simulation.spec import MovieSpec

_Map = NDArray[np.float32]

_CUT = np.float32(0.97)  # radius of a cap relative to that of its ellipsoid; below 1, its edge is not vertical
_SHELL = 0.26  # brightness of a horizontal membrane, seen twice
_ASPECT = 1.2  # height of a dome relative to its radius
_NUCLEUS_BRIGHTNESS = 1.3  # of the middle of a nucleus; its mean is about 1
_GRANULES = 16  # per cell
_GRANULE_REACH = 5  # pixels around a granule that it is drawn in


class Granules:
    """Granules of N cells, M in each: positions (y, x) in material coordinates, sizes in pixels, and phases."""

    def __init__(self, seed: int, population: Population) -> None:
        rng = np.random.default_rng([seed, 9])
        shape = (len(population.birth), _GRANULES)
        angle, area = rng.uniform(0, 2 * np.pi, shape), rng.uniform(0.2, 0.7, shape)
        distance = population.radius[:, None] * np.sqrt(area)  # around the nucleus
        self.position = np.stack([distance * np.sin(angle), distance * np.cos(angle)], -1)
        self.size = rng.uniform(0.9, 1.7, shape)
        self.phase = rng.uniform(0.1, 0.45, shape)

    def draw(self, population: Population, t: int, path: _Map) -> None:
        """Add the granules of frame `t` to the optical path of the padded field of a movie of contrast 1, in place."""
        alive = population.alive(t)
        scale = population.spread[t, alive, None, None]
        moved = scale * np.einsum("nij,nmj->nmi", population.stretch[t, alive], self.position[alive])
        center = (population.center[t, alive, None] + PADDING + moved).reshape(-1, 2)
        window = np.arange(-_GRANULE_REACH, _GRANULE_REACH + 1)
        pixel = np.rint(center).astype(int)[..., None] + window  # rows and columns of each granule
        squared = (pixel - center[..., None]) ** 2 / self.size[alive].reshape(-1, 1, 1) ** 2
        rows, columns = np.moveaxis(np.exp(-squared / 2), 1, 0)
        value = self.phase[alive].reshape(-1, 1, 1) * rows[:, :, None] * columns[:, None]
        y, x = (np.broadcast_to(index, value.shape) for index in (pixel[:, 0, :, None], pixel[:, 1, None]))
        inside = (y >= 0) & (y < path.shape[0]) & (x >= 0) & (x < path.shape[1])
        np.add.at(path, (y[inside], x[inside]), value[inside].astype(np.float32))


@dataclass(frozen=True, eq=False)
class Domes:
    """Maps of shape (Y + 2 PADDING, X + 2 PADDING).

    Attributes
    ----------
    nearest
        Index of the cell with the thickest nucleus, or else of the thickest cell; -1 elsewhere: int32.
    depth
        Distance from the outline of that cell, in pixels, negative outside: float32.
    nucleus
        Fraction of the pixel covered by a nucleus: float32.
    owner
        `nearest`, for the displacement: int32.
    path
        Optical path of all cells and debris, in radians: float32.
    stains
        Nuclei and membranes, (2, ...): float32.
    """

    nearest: NDArray[np.int32]
    depth: _Map
    nucleus: _Map
    owner: NDArray[np.int32]
    path: _Map
    stains: _Map


def draw_domes(population: Population, t: int, spec: MovieSpec, granules: Granules) -> Domes:
    """Draw the cells of frame `t`: their optical path, their stains, and which cell is seen at each pixel."""
    layers = _Layers(population, t, spec)
    for cell in population.alive(t):
        layers.add(cell)
    path = layers.path
    texture = np.zeros_like(path)
    granules.draw(population, t, texture)
    path += spec.granularity * texture * (layers.height > 0)
    path *= 1 + TEXTURE_CONTRAST * draw_living_texture(spec, t, path.shape) * (1 - 0.7 * layers.nucleus)
    in_nucleus = layers.nucleus_owner >= 0
    nearest = np.where(in_nucleus, layers.nucleus_owner, layers.owner)
    return Domes(
        nearest=nearest,
        depth=np.where(in_nucleus, np.maximum(layers.depth, 1), layers.depth),
        nucleus=layers.nucleus,
        owner=nearest,
        path=np.asarray(spec.contrast * path + draw_debris(spec, t, path.shape), np.float32),
        stains=layers.stains,
    )


class _Layers(CellGeometry):
    """Sums and maxima over the cells of one frame."""

    def __init__(self, population: Population, t: int, spec: MovieSpec) -> None:
        super().__init__(population, t, spec.shape)
        # The volume of a cell is nearly preserved when it rounds up, and so is the amount of stain.
        self.thickness = (population.thickness / population.spread[t] ** 1.3).astype(np.float32)
        self.dose = (population.stain[:, 0] * population.chromatin[t] / population.nucleus_spread[t] ** 2).astype(
            np.float32
        )
        self.membrane_dose = (population.stain[:, 1] / np.sqrt(population.spread[t])).astype(np.float32)
        self.nuclear_contrast = np.float32(spec.nuclear_contrast)
        self.path, self.height, self.nucleus, self.nucleus_height = np.zeros((4, *self.padded), np.float32)
        self.stains = np.zeros((2, *self.padded), np.float32)
        self.depth = np.full(self.padded, -1, np.float32)
        self.owner, self.nucleus_owner = np.full((2, *self.padded), -1, np.int32)

    def add(self, cell: int) -> None:
        """Add a cell to the sums, and to the maps where it is thickest."""
        radius = self.radius[cell] * self.spread[cell]
        box = self.box(cell, radius * (1 + np.abs(self.outline[cell]).sum()) + 2)
        if box is None:
            return
        y, x = self.material(cell, box, self.spread[cell])
        distance = outline_distance(y, x, self.outline[cell], first=1) / self.radius[cell]
        cap, shell = _cap(np.minimum(distance, 1))
        self.stains[1][box] += self.membrane_dose[cell] * shell * coverage(radius * (1 - distance))
        nuclear_radius, scale = self.nucleus_radius[cell], self.nucleus_spread[cell]
        y, x = self.material(cell, box, scale)
        nuclear_distance = outline_distance(y, x, self.nucleus_outline[cell], first=2)
        nucleus = coverage(scale * (nuclear_radius - nuclear_distance))
        nuclear_height = np.sqrt(np.maximum(1 - (nuclear_distance / nuclear_radius) ** 2, 0))
        nucleoli = self.draw_nucleoli(cell, y, x) * nucleus
        self.stains[0][box] += self.dose[cell] * _NUCLEUS_BRIGHTNESS * nuclear_height * (1 - 0.55 * nucleoli)
        height = self.thickness[cell] * cap
        nuclear_height = self.thickness[cell] * nuclear_height
        self.path[box] += height + self.nuclear_contrast * (nuclear_height + 0.9 * self.thickness[cell] * nucleoli)
        self._update(box, self.height, self.owner, height, cell)
        self._update(box, self.nucleus_height, self.nucleus_owner, np.where(nucleus > 0.5, nuclear_height, 0), cell)
        self.nucleus[box] = np.maximum(self.nucleus[box], nucleus)
        self.depth[box] = np.where(self.owner[box] == cell, radius * (1 - distance), self.depth[box])

    @staticmethod
    def _update(box: tuple[slice, slice], best: _Map, owner: NDArray[np.int32], height: _Map, cell: int) -> None:
        higher = height > best[box]
        best[box][higher] = height[higher]
        owner[box][higher] = cell


def _cap(distance: _Map) -> tuple[_Map, _Map]:
    """Return height and membrane of a dome at a distance from its centre, relative to its radius, up to 1.

    The height is 1 in the middle and 0 at the outline; a membrane looks brighter the steeper it is.
    """
    edge = np.sqrt(1 - _CUT**2)
    root = np.sqrt(1 - (_CUT * distance) ** 2)
    slope = _ASPECT * _CUT**2 * distance / (root * (1 - edge))
    return (root - edge) / (1 - edge), np.asarray(_SHELL * (1 + np.sqrt(1 + slope**2)) / 2, np.float32)
