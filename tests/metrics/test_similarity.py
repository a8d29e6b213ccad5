import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity as reference

from image_translation.metrics.similarity import data_range, structural_similarity


def image(seed):
    return gaussian_filter(np.random.default_rng(seed).normal(size=(2, 40, 51)), (0, 1, 1)).astype(np.float32)


@pytest.mark.parametrize("offset", [0, 3, 500])
def test_ssim_equals_that_of_scikit_image(offset):
    truth = image(0) + np.float32(offset)
    other = truth + 0.5 * image(1)
    spans = data_range(truth)
    expected = [
        reference(a.astype(float), b.astype(float), data_range=span)
        for a, b, span in zip(other, truth, spans, strict=True)
    ]
    assert_allclose(structural_similarity(other, truth, spans), expected, atol=2e-5)
    assert_allclose(structural_similarity(truth, truth, spans), 1, atol=1e-6)


def test_ssim_decreases_with_blur_gain_and_noise():
    truth = image(0)
    spans = data_range(truth)
    for worse in (gaussian_filter(truth, (0, 1.5, 1.5)), 1.5 * truth, truth + image(1)):
        assert structural_similarity(worse.astype(np.float32), truth, spans).max() < 0.97


def test_ssim_needs_a_data_range_and_a_complete_window():
    truth = image(0)
    assert np.isnan(structural_similarity(truth, truth, np.array([0.0, 1.0]))).tolist() == [True, False]
    assert np.isnan(structural_similarity(truth[:, :6], truth[:, :6], np.ones(2))).all()


def test_data_range_ignores_extreme_pixels():
    truth = np.linspace(0, 1, 100_000, dtype=np.float32).reshape(1, 250, 400)
    assert data_range(truth) == pytest.approx(0.998, abs=1e-3)
    truth[0, 0, 0] = 1e6
    assert data_range(truth) == pytest.approx(0.998, abs=1e-3)
