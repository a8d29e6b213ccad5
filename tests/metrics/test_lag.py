from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

from image_translation.metrics.lag import LagEstimator, thumbnail


def thumbnails(n_frames, n_channels=2):
    rng = np.random.default_rng(0)
    return [thumbnail(rng.normal(size=(n_channels, 30, 40)).astype(np.float32)) for _ in range(n_frames)]


def lag_of(movie, reference):
    estimator = LagEstimator(2)
    for index, values in enumerate(reference):
        estimator.add_reference(index, values)
    for index, values in enumerate(movie):
        estimator.add(index, values)
    return estimator.lag()


def test_thumbnail_is_the_standardised_block_mean():
    image = np.random.default_rng(0).normal(size=(2, 130, 200)).astype(np.float32)
    blocks = image[:, :129, :200].reshape(2, 43, 3, 50, 4).mean(axis=(2, 4)).reshape(2, -1)
    blocks -= blocks.mean(axis=1, keepdims=True)
    blocks /= np.linalg.norm(blocks, axis=1, keepdims=True)
    assert_allclose(thumbnail(image), blocks, atol=1e-6)


def test_thumbnail_of_a_constant_channel_is_nan():
    image = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    image[0] = 0.1
    assert np.isnan(thumbnail(image)).all(axis=1).tolist() == [True, False]


@pytest.mark.parametrize("shift", [-2, -1, 0, 1, 2])
def test_movie_late_by_an_integer_number_of_frames(shift):
    frames = thumbnails(24)
    reference = frames[2:-2]
    late = frames[2 - shift : len(frames) - 2 - shift]
    assert_allclose(lag_of(late, reference), shift, atol=0.02)


def test_mean_of_each_frame_and_the_next_is_half_a_frame_early():
    frames = thumbnails(20)
    pairs = [(a + b) / np.linalg.norm(a + b, axis=1, keepdims=True) for a, b in pairwise(frames)]
    assert_allclose(lag_of(pairs, frames), -0.5, atol=0.02)


def test_still_movie_has_no_lag():
    frames = thumbnails(1) * 10
    assert_allclose(lag_of(frames, frames), 0)


def test_invalid_frames_are_ignored():
    frames = thumbnails(20)
    broken = [None if index in {4, 11} else values for index, values in enumerate(frames)]
    assert_allclose(lag_of([None, *frames[:-1]], broken), 1, atol=0.02)


@pytest.mark.parametrize("n_frames", [0, 1, 4])
def test_short_movie_has_no_lag(n_frames):
    frames = thumbnails(n_frames)
    assert np.isnan(lag_of(frames, frames)).all()


def test_constant_channel_has_no_lag_and_does_not_affect_the_other():
    frames = thumbnails(8)
    for values in frames:
        values[0] = np.nan
    assert_allclose(lag_of(frames, frames), [np.nan, 0], atol=0.02)


def test_thumbnails_are_released():
    estimator = LagEstimator(1)
    for index, values in enumerate(thumbnails(50, n_channels=1)):
        estimator.add_reference(index, values)
        estimator.add(index, values)
        assert len(estimator._reference) <= 5
        assert len(estimator._frames) <= 2


def wave(position):
    """Draw a smooth pattern at a position, as thumbnail of one channel."""
    x = np.arange(64)
    image = sum(np.cos(2 * np.pi * k * (x - position) / 64 + k * k) for k in range(1, 6))
    return thumbnail(np.tile(image.astype(np.float32), (1, 8, 1)))


def test_error_is_the_spread_of_the_lags_of_movies_with_jitter():
    lags, errors = [], []
    for seed in range(60):
        jitter = np.random.default_rng(seed).normal(0, 0.5, 30)
        estimator = LagEstimator(1)
        for t in range(30):
            estimator.add_reference(t, wave(2.0 * t + jitter[t]))
            estimator.add(t, wave(2.0 * t))
        lags.append(estimator.lag()[0])
        errors.append(estimator.error()[0])
    assert abs(np.mean(lags)) < 0.02
    assert 0.5 < np.mean(errors) / np.std(lags) < 2


def test_movies_without_jitter_have_a_small_error():
    estimator = LagEstimator(1)
    for t in range(30):
        estimator.add_reference(t, wave(2.0 * t))
        estimator.add(t, wave(2.0 * t))
    assert estimator.error()[0] < 0.02
    assert np.isnan(LagEstimator(1).error()).all()
