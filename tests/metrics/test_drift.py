import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from image_translation.metrics.drift import DriftEstimator, coarse_contrast


def drift_of(differences, contrast=2.0):
    estimator = DriftEstimator(1)
    for index, difference in differences.items():
        estimator.add(index, np.array([difference]), np.array([contrast]))
    return estimator.drift()[0]


@pytest.mark.parametrize("start", [0, 10**6])
def test_drift_of_a_linear_fade_is_relative_to_the_contrast(start):
    assert drift_of({start + t: -0.1 * t for t in range(11)}) == pytest.approx(-0.5)
    assert drift_of({start + t: -0.1 * t for t in range(11) if t != 4}) == pytest.approx(-0.5)


def test_offset_and_flicker_are_not_drift():
    assert drift_of(dict.fromkeys(range(11), 0.3)) == pytest.approx(0, abs=1e-12)
    assert abs(drift_of({t: 0.1 * (-1) ** t for t in range(101)})) < 0.01


def test_drift_is_unknown_for_four_frames_or_without_contrast():
    assert np.isnan(drift_of({t: t for t in range(4)}))
    assert np.isnan(drift_of({t: t for t in range(9)}, contrast=0.0))


def test_coarse_contrast_follows_the_gain_and_hardly_changes_with_blur():
    image = gaussian_filter(np.random.default_rng(0).normal(size=(1, 200, 200)), (0, 6, 6)).astype(np.float32)
    assert_allclose(coarse_contrast(1.1 * image + 3), 1.1 * coarse_contrast(image), rtol=1e-4)
    assert_allclose(coarse_contrast(gaussian_filter(image, (0, 0.7, 0.7))), coarse_contrast(image), rtol=0.02)
