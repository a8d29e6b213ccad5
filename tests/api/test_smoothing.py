"""`smooth`: the filters of the command on arrays."""

from typing import Any

import numpy as np
import pytest

from image_translation import UsageError, smooth, stain
from image_translation.api.networks import Network

MOVIE = np.random.default_rng(0).normal(size=(9, 2, 40, 36)).astype(np.float32)


def test_filters_are_those_of_the_command(movie: Any, network: Network) -> None:
    stained = stain(movie, network, smooth=("motion", "savgol", "window"), savgol_window=5, channel="channel_0")
    np.testing.assert_array_equal(smooth(stained.raw, stained.phase), stained["motion"])
    np.testing.assert_array_equal(smooth(stained.raw, method="savgol", window=5), stained["savgol"])
    np.testing.assert_array_equal(smooth(stained.raw, method="window"), stained["window"])


def test_the_axes_are_kept() -> None:
    flat = smooth(MOVIE[:, 0], method="savgol", window=5)
    assert flat.shape == (9, 40, 36)
    np.testing.assert_array_equal(flat, smooth(MOVIE, method="savgol", window=5)[:, 0])
    stack = np.stack([MOVIE, -MOVIE], axis=2)
    np.testing.assert_array_equal(smooth(stack, method="median")[:, :, 1], smooth(-MOVIE, method="median"))


def test_a_ramp_has_no_lag() -> None:
    ramp = np.arange(9, dtype=np.float64)[:, None, None] * np.ones((1, 5, 6))
    np.testing.assert_allclose(smooth(ramp, method="savgol", window=5), ramp, atol=1e-5)


def test_invalid_frames_stay_marked_and_are_averaged_into_none() -> None:
    movie = np.ones((9, 5, 6), np.float32)
    movie[3] = 1000
    valid = np.arange(9) != 3
    smoothed = smooth(movie, method="window", window=3, valid=valid)
    assert np.isnan(smoothed[3]).all()
    np.testing.assert_array_equal(smoothed[valid], 1)
    movie[3] = np.nan
    np.testing.assert_array_equal(smooth(movie, method="window", window=3), smoothed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "blur"}, "no method 'blur'; choose one of window"),
        ({"method": "savgol", "sigma": 1}, "savgol has no parameter 'sigma'; it has window, polyorder"),
        ({}, "motion follows the motion in the phase"),
        ({"phase": MOVIE[:, 0, :9]}, r"the phase has shape \(9, 9, 36\); the stain needs \(9, 40, 36\): T, Y, X"),
        ({"method": "window", "valid": [True]}, r"valid has shape \(1,\); the stain needs \(9,\)"),
        ({"method": "savgol", "window": 11}, "savgol needs 11 valid frames, and there are 9 of 9"),
        ({"method": "savgol", "window": 4}, "4"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        smooth(MOVIE, **arguments)


@pytest.mark.parametrize("stain", [MOVIE[0, 0], MOVIE[:0], MOVIE.astype(complex), np.array("text")])
def test_what_is_no_movie_is_refused(stain: Any) -> None:
    with pytest.raises(UsageError, match="the stain has shape"):
        smooth(stain, method="savgol")
