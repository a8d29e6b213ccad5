"""A seeded label-free movie of adherent cells, with its true fluorescence and its true motion."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.simulation import optics
from image_translation.simulation.migration import grow
from image_translation.simulation.scene import PADDING, Scene, draw_scene

_Pixel = TypeVar("_Pixel", bound=np.generic)

CHANNELS = ("Phase3D", "Nuclei", "Membrane")

_MIN_SIDE = 16

_LIMITS: dict[str, tuple[float, float]] = {
    "density": (0.01, 1.0),
    "cell_radius": (5.0, 200.0),
    "speed": (0.0, 50.0),
    "collective": (0.0, 1.0),
    "deformation": (0.0, 10.0),
    "divisions": (0.0, 20.0),
    "rounded": (0.0, 1.0),
    "debris": (0.0, 100.0),
    "contrast": (0.0, 100.0),
    "nuclear_contrast": (0.0, 10.0),
    "granularity": (0.0, 10.0),
    "background": (0.0, 100.0),
    "noise": (0.0, 100.0),
    "defocus": (-3.0, 3.0),
    "halo": (0.0, 1.0),
    "flicker": (0.0, 10.0),
}


@dataclass(frozen=True)
class MovieSpec:
    """What to simulate. Lengths are in pixels, times in frames, phase in radians.

    Attributes
    ----------
    shape
        Height and width (Y, X) of the field.
    frames
        Number of frames T.
    seed
        The movie is a function of the specification and nothing else.
    density
        Share of the field that is covered by cells: 0.1 is sparse, 1.0 confluent.
    cell_radius
        Mean radius of a spread cell.
    speed
        Mean distance that a cell moves from frame to frame.
    collective
        Share of that motion which neighbours have in common, 0 to 1.
    deformation
        Rate of the change of shape and of rotation; 0 is rigid, 1 typical.
    divisions
        Expected divisions of one cell in 100 frames.
    rounded
        Share of cells that are not spread, but round and high.
    debris
        Bright particles for each 100 x 100 pixels; they show in the phase only.
    contrast
        Phase of a typical spread cell near its nucleus.
    nuclear_contrast
        Phase that the nucleus adds, relative to `contrast`.
    granularity
        Strength of the texture that is fixed to the cell; 1 is typical.
    background
        Amplitude of the smooth background, which drifts slowly.
    noise
        Standard deviation of the noise on empty ground.
    defocus
        Mean defocus, in depths of field.
    halo
        Share of the lowest spatial frequencies that the phase has lost: 0 is quantitative phase,
        towards 1 a cell is surrounded by a dark halo.
    flicker
        Strength of the instability of focus, illumination and gain: 0 none, 1 typical, 3 strong.
    dropped
        Frames whose phase was recorded as all zero.
    """

    shape: tuple[int, int] = (256, 256)
    frames: int = 24
    seed: int = 0
    density: float = 0.7
    cell_radius: float = 20.0
    speed: float = 1.0
    collective: float = 0.3
    deformation: float = 1.0
    divisions: float = 0.4
    rounded: float = 0.04
    debris: float = 0.3
    contrast: float = 1.0
    nuclear_contrast: float = 0.4
    granularity: float = 1.0
    background: float = 0.05
    noise: float = 0.02
    defocus: float = 0.1
    halo: float = 0.5
    flicker: float = 1.0
    dropped: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated.

        Raises
        ------
        UsageError
            A value is outside its range; the message names it and the range.
        """
        if len(self.shape) != 2 or min(self.shape) < _MIN_SIDE:
            raise UsageError(f"shape is {self.shape}; give (Y, X) of at least {_MIN_SIDE} pixels each")
        if self.frames < 1:
            raise UsageError(f"frames is {self.frames}; a movie has at least 1")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; give a number of at least 0")
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name} is {value}; it must lie between {low:g} and {high:g}")
        outside = [t for t in self.dropped if not 0 <= t < self.frames]
        if outside:
            raise UsageError(f"dropped names the frames {outside}; the movie has the frames 0 to {self.frames - 1}")


