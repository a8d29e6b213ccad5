"""Specification of a simulated movie: its parameters and their limits."""

import math
from dataclasses import dataclass

from image_translation.errors import UsageError
from image_translation.memory import require_memory

CHANNELS = ("Phase3D", "Nuclei", "Membrane")
"""Channel names of a simulated movie, in order."""

MOTIONS = ("walk", "stream")
"""Kinds of motion."""

OPTICS = ("path", "reconstructed")
"""Kinds of phase images."""

CELLS = ("spread", "domes")
"""Ways of drawing cells."""

_CHOICES: dict[str, tuple[str, ...]] = {"cells": CELLS, "motion": MOTIONS, "optics": OPTICS}
_MIN_SIDE = 16  # pixels
_BYTES_PER_PIXEL = 150  # of memory
_BYTES_PER_VOXEL = 25  # of memory, for each plane of a stack
_BYTES_PER_SLICED_VOXEL = 6  # for each pixel of height of the cells that a stack is imaged from
_LIMITS: dict[str, tuple[float, float]] = {
    "plane_spacing": (0.1, 100.0),
    "density": (0.01, 1.0),
    "cell_radius": (5.0, 200.0),
    "speed": (0.0, 50.0),
    "collective": (0.0, 1.0),
    "deformation": (0.0, 10.0),
    "divisions": (0.0, 20.0),
    "detaching": (0.0, 20.0),
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
    "focus_jitter": (0.0, 3.0),
    "texture_jitter": (0.0, 10.0),
    "gain_jitter": (0.0, 1.0),
    "background_jitter": (0.0, 100.0),
    "halo_jitter": (0.0, 10.0),
    "lateral_jitter": (0.0, 5.0),
    "stage_jitter": (0.0, 20.0),
}


