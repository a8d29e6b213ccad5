"""Maps of one frame of a simulated population: which cell covers each pixel, and which part of that cell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.population import Population

_Map = NDArray[np.float32]

PADDING = 16
"""Margin rendered around the field, in pixels, so that the optics have no boundary effects."""

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
    owner
        Index of the cell at the pixel, blurred membrane included, -1 for background: int32.
    """

    nearest: NDArray[np.int32]
    depth: _Map
    material: _Map
    nucleus: _Map
    nucleoli: _Map
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


class _Canvas:
    """Accumulates the maps of one frame, cell by cell."""

    def __init__(self, population: Population, t: int, shape: tuple[int, int]) -> None:
        padded = (shape[0] + 2 * PADDING, shape[1] + 2 * PADDING)
        self._radius = population.radius.astype(np.float32)
        self._spread = population.spread[t].astype(np.float32)
        self._outline = population.outline[t].astype(np.complex64)
        self._nucleus_radius = population.nucleus_radius.astype(np.float32)
        self._nucleus_spread = population.nucleus_spread[t].astype(np.float32)
        self._nucleus_outline = population.nucleus_outline.astype(np.complex64)
        self._nucleoli = population.nucleoli.astype(np.float32)
        self._center = (population.center[t] + PADDING).astype(np.float32)
        self._inverse_stretch = np.linalg.inv(population.stretch[t]).astype(np.float32)
        self._length = np.linalg.norm(population.stretch[t], axis=-1).astype(np.float32)
        self.power = np.full(padded, _FAR, np.float32)
        self.second_power = np.full(padded, _FAR, np.float32)
        self.nearest = np.full(padded, -1, np.int32)
        self.second_nearest = np.full(padded, -1, np.int32)
        self.nucleus = np.zeros(padded, np.float32)
        self.nucleoli = np.zeros(padded, np.float32)
        self.nucleus_owner = np.full(padded, -1, np.int32)

    def add_body(self, cell: int) -> None:
        """Update nearest and second nearest cell in the neighbourhood of a cell."""
        radius = self._radius[cell] * self._spread[cell]
        outline = self._outline[cell]
        box = self._box(cell, radius * (1 + np.abs(outline).sum()) + _MARGIN)
        if box is None:
            return
        y, x = self._material(cell, box, self._spread[cell])
        relative = _distance(y, x, outline, first=1) / self._radius[cell]
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
        radius, scale = self._nucleus_radius[cell], self._nucleus_spread[cell]
        outline = self._nucleus_outline[cell]
        box = self._box(cell, radius * scale * (1 + np.abs(outline).sum()) + 2)
        if box is None:
            return
        y, x = self._material(cell, box, scale)
        mask = _coverage(scale * (radius - _distance(y, x, outline, first=2)))
        nucleoli = np.zeros_like(mask)
        for nucleolus_y, nucleolus_x, size in self._nucleoli[cell]:
            if size:
                squared = ((y / radius - nucleolus_y) ** 2 + (x / radius - nucleolus_x) ** 2) / size**2
                nucleoli = np.maximum(nucleoli, np.exp(-squared * squared))
        nucleus = self.nucleus[box]
        self.nucleus_owner[box][mask > np.maximum(nucleus, 0.5)] = cell
        self.nucleoli[box] = np.maximum(self.nucleoli[box], nucleoli * mask)
        nucleus[...] = np.maximum(nucleus, mask)

    def scene(self) -> Scene:
        """Return the maps after all cells were added."""
        in_nucleus = self.nucleus_owner >= 0
        nearest = np.where(in_nucleus, self.nucleus_owner, self.nearest)
        depth = self._depth()
        depth[in_nucleus] = np.maximum(depth[in_nucleus], 1)
        return Scene(
            nearest=nearest,
            depth=depth,
            material=self._material_map(nearest, in_nucleus),
            nucleus=self.nucleus,
            nucleoli=self.nucleoli,
            owner=np.where(depth > -_MEMBRANE_REACH, nearest, np.int32(-1)),
        )

    def _box(self, cell: int, reach: np.float32) -> tuple[slice, slice] | None:
        """Return the bounding box of a disc of radius `reach` after stretching; None if outside the padded field."""
        (y, x), (half_y, half_x) = self._center[cell].tolist(), (reach * self._length[cell]).tolist()
        top, bottom = max(int(y - half_y), 0), min(int(y + half_y) + 2, self.power.shape[0])
        left, right = max(int(x - half_x), 0), min(int(x + half_x) + 2, self.power.shape[1])
        return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None

    def _material(self, cell: int, box: tuple[slice, slice], scale: np.float32) -> tuple[_Map, _Map]:
        """Return the material coordinates (y, x) of the pixels of a box in a cell."""
        inverse = self._inverse_stretch[cell] / scale
        dy = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None] - self._center[cell, 0]
        dx = np.arange(box[1].start, box[1].stop, dtype=np.float32)[None] - self._center[cell, 1]
        return inverse[0, 0] * dy + inverse[0, 1] * dx, inverse[1, 0] * dy + inverse[1, 1] * dx

    def _unstretched(self, cells: NDArray[np.int32]) -> tuple[_Map, _Map]:
        """Return (y, x) of each pixel relative to the centre of its cell, with stretch and rotation undone."""
        center, inverse = self._center[cells], self._inverse_stretch[cells]
        dy = np.arange(cells.shape[0], dtype=np.float32)[:, None] - center[..., 0]
        dx = np.arange(cells.shape[1], dtype=np.float32)[None] - center[..., 1]
        return inverse[..., 0, 0] * dy + inverse[..., 0, 1] * dx, inverse[..., 1, 0] * dy + inverse[..., 1, 1] * dx

    def _power_gradient(self, cells: NDArray[np.int32]) -> tuple[_Map, _Map]:
        """Return the gradient (d/dy, d/dx) of the power distance to the cell of each pixel."""
        y, x = self._unstretched(cells)
        inverse = self._inverse_stretch[cells]
        dy = 2 * (inverse[..., 0, 0] * y + inverse[..., 1, 0] * x)
        dx = 2 * (inverse[..., 0, 1] * y + inverse[..., 1, 1] * x)
        return dy, dx

    def _depth(self) -> _Map:
        """Return the distance to the outline or to the border with the adjacent cell, whichever is smaller."""
        depth = np.full(self.power.shape, -_FAR, np.float32)
        known = self.nearest >= 0
        radius = (self._radius * self._spread)[self.nearest[known]]
        depth[known] = radius * (1 - np.sqrt(self.power[known] / radius**2 + 1))
        own, other = self._power_gradient(self.nearest), self._power_gradient(self.second_nearest)
        slope = np.hypot(own[0] - other[0], own[1] - other[1])
        border = (self.second_power - self.power) / np.maximum(slope, 1)
        return np.where(self.second_nearest < 0, depth, np.minimum(depth, border))

    def _material_map(self, nearest: NDArray[np.int32], in_nucleus: NDArray[np.bool_]) -> _Map:
        scale = np.where(in_nucleus, self._nucleus_spread[nearest], self._spread[nearest])
        return np.stack(self._unstretched(nearest)) / scale


def _distance(y: _Map, x: _Map, harmonics: NDArray[np.complex64], *, first: int) -> _Map:
    """Return the distance from the centre relative to the outline's radius in that direction, which is 1 on average."""
    radius = np.sqrt(y * y + x * x)
    ray = np.empty(radius.shape, np.complex64)
    inverse = 1 / (radius + np.float32(1e-6))
    ray.real, ray.imag = x * inverse, y * inverse
    total = np.full_like(ray, harmonics[-1])
    for harmonic in harmonics[-2::-1]:  # Horner's scheme for the sum of harmonic k times ray**k
        total *= ray
        total += harmonic
    for _ in range(first):
        total *= ray
    return np.asarray(radius / np.maximum(1 + total.real, np.float32(0.5)), np.float32)


def _coverage(distance: _Map) -> _Map:
    """Return the covered fraction of a pixel at this distance inside an edge, in pixels."""
    return np.clip(distance + np.float32(0.5), 0, 1)
