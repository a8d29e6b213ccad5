"""Simulated label-free movie of adherent cells, with its true fluorescence and true motion."""

from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.simulation import appearance, flicker, optics
from image_translation.simulation.dome_volume import add_domes
from image_translation.simulation.domes import Domes, Granules, draw_domes
from image_translation.simulation.geometry import PADDING
from image_translation.simulation.heights import Heights, Relief, draw_heights, draw_relief, plane_heights
from image_translation.simulation.migration import simulate_population
from image_translation.simulation.scene import Scene, draw_nuclei, draw_scene
from image_translation.simulation.spec import MovieSpec
from image_translation.simulation.spread_volume import add_spread_cells, spread_relief
from image_translation.simulation.tracks import Track, find_tracks
from image_translation.simulation.volume import Volume, add_debris, empty_volume

_Pixel = TypeVar("_Pixel", bound=np.generic)


class Movie:
    """Simulated movie, rendered one frame at a time; memory does not grow with the number of pixels of the movie.

    A frame depends on the specification and its index alone, so frames can be rendered in any order.

    Parameters
    ----------
    spec
        Parameters of the movie.
    """

    def __init__(self, spec: MovieSpec) -> None:
        self.spec = spec
        self._population = simulate_population(spec, PADDING)
        self._textures = appearance.draw_textures(spec.seed)
        self._granules = Granules(spec.seed, self._population)
        self._latest: tuple[int, Scene | Domes] | None = None  # the scene that was drawn last, and its frame
        self._latest_volume: tuple[int, Volume] | None = None  # the same for stacks

    @property
    def divisions(self) -> tuple[tuple[int, float, float], ...]:
        """Divisions inside the field: first frame of the daughters, and last position (y, x) of the mother."""
        return self._population.divisions(self.spec.shape)

    def frame(self, t: int) -> NDArray[np.float32]:
        """Render all channels of one frame.

        Parameters
        ----------
        t
            Index of the frame.

        Returns
        -------
        NDArray[np.float32]
            Shape (3, Y, X), in the order of `spec.CHANNELS`; (3, Z, Y, X) in a movie of stacks.

        Raises
        ------
        UsageError
            If the index is out of range.
        """
        scene = self._scene(t)
        return np.concatenate([self._phase(scene, t)[None], self._fluorescence(scene, t)])

    def phase(self, t: int) -> NDArray[np.float32]:
        """Render the phase image of one frame: (Y, X) float32, in radians; all zero in a dropped frame.

        In a movie of stacks, it is (Z, Y, X). Raises a `UsageError` if the index is out of range.
        """
        return self._phase(self._scene(t), t)

    def fluorescence(self, t: int) -> NDArray[np.float32]:
        """Render the true stains of one frame, also of dropped ones: (2, Y, X) float32, nuclei and membrane.

        Typical nuclei and membranes have the value 1, the background 0. In a movie of stacks, it is (2, Z, Y, X): the
        sections of nuclei and membranes, blurred along z. Raises a `UsageError` if the index is out of range.
        """
        return self._fluorescence(self._scene(t), t)

    def displacement(self, t0: int, t1: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the true displacement of the material from frame `t0` to frame `t1`.

        The background moves with the stage only. A pixel is valid if its material is visible in both frames; a mother
        cell and her daughters are different material, as is a cell that left the field and re-entered on the opposite
        side. In a movie of stacks, it is the displacement in the plane, of the cells that are seen from above.

        Parameters
        ----------
        t0, t1
            Indices of the frames, in either order.

        Returns
        -------
        flow
            Array of shape (2, Y, X), float32, in pixels: (dy, dx) such that the material at p in `t0` is at p + flow
            in `t1`; zero where not valid.
        valid
            Array of shape (Y, X), bool.

        Raises
        ------
        UsageError
            If an index is out of range.
        """
        before, after = self._scene(t0), self._scene(t1)
        owner0, owner1 = _crop(before.owner), _crop(after.owner)
        flow = self._population.displacement(t0, t1, owner0, _crop(before.nucleus) > 0.5)
        height, width = self.spec.shape
        y, x = np.rint(np.indices(self.spec.shape) + flow).astype(int)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        target_owner = owner1[y.clip(0, height - 1), x.clip(0, width - 1)]
        valid = inside & (target_owner == owner0) & self._population.stays_in_domain(t0, t1, owner0)
        return np.where(valid, flow, np.float32(0)), valid

    def labels(self, t: int) -> NDArray[np.int32]:
        """Return the true labels of the cells in one frame, also of a dropped one.

        A cell has the same label in all frames of its track, the index of the cell plus one. It is labelled while its
        nucleus is visible, in both images, so that both have the tracks of `lineage`; the rim of a cell whose nucleus
        is outside the field is background. The first call draws the nuclei of all frames. In a plane of a stack, the
        cells that are seen from above are labelled where the plane cuts them, or their nuclei.

        Parameters
        ----------
        t
            Index of the frame.

        Returns
        -------
        NDArray[np.int32]
            Nuclei and cells, (2, Y, X), or (2, Z, Y, X) in a movie of stacks; 0 is background.

        Raises
        ------
        UsageError
            If the index is out of range.
        """
        scene = self._scene(t)
        labels = np.append(self._tracks[0][t], np.int32(0))  # the last one is background, whose index is -1
        nuclei, cells = (np.where(mask, scene.nearest, -1) for mask in (scene.nucleus > 0.5, scene.depth > 0))
        if self.spec.planes == 1:
            return np.asarray(labels[_crop(np.stack([nuclei, cells]))])
        relief, cut = self._relief(scene, t), []
        for height in plane_heights(self.spec):
            in_nucleus, in_cell = np.abs(height - relief.center) < relief.half, (height >= 0) & (height < relief.top)
            cut.append(np.stack([np.where(in_nucleus, nuclei, -1), np.where(in_cell, cells, -1)]))
        return np.asarray(labels[_crop(np.stack(cut, axis=1))])

    def nuclear_heights(self, t: int) -> dict[int, float]:
        """Return the height of the centre of each nucleus in one frame of a movie of stacks, by label.

        Heights are in pixels above the first plane. Raises a `UsageError` if the index is out of range.
        """
        self._require(t)
        labels = self._tracks[0][t]
        heights = self._heights.nucleus[t] - plane_heights(self.spec)[0]
        return {int(labels[cell]): float(heights[cell]) for cell in np.flatnonzero(labels)}

    def lineage(self) -> tuple[Track, ...]:
        """Return the tracks of the cells visible in the field: label, first frame, last frame, parent label or 0.

        They are the rows of ``man_track.txt`` of the Cell Tracking Challenge. A cell that leaves the field and comes
        back starts a new track without a parent; see `tracks.find_tracks`.
        """
        return self._tracks[1]

    def stage_shift(self, t: int) -> tuple[float, float]:
        """Return the shift (dy, dx) of phase and truth of one frame by stage jitter, in pixels.

        Raises a `UsageError` if the index is out of range.
        """
        self._require(t)
        dy, dx = flicker.stage_shift(self.spec, t).tolist()
        return dy, dx

    def lateral_shift(self, t: int) -> tuple[float, float]:
        """Return the shift (dy, dx) of the phase of one frame against its truth, in pixels.

        Raises a `UsageError` if the index is out of range.
        """
        self._require(t)
        dy, dx = flicker.lateral_shift(self.spec, t).tolist()
        return dy, dx

    def _require(self, t: int) -> None:
        if not 0 <= t < self.spec.frames:
            raise UsageError(f"frame {t} does not exist; the movie has the frames 0 to {self.spec.frames - 1}")

    def _scene(self, t: int) -> Scene | Domes:
        self._require(t)
        latest = self._latest
        if latest is None or latest[0] != t:
            latest = self._latest = t, self._draw(t)
        return latest[1]

    def _draw(self, t: int) -> Scene | Domes:
        if self.spec.cells == "domes":
            return draw_domes(self._population, t, self.spec, self._granules)
        return draw_scene(self._population, t, self.spec.shape)

    def _nuclei(self, t: int) -> NDArray[np.int32]:
        """Return the index of the cell whose nucleus each pixel of the padded field shows, -1 for none."""
        if self.spec.cells == "domes":
            domes = self._draw(t)
            return np.where(domes.nucleus > 0.5, domes.nearest, np.int32(-1))
        return draw_nuclei(self._population, t, self.spec.shape)

    @cached_property
    def _heights(self) -> Heights:
        return draw_heights(self._population, self.spec)

    def _relief(self, scene: Scene | Domes, t: int) -> Relief:
        if isinstance(scene, Domes):
            return draw_relief(self._heights, t, scene.nearest, scene.profile, scene.nuclear_profile)
        return spread_relief(scene, self._population, self._heights, t)

    def _volume(self, scene: Scene | Domes, t: int) -> Volume:
        latest = self._latest_volume
        if latest is None or latest[0] != t:
            self._latest_volume = None  # it need not be in memory beside the next one
            latest = self._latest_volume = t, self._draw_volume(scene, t)
        return latest[1]

    def _draw_volume(self, scene: Scene | Domes, t: int) -> Volume:
        alive = self._population.alive(t)
        relief = self._relief(scene, t)
        top = max(float(self._heights.cell[t, alive].max(initial=0)), float(relief.top.max()))
        volume = empty_volume(self.spec, relief.top.shape, top)
        if isinstance(scene, Domes):
            add_domes(
                volume, scene, relief, population=self._population, heights=self._heights, t=t, spec=self.spec,
                granules=self._granules,
            )  # fmt: skip
        else:
            add_spread_cells(
                volume, scene, relief, population=self._population, t=t, spec=self.spec, textures=self._textures
            )
        add_debris(volume, self.spec, t)
        return volume

    @cached_property
    def _tracks(self) -> tuple[NDArray[np.int32], tuple[Track, ...]]:
        visible = np.zeros((self.spec.frames, len(self._population.birth)), np.bool_)
        for t in range(self.spec.frames):
            owner = _crop(self._nuclei(t))
            visible[t, owner[owner >= 0]] = True
        return find_tracks(self._population, visible)

    def _phase(self, scene: Scene | Domes, t: int) -> NDArray[np.float32]:
        stack = self.spec.planes > 1
        if t in self.spec.dropped:
            return np.zeros((self.spec.planes, *self.spec.shape) if stack else self.spec.shape, np.float32)
        if stack:
            return optics.image_phase_stack(self._volume(scene, t), t, self.spec)
        if isinstance(scene, Domes):
            return optics.image_phase(scene.path, t, self.spec)
        path = appearance.optical_path(scene, self._population, t, self.spec, self._textures)
        return optics.image_phase(path, t, self.spec)

    def _fluorescence(self, scene: Scene | Domes, t: int) -> NDArray[np.float32]:
        if self.spec.planes > 1:
            return _crop(optics.image_fluorescence(self._volume(scene, t).stains))
        if isinstance(scene, Domes):
            return _crop(optics.image_fluorescence(scene.stains))
        stains = appearance.draw_stains(scene, self._population, t, self._textures)
        return _crop(optics.image_fluorescence(stains))


def _crop(padded: NDArray[_Pixel]) -> NDArray[_Pixel]:
    """Remove the padding of the last two axes."""
    return padded[..., PADDING:-PADDING, PADDING:-PADDING]
