import numpy as np
import pytest
from numpy.testing import assert_allclose

from image_translation.temporal.weighted_sums import weighted_sums


@pytest.mark.parametrize("size", [1, 100, 2**15, 2**15 * 8, 2**15 * 17 + 5])
def test_weighted_sums_equal_a_matrix_product(size):
    images = np.random.default_rng(0).normal(size=(2, size)).astype(np.float32)
    weights = np.array([[0.5, 0.5], [1, -2], [0, 3]], dtype=np.float32)
    assert_allclose(weighted_sums(weights, list(images)), weights @ images, atol=1e-5)


def test_no_sums_of_no_images():
    assert weighted_sums(np.empty((0, 0), dtype=np.float32), []) == []
