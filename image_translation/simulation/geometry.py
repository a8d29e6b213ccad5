"""Where the cells of one frame are: boxes around them, and the material of a cell at each pixel."""

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.population import Population

_Map = NDArray[np.float32]

PADDING = 16
"""Margin rendered around the field, in pixels, so that the optics have no boundary effects."""


class CellGeometry:
    """Cells of frame `t` in the padded field of a `shape` (Y, X), in float32.

    Attributes
    ----------
    padded
        Height and width of the padded field.
    radius, outline, nucleus_radius, nucleus_outline, nucleolus
        As in `Population`, with nucleoli as `nucleolus`.
    spread, nucleus_spread
        Scales of cells and nuclei in this frame.
    center
        Positions (y, x) in the padded field.
    inverse_stretch, length
        Inverse of the transformation of each cell, and by how much it stretches along y and x.
    """

    def __init__(self, population: Population, t: int, shape: tuple[int, int]) -> None:
        self.padded = (shape[0] + 2 * PADDING, shape[1] + 2 * PADDING)
        self.radius = population.radius.astype(np.float32)
        self.spread = population.spread[t].astype(np.float32)
        self.outline = population.outline[t].astype(np.complex64)
        self.nucleus_radius = population.nucleus_radius.astype(np.float32)
        self.nucleus_spread = population.nucleus_spread[t].astype(np.float32)
        self.nucleus_outline = population.nucleus_outline.astype(np.complex64)
        self.nucleolus = population.nucleoli.astype(np.float32)
        self.center = (population.center[t] + PADDING).astype(np.float32)
        self.inverse_stretch = np.linalg.inv(population.stretch[t]).astype(np.float32)
        self.length = np.linalg.norm(population.stretch[t], axis=-1).astype(np.float32)

    def box(self, cell: int, reach: np.float32) -> tuple[slice, slice] | None:
        """Return the bounding box of a disc of radius `reach` after stretching; None if outside the padded field."""
        (y, x), (half_y, half_x) = self.center[cell].tolist(), (reach * self.length[cell]).tolist()
        top, bottom = max(int(y - half_y), 0), min(int(y + half_y) + 2, self.padded[0])
        left, right = max(int(x - half_x), 0), min(int(x + half_x) + 2, self.padded[1])
        return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None

    def material(self, cell: int, box: tuple[slice, slice], scale: np.float32) -> tuple[_Map, _Map]:
        """Return the material coordinates (y, x) of the pixels of a box in a cell."""
        inverse = self.inverse_stretch[cell] / scale
        dy = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None] - self.center[cell, 0]
        dx = np.arange(box[1].start, box[1].stop, dtype=np.float32)[None] - self.center[cell, 1]
        return inverse[0, 0] * dy + inverse[0, 1] * dx, inverse[1, 0] * dy + inverse[1, 1] * dx

    def draw_nucleoli(self, cell: int, y: _Map, x: _Map) -> _Map:
        """Return the map of the nucleoli at material coordinates of a nucleus: 1 inside, with smooth edges."""
        radius = self.nucleus_radius[cell]
        total = np.zeros_like(y)
        for nucleolus_y, nucleolus_x, size in self.nucleolus[cell]:
            if size:
                squared = ((y / radius - nucleolus_y) ** 2 + (x / radius - nucleolus_x) ** 2) / size**2
                total = np.maximum(total, np.exp(-squared * squared))
        return total


def outline_distance(y: _Map, x: _Map, harmonics: NDArray[np.complex64], *, first: int) -> _Map:
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


def coverage(distance: _Map) -> _Map:
    """Return the covered fraction of a pixel at this distance inside an edge, in pixels."""
    return np.clip(distance + np.float32(0.5), 0, 1)


def ellipsoid_profile(distance: _Map) -> _Map:
    """Return the thickness of an ellipsoid at a distance from its axis, both relative to the largest; 0 outside."""
    return np.sqrt(np.maximum(1 - distance**2, 0))
