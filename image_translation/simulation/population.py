"""State of the cells of a simulated movie in every frame, and the motion of their material."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NUCLEUS_RADIUS = 0.43
"""Radius of a nucleus relative to that of its spread cell."""

_NUCLEUS_EXPONENT = 0.6  # a nucleus shrinks less than its cell: nuclear scale is the power of the cell scale


@dataclass(frozen=True, eq=False)
class Population:
    """N cells over T frames; positions and lengths in pixels.

    A material point w of a cell (in pixels of the spread cell, relative to its centre) is at
    ``center + spread * stretch @ w``; nuclei have a scale of their own instead of ``spread``. The material of a cell
    thus moves by an affine transformation, and the displacement between any two frames is known exactly.

    Attributes
    ----------
    birth, end
        First frame of each cell, and its last frame plus one: (N,) int.
    parent
        Index of the mother of each cell, -1 for none: (N,) int.
    radius
        Radius of the spread cell: (N,).
    thickness
        Optical thickness relative to a typical cell: (N,).
    stain
        Brightness of the nuclear and the membrane stain, 1 is typical: (N, 2).
    chromatin
        Amount of nuclear stain, 0.5 in a newborn cell and 1 in a mature one: (T, N).
    texture_origin
        Position (y, x) of the cell centre in the periodic texture: (N, 2).
    nucleus_outline
        Fourier coefficients of the nuclear outline over the angle, from the second harmonic: (N, K) complex.
    nucleoli
        Position (y, x) and radius of nucleoli, in nuclear radii; radius 0 for none: (N, M, 3).
    stage
        Shift (y, x) of the field by stage jitter: (T, 2).
    center
        Position (y, x) of the cell centre, stage jitter included: (T, N, 2).
    wraps
        Number of crossings of the periodic boundary in y and x: (T, N, 2) int.
    stretch
        Area-preserving linear transformation (stretch and transformation): (T, N, 2, 2).
    spread
        Isotropic scale of the cell: 1 when spread, about 0.5 when rounded up: (T, N).
    outline
        Fourier coefficients of the cell outline over the angle, from the first harmonic: (T, N, K) complex.
    """

    birth: NDArray[np.int64]
    end: NDArray[np.int64]
    parent: NDArray[np.int64]
    radius: Array
    thickness: Array
    stain: Array
    chromatin: Array
    texture_origin: Array
    nucleus_outline: NDArray[np.complex128]
    nucleoli: Array
    stage: Array
    center: Array
    wraps: NDArray[np.int64]
    stretch: Array
    spread: Array
    outline: NDArray[np.complex128]

    @property
    def nucleus_radius(self) -> Array:
        """Radius of the nucleus of the spread cell: (N,)."""
        return NUCLEUS_RADIUS * self.radius

    @property
    def nucleus_spread(self) -> Array:
        """Isotropic scale of the nuclei: (T, N)."""
        return np.asarray(self.spread**_NUCLEUS_EXPONENT)

    def alive(self, t: int) -> NDArray[np.int64]:
        """Return the indices of the cells that exist in frame `t`."""
        return np.flatnonzero((self.birth <= t) & (t < self.end))

    def divisions(self, shape: tuple[int, int]) -> tuple[tuple[int, float, float], ...]:
        """Return first frame of the daughters and last position (y, x) of the mother for the divisions in a field."""
        mothers = np.unique(self.parent[self.parent >= 0])
        found = [(int(self.end[m]), *self.center[self.end[m] - 1, m].tolist()) for m in mothers]
        return tuple(sorted((t, y, x) for t, y, x in found if 0 <= y < shape[0] and 0 <= x < shape[1]))

    def displacement(
        self, t0: int, t1: int, owner: NDArray[np.int32], in_nucleus: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the displacement of the material from frame `t0` to frame `t1`.

        Parameters
        ----------
        t0, t1
            Indices of the frames.
        owner
            Index of the cell at each pixel of frame `t0`, -1 for background: (Y, X) int.
        in_nucleus
            Mask of the pixels that show a nucleus: (Y, X) bool.

        Returns
        -------
        NDArray[np.float32]
            Displacement (dy, dx) of shape (2, Y, X), in pixels; that of the stage in the background.
        """
        transformation = self.stretch[t1] @ np.linalg.inv(self.stretch[t0])
        body = self.spread[t1] / self.spread[t0]
        nucleus = self.nucleus_spread[t1] / self.nucleus_spread[t0]
        cells = owner.clip(0)
        scale = np.where(in_nucleus, nucleus[cells], body[cells])
        pixel = np.indices(owner.shape)
        relative = pixel - np.moveaxis(self.center[t0, cells], -1, 0)
        transformed = np.einsum("yxij,jyx->iyx", transformation[cells], relative) * scale
        flow = np.moveaxis(self.center[t1, cells], -1, 0) + transformed - pixel
        stage = (self.stage[t1] - self.stage[t0])[:, None, None]
        return np.where(owner < 0, stage, flow).astype(np.float32)

    def stays_in_domain(self, t0: int, t1: int, owner: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return for each pixel whether its cell has not crossed the periodic boundary between frames: (Y, X) bool."""
        same = (self.wraps[t0] == self.wraps[t1]).all(axis=-1)
        return np.asarray(same[owner.clip(0)] | (owner < 0))
