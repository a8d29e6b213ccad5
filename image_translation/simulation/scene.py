"""Maps of one frame of a simulated population: which cell covers each pixel, and which part of that cell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.geometry import CellGeometry, coverage, ellipsoid_profile, outline_distance
from image_translation.simulation.population import Population

_Map = NDArray[np.float32]

_FAR = np.float32(1e6)
_MEMBRANE_REACH = 3.0  # pixels outside the outline of a cell over which its blurred membrane is visible
_MARGIN = 4.0  # pixels outside the outline of a cell up to which its distance is computed


@dataclass(frozen=True, eq=False)
class Scene:
    """Maps of shape (Y + 2 PADDING, X + 2 PADDING).

    Attributes
    ----------
    nearest
        Index of the topmost cell, or of the nearest one within the margin around cells; -1 elsewhere: int32.
    depth
        Distance from the outline of the cell, in pixels, negative outside: float32.
    material
        Material coordinates (y, x) in the nearest cell, in pixels of the spread cell, (2, ...): float32.
    nucleus
        Fraction of the pixel covered by a nucleus: float32.
    nucleoli
        The same for nucleoli, with smooth edges: float32.
    reach
        Distance from the outline of the cell, in pixels, wherever adjacent cells border on it: float32.
    nuclear_profile
        Thickness of the nucleus relative to its middle, as of an ellipsoid; 0 outside: float32.
    owner
        Index of the cell at the pixel, blurred membrane included, -1 for background: int32.
    """

    nearest: NDArray[np.int32]
    depth: _Map
    material: _Map
    nucleus: _Map
    nucleoli: _Map
    reach: _Map
    nuclear_profile: _Map
    owner: NDArray[np.int32]


def draw_scene(population: Population, t: int, shape: tuple[int, int]) -> Scene:
    """Assign the pixels of frame `t` to cells.

    Inside the outlines, a pixel belongs to the cell with the smallest power distance (a power diagram, the Voronoi
    tessellation weighted by cell size). Nuclei are never covered by a neighbouring cell.

    Parameters
    ----------
    population
        Cells of the movie.
    t
        Index of the frame.
    shape
        Height and width (Y, X) of the field, in pixels.

    Returns
    -------
    Scene
        Maps of the padded field.
    """
    canvas = _Canvas(population, t, shape)
    alive = population.alive(t)
    for cell in alive:
        canvas.add_body(cell)
    for cell in alive:
        canvas.add_nucleus(cell)
    return canvas.scene()


def draw_nuclei(population: Population, t: int, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return the index of the cell whose nucleus each pixel of the padded field shows in frame `t`, -1 for none.

    They are those of `draw_scene`, which takes longer.
    """
    canvas = _Canvas(population, t, shape)
    for cell in population.alive(t):
        canvas.add_nucleus(cell)
    return canvas.nucleus_owner


