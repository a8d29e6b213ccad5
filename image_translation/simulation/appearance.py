"""What the cells consist of: optical path and stains of each pixel of a scene, before the optics."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from image_translation.simulation.flicker import stage_shift, strength
from image_translation.simulation.population import Population
from image_translation.simulation.scene import Scene
from image_translation.simulation.spec import MovieSpec

Image = NDArray[np.float32]

TEXTURE_CONTRAST = 0.18
"""Contrast of the granular texture of the cytoplasm at granularity 1."""

NUCLEAR_PEAK = 1.3
"""Thickness of the middle of an ellipsoidal nucleus; its mean is about 1."""

NUCLEOLUS_HEIGHT = 0.35
"""Height of nucleoli relative to that of their nucleus."""

MEMBRANE_SIGMA = 1.3
"""Standard deviation of the profile of a stained membrane, in pixels."""

CYTOPLASM = 0.12
"""Brightness of the cytoplasm in the membrane stain."""

_TEXTURE_SIDE = 256  # pixels


@dataclass(frozen=True, eq=False)
class Textures:
    """Two periodic textures of mean 0 and variance 1: fine granules and coarse clouds, (256, 256) float32 each."""

    granules: Image
    clouds: Image


def draw_textures(seed: int) -> Textures:
    """Draw the textures shared by all cells of a movie."""
    rng = np.random.default_rng([seed, 2])
    noise = rng.standard_normal((2, _TEXTURE_SIDE, _TEXTURE_SIDE))
    return Textures(_granulate(noise[0]), _standardise(gaussian_filter(noise[1], 3.0, mode="wrap")))


def draw_stains(scene: Scene, population: Population, t: int, textures: Textures) -> Image:
    """Draw the stains of nuclei and membranes.

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
    chromatin = 1 + 0.12 * sample(textures.clouds, scene, population).clip(-2.5, 2.5) - 0.55 * scene.nucleoli
    nuclei = per_cell(dose, scene) * chromatin * scene.nucleus
    dose = population.stain[:, 1] / np.sqrt(population.spread[t])
    rim = np.exp(-((scene.depth / MEMBRANE_SIGMA) ** 2) / 2)
    cytoplasm = CYTOPLASM * np.clip(scene.depth / 3 + 0.5, 0, 1) * (1 - 0.5 * scene.nucleus)
    membrane = per_cell(dose, scene) * (rim + cytoplasm)
    return np.stack([nuclei, membrane]).astype(np.float32)


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
    thickness, squared_radius, body = smooth_path(scene, population, t)
    granules = sample(textures.granules, scene, population)
    clouds = sample(textures.clouds, scene, population)
    granules = spec.granularity * granules + draw_living_texture(spec, t, scene.nearest.shape)
    body *= 1 + TEXTURE_CONTRAST * granules * (1 - 0.7 * scene.nucleus) + 0.08 * spec.granularity * clouds
    nucleus = thickness * scene.nucleus * (0.6 + 0.4 * np.exp(-squared_radius))
    nucleus *= 1 + 0.08 * spec.granularity * clouds
    nucleus += 0.9 * thickness * scene.nucleoli
    cells = spec.contrast * (body + spec.nuclear_contrast * nucleus)
    return np.asarray(cells + draw_debris(spec, t, cells.shape), np.float32)


def smooth_path(scene: Scene, population: Population, t: int) -> tuple[Image, Image, Image]:
    """Return what the optical path is made of, for a movie of contrast 1.

    Returns
    -------
    thickness
        Optical thickness of the cell at each pixel, 0 where there is none.
    squared_radius
        Square of the distance from its centre, in units in which the cell thins out within 1.
    body
        Optical path of its body, without texture.
    """
    radius = np.maximum(per_cell(population.radius, scene), 1)
    # The volume of a cell is nearly preserved when it rounds up.
    thickness = per_cell(population.thickness / population.spread[t] ** 1.3, scene)
    squared_radius = (scene.material**2).sum(axis=0) / (0.55 * radius) ** 2
    return thickness, squared_radius, thickness * _dome(squared_radius) * _rise(scene.depth, radius)


def relative_height(scene: Scene, population: Population) -> Image:
    """Return the height of the cells relative to their middle; adjacent cells touch each other below the top."""
    radius = np.maximum(per_cell(population.radius, scene), 1)
    height = _dome((scene.material**2).sum(axis=0) / (0.55 * radius) ** 2) * _rise(scene.reach, radius)
    return np.where(scene.nearest < 0, np.float32(0), height)


