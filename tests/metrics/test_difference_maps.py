import numpy as np
import pytest

from image_translation.metrics.difference_maps import DifferenceMaps


def frame(value):
    return np.full((2, 3, 4), value, dtype=np.float32)


def test_mean_change_of_every_movie():
    maps = DifferenceMaps({})
    for raw, smooth in [(0, 1), (2, 1), (-1, 2)]:
        maps.add({"raw": frame(raw), "savgol": frame(smooth)})
    change = maps.mean_change()
    np.testing.assert_array_equal(change["raw"], frame(2.5))
    np.testing.assert_array_equal(change["savgol"], frame(0.5))
    assert change["raw"].dtype == np.float32
    assert maps.error_reduction() == {}


def test_error_reduction_is_positive_where_a_method_is_closer_to_the_truth():
    maps = DifferenceMaps({"good": 0.0})
    for t in range(4):
        maps.add({"raw": frame(t + 1), "good": frame(t + 0.25), "bad": frame(t + 2), "truth": frame(t)})
    reduction = maps.error_reduction()
    assert set(reduction) == {"good", "bad"}
    np.testing.assert_array_equal(reduction["good"], frame(0.75))
    np.testing.assert_array_equal(reduction["bad"], frame(-1))


def test_a_delayed_frame_is_compared_with_both_true_frames():
    maps = DifferenceMaps({"window": 0.5})
    for t in range(3):
        window = frame(t + 0.5 if t < 2 else np.nan)
        maps.add({"raw": frame(t + 0.5), "window": window, "truth": frame(t)})
    # |t + .5 - t| and |t + .5 - (t + 1)| are both one half, like the error of raw.
    np.testing.assert_allclose(maps.error_reduction()["window"], frame(0), atol=1e-7)


def test_pixels_that_are_not_finite_are_ignored():
    maps = DifferenceMaps({})
    broken = frame(5)
    broken[0, 0, 0] = np.nan
    for image in (frame(1), frame(np.nan), frame(1), frame(2), broken):
        maps.add({"raw": image})
    change = maps.mean_change()["raw"]
    assert change[0, 0, 0] == 1
    assert change[1, 2, 3] == 2


def test_there_is_no_change_of_less_than_two_frames():
    maps = DifferenceMaps({})
    assert maps.mean_change() == {}
    maps.add({"raw": frame(1)})
    assert maps.mean_change() == {}
    empty = DifferenceMaps({})
    for _ in range(2):
        empty.add({"raw": frame(np.nan), "truth": frame(np.nan)})
    assert np.isnan(empty.mean_change()["raw"]).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_movies_have_an_error_reduction(count):
    maps = DifferenceMaps({})
    for _ in range(count):
        maps.add({"raw": frame(3), "motion": frame(1), "truth": frame(0)})
    np.testing.assert_array_equal(maps.error_reduction()["motion"], frame(2))
