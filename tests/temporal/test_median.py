import numpy as np
import pytest

from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.temporal.filter import apply
from image_translation.temporal.median import MedianFilter, median


@pytest.mark.parametrize("count", range(1, 10))
def test_median_equals_numpy(count):
    stack = np.random.default_rng(count).normal(size=(count, 150, 7)).astype(np.float32)
    before = stack.copy()
    np.testing.assert_allclose(median(stack), np.median(stack, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(stack, before)


def test_median_filter_equals_numpy_over_the_window():
    stain = np.random.default_rng(0).normal(size=(9, 2, 5, 4)).astype(np.float32)
    result = apply(MedianFilter(5), stain)
    for t in range(2, 7):
        np.testing.assert_allclose(result[t], np.median(stain[t - 2 : t + 3], axis=0))
    np.testing.assert_allclose(result[1], np.median(stain[:3], axis=0))
    np.testing.assert_array_equal(result[0], stain[0])
    np.testing.assert_array_equal(result[8], stain[8])


def test_invalid_frames_and_their_mirror_frames_are_excluded():
    stain = np.random.default_rng(0).normal(size=(7, 1, 4, 4)).astype(np.float32)
    stain[2] = np.nan
    result = apply(MedianFilter(5), stain, [True, True, False, True, True, True, True])
    assert np.isnan(result[2]).all()
    np.testing.assert_array_equal(result[3], np.median(stain[[1, 3, 5]], axis=0))


def test_linear_ramp_has_no_lag():
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32)[:, np.newaxis, np.newaxis, np.newaxis], (9, 1, 3, 3))
    np.testing.assert_array_equal(apply(MedianFilter(5), ramp), ramp)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_short_movies_keep_their_length(count):
    stain = np.random.default_rng(0).normal(size=(count, 1, 6, 6)).astype(np.float32)
    result = apply(MedianFilter(), stain)
    assert result.shape == stain.shape
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result[[0, -1]], stain[[0, -1]])


def test_input_is_not_modified():
    stain = np.random.default_rng(0).normal(size=(6, 1, 6, 6)).astype(np.float32)
    stain.flags.writeable = False
    apply(MedianFilter(), stain)


def test_frames_out_of_order_are_an_error():
    temporal_filter = MedianFilter()
    data = np.zeros((1, 4, 4), np.float32)
    temporal_filter.push(Frame(0, data))
    with pytest.raises(ValueError, match="frame 2 was pushed instead of frame 1"):
        temporal_filter.push(Frame(2, data))


@pytest.mark.parametrize("window", [-3, 0, 4])
def test_even_or_negative_window_is_an_error(window):
    with pytest.raises(UsageError, match=f"--median-window {window}: must be an odd number"):
        MedianFilter(window)
