import numpy as np
import pytest

from image_translation.temporal.robust_mean import robust_mean


def equal_weights(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K,) and confidence (K, Y, X) of ones."""
    return np.ones(count, np.float32), np.ones((count, side, side), np.float32)


def test_mean_of_equal_images_is_the_image():
    images = np.broadcast_to(np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32), (5, 40, 40))
    np.testing.assert_allclose(robust_mean(images, *equal_weights(5, 40)), images[0], rtol=1e-5, atol=1e-6)


def test_single_image_is_unchanged():
    image = np.random.default_rng(0).normal(size=(1, 9, 9)).astype(np.float32)
    np.testing.assert_array_equal(robust_mean(image, *equal_weights(1, 9)), image[0])


def test_noise_decreases_as_in_a_mean():
    images = np.random.default_rng(0).normal(size=(7, 100, 100)).astype(np.float32) + 5
    result = robust_mean(images, *equal_weights(*images.shape[:2]))
    assert result.std() < 1.15 / np.sqrt(7)
    assert result.mean() == pytest.approx(5, abs=0.02)


def test_outlier_in_one_image_is_rejected():
    images = np.random.default_rng(0).normal(0, 0.1, size=(7, 100, 100)).astype(np.float32)
    images[3, 40:60, 40:60] += 20
    assert np.abs(robust_mean(images, *equal_weights(*images.shape[:2]))).max() < 0.5


def test_image_without_confidence_is_ignored():
    images = np.zeros((3, 50, 50), np.float32)
    images[:2, ::2] = 1
    images[2] = 100
    weights, confidence = equal_weights(3, 50)
    confidence[2] = 0
    np.testing.assert_allclose(robust_mean(images, weights, confidence), images[0], atol=1e-3)


def test_weights_apply_as_in_a_weighted_mean():
    images = np.random.default_rng(0).normal(0, 0.01, size=(2, 50, 50)).astype(np.float32)
    _, confidence = equal_weights(2, 50)
    result = robust_mean(images, np.array([3, 1], np.float32), confidence)
    np.testing.assert_allclose(result, (3 * images[0] + images[1]) / 4, atol=1e-3)


def test_first_image_prevails_where_the_others_have_no_confidence():
    images = np.random.default_rng(0).normal(size=(7, 60, 60)).astype(np.float32)
    images[0, 20:40, 20:40] += 50
    weights, confidence = equal_weights(7, 60)
    confidence[1:, 16:44, 16:44] = 1e-3
    np.testing.assert_allclose(
        robust_mean(images, weights, confidence)[20:40, 20:40], images[0, 20:40, 20:40], rtol=0.02
    )


def test_constant_images_are_unchanged():
    images = np.full((5, 30, 30), 4, np.float32)
    np.testing.assert_allclose(robust_mean(images, *equal_weights(*images.shape[:2])), 4, rtol=1e-6)