class _Canvas(CellGeometry):
    """Accumulates the maps of one frame, cell by cell."""

    def __init__(self, population: Population, t: int, shape: tuple[int, int]) -> None:
        super().__init__(population, t, shape)
        padded = self.padded
        self.power = np.full(padded, _FAR, np.float32)
        self.second_power = np.full(padded, _FAR, np.float32)
        self.nearest = np.full(padded, -1, np.int32)
        self.second_nearest = np.full(padded, -1, np.int32)
        self.nucleus = np.zeros(padded, np.float32)
        self.nucleoli = np.zeros(padded, np.float32)
        self.nuclear_profile = np.zeros(padded, np.float32)
        self.nucleus_owner = np.full(padded, -1, np.int32)

    def add_body(self, cell: int) -> None:
        """Update nearest and second nearest cell in the neighbourhood of a cell."""
        radius = self.radius[cell] * self.spread[cell]
        outline = self.outline[cell]
        box = self.box(cell, radius * (1 + np.abs(outline).sum()) + _MARGIN)
        if box is None:
            return
        y, x = self.material(cell, box, self.spread[cell])
        relative = outline_distance(y, x, outline, first=1) / self.radius[cell]
        power = (relative * relative - 1) * radius**2
        power[relative > 1 + _MARGIN / radius] = _FAR
        nearest, second_nearest = self.nearest[box], self.second_nearest[box]
        best, second_power = self.power[box], self.second_power[box]
        closer = power < best
        second_nearest[...] = np.where(closer, nearest, np.where(power < second_power, cell, second_nearest))
        second_power[...] = np.where(closer, best, np.minimum(second_power, power))
        nearest[closer] = cell
        best[closer] = power[closer]

    def add_nucleus(self, cell: int) -> None:
        """Render a nucleus and its nucleoli."""
        radius, scale = self.nucleus_radius[cell], self.nucleus_spread[cell]
        outline = self.nucleus_outline[cell]
        box = self.box(cell, radius * scale * (1 + np.abs(outline).sum()) + 2)
        if box is None:
            return
        y, x = self.material(cell, box, scale)
        distance = outline_distance(y, x, outline, first=2)
        mask = coverage(scale * (radius - distance))
        nucleoli = self.draw_nucleoli(cell, y, x)
        nucleus = self.nucleus[box]
        topmost = mask > np.maximum(nucleus, 0.5)
        self.nucleus_owner[box][topmost] = cell
        self.nuclear_profile[box][topmost] = ellipsoid_profile(distance[topmost] / radius)
        self.nucleoli[box] = np.maximum(self.nucleoli[box], nucleoli * mask)
        nucleus[...] = np.maximum(nucleus, mask)

    def scene(self) -> Scene:
        """Return the maps after all cells were added."""
        in_nucleus = self.nucleus_owner >= 0
        nearest = np.where(in_nucleus, self.nucleus_owner, self.nearest)
        reach = self._reach()
        depth = self._depth(reach)
        depth[in_nucleus] = np.maximum(depth[in_nucleus], 1)
        return Scene(
            nearest=nearest,
            depth=depth,
            material=self._material_map(nearest, in_nucleus),
            nucleus=self.nucleus,
            nucleoli=self.nucleoli,
            reach=reach,
            nuclear_profile=self.nuclear_profile,
            owner=np.where(depth > -_MEMBRANE_REACH, nearest, np.int32(-1)),
        )

    def _unstretched(self, cells: NDArray[np.int32]) -> tuple[_Map, _Map]:
        """Return (y, x) of each pixel relative to the centre of its cell, with stretch and rotation undone."""
        center, inverse = self.center[cells], self.inverse_stretch[cells]
        dy = np.arange(cells.shape[0], dtype=np.float32)[:, None] - center[..., 0]
        dx = np.arange(cells.shape[1], dtype=np.float32)[None] - center[..., 1]
        return inverse[..., 0, 0] * dy + inverse[..., 0, 1] * dx, inverse[..., 1, 0] * dy + inverse[..., 1, 1] * dx

    def _power_gradient(self, cells: NDArray[np.int32]) -> tuple[_Map, _Map]:
        """Return the gradient (d/dy, d/dx) of the power distance to the cell of each pixel."""
        y, x = self._unstretched(cells)
        inverse = self.inverse_stretch[cells]
        dy = 2 * (inverse[..., 0, 0] * y + inverse[..., 1, 0] * x)
        dx = 2 * (inverse[..., 0, 1] * y + inverse[..., 1, 1] * x)
        return dy, dx

    def _reach(self) -> _Map:
        """Return the distance to the outline of the nearest cell."""
        reach = np.full(self.power.shape, -_FAR, np.float32)
        known = self.nearest >= 0
        radius = (self.radius * self.spread)[self.nearest[known]]
        reach[known] = radius * (1 - np.sqrt(self.power[known] / radius**2 + 1))
        return reach

    def _depth(self, reach: _Map) -> _Map:
        """Return the distance to the outline or to the border with the adjacent cell, whichever is smaller."""
        own, other = self._power_gradient(self.nearest), self._power_gradient(self.second_nearest)
        slope = np.hypot(own[0] - other[0], own[1] - other[1])
        border = (self.second_power - self.power) / np.maximum(slope, 1)
        return np.where(self.second_nearest < 0, reach, np.minimum(reach, border))

    def _material_map(self, nearest: NDArray[np.int32], in_nucleus: NDArray[np.bool_]) -> _Map:
        scale = np.where(in_nucleus, self.nucleus_spread[nearest], self.spread[nearest])
        return np.stack(self._unstretched(nearest)) / scale
