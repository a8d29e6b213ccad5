"""One frame of a simulated population as maps: whose pixel it is, and where in that cell it lies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.population import Population

_Map = NDArray[np.float32]

PADDING = 16
"""Pixels drawn round the field, so that the optics meet no border."""

_FAR = np.float32(1e6)
_SEAM = 3.0  # pixels outside of a cell over which its membrane is seen
_RIM = 4.0  # pixels outside of a cell in which its distance is still known


@dataclass(frozen=True, eq=False)
class Scene:
    """Maps of shape (Y + 2 PADDING, X + 2 PADDING).

    Attributes
    ----------
    nearest
        Cell on top, or nearest in the rim outside of all cells; -1 far from any: int32.
    depth
        Distance from the outline of the cell in pixels, negative outside: float32.
    place
        (y, x) in the material of the nearest cell, in pixels of the spread cell, (2, ...): float32.
    nucleus
        Share of the pixel covered by a nucleus: float32.
    nucleoli
        The same for nucleoli, with soft borders: float32.
    owner
        Cell of the pixel, its blurred membrane included, -1 on empty ground: int32.
    """

    nearest: NDArray[np.int32]
    depth: _Map
    place: _Map
    nucleus: _Map
    nucleoli: _Map
    owner: NDArray[np.int32]


def draw_scene(population: Population, t: int, shape: tuple[int, int]) -> Scene:
    """Divide the field among the cells of frame `t`.

    A pixel belongs to the cell with the least power distance (a Voronoi tessellation by size), as far as its
    outline reaches; nuclei are never covered by a neighbour.

    Parameters
    ----------
    population
        The cells.
    t
        Number of the frame.
    shape
        Height and width of the field.

    Returns
    -------
    The maps of the padded field.
    """
    canvas = _Canvas(population, t, shape)
    alive = population.alive(t)
    for cell in alive:
        canvas.add_body(cell)
    for cell in alive:
        canvas.add_nucleus(cell)
    return canvas.finish()


class _Canvas:
    """The maps of one frame while cells are added to them."""

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
        self._back = np.linalg.inv(population.stretch[t]).astype(np.float32)
        self._length = np.linalg.norm(population.stretch[t], axis=-1).astype(np.float32)
        self.power = np.full(padded, _FAR, np.float32)
        self.second = np.full(padded, _FAR, np.float32)
        self.nearest = np.full(padded, -1, np.int32)
        self.rival = np.full(padded, -1, np.int32)
        self.nucleus = np.zeros(padded, np.float32)
        self.nucleoli = np.zeros(padded, np.float32)
        self.nucleus_owner = np.full(padded, -1, np.int32)

    def add_body(self, cell: int) -> None:
        """Let a cell compete for the pixels in its reach."""
        radius = self._radius[cell] * self._spread[cell]
        outline = self._outline[cell]
        box = self._box(cell, radius * (1 + np.abs(outline).sum()) + _RIM)
        if box is None:
            return
        y, x = self._material(cell, box, self._spread[cell])
        far = _distance(y, x, outline, first=1) / self._radius[cell]
        power = (far * far - 1) * radius**2
        power[far > 1 + _RIM / radius] = _FAR
        best, second, nearest, rival = self.power[box], self.second[box], self.nearest[box], self.rival[box]
        closer = power < best
        rival[...] = np.where(closer, nearest, np.where(power < second, cell, rival))
        second[...] = np.where(closer, best, np.minimum(second, power))
        nearest[closer] = cell
        best[closer] = power[closer]

    def add_nucleus(self, cell: int) -> None:
        """Draw a nucleus with its nucleoli."""
        radius, scale = self._nucleus_radius[cell], self._nucleus_spread[cell]
        outline = self._nucleus_outline[cell]
        box = self._box(cell, radius * scale * (1 + np.abs(outline).sum()) + 2)
        if box is None:
            return
        y, x = self._material(cell, box, scale)
        mask = _coverage(scale * (radius - _distance(y, x, outline, first=2)))
        spots = np.zeros_like(mask)
        for spot_y, spot_x, size in self._nucleoli[cell]:
            if size:
                away = ((y / radius - spot_y) ** 2 + (x / radius - spot_x) ** 2) / size**2
                spots = np.maximum(spots, np.exp(-away * away))
        nucleus = self.nucleus[box]
        self.nucleus_owner[box][mask > np.maximum(nucleus, 0.5)] = cell
        self.nucleoli[box] = np.maximum(self.nucleoli[box], spots * mask)
        nucleus[...] = np.maximum(nucleus, mask)

    def finish(self) -> Scene:
        """Close the maps."""
        in_nucleus = self.nucleus_owner >= 0
        nearest = np.where(in_nucleus, self.nucleus_owner, self.nearest)
        depth = self._depth()
        depth[in_nucleus] = np.maximum(depth[in_nucleus], 1)
        return Scene(
            nearest=nearest,
            depth=depth,
            place=self._place(nearest, in_nucleus),
            nucleus=self.nucleus,
            nucleoli=self.nucleoli,
            owner=np.where(depth > -_SEAM, nearest, np.int32(-1)),
        )

    def _box(self, cell: int, reach: np.float32) -> tuple[slice, slice] | None:
        """Pixels that may lie within `reach` of a cell before it is stretched; None if the cell is out of sight."""
        (y, x), (half_y, half_x) = self._center[cell].tolist(), (reach * self._length[cell]).tolist()
        top, bottom = max(int(y - half_y), 0), min(int(y + half_y) + 2, self.power.shape[0])
        left, right = max(int(x - half_x), 0), min(int(x + half_x) + 2, self.power.shape[1])
        return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None

    def _material(self, cell: int, box: tuple[slice, slice], scale: np.float32) -> tuple[_Map, _Map]:
        """(y, x) of the pixels of a box in the material of a cell."""
        back = self._back[cell] / scale
        dy = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None] - self._center[cell, 0]
        dx = np.arange(box[1].start, box[1].stop, dtype=np.float32)[None] - self._center[cell, 1]
        return back[0, 0] * dy + back[0, 1] * dx, back[1, 0] * dy + back[1, 1] * dx

    def _unstretched(self, cells: NDArray[np.int32]) -> tuple[_Map, _Map]:
        """(y, x) of each pixel from the centre of its cell, without the cell's stretch and rotation."""
        center, back = self._center[cells], self._back[cells]
        dy = np.arange(cells.shape[0], dtype=np.float32)[:, None] - center[..., 0]
        dx = np.arange(cells.shape[1], dtype=np.float32)[None] - center[..., 1]
        return back[..., 0, 0] * dy + back[..., 0, 1] * dx, back[..., 1, 0] * dy + back[..., 1, 1] * dx

    def _slope(self, cells: NDArray[np.int32]) -> tuple[_Map, _Map]:
        """Gradient of the power distance to the cell of each pixel, (d/dy, d/dx)."""
        y, x = self._unstretched(cells)
        back = self._back[cells]
        return 2 * (back[..., 0, 0] * y + back[..., 1, 0] * x), 2 * (back[..., 0, 1] * y + back[..., 1, 1] * x)

    def _depth(self) -> _Map:
        """Distance to the free outline or to the border with the nearest neighbour, whichever is less."""
        depth = np.full(self.power.shape, -_FAR, np.float32)
        known = self.nearest >= 0
        radius = (self._radius * self._spread)[self.nearest[known]]
        depth[known] = radius * (1 - np.sqrt(self.power[known] / radius**2 + 1))
        own, other = self._slope(self.nearest), self._slope(self.rival)
        steepness = np.hypot(own[0] - other[0], own[1] - other[1])
        border = (self.second - self.power) / np.maximum(steepness, 1)
        return np.where(self.rival < 0, depth, np.minimum(depth, border))

    def _place(self, nearest: NDArray[np.int32], in_nucleus: NDArray[np.bool_]) -> _Map:
        scale = np.where(in_nucleus, self._nucleus_spread[nearest], self._spread[nearest])
        return np.stack(self._unstretched(nearest)) / scale


def _distance(y: _Map, x: _Map, harmonics: NDArray[np.complex64], *, first: int) -> _Map:
    """Distance from the centre, as a multiple of the outline's radius in that direction, 1 on average."""
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
    """Share of a pixel that is covered, at this distance in pixels inside of a border."""
    return np.clip(distance + np.float32(0.5), 0, 1)
