"""Image formation: the phase image of an optical path, and the fluorescence image of stains.

With ``path`` optics, the phase image is the optical path through the cells, filtered by a linear transfer function as
for weak objects (Streibl, Three-dimensional imaging by a microscope, J. Opt. Soc. Am. A 2, 121-127, 1985); focus and
illumination act through the transfer function only. With ``reconstructed`` optics, it is a quantitative phase image.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter

from image_translation.simulation import reconstruction
from image_translation.simulation.flicker import fluctuation, frame_generator, lateral_shift, strength
from image_translation.simulation.geometry import PADDING
from image_translation.simulation.spec import MovieSpec

Image = NDArray[np.float32]

_PUPIL_SIGMA = 0.2  # cycles per pixel, standard deviation of the Gaussian transfer function of the phase
_PSF_SIGMA = 1.2  # pixels, standard deviation of the point spread function of the fluorescence
_DRIFT_PERIOD = 60.0  # frames, typical period of slow drifts
_FOCUS_STEP = 0.15  # depths of field between the focal planes that a tilted plane is interpolated from


def image_fluorescence(stains: Image) -> Image:
    """Blur stains (..., Y, X) by the point spread function of the fluorescence."""
    return np.stack([gaussian_filter(stain, _PSF_SIGMA) for stain in stains])


def image_phase(path: Image, t: int, spec: MovieSpec) -> Image:
    """Render the phase image of frame `t` from the optical path, with its focus, illumination, background and noise.

    Parameters
    ----------
    path
        Phase of the padded field, in radians.
    t
        Index of the frame.
    spec
        Parameters of the movie.

    Returns
    -------
    NDArray[np.float32]
        Phase of shape (Y, X), in radians.
    """
    image = (1 + fluctuation(spec, "gain", t)[0]) * _filter(path, t, spec)
    image = image + spec.background * _background(spec.shape, t, np.random.default_rng([spec.seed, 4]))
    if strength(spec, "background"):
        image += strength(spec, "background") * _background(spec.shape, 0, frame_generator(spec, "background", t))
    image = image + spec.noise * _noise(image, t, spec)
    if spec.optics == "reconstructed":
        image -= image.mean()  # the mean phase is not in the intensity
    return image.astype(np.float32)


def _noise(image: Image, t: int, spec: MovieSpec) -> Image:
    """Draw the noise of frame `t`, of standard deviation about 1 where the phase `image` is 0."""
    rng = np.random.default_rng([spec.seed, 3, t])
    if spec.optics == "path":
        shot = rng.standard_normal(image.shape, np.float32) * np.sqrt(1 + np.abs(image) / (spec.contrast + 1e-6))
        speckle = gaussian_filter(rng.standard_normal(image.shape, np.float32), 1.2)
        return np.asarray(0.7 * shot + 3.0 * speckle)
    # The reconstruction filters the white noise of the intensity.
    shape = tuple(side + 2 * PADDING for side in image.shape)
    inverse = _inverse(_Pupil(shape, spec), t, spec)
    noise = irfft2(rfft2(rng.standard_normal(shape, np.float32), workers=1) * inverse, shape, workers=1)
    return np.asarray(noise[PADDING:-PADDING, PADDING:-PADDING] / np.sqrt((inverse**2).mean()))


class _Pupil:
    """Spatial frequencies of the half spectrum of a real image of `shape`, and the pupil at them."""

    def __init__(self, shape: tuple[int, ...], spec: MovieSpec) -> None:
        self.ky = np.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
        self.kx = np.fft.rfftfreq(shape[1]).astype(np.float32)[None]
        self.k2 = self.ky**2 + self.kx**2
        self.wave = np.float32(np.pi / _PUPIL_SIGMA**2) * self.k2  # its phase per depth of field of defocus
        self.pupil = np.exp(-self.k2 / (2 * _PUPIL_SIGMA**2))
        self._reconstructed = spec.optics == "reconstructed"

    def transfer(self, defocus: float) -> Image:
        """Return the transfer function of the phase for a defocus in depths of field."""
        if self._reconstructed:
            return reconstruction.intensity_transfer(self.pupil, self.wave, defocus)
        wave = np.float32(defocus) * self.wave
        # Dense parts absorb weakly; out of focus, absorption mixes with phase.
        return np.asarray(self.pupil * (np.cos(wave) - np.float32(0.4) * np.sin(wave)))


def _filter(path: Image, t: int, spec: MovieSpec) -> Image:
    """Apply the transfer function of frame `t` to the optical path of the padded field; return the field."""
    shape = tuple(next_fast_len(side, real=True) for side in path.shape)
    pupil = _Pupil(shape, spec)
    spectrum = rfft2(path, shape, workers=1)
    if spec.optics == "reconstructed":
        spectrum *= _inverse(pupil, t, spec)
    else:
        spectrum *= 1 - _halo(t, spec) * np.exp(-pupil.k2 * np.float32((2 * np.pi * 1.2 * spec.cell_radius) ** 2 / 2))
    dy, dx = lateral_shift(spec, t)
    if dy or dx:
        # The product of two vectors is much cheaper than the exponential of their sum.
        rows, columns = (np.exp(-2j * np.pi * d * k).astype(np.complex64) for d, k in ((dy, pupil.ky), (dx, pupil.kx)))
        spectrum *= rows * columns

    def focus(defocus: float) -> Image:
        image = irfft2(spectrum * pupil.transfer(defocus), shape, workers=1)
        return np.asarray(image[tuple(slice(PADDING, PADDING + side) for side in spec.shape)])

    defocus = spec.defocus + fluctuation(spec, "defocus", t)[0]
    tilt = fluctuation(spec, "focal_tilt", t, 2)
    return _tilted(focus, defocus, tilt, spec.shape) if tilt.any() else focus(defocus)


def _halo(t: int, spec: MovieSpec) -> np.float32:
    return np.float32(np.clip(spec.halo * (1 + fluctuation(spec, "halo", t)[0]), 0, 1))


def _inverse(pupil: _Pupil, t: int, spec: MovieSpec) -> Image:
    cutoff = reconstruction.cutoff_frequency(float(_halo(t, spec)), spec.cell_radius)
    return reconstruction.inverse_transfer(pupil.pupil, pupil.wave, np.pi * cutoff**2 / _PUPIL_SIGMA**2)


def _tilted(
    focus: Callable[[float], Image], defocus: float, tilt: NDArray[np.float64], shape: tuple[int, int]
) -> Image:
    """Render an image whose defocus varies linearly over the field, interpolated between evenly spaced focal planes.

    A Taylor series in the defocus would diverge at high spatial frequencies, whose phase turns by several radians.
    """
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
    offset = (tilt[0] * y[:, None] + tilt[1] * x[None]).astype(np.float32)
    extent = np.abs(tilt).sum()
    planes = np.linspace(-extent, extent, 2 * int(np.ceil(extent / _FOCUS_STEP)) + 1)
    step = np.float32(planes[1] - planes[0])
    total = np.zeros(shape, np.float32)
    for plane in planes:
        total += np.maximum(1 - np.abs(offset - np.float32(plane)) / step, 0) * focus(defocus + plane)
    return total


def _background(shape: tuple[int, int], t: int, slow: np.random.Generator) -> Image:
    """Return a sum of long waves with drifting phases, of variance about 1."""
    y, x = (2 * np.pi * np.linspace(0, 1, side) for side in shape)
    total = np.zeros(shape, np.float32)
    for _ in range(4):
        fy, fx, phase, rate = slow.uniform((-1.5, -1.5, 0, -1), (1.5, 1.5, 2 * np.pi, 1))
        rows = np.exp(1j * (fy * y + phase + rate * 2 * np.pi * t / _DRIFT_PERIOD)).astype(np.complex64)
        total += np.outer(rows, np.exp(1j * fx * x).astype(np.complex64)).real
    return total / np.float32(np.sqrt(2))
