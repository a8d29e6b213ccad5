import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter, shift
from support.textures import texture

from image_translation.metrics.motion import reduce
from image_translation.metrics.registration import displacements, typical_length


def view(dy: float = 0.0, dx: float = 0.0, seed: int = 0) -> np.ndarray:
    return shift(gaussian_filter(texture(seed, (300, 340)), 2), (dy, dx), order=3)[20:276, 20:308][np.newaxis]


def measure(image: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, float]:
    rigid, local, weights = displacements(reduce(image), reduce(reference))
    return rigid[0], float(typical_length(local, weights)[0])


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (0.3, 0), (-0.2, 0.5), (1, -1)])
def test_a_known_shift_is_found(dy: float, dx: float):
    rigid, local = measure(view(dy, dx), view())
    assert_allclose(rigid, (dy, dx), atol=0.03, rtol=0.12)
    assert local == pytest.approx(np.hypot(dy, dx), abs=0.03, rel=0.12)


def test_a_large_shift_is_not_missed():
    rigid, local = measure(view(0, 5), view())
    assert np.hypot(*rigid) > 1
    assert local > 1


@pytest.mark.parametrize("change", [lambda image: 1.4 * image + 3, lambda image: gaussian_filter(image, (0, 2, 2))])
def test_brightness_and_blur_displace_nothing(change):
    rigid, local = measure(change(view()), view())
    assert np.hypot(*rigid) < 0.03
    assert local < 0.1


def test_opposite_shifts_of_two_halves_are_local_and_not_rigid():
    image = view().copy()
    image[:, :128], image[:, 128:] = view(0, 0.8)[:, :128], view(0, -0.8)[:, 128:]
    rigid, local = measure(image, view())
    assert np.hypot(*rigid) < 0.2
    assert local == pytest.approx(0.8, abs=0.15)


def test_independent_noise_is_a_small_displacement():
    noise = np.random.default_rng(0).normal(0, 0.2 * view().std(), view().shape).astype(np.float32)
    rigid, local = measure(view() + noise, view())
    assert np.hypot(*rigid) < 0.05
    assert local < 0.15


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 50), (1, 40, 40)])
def test_constant_and_small_images_have_an_unknown_displacement(shape: tuple[int, ...]):
    rigid, local, weights = displacements(np.ones(shape, np.float32), np.ones(shape, np.float32))
    assert np.isnan(rigid).all()
    assert np.isnan(typical_length(local, weights)).all()
