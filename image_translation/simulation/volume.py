"""The cells of a frame over height: slices of their optical path, and sections of their stains.

The phase of a stack is imaged from the slices, each at its own distance from the focal plane (see `optics`). The stains
are in the planes themselves: what is between two heights is blurred along z by a Gaussian, as axially by a microscope.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from image_translation.simulation.appearance import MEMBRANE_SIGMA, debris_particles
from image_translation.simulation.heights import middle_height, plane_heights
from image_translation.simulation.spec import MovieSpec

_Map = NDArray[np.float32]

AXIAL_SIGMA = 2.5
"""Standard deviation of the point spread function of the fluorescence along z, in pixels."""

MEMBRANE_STAIN = MEMBRANE_SIGMA * np.sqrt(2 * np.pi)
"""Thickness of a membrane times its brightness, in pixels: a wall of brightness 1 and the width of its profile."""

_SLICE = 2.0  # pixels, largest thickness of a slice
_DEBRIS_REACH = 15.0  # pixels, largest distance of debris from the middle of a stack


@dataclass(frozen=True, eq=False)
class Volume:
    """Optical path and stains of the padded field, to be added to in place.

    Attributes
    ----------
    planes
        Heights of the planes, in pixels above the substrate: (Z,).
    slices
        Heights of the middle of the slices: (S,).
    path
        Optical path of each slice, in radians: (S, Y + 2 PADDING, X + 2 PADDING), float32.
    stains
        Nuclei and membranes in each plane: (2, Z, Y + 2 PADDING, X + 2 PADDING), float32.
    """

    planes: NDArray[np.float64]
    slices: NDArray[np.float64]
    path: _Map
    stains: _Map

    @property
    def edges(self) -> list[tuple[float, float]]:
        """Heights of the bottom and the top of each slice."""
        half = (self.slices[1] - self.slices[0]) / 2
        return [(float(middle - half), float(middle + half)) for middle in self.slices]

    def add_path(self, box: tuple[slice, slice], path: _Map, low: _Map, high: _Map) -> None:
        """Distribute the optical path in a box evenly between two heights; all maps have the shape of the box."""
        lowest, highest = float(low.min()), float(high.max())
        for number, (bottom, top) in enumerate(self.edges):
            if bottom < highest and top > lowest:
                self.path[(number, *box)] += path * share(low, high, bottom, top)

    def add_point(self, box: tuple[slice, slice], path: _Map, height: float) -> None:
        """Divide an optical path in a box between the two slices around a height."""
        steps = np.arange(len(self.slices))
        position = (height - self.slices[0]) / (self.slices[1] - self.slices[0])
        for number, weight in enumerate(np.maximum(1 - np.abs(steps - position), 0).tolist()):
            if weight:
                self.path[(number, *box)] += np.float32(weight) * path


def empty_volume(spec: MovieSpec, padded: tuple[int, int], top: float) -> Volume:
    """Make a volume without cells, whose slices reach from the substrate to the height `top`."""
    planes = plane_heights(spec)
    # The distances of slices from planes are multiples of one step, so that few transfer functions are needed.
    spacing = spec.plane_spacing
    thickness = spacing * (_SLICE // spacing) if spacing < _SLICE else spacing / np.ceil(spacing / _SLICE)
    first = np.floor(-planes[0] / thickness + 0.5)
    last = max(np.ceil((top - planes[0]) / thickness - 0.5), first + 1)
    slices = planes[0] + thickness * np.arange(first, last + 1)
    return Volume(
        planes=planes,
        slices=slices,
        path=np.zeros((len(slices), *padded), np.float32),
        stains=np.zeros((2, len(planes), *padded), np.float32),
    )


def add_debris(volume: Volume, spec: MovieSpec, t: int) -> None:
    """Add the debris of frame `t` to the optical path of a volume, in place; each particle has a height of its own."""
    rng = np.random.default_rng([spec.seed, 11])
    low, high = max(middle_height(spec) - _DEBRIS_REACH, 0), middle_height(spec) + _DEBRIS_REACH
    for box, path in debris_particles(spec, t, volume.path.shape[1:]):
        volume.add_point(box, path.astype(np.float32), rng.uniform(low, high))


def share(low: _Map, high: _Map, bottom: float, top: float) -> _Map:
    """Return which fraction of what is between the heights `low` and `high` is between `bottom` and `top`."""
    common = np.minimum(high, np.float32(top)) - np.maximum(low, np.float32(bottom))
    return np.maximum(common, 0) / np.maximum(high - low, np.float32(1e-6))


def section(height: float, low: _Map, high: _Map) -> _Map:
    """Return the brightness in a plane of what is between two heights: 1 inside, blurred along z."""
    scale, middle = np.float32(1 / AXIAL_SIGMA), np.float32(height)
    return np.asarray(ndtr((high - middle) * scale) - ndtr((low - middle) * scale))


def sheet(height: float, at: _Map) -> _Map:
    """Return the brightness in a plane of a thin horizontal sheet at the height `at`, per pixel of its thickness."""
    distance = (at - np.float32(height)) / np.float32(AXIAL_SIGMA)
    return np.asarray(np.exp(-(distance**2) / 2) * np.float32(1 / (AXIAL_SIGMA * np.sqrt(2 * np.pi))))
