import numpy as np
import pytest
from numpy.testing import assert_allclose

from image_translation.errors import UsageError
from image_translation.explorer.colours import composite, contrast_limits, to_rgb


def test_three_components_are_red_green_and_blue():
    scores = np.array([-1.0, 0.0, 1.0, 2.0, 5.0]).reshape(1, 1, 5).repeat(3, axis=0)
    contrast = np.array([[0.0, 2.0], [-1.0, 1.0], [0.0, 5.0]])
    red, green, blue = to_rgb(scores, contrast)[0].T
    assert red.tolist() == [0, 0, 128, 255, 255]
    assert green.tolist() == [0, 128, 255, 255, 255]
    assert blue.tolist() == [0, 0, 51, 102, 255]


def test_contrast_limits_are_percentiles_of_all_maps_and_robust_to_a_hot_pixel():
    first, second = np.arange(101.0).reshape(1, 1, 101), np.arange(101.0, 202).reshape(1, 1, 101)
    assert_allclose(contrast_limits([first, second]), [[2.01, 198.99]])
    assert_allclose(contrast_limits([first], 0, 100), [[0, 100]])
    hot = np.concatenate([first, second], axis=2)
    hot[0, 0, 201], hot[0, 0, 50] = 1e6, np.nan
    assert contrast_limits([hot])[0, 1] < 201
    rare = np.zeros((1, 30, 30))
    rare[0, 3, 4] = 2
    assert contrast_limits([rare]).tolist() == [[0, 2]]


def test_a_composite_adds_blue_and_orange():
    ramp = np.linspace(0, 1, 5).reshape(1, 5)
    zero = np.zeros((1, 5))
    contrast = np.array([[0.0, 1.0], [0.0, 1.0]])
    assert composite([ramp, zero], contrast=contrast)[0, -1].tolist() == [0, 128, 255]
    assert composite([zero, ramp], contrast=contrast)[0, -1].tolist() == [255, 128, 0]
    assert composite([ramp, ramp], contrast=contrast)[0, :, 0].tolist() == [0, 64, 128, 191, 255]
    assert composite([ramp, ramp])[0, -1].tolist() == [255, 255, 255]
    assert (composite([zero + 7, zero]) == 0).all()
    holes = ramp.copy()
    holes[0, 4] = np.nan
    assert composite([ramp, holes])[0, 4].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: contrast_limits([np.zeros((3, 2, 2)), np.zeros((2, 2, 2))]), r"\[2, 3\]"),
        (lambda: composite([np.zeros((2, 2))], ["puce"]), "puce.*blue, orange"),
        (lambda: composite([np.zeros((2, 2))] * 3), "3 channels"),
    ],
)
def test_errors_name_the_values(call, words):
    with pytest.raises(UsageError, match=words):
        call()
