import numpy as np
import pytest

from image_translation.errors import UsageError
from image_translation.explorer.feature_regression import channel_correlation, predict_scores


def maps(channels: int = 5, side: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(channels, side, side)).astype(np.float32)


def mixed(features: np.ndarray, outputs: int = 3, seed: int = 1) -> np.ndarray:
    weights = np.random.default_rng(seed).normal(size=(outputs, len(features)))
    return np.tensordot(weights, features, 1).astype(np.float32)


def test_linear_functions_of_the_features_are_fully_predicted() -> None:
    features = maps()
    scores, r2 = predict_scores(features, mixed(features) + 3)
    assert r2 == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(scores, mixed(features) + 3, atol=0.02)


def test_unrelated_scores_are_not_predicted_even_from_as_many_channels_as_pixels() -> None:
    for channels, side in ((5, 64), (300, 16)):
        _, r2 = predict_scores(maps(channels, side), maps(3, side, seed=9))
        assert abs(r2) < 0.05


def test_half_of_the_variance_is_predicted_if_half_is_noise() -> None:
    features = maps()
    scores = mixed(features)
    noise = maps(3, seed=5) * scores.std(axis=(1, 2), keepdims=True)
    assert predict_scores(features, scores + noise).r2 == pytest.approx(0.5, abs=0.03)


def test_gain_offset_and_order_of_the_channels_do_not_matter() -> None:
    features, scores = maps(), mixed(maps()) + maps(3, seed=4)
    other = (features * np.array([1e-3, 1, 50, -2, 7])[:, None, None] + 11)[::-1]
    found, r2 = predict_scores(features, scores)
    again, same = predict_scores(other.astype(np.float32), scores)
    assert same == pytest.approx(r2, abs=1e-3)
    np.testing.assert_allclose(again, found, atol=1e-2)


@pytest.mark.parametrize("side", [128, 32])
def test_scores_of_another_size_are_resized(side: int) -> None:
    smooth = np.stack([np.sin((k + 1) * np.linspace(0, 3, side))[:, None] * np.ones(side) for k in range(3)])
    features = np.stack([np.sin((k + 1) * np.linspace(0, 3, 64))[:, None] * np.ones(64) for k in range(3)])
    scores, r2 = predict_scores(features, smooth)
    assert scores.shape == (3, 64, 64)
    assert r2 > 0.99


def test_constant_channels_and_scores() -> None:
    features = maps()
    features[2] = 4
    assert np.isfinite(predict_scores(features, mixed(features)).scores).all()
    assert predict_scores(features, np.zeros((3, 64, 64))).r2 == 1


def test_too_small_maps_are_refused() -> None:
    with pytest.raises(UsageError, match="a map of 7 x 7 pixels is too small"):
        predict_scores(maps(2, 7), maps(1, 7))


def test_channel_correlation() -> None:
    features = maps(20)
    assert channel_correlation(features, features * 3 + 1) == pytest.approx(1)
    assert channel_correlation(features, features + maps(20, seed=3)) == pytest.approx(2**-0.5, abs=0.02)
    assert abs(channel_correlation(features, features[::-1])) < 0.05
    assert channel_correlation(features, features[:5]) == 0
    assert channel_correlation(np.zeros((3, 8, 8)), maps(3, 8)) == 0
