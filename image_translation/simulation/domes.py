"""Cells drawn as domes: smooth ellipsoid caps, whose optical paths and stains add where they overlap.

An alternative to `scene` and `appearance` with the same population and optics. Nuclei are ellipsoids, organelles are
discrete granules that move with their cell, and the membrane stain is the projection of a thin shell.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.appearance import NUCLEAR_PEAK, TEXTURE_CONTRAST, draw_debris, draw_living_texture
from image_translation.simulation.geometry import PADDING, CellGeometry, coverage, ellipsoid_profile, outline_distance
from image_translation.simulation.heights import ASPECT
from image_translation.simulation.population import Array, Population
from image_translation.simulation.spec import MovieSpec

_Map = NDArray[np.float32]

_CUT = np.float32(0.97)  # radius of a cap relative to that of its ellipsoid; below 1, its edge is not vertical
SHELL = 0.26
"""Brightness of a horizontal membrane, seen twice."""

_GRANULES = 16  # per cell
_GRANULE_REACH = 5  # pixels around a granule that it is drawn in


class Granules:
    """Granules of N cells, M in each: positions (y, x) in material coordinates, sizes in pixels, phases, heights."""

    def __init__(self, seed: int, population: Population) -> None:
        rng = np.random.default_rng([seed, 9])
        shape = (len(population.birth), _GRANULES)
        angle, area = rng.uniform(0, 2 * np.pi, shape), rng.uniform(0.2, 0.7, shape)
        distance = population.radius[:, None] * np.sqrt(area)  # around the nucleus
        self.position = np.stack([distance * np.sin(angle), distance * np.cos(angle)], -1)
        self.size = rng.uniform(0.9, 1.7, shape)
        self.phase = rng.uniform(0.1, 0.45, shape)
        self.height = rng.uniform(0.1, 0.9, shape)  # relative to that of the cells there

    def draw(self, population: Population, t: int, path: _Map) -> None:
        """Add the granules of frame `t` to the optical path of the padded field of a movie of contrast 1, in place."""
        value, y, x = self.pixels(population, t)
        inside = (y >= 0) & (y < path.shape[0]) & (x >= 0) & (x < path.shape[1])
        np.add.at(path, (y[inside], x[inside]), value[inside].astype(np.float32))

    def pixels(self, population: Population, t: int) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
        """Return phase, row and column of the pixels around each granule of frame `t`, in the padded field.

        Each is of shape (granules of cells that are alive, rows, columns); pixels may be outside the field.
        """
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
        return value, y, x


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
    profile
        Height of the thickest cell relative to its middle: float32.
    nuclear_profile
        Thickness of the thickest nucleus relative to its middle; 0 outside: float32.
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
    profile: _Map
    nuclear_profile: _Map
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
        profile=layers.profile,
        nuclear_profile=layers.nuclear_profile,
        owner=nearest,
        path=np.asarray(spec.contrast * path + draw_debris(spec, t, path.shape), np.float32),
        stains=layers.stains,
    )


class Dome(NamedTuple):
    """One cell in the pixels of a box.

    Attributes
    ----------
    box
        Rows and columns in the padded field.
    distance
        Distance from the centre of the cell, relative to its outline.
    profile, shell
        Height relative to the middle, and brightness of the membrane, as of `_cap`.
    nucleus
        Fraction of the pixel covered by the nucleus.
    nuclear_profile
        Thickness of the nucleus relative to its middle.
    nucleoli
        The same as `nucleus` for nucleoli, with smooth edges.
    """

    box: tuple[slice, slice]
    distance: _Map
    profile: _Map
    shell: _Map
    nucleus: _Map
    nuclear_profile: _Map
    nucleoli: _Map


class DomeGeometry(CellGeometry):
    """The domes of a frame, cell by cell.

    Attributes
    ----------
    thickness
        Optical thickness of each cell.
    dose, membrane_dose
        Brightness of the stains of each cell.
    """

    def __init__(self, population: Population, t: int, shape: tuple[int, int]) -> None:
        super().__init__(population, t, shape)
        # The volume of a cell is nearly preserved when it rounds up, and so is the amount of stain.
        self.thickness = (population.thickness / population.spread[t] ** 1.3).astype(np.float32)
        self.dose = (population.stain[:, 0] * population.chromatin[t] / population.nucleus_spread[t] ** 2).astype(
            np.float32
        )
        self.membrane_dose = (population.stain[:, 1] / np.sqrt(population.spread[t])).astype(np.float32)

    def dome(self, cell: int) -> Dome | None:
        """Return the shape of a cell; None if it is outside the padded field."""
        radius = self.radius[cell] * self.spread[cell]
        box = self.box(cell, radius * (1 + np.abs(self.outline[cell]).sum()) + 2)
        if box is None:
            return None
        y, x = self.material(cell, box, self.spread[cell])
        distance = outline_distance(y, x, self.outline[cell], first=1) / self.radius[cell]
        profile, shell = _cap(np.minimum(distance, 1))
        nuclear_radius, scale = self.nucleus_radius[cell], self.nucleus_spread[cell]
        y, x = self.material(cell, box, scale)
        nuclear_distance = outline_distance(y, x, self.nucleus_outline[cell], first=2)
        nucleus = coverage(scale * (nuclear_radius - nuclear_distance))
        nuclear_profile = ellipsoid_profile(nuclear_distance / nuclear_radius)
        return Dome(box, distance, profile, shell, nucleus, nuclear_profile, self.draw_nucleoli(cell, y, x) * nucleus)


class _Layers(DomeGeometry):
    """Sums and maxima over the cells of one frame."""

    def __init__(self, population: Population, t: int, spec: MovieSpec) -> None:
        super().__init__(population, t, spec.shape)
        self.nuclear_contrast = np.float32(spec.nuclear_contrast)
        self.path, self.height, self.nucleus, self.nucleus_height = np.zeros((4, *self.padded), np.float32)
        self.profile, self.nuclear_profile = np.zeros((2, *self.padded), np.float32)
        self.stains = np.zeros((2, *self.padded), np.float32)
        self.depth = np.full(self.padded, -1, np.float32)
        self.owner, self.nucleus_owner = np.full((2, *self.padded), -1, np.int32)

    def add(self, cell: int) -> None:
        """Add a cell to the sums, and to the maps where it is thickest."""
        dome = self.dome(cell)
        if dome is None:
            return
        box, radius, thickness = dome.box, self.radius[cell] * self.spread[cell], self.thickness[cell]
        self.stains[1][box] += self.membrane_dose[cell] * dome.shell * coverage(radius * (1 - dome.distance))
        self.stains[0][box] += self.dose[cell] * NUCLEAR_PEAK * dome.nuclear_profile * (1 - 0.55 * dome.nucleoli)
        height, nuclear_height = thickness * dome.profile, thickness * dome.nuclear_profile
        self.path[box] += height + self.nuclear_contrast * (nuclear_height + 0.9 * thickness * dome.nucleoli)
        self._update(box, self.height, self.owner, height, cell)
        in_nucleus = np.where(dome.nucleus > 0.5, nuclear_height, 0)
        self._update(box, self.nucleus_height, self.nucleus_owner, in_nucleus, cell)
        self.nucleus[box] = np.maximum(self.nucleus[box], dome.nucleus)
        owned = self.owner[box] == cell
        self.depth[box] = np.where(owned, radius * (1 - dome.distance), self.depth[box])
        self.profile[box] = np.where(owned, dome.profile, self.profile[box])
        owned = self.nucleus_owner[box] == cell
        self.nuclear_profile[box] = np.where(owned, dome.nuclear_profile, self.nuclear_profile[box])

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
    slope = ASPECT["domes"] * _CUT**2 * distance / (root * (1 - edge))
    return (root - edge) / (1 - edge), np.asarray(SHELL * (1 + np.sqrt(1 + slope**2)) / 2, np.float32)
