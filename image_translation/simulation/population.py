"""The cells of a simulated movie at every frame, and where their material goes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NUCLEUS_RADIUS = 0.43
"""Radius of a nucleus, in radii of its spread cell."""

_NUCLEUS_FOLLOWS = 0.6  # power with which a nucleus follows the rounding of its cell


@dataclass(frozen=True, eq=False)
class Population:
    """N cells over T frames, in pixels of the field.

    A point w of a cell's material (in pixels of the spread cell, about its centre) lies at
    ``center + spread * stretch @ w``; a nucleus has its own, weaker, spread. The material of a cell thus moves,
    turns and stretches as one piece, and the motion between any two frames is known exactly.

    Attributes
    ----------
    birth, end
        First frame, and first frame after the last, of each cell: (N,) int.
    parent
        Mother of each cell, -1 if it has none: (N,) int.
    radius
        Radius of the spread cell: (N,).
    height
        Optical thickness, 1 is typical: (N,).
    stain
        Brightness of nucleus and membrane, 1 is typical: (N, 2).
    chromatin
        Amount of nuclear stain, 0.5 in a newborn cell and 1 in a grown one: (T, N).
    origin
        Where the cell's material lies in the texture: (N, 2).
    nucleus_outline
        Angular harmonics, from the second on, of the nuclear outline: (N, K) complex.
    nucleoli
        Position (y, x) and radius of nucleoli in nuclear radii, radius 0 for none: (N, M, 3).
    center
        Position (y, x): (T, N, 2).
    lap
        Times that the cell has left on one side and come back on the opposite one: (T, N, 2) int.
    stretch
        Rotation and stretch that keeps the area: (T, N, 2, 2).
    spread
        Isotropic scale, 1 is spread, 0.5 rounded: (T, N).
    outline
        Angular harmonics, from the first on, of the cell's outline: (T, N, K) complex.
    """

    birth: NDArray[np.int64]
    end: NDArray[np.int64]
    parent: NDArray[np.int64]
    radius: Array
    height: Array
    stain: Array
    chromatin: Array
    origin: Array
    nucleus_outline: NDArray[np.complex128]
    nucleoli: Array
    center: Array
    lap: NDArray[np.int64]
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
        return np.asarray(self.spread**_NUCLEUS_FOLLOWS)

    def alive(self, t: int) -> NDArray[np.int64]:
        """Numbers of the cells that there are in frame `t`."""
        return np.flatnonzero((self.birth <= t) & (t < self.end))

    def divisions(self, shape: tuple[int, int]) -> tuple[tuple[int, float, float], ...]:
        """First frame of the daughters and last place (y, x) of the mother, of the divisions in a field of `shape`."""
        mothers = np.unique(self.parent[self.parent >= 0])
        places = [(int(self.end[m]), *self.center[self.end[m] - 1, m].tolist()) for m in mothers]
        return tuple(sorted((t, y, x) for t, y, x in places if 0 <= y < shape[0] and 0 <= x < shape[1]))

    def carry(self, t0: int, t1: int, owner: NDArray[np.int32], in_nucleus: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Tell where the material of frame `t0` lies in frame `t1`.

        Parameters
        ----------
        t0, t1
            Numbers of the frames.
        owner
            Cell at each pixel of frame `t0`, -1 on empty ground: (Y, X) int.
        in_nucleus
            Whether the pixel shows the nucleus: (Y, X) bool.

        Returns
        -------
        Displacement (dy, dx) of shape (2, Y, X), float32, in pixels, 0 on empty ground.
        """
        turn = self.stretch[t1] @ np.linalg.inv(self.stretch[t0])
        body = self.spread[t1] / self.spread[t0]
        nucleus = self.nucleus_spread[t1] / self.nucleus_spread[t0]
        cells = owner.clip(0)
        scale = np.where(in_nucleus, nucleus[cells], body[cells])
        pixel = np.indices(owner.shape)
        arm = pixel - np.moveaxis(self.center[t0, cells], -1, 0)
        turned = np.einsum("yxij,jyx->iyx", turn[cells], arm) * scale
        flow = np.moveaxis(self.center[t1, cells], -1, 0) + turned - pixel
        return np.where(owner < 0, 0.0, flow).astype(np.float32)

    def same_visit(self, t0: int, t1: int, owner: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether the cell of a pixel has not left the field and come back meanwhile: (Y, X) bool."""
        same = (self.lap[t0] == self.lap[t1]).all(axis=-1)
        return np.asarray(same[owner.clip(0)] | (owner < 0))