def _dome(squared_radius: Image) -> Image:
    return np.asarray(0.3 + 0.7 * np.exp(-squared_radius / 2), np.float32)


def _rise(depth: Image, radius: Image) -> Image:
    return np.asarray(1 - np.exp(-np.maximum(depth, 0) / (0.13 * radius + 1)), np.float32)


def draw_living_texture(spec: MovieSpec, t: int, shape: tuple[int, ...]) -> Image | float:
    """Draw granules that do not move with the cells but change within about two frames; 0 without texture jitter.

    Parameters
    ----------
    spec
        Parameters of the movie.
    t
        Index of the frame.
    shape
        Shape of the padded field.

    Returns
    -------
    NDArray[np.float32] or float
        Texture of the padded field, of mean 0 and the strength of the texture jitter as standard deviation.
    """
    scale = strength(spec, "texture")
    if not scale:
        return 0.0
    # A moving average of independent textures with Gaussian weights, whose correlation is 1/e after two frames.
    times = range(t - 3, t + 4)
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    noise = np.zeros((_TEXTURE_SIDE, _TEXTURE_SIDE))
    for time, weight in zip(times, weights / np.linalg.norm(weights), strict=True):
        rng = np.random.default_rng([spec.seed, 8, time + 3])  # seeds must not be negative
        noise += weight * rng.standard_normal(noise.shape)
    rows, columns = (np.arange(side) - shift for side, shift in zip(shape, stage_shift(spec, t), strict=True))
    texture = map_coordinates(
        _granulate(noise), np.meshgrid(rows, columns, indexing="ij"), order=1, mode="grid-wrap", output=np.float32
    )
    return np.asarray(scale * texture)


def draw_debris(spec: MovieSpec, t: int, shape: tuple[int, ...]) -> Image:
    """Return the phase of small bright particles that drift with periodic boundaries."""
    path = np.zeros(shape, np.float32)
    for box, particle in debris_particles(spec, t, shape):
        path[box] += particle
    return path


def debris_particles(
    spec: MovieSpec, t: int, shape: tuple[int, ...]
) -> Iterator[tuple[tuple[slice, slice], NDArray[np.float64]]]:
    """Yield the box around each particle of debris, and its phase there; the order is that of all frames."""
    rng = np.random.default_rng([spec.seed, 5])
    count = rng.poisson(spec.debris * np.prod(shape) / 1e4)
    start = rng.uniform(0, 1, (count, 2)) * shape
    drift = rng.normal(0, 0.3 * spec.speed, (count, 2))
    stage = stage_shift(spec, t)
    size, phase = rng.uniform(1.0, 2.6, count), spec.contrast * rng.uniform(0.4, 1.6, count)
    for (y, x), radius, peak in zip((start + drift * t) % shape + stage, size, phase, strict=True):
        extent = int(4 * radius) + 1
        rows = slice(max(int(y) - extent, 0), max(min(int(y) + extent + 1, shape[0]), 0))
        columns = slice(max(int(x) - extent, 0), max(min(int(x) + extent + 1, shape[1]), 0))
        dy, dx = np.arange(rows.start, rows.stop)[:, None] - y, np.arange(columns.start, columns.stop)[None] - x
        yield (rows, columns), peak * np.exp(-(dy**2 + dx**2) / radius**2 / 2)


def sample(texture: Image, scene: Scene, population: Population, shift: float = 0.0) -> Image:
    """Sample a texture at the material coordinates of each pixel, shifted by some pixels."""
    origin = np.moveaxis((population.texture_origin + shift).astype(np.float32)[scene.nearest], -1, 0)
    return np.asarray(map_coordinates(texture, scene.material + origin, order=1, mode="grid-wrap"))


def per_cell(values: NDArray[np.float64], scene: Scene) -> Image:
    """Map one value per cell to the pixels of the cells; 0 where there is none."""
    return np.where(scene.nearest < 0, np.float32(0), values.astype(np.float32)[scene.nearest])


def _granulate(noise: NDArray[np.float64]) -> Image:
    """Make granules of white noise."""
    fine, coarse = (gaussian_filter(noise, sigma, mode="wrap") for sigma in (1.3, 3.5))
    granules = fine / fine.std() + coarse / coarse.std()
    # Granules are denser than the cytosol, so the distribution is skewed to bright values.
    granules = np.maximum(granules, -0.5) ** 2 * np.sign(granules) + granules
    return _standardise(granules)


def _standardise(image: NDArray[np.float64]) -> Image:
    return ((image - image.mean()) / image.std()).astype(np.float32)
