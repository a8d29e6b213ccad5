import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from image_translation.metrics.correlation import describe
from image_translation.metrics.reference import blur, match_intensity, match_resolution


def image(seed=0):
    return gaussian_filter(np.random.default_rng(seed).normal(size=(2, 64, 70)), (0, 1, 1)).astype(np.float32)


@pytest.mark.parametrize("gain", [0.6, 1, 1.9])
def test_truth_of_similar_contrast_is_not_converted(gain):
    raw, truth = image(), np.float32(gain) * image(1) + 3
    scale = match_intensity(describe(raw), describe(truth))
    assert scale.convert(truth) is truth


@pytest.mark.parametrize("gain", [0.01, 1000])
def test_truth_in_another_unit_gets_the_mean_and_contrast_of_raw(gain):
    raw, truth = image() + 5, np.float32(gain) * image(1) + 100
    scale = match_intensity(describe(raw), describe(truth))
    converted = scale.convert(truth)
    assert_allclose(converted.mean(axis=(1, 2)), raw.mean(axis=(1, 2)), rtol=1e-3)
    assert_allclose(converted.std(axis=(1, 2)), raw.std(axis=(1, 2)), rtol=1e-3)
    low, high = np.percentile(converted, (0.1, 99.9), axis=(1, 2))
    assert_allclose(scale.value_range, high - low, rtol=1e-3)


@pytest.mark.parametrize("sigma", [0, 1, 2.5])
def test_resolution_of_a_blurred_truth_is_recovered(sigma):
    truth = image()
    assert match_resolution(describe(blur(truth, [sigma])), describe(truth)).tolist() == [sigma, sigma]


def test_channels_are_blurred_separately():
    blurred = blur(image(), [0, 2])
    assert_allclose(blurred[0], image()[0])
    assert blurred[1].std() < 0.6 * image()[1].std()