@dataclass(frozen=True)
class MovieSpec:
    """Parameters of a simulated movie. Lengths are in pixels, times in frames, phases in radians.

    Attributes
    ----------
    shape
        Height and width (Y, X) of the field.
    frames
        Number of frames T.
    seed
        Seed of all random numbers: equal specifications give equal movies.
    planes
        Number of planes Z of each frame. With 1, phase and stains are projections of the cells; a stack of several
        shows their sections, from the lowest plane up, around half the height of a typical cell. See `heights`.
    plane_spacing
        Distance of adjacent planes; without effect on a single plane.
    cells
        Way of drawing cells: ``spread``, flat cells that share borders and have textured cytoplasm; or ``domes``,
        smooth domes with granules, whose phases and stains add where they overlap.
    density
        Fraction of the field covered by cells: 0.1 is sparse, 1.0 confluent.
    cell_radius
        Mean radius of a spread cell.
    speed
        Mean distance that a cell moves from frame to frame.
    motion
        Kind of motion: ``walk``, a persistent random walk of each cell, partly shared with its neighbours; or
        ``stream``, sheets several cells wide that stream, stop and turn together within 2 to 3 frames.
    collective
        Fraction of the motion that a walking cell shares with its neighbours, 0 to 1; without effect on streams.
    deformation
        Rate of shape changes and rotation; 0 is rigid, 1 typical.
    divisions
        Expected number of divisions per cell in 100 frames.
    detaching
        Expected number of detachments per cell in 100 frames: the cell rounds up within a few frames and is gone.
    rounded
        Fraction of cells that are rounded up: round and thick instead of spread.
    debris
        Number of bright particles per 100 x 100 pixels; visible in the phase only.
    contrast
        Phase of a typical spread cell near its nucleus.
    nuclear_contrast
        Additional phase of the nucleus, relative to `contrast`.
    granularity
        Strength of the texture of the cytoplasm, which moves with the cell; 1 is typical.
    background
        Amplitude of the smooth, slowly drifting background.
    noise
        Standard deviation of the noise in areas without cells.
    optics
        Kind of phase image: ``path``, the optical path filtered by the transfer function of the microscope; or
        ``reconstructed``, a quantitative phase image as reconstructed from the intensity at a known defocus, of mean 0.
    defocus
        Mean defocus, in depths of field; with reconstructed optics, the error of the assumed defocus.
    halo
        Suppression of the lowest spatial frequencies of the phase: 0 is quantitative phase; towards 1, cells are
        surrounded by a dark halo. With reconstructed optics, strength of the regularisation: of structures longer than
        2 `cell_radius` / `halo`, more than half the contrast is lost.
    flicker
        Strength of a mixture of the causes of flicker below, added to each of them: 0 none, 1 typical, 3 strong; the
        mixture is `flicker.FLICKER_PRESET`.
    focus_jitter
        Standard deviation of the defocus, in depths of field; also of its difference between the middle of the field
        and an edge, because the focal plane tilts at random. It moves all planes of a stack of the phase together,
        against the truth.
    texture_jitter
        Strength of granules that change within about 2 frames instead of moving with the cell, where 1 is as strong as
        the granules of `granularity` 1; in the phase only.
    gain_jitter
        Relative standard deviation of the gain of the phase; its drift is that of all planes, the rest is independent
        in each.
    background_jitter
        Amplitude of a smooth background of the phase that is independent in each frame.
    halo_jitter
        Relative standard deviation of `halo`.
    lateral_jitter
        Standard deviation of the shift of the phase against the truth, along each axis.
    stage_jitter
        Standard deviation of the shift of phase and truth together, along each axis; independent in each frame.
    dropped
        Indices of frames whose phase is all zero, as in a dropped acquisition.
    """

    shape: tuple[int, int] = (256, 256)
    frames: int = 24
    seed: int = 0
    planes: int = 1
    plane_spacing: float = 2.0
    cells: str = "spread"
    density: float = 0.7
    cell_radius: float = 20.0
    speed: float = 1.0
    motion: str = "walk"
    collective: float = 0.3
    deformation: float = 1.0
    divisions: float = 0.4
    detaching: float = 0.0
    rounded: float = 0.04
    debris: float = 0.3
    contrast: float = 1.0
    nuclear_contrast: float = 0.4
    granularity: float = 1.0
    background: float = 0.05
    noise: float = 0.02
    optics: str = "path"
    defocus: float = 0.1
    halo: float = 0.5
    flicker: float = 0.0
    focus_jitter: float = 0.0
    texture_jitter: float = 0.0
    gain_jitter: float = 0.0
    background_jitter: float = 0.0
    halo_jitter: float = 0.0
    lateral_jitter: float = 0.0
    stage_jitter: float = 0.0
    dropped: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Validate the parameters.

        Raises
        ------
        UsageError
            If a value is out of range, or the memory of the machine too small.
        """
        if len(self.shape) != 2 or min(self.shape) < _MIN_SIDE:
            raise UsageError(f"shape is {self.shape}; give (Y, X) of at least {_MIN_SIDE} pixels each")
        if self.frames < 1:
            raise UsageError(f"frames is {self.frames}; a movie has at least 1")
        if self.planes < 1:
            raise UsageError(f"planes is {self.planes}; a frame has at least 1")
        self._require_memory()
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; give a number of at least 0")
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name} is {value}; it must lie between {low:g} and {high:g}")
            if value == 0:  # -0.0 is no scale of a random number
                object.__setattr__(self, name, 0.0)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is {getattr(self, name)!r}; give one of {', '.join(choices)}")
        outside = [t for t in self.dropped if not 0 <= t < self.frames]
        if outside:
            raise UsageError(f"dropped names the frames {outside}; the movie has the frames 0 to {self.frames - 1}")

    def _require_memory(self) -> None:
        size: float = _BYTES_PER_PIXEL * math.prod(self.shape)
        what = f"a frame of {self.shape[0]} x {self.shape[1]} pixels"
        if self.planes > 1:
            column = _BYTES_PER_VOXEL * self.planes + _BYTES_PER_SLICED_VOXEL * self.cell_radius
            size += column * math.prod(self.shape)
            what += f" in {self.planes} planes"
        require_memory(size, what)