class Movie:
    """A simulated movie, drawn one frame at a time: memory does not grow with the pixels of the movie.

    Every frame depends on the specification and its number alone, so that frames may be asked for in any order.

    Parameters
    ----------
    spec
        What to simulate.
    """

    def __init__(self, spec: MovieSpec) -> None:
        self.spec = spec
        self._population = grow(spec, PADDING)
        self._textures = optics.draw_textures(spec.seed)

    @property
    def divisions(self) -> tuple[tuple[int, float, float], ...]:
        """First frame with two daughters, and (y, x) of the mother before, of each division inside the field."""
        return self._population.divisions(self.spec.shape)

    def frame(self, t: int) -> NDArray[np.float32]:
        """Draw all channels of one frame.

        Parameters
        ----------
        t
            Number of the frame.

        Returns
        -------
        Array of shape (3, Y, X), float32, in the order of `CHANNELS`.

        Raises
        ------
        UsageError
            There is no such frame.
        """
        scene = self._scene(t)
        return np.concatenate([self._phase(scene, t)[None], self._fluorescence(scene, t)])

    def phase(self, t: int) -> NDArray[np.float32]:
        """Draw the phase image of one frame: (Y, X) float32 in radians; all zero in a dropped frame.

        Raises `UsageError` where there is no such frame.
        """
        return self._phase(self._scene(t), t)

    def fluorescence(self, t: int) -> NDArray[np.float32]:
        """Draw the true stains of one frame, of dropped ones as well: (2, Y, X) float32, nuclei and membrane.

        Typical nuclei and membranes have the value 1, empty ground 0. Raises `UsageError` where there is no such frame.
        """
        return self._fluorescence(self._scene(t), t)

    def displacement(self, t0: int, t1: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Say where the material of frame `t0` lies in frame `t1`.

        The empty ground is static. A pixel is valid if its material is in the field and on top in both frames;
        a mother is not the same material as her daughters, nor is a cell that has come back at the opposite side.

        Parameters
        ----------
        t0, t1
            Numbers of the frames, in either order.

        Returns
        -------
        flow
            Array of shape (2, Y, X), float32, in pixels: (dy, dx) such that the material at p in `t0` is at p + flow
            in `t1`; zero where it is not valid.
        valid
            Array of shape (Y, X), bool.

        Raises
        ------
        UsageError
            There is no such frame.
        """
        before, after = self._scene(t0), self._scene(t1)
        owner0, owner1 = _crop(before.owner), _crop(after.owner)
        flow = self._population.carry(t0, t1, owner0, _crop(before.nucleus) > 0.5)
        height, width = self.spec.shape
        y, x = np.rint(np.indices(self.spec.shape) + flow).astype(int)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        there = owner1[y.clip(0, height - 1), x.clip(0, width - 1)]
        valid = inside & (there == owner0) & self._population.same_visit(t0, t1, owner0)
        return np.where(valid, flow, np.float32(0)), valid

    def _scene(self, t: int) -> Scene:
        if not 0 <= t < self.spec.frames:
            raise UsageError(f"frame {t} does not exist; the movie has the frames 0 to {self.spec.frames - 1}")
        return draw_scene(self._population, t, self.spec.shape)

    def _phase(self, scene: Scene, t: int) -> NDArray[np.float32]:
        if t in self.spec.dropped:
            return np.zeros(self.spec.shape, np.float32)
        path = optics.optical_path(scene, self._population, t, self.spec, self._textures)
        return optics.image_phase(path, t, self.spec)

    def _fluorescence(self, scene: Scene, t: int) -> NDArray[np.float32]:
        return _crop(optics.image_fluorescence(scene, self._population, t, self._textures))


def _crop(padded: NDArray[_Pixel]) -> NDArray[_Pixel]:
    """Remove the padding of the last two axes."""
    return padded[..., PADDING:-PADDING, PADDING:-PADDING]
