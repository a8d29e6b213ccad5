import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter, laplace

from image_translation.metrics.correlation import describe, pearson, pearson_at, ratio


def random_image(seed, shape=(2, 40, 50)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("offset", [0, 2.5, 1e4, -1e4])
@pytest.mark.parametrize("shape", [(1, 2, 2), (2, 17, 33), (1, 128, 64), (1, 300, 301)])
def test_pearson_equals_numpy_in_float64(offset, shape):
    common = random_image(0, shape)
    first = common + random_image(1, shape) + np.float32(offset)
    second = 0.1 * (common - random_image(2, shape)) + np.float32(offset)
    expected = [
        np.corrcoef(a.ravel().astype(np.float64), b.ravel().astype(np.float64))[0, 1]
        for a, b in zip(first, second, strict=True)
    ]
    assert_allclose(pearson(describe(first), describe(second)), expected, atol=2e-6)


@pytest.mark.parametrize("offset", [0, 1.9, 2.1, 1e4])
def test_norm_is_about_the_mean(offset):
    image = random_image(0) + np.float32(offset)
    centred = image.astype(np.float64) - image.mean(axis=(1, 2), dtype=np.float64, keepdims=True)
    assert_allclose(describe(image).norm, np.sqrt((centred**2).sum(axis=(1, 2))), rtol=1e-5)


def test_pearson_of_an_image_with_itself_scaled_and_negated():
    image = describe(random_image(0))
    assert_allclose(pearson(image, image), 1, atol=1e-12)
    assert_allclose(pearson(image, describe(3 * random_image(0) + 7)), 1, atol=1e-6)
    assert_allclose(pearson(image, describe(-random_image(0))), -1, atol=1e-6)


def test_pearson_of_images_with_and_without_an_offset():
    first, second = random_image(0), random_image(0) + random_image(1) + np.float32(1e3)
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, second.astype(np.float64), strict=True)]
    assert_allclose(pearson(describe(first), describe(second)), expected, atol=2e-6)


@pytest.mark.parametrize("value", [0, 0.1, -1e-3, 12345.678])
def test_pearson_with_a_constant_channel_is_nan(value):
    image = random_image(0)
    image[1] = value
    correlation = pearson(describe(image), describe(random_image(0)))
    assert_allclose(correlation, [1, np.nan], atol=1e-6)


@pytest.mark.parametrize("value", [0.1, 12345.678, -7.7e-9, 3.3e12])
def test_norm_of_a_large_constant_is_zero(value):
    assert describe(np.full((1, 301, 307), value, dtype=np.float32)).norm == [0]


def test_laplacian_energy_is_that_of_the_five_point_laplacian_of_the_interior():
    image = random_image(0, (1, 275, 21)) + 100
    expected = (laplace(image[0].astype(np.float64))[1:-1, 1:-1] ** 2).sum()
    assert_allclose(describe(image).laplacian_energy, [expected], rtol=1e-5)


def test_laplacian_energy_decreases_with_blur():
    image = random_image(0)
    blurred = [gaussian_filter(image, (0, sigma, sigma)) for sigma in (0.0, 0.5, 1.0, 2.0)]
    energies = [describe(version).laplacian_energy[0] for version in blurred]
    assert energies == sorted(energies, reverse=True)
    assert energies[-1] < 0.01 * energies[0]


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 9), (1, 9, 2), (1, 9, 1)])
def test_laplacian_energy_is_zero_without_interior(shape):
    assert describe(random_image(0, shape)).laplacian_energy == [0]


def test_pearson_over_some_pixels_equals_numpy():
    first, second = random_image(0, (2, 40, 51)) + 100, random_image(0, (2, 40, 51)) + random_image(1, (2, 40, 51))
    where = np.random.default_rng(2).random((40, 51)) < 0.3
    expected = [
        np.corrcoef(a[where].astype(float), b[where].astype(float))[0, 1] for a, b in zip(first, second, strict=True)
    ]
    assert_allclose(pearson_at(first, second, np.flatnonzero(where)), expected, atol=1e-9)
    assert np.isnan(pearson_at(first, second, np.arange(29))).all()
    assert np.isnan(pearson_at(first * 0, second, np.flatnonzero(where))).all()


def test_ratio_is_nan_without_a_positive_denominator():
    found = ratio(np.array([[1.0], [3.0]]), np.array([2.0, 0.0, -1.0, np.nan]))
    assert_allclose(found, [[0.5, np.nan, np.nan, np.nan], [1.5, np.nan, np.nan, np.nan]])
