"""Image formation: the phase image of an optical path, and the fluorescence image of stains.

With ``path`` optics, the phase image is the optical path through the cells, filtered by a linear transfer function as
for weak objects (Streibl, Three-dimensional imaging by a microscope, J. Opt. Soc. Am. A 2, 121-127, 1985); focus and
illumination act through the transfer function only. With ``reconstructed`` optics, it is a quantitative phase image.

A plane of a stack is the sum of the images of all slices of the cells, each defocused by its distance from the focal
plane. What is out of focus is blurred, since the illumination comes from many directions, and becomes fainter like the
peak of a defocused spot of light.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter

from image_translation.simulation import reconstruction
from image_translation.simulation.flicker import fluctuation, frame_generator, lateral_shift, strength
from image_translation.simulation.geometry import PADDING
from image_translation.simulation.heights import middle_height
from image_translation.simulation.spec import MovieSpec
from image_translation.simulation.volume import Volume

Image = NDArray[np.float32]

DEPTH_OF_FIELD = 5.0
"""Depth of field in a stack, in pixels."""

_PUPIL_SIGMA = 0.2  # cycles per pixel, standard deviation of the Gaussian transfer function of the phase
_PSF_SIGMA = 1.2  # pixels, standard deviation of the point spread function of the fluorescence
_DRIFT_PERIOD = 60.0  # frames, typical period of slow drifts
_CONE = 1.0  # pixels, standard deviation of the blur of what is one depth of field out of focus in a stack
_FOCUS_STEP = 0.15  # depths of field between the focal planes that a tilted plane is interpolated from


def image_fluorescence(stains: Image) -> Image:
    """Blur stains (..., Y, X) in the plane by the point spread function of the fluorescence."""
    planes = stains.reshape(-1, *stains.shape[-2:])
    return np.stack([gaussian_filter(plane, _PSF_SIGMA) for plane in planes]).reshape(stains.shape)


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
    return _acquire(_filter(path, t, spec), fluctuation(spec, "gain", t)[0], t, spec)


def image_phase_stack(volume: Volume, t: int, spec: MovieSpec) -> Image:
    """Render the phase of frame `t` in all planes of a stack.

    Parameters
    ----------
    volume
        The cells, whose slices are imaged.
    t
        Index of the frame.
    spec
        Parameters of the movie. A defocus moves all planes: of one depth of field, up by `DEPTH_OF_FIELD`.

    Returns
    -------
    NDArray[np.float32]
        Phase of shape (Z, Y, X), in radians.
    """
    planes = _focus_through(volume, t, spec)
    gains = fluctuation(spec, "gain", t, len(planes), common_drift=True)
    return np.stack(
        [_acquire(plane, gain, t, spec, number) for number, (plane, gain) in enumerate(zip(planes, gains, strict=True))]
    )


def _acquire(image: Image, gain: float, t: int, spec: MovieSpec, plane: int = 0) -> Image:
    """Add gain, background and noise to the image of a plane of frame `t`."""
    image = (1 + gain) * image
    image = image + spec.background * _background(spec.shape, t, np.random.default_rng([spec.seed, 4]))
    if strength(spec, "background"):
        image += strength(spec, "background") * _background(spec.shape, 0, frame_generator(spec, "background", t))
    image = image + spec.noise * _noise(image, t, spec, plane)
    if spec.optics == "reconstructed":
        image -= image.mean()  # the mean phase is not in the intensity
    return image.astype(np.float32)


def _noise(image: Image, t: int, spec: MovieSpec, plane: int) -> Image:
    """Draw the noise of a plane of frame `t`, of standard deviation about 1 where the phase `image` is 0."""
    rng = np.random.default_rng([spec.seed, 3, t, plane])  # that of plane 0 is the generator of [seed, 3, t]
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
        self.shape = shape
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

    def transfer_of_slice(self, defocus: float) -> Image:
        """Return the transfer function of a slice in a stack, which is fainter and blurred out of focus."""
        if self._reconstructed:
            transfer = reconstruction.difference_transfer(self.pupil, self.wave, defocus)
        else:
            transfer = self.transfer(defocus)
        blur = np.exp(self.k2 * np.float32(-2 * (np.pi * _CONE * defocus) ** 2))
        return np.asarray(transfer * blur * np.float32(1 / (1 + defocus**2)))


def _filter(path: Image, t: int, spec: MovieSpec) -> Image:
    """Apply the transfer function of frame `t` to the optical path of the padded field; return the field."""
    pupil = _Pupil(_fft_shape(path), spec)
    spectrum = _spectrum(path, pupil, t, spec)

    def focus(defocus: float) -> Image:
        image = irfft2(spectrum * pupil.transfer(defocus), pupil.shape, workers=1)
        return np.asarray(image[tuple(slice(PADDING, PADDING + side) for side in spec.shape)])

    defocus = spec.defocus + fluctuation(spec, "defocus", t)[0]
    tilt = fluctuation(spec, "focal_tilt", t, 2)
    if not tilt.any():
        return focus(defocus)
    total = np.zeros(spec.shape, np.float32)
    for offset, weight in _tilted(tilt, spec.shape):
        total += weight * focus(defocus + offset)
    return total


def _focus_through(volume: Volume, t: int, spec: MovieSpec) -> Image:
    """Apply the transfer functions of frame `t` to the slices of a volume; return the field in each plane."""
    pupil = _Pupil(_fft_shape(volume.path), spec)
    spectra = _spectrum(volume.path, pupil, t, spec)
    # Slices and planes are evenly spaced, so that few distances are different.
    distance = np.round((volume.planes[:, None] - volume.slices) / DEPTH_OF_FIELD, 6)
    pairs = [(step, np.argwhere(distance == step).tolist()) for step in np.unique(distance).tolist()]
    # A cell of typical height has the same contrast in the middle plane as in a movie of single planes.
    half = middle_height(spec) / DEPTH_OF_FIELD
    gain = np.float32(half / np.arctan(half))
    field = tuple(slice(PADDING, PADDING + side) for side in spec.shape)
    defocus = spec.defocus + fluctuation(spec, "defocus", t)[0]
    tilt = fluctuation(spec, "focal_tilt", t, 2)
    focal_planes = _tilted(tilt, spec.shape) if tilt.any() else [(0.0, np.ones(spec.shape, np.float32))]
    total = np.zeros((len(volume.planes), *spec.shape), np.float32)
    for offset, weight in focal_planes:
        images = np.zeros((len(volume.planes), *spectra.shape[1:]), np.complex64)
        for step, found in pairs:
            transfer = pupil.transfer_of_slice(defocus + offset + step)
            for plane, number in found:
                images[plane] += spectra[number] * transfer
        for plane, image in enumerate(images):
            total[plane] += gain * weight * irfft2(image, pupil.shape, workers=1)[field]
    return total


def _fft_shape(path: Image) -> tuple[int, int]:
    height, width = (next_fast_len(side, real=True) for side in path.shape[-2:])
    return height, width


def _spectrum(path: Image, pupil: _Pupil, t: int, spec: MovieSpec) -> NDArray[np.complex64]:
    """Return the spectrum of optical paths (..., Y, X), with the halo and the lateral shift of frame `t`."""
    spectrum: NDArray[np.complex64] = rfft2(path, pupil.shape, workers=1)
    if spec.optics == "reconstructed":
        spectrum *= _inverse(pupil, t, spec)
    else:
        spectrum *= 1 - _halo(t, spec) * np.exp(-pupil.k2 * np.float32((2 * np.pi * 1.2 * spec.cell_radius) ** 2 / 2))
    dy, dx = lateral_shift(spec, t)
    if dy or dx:
        # The product of two vectors is much cheaper than the exponential of their sum.
        rows, columns = (np.exp(-2j * np.pi * d * k).astype(np.complex64) for d, k in ((dy, pupil.ky), (dx, pupil.kx)))
        spectrum *= rows * columns
    return spectrum


def _halo(t: int, spec: MovieSpec) -> np.float32:
    return np.float32(np.clip(spec.halo * (1 + fluctuation(spec, "halo", t)[0]), 0, 1))


def _inverse(pupil: _Pupil, t: int, spec: MovieSpec) -> Image:
    cutoff = reconstruction.cutoff_frequency(float(_halo(t, spec)), spec.cell_radius)
    return reconstruction.inverse_transfer(pupil.pupil, pupil.wave, np.pi * cutoff**2 / _PUPIL_SIGMA**2)


def _tilted(tilt: NDArray[np.float64], shape: tuple[int, int]) -> Iterator[tuple[float, Image]]:
    """Yield evenly spaced focal planes, as offsets of the defocus, and the weight of their images at each pixel.

    The weights interpolate an image whose defocus varies linearly over the field. A Taylor series in the defocus would
    diverge at high spatial frequencies, whose phase turns by several radians.
    """
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
    offset = (tilt[0] * y[:, None] + tilt[1] * x[None]).astype(np.float32)
    extent = np.abs(tilt).sum()
    planes = np.linspace(-extent, extent, 2 * int(np.ceil(extent / _FOCUS_STEP)) + 1)
    step = np.float32(planes[1] - planes[0])
    for plane in planes:
        yield plane, np.maximum(1 - np.abs(offset - np.float32(plane)) / step, 0)


def _background(shape: tuple[int, int], t: int, slow: np.random.Generator) -> Image:
    """Return a sum of long waves with drifting phases, of variance about 1."""
    y, x = (2 * np.pi * np.linspace(0, 1, side) for side in shape)
    total = np.zeros(shape, np.float32)
    for _ in range(4):
        fy, fx, phase, rate = slow.uniform((-1.5, -1.5, 0, -1), (1.5, 1.5, 2 * np.pi, 1))
        rows = np.exp(1j * (fy * y + phase + rate * 2 * np.pi * t / _DRIFT_PERIOD)).astype(np.complex64)
        total += np.outer(rows, np.exp(1j * fx * x).astype(np.complex64)).real
    return total / np.float32(np.sqrt(2))
