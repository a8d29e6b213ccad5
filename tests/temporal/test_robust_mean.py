import numpy as np
import pytest

from image_translation.temporal.median import median
from image_translation.temporal.robust_mean import robust_mean


def trusted(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(count, np.float32), np.ones((count, side, side), np.float32)


@pytest.mark.parametrize("count", range(1, 10))
def test_median_is_that_of_numpy(count):
    stack = np.random.default_rng(count).normal(size=(count, 150, 7)).astype(np.float32)
    before = stack.copy()
    np.testing.assert_allclose(median(stack), np.median(stack, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(stack, before)


def test_equal_images_are_their_mean():
    images = np.broadcast_to(np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32), (5, 40, 40))
    np.testing.assert_allclose(robust_mean(images, *trusted(5, 40)), images[0], rtol=1e-5, atol=1e-6)


def test_one_image_is_itself():
    image = np.random.default_rng(0).normal(size=(1, 9, 9)).astype(np.float32)
    np.testing.assert_array_equal(robust_mean(image, *trusted(1, 9)), image[0])


def test_noise_goes_down_as_in_a_mean():
    images = np.random.default_rng(0).normal(size=(7, 100, 100)).astype(np.float32) + 5
    result = robust_mean(images, *trusted(*images.shape[:2]))
    assert result.std() < 1.15 / np.sqrt(7)
    assert result.mean() == pytest.approx(5, abs=0.02)


def test_what_one_image_alone_shows_does_not_count():
    images = np.random.default_rng(0).normal(0, 0.1, size=(7, 100, 100)).astype(np.float32)
    images[3, 40:60, 40:60] += 20
    assert np.abs(robust_mean(images, *trusted(*images.shape[:2]))).max() < 0.5


def test_an_image_without_trust_does_not_count():
    images = np.zeros((3, 50, 50), np.float32)
    images[:2, ::2] = 1
    images[2] = 100
    weights, trust = trusted(3, 50)
    trust[2] = 0
    np.testing.assert_allclose(robust_mean(images, weights, trust), images[0], atol=1e-3)


def test_weights_are_those_of_a_mean():
    images = np.random.default_rng(0).normal(0, 0.01, size=(2, 50, 50)).astype(np.float32)
    _, trust = trusted(2, 50)
    result = robust_mean(images, np.array([3, 1], np.float32), trust)
    np.testing.assert_allclose(result, (3 * images[0] + images[1]) / 4, atol=1e-3)


def test_where_others_cannot_be_trusted_the_first_stands_alone():
    images = np.random.default_rng(0).normal(size=(7, 60, 60)).astype(np.float32)
    images[0, 20:40, 20:40] += 50
    weights, trust = trusted(7, 60)
    trust[1:, 16:44, 16:44] = 1e-3
    np.testing.assert_allclose(robust_mean(images, weights, trust)[20:40, 20:40], images[0, 20:40, 20:40], rtol=0.02)


def test_constant_images_are_left_alone():
    images = np.full((5, 30, 30), 4, np.float32)
    np.testing.assert_allclose(robust_mean(images, *trusted(*images.shape[:2])), 4, rtol=1e-6)
