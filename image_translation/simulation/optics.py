"""Image formation: fluorescence and phase images of a scene.

The phase image is the optical path through the cells, filtered by a linear transfer function as for weak objects
(Streibl, Three-dimensional imaging by a microscope, J. Opt. Soc. Am. A 2, 121-127, 1985); focus and illumination
act through the transfer function only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter, map_coordinates

from image_translation.simulation.population import Population
from image_translation.simulation.scene import PADDING, Scene
from image_translation.simulation.spec import MovieSpec

Image = NDArray[np.float32]

_TEXTURE_SIDE = 256  # pixels
_PUPIL_SIGMA = 0.2  # cycles per pixel, standard deviation of the Gaussian transfer function of the phase
_PSF_SIGMA = 1.2  # pixels, standard deviation of the point spread function of the fluorescence
_MEMBRANE_SIGMA = 1.3  # pixels, standard deviation of the profile of a stained membrane
_CYTOPLASM = 0.12  # brightness of the cytoplasm in the membrane stain
_DRIFT_PERIOD = 60.0  # frames, typical period of slow drifts


@dataclass(frozen=True, eq=False)
class Textures:
    """Two periodic textures of mean 0 and variance 1: fine granules and coarse clouds, (256, 256) float32 each."""

    granules: Image
    clouds: Image


def draw_textures(seed: int) -> Textures:
    """Draw the textures shared by all cells of a movie."""
    rng = np.random.default_rng([seed, 2])
    noise = rng.standard_normal((2, _TEXTURE_SIDE, _TEXTURE_SIDE))
    fine, coarse, clouds = (gaussian_filter(noise[i], s, mode="wrap") for i, s in ((0, 1.3), (0, 3.5), (1, 3.0)))
    granules = fine / fine.std() + coarse / coarse.std()
    # Granules are denser than the cytosol, so the distribution is skewed to bright values.
    granules = np.maximum(granules, -0.5) ** 2 * np.sign(granules) + granules
    return Textures(_standardise(granules), _standardise(clouds))


def image_fluorescence(scene: Scene, population: Population, t: int, textures: Textures) -> Image:
    """Render the stains of nuclei and membranes, blurred by the optics.

    Parameters
    ----------
    scene, population, t
        The cells of frame `t`.
    textures
        Texture of the chromatin.

    Returns
    -------
    NDArray[np.float32]
        Nuclei and membranes of the padded field, (2, Y + 2 PADDING, X + 2 PADDING); typically 1, background 0.
    """
    # The total amount of stain is preserved when a nucleus shrinks.
    dose = population.stain[:, 0] * population.chromatin[t] / population.nucleus_spread[t] ** 2
    chromatin = 1 + 0.12 * _sample(textures.clouds, scene, population).clip(-2.5, 2.5) - 0.55 * scene.nucleoli
    nuclei = _per_cell(dose, scene) * chromatin * scene.nucleus
    dose = population.stain[:, 1] / np.sqrt(population.spread[t])
    rim = np.exp(-((scene.depth / _MEMBRANE_SIGMA) ** 2) / 2)
    cytoplasm = _CYTOPLASM * np.clip(scene.depth / 3 + 0.5, 0, 1) * (1 - 0.5 * scene.nucleus)
    membrane = _per_cell(dose, scene) * (rim + cytoplasm)
    return np.stack([gaussian_filter(stain.astype(np.float32), _PSF_SIGMA) for stain in (nuclei, membrane)])


def optical_path(scene: Scene, population: Population, t: int, spec: MovieSpec, textures: Textures) -> Image:
    """Return the optical path: the sum of cell bodies, nuclei, nucleoli, granules and debris.

    Parameters
    ----------
    scene, population, t
        The cells of frame `t`.
    spec
        Parameters of the movie.
    textures
        Texture of the cytoplasm.

    Returns
    -------
    NDArray[np.float32]
        Phase of shape (Y + 2 PADDING, X + 2 PADDING), in radians.
    """
    radius = np.maximum(_per_cell(population.radius, scene), 1)
    # The volume of a cell is nearly preserved when it rounds up.
    thickness = _per_cell(population.thickness / population.spread[t] ** 1.3, scene)
    squared_radius = (scene.material**2).sum(axis=0) / (0.55 * radius) ** 2
    depth = np.maximum(scene.depth, 0)
    body = thickness * (0.3 + 0.7 * np.exp(-squared_radius / 2)) * (1 - np.exp(-depth / (0.13 * radius + 1)))
    granules = _sample(textures.granules, scene, population)
    clouds = _sample(textures.clouds, scene, population)
    body *= 1 + spec.granularity * (0.18 * granules * (1 - 0.7 * scene.nucleus) + 0.08 * clouds)
    nucleus = thickness * scene.nucleus * (0.6 + 0.4 * np.exp(-squared_radius))
    nucleus *= 1 + 0.08 * spec.granularity * clouds
    nucleus += 0.9 * thickness * scene.nucleoli
    cells = spec.contrast * (body + spec.nuclear_contrast * nucleus)
    return np.asarray(cells + _debris(spec, t, cells.shape), np.float32)


def image_phase(path: Image, t: int, spec: MovieSpec) -> Image:
    """Render the phase image of frame `t` from the optical path, with its focus, illumination, background and noise.

    Parameters
    ----------
    path
        Phase of the padded field, in radians, from `optical_path`.
    t
        Index of the frame.
    spec
        Parameters of the movie.

    Returns
    -------
    NDArray[np.float32]
        Phase of shape (Y, X), in radians.
    """
    rng = np.random.default_rng([spec.seed, 3, t])
    slow = np.random.default_rng([spec.seed, 4])
    shape = tuple(next_fast_len(side, real=True) for side in path.shape)
    spectrum = rfft2(path, shape, workers=1) * _transfer(shape, t, spec, rng, slow)
    image = irfft2(spectrum, shape, workers=1)[tuple(slice(PADDING, PADDING + side) for side in spec.shape)]
    gain = 1 + 0.03 * spec.flicker * _fluctuation(rng, slow, t)
    image = gain * image + spec.background * _background(spec.shape, t, slow)
    shot = rng.standard_normal(image.shape, np.float32) * np.sqrt(1 + np.abs(image) / (spec.contrast + 1e-6))
    speckle = gaussian_filter(rng.standard_normal(image.shape, np.float32), 1.2)
    return (image + spec.noise * (0.7 * shot + 3.0 * speckle)).astype(np.float32)


def _transfer(
    shape: tuple[int, ...], t: int, spec: MovieSpec, rng: np.random.Generator, slow: np.random.Generator
) -> NDArray[np.complex64]:
    """Return the transfer function of frame `t` on the half spectrum of a real image of `shape`."""
    ky = np.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    kx = np.fft.rfftfreq(shape[1]).astype(np.float32)[None]
    k2 = ky**2 + kx**2
    defocus = spec.defocus + 0.15 * spec.flicker * _fluctuation(rng, slow, t)
    tilt_y, tilt_x = (0.5 * spec.flicker * _fluctuation(rng, slow, t) for _ in range(2))
    halo = np.clip(spec.halo * (1 + 0.15 * spec.flicker * _fluctuation(rng, slow, t)), 0, 1)
    wave = np.pi * defocus * k2 / _PUPIL_SIGMA**2
    # Dense parts absorb weakly; out of focus, absorption mixes with phase.
    pupil = np.exp(-k2 / (2 * _PUPIL_SIGMA**2)) * (np.cos(wave) - 0.4 * np.sin(wave))
    # Oblique illumination adds a fraction of the gradient, which looks like shading.
    shading = 1 + 2j * np.pi * (tilt_y * ky + tilt_x * kx)
    low = 1 - halo * np.exp(-k2 * (2 * np.pi * 1.2 * spec.cell_radius) ** 2 / 2)
    return np.asarray(pupil * shading * low, np.complex64)


def _fluctuation(rng: np.random.Generator, slow: np.random.Generator, t: int) -> float:
    """Draw a number of variance 1: half is independent in each frame, half a slow drift."""
    phase, rate = slow.uniform(0, 2 * np.pi), slow.uniform(0.6, 1.4) * 2 * np.pi / _DRIFT_PERIOD
    return float(np.sqrt(0.5) * rng.standard_normal() + np.sin(phase + rate * t))


def _background(shape: tuple[int, int], t: int, slow: np.random.Generator) -> Image:
    """Return a sum of long waves with drifting phases, of variance about 1."""
    y, x = (2 * np.pi * np.linspace(0, 1, side) for side in shape)
    total = np.zeros(shape, np.float32)
    for _ in range(4):
        fy, fx, phase, rate = slow.uniform((-1.5, -1.5, 0, -1), (1.5, 1.5, 2 * np.pi, 1))
        rows = np.exp(1j * (fy * y + phase + rate * 2 * np.pi * t / _DRIFT_PERIOD)).astype(np.complex64)
        total += np.outer(rows, np.exp(1j * fx * x).astype(np.complex64)).real
    return total / np.float32(np.sqrt(2))


def _debris(spec: MovieSpec, t: int, shape: tuple[int, ...]) -> Image:
    """Return the phase of small bright particles that drift with periodic boundaries."""
    rng = np.random.default_rng([spec.seed, 5])
    path = np.zeros(shape, np.float32)
    count = rng.poisson(spec.debris * np.prod(shape) / 1e4)
    start = rng.uniform(0, 1, (count, 2)) * shape
    drift = rng.normal(0, 0.3 * spec.speed, (count, 2))
    size, phase = rng.uniform(1.0, 2.6, count), spec.contrast * rng.uniform(0.4, 1.6, count)
    for (y, x), radius, peak in zip((start + drift * t) % shape, size, phase, strict=True):
        extent = int(4 * radius) + 1
        rows = np.arange(max(int(y) - extent, 0), min(int(y) + extent + 1, shape[0]))[:, None]
        columns = np.arange(max(int(x) - extent, 0), min(int(x) + extent + 1, shape[1]))[None]
        squared_distance = ((rows - y) ** 2 + (columns - x) ** 2) / radius**2
        path[rows, columns] += peak * np.exp(-squared_distance / 2)
    return path


def _sample(texture: Image, scene: Scene, population: Population) -> Image:
    """Sample a texture at the material coordinates of each pixel."""
    origin = np.moveaxis(population.texture_origin.astype(np.float32)[scene.nearest], -1, 0)
    return np.asarray(map_coordinates(texture, scene.material + origin, order=1, mode="grid-wrap"))


def _per_cell(values: NDArray[np.float64], scene: Scene) -> Image:
    """Map one value per cell to the pixels of the cells; 0 where there is none."""
    return np.where(scene.nearest < 0, np.float32(0), values.astype(np.float32)[scene.nearest])


def _standardise(image: NDArray[np.float64]) -> Image:
    return ((image - image.mean()) / image.std()).astype(np.float32)
