import weakref

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.temporal.filter import apply
from image_translation.temporal.linear import moving_average
from image_translation.temporal.median import MedianFilter
from image_translation.temporal.motion_filter import MotionFilter, causal, centred

SIDE = 128


def texture(seed: int, sigma: float = 2.5) -> np.ndarray:
    image = gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE + 80, SIDE + 80)), sigma)
    return (image / image.std()).astype(np.float32)


def moving(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The view of a large image that moves to each place (y, x) in turn: (T, Y, X)."""
    views = [shift(image, place, order=3, mode="nearest")[40:-40, 40:-40] for place in places]
    return np.array(views, np.float32)


def movie(n_frames: int = 12, velocity: float = 2.0, shakes: np.ndarray | None = None):
    """Phase (T, Y, X) and true stain (T, 1, Y, X) of a tissue that moves as a whole."""
    places = np.arange(n_frames)[:, np.newaxis] * np.array([0.5, 1.0]) * velocity - velocity * n_frames / 2
    seen = places if shakes is None else places + shakes
    return moving(texture(1), seen), moving(texture(2), seen)[:, np.newaxis], moving(texture(2), places)[:, np.newaxis]


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values[..., 12:-12, 12:-12]))))


def test_a_still_movie_is_unchanged():
    image = texture(1)[:SIDE, :SIDE]
    stain = np.broadcast_to(texture(2)[:SIDE, :SIDE], (9, 1, SIDE, SIDE))
    result = apply(MotionFilter(), stain, phase=np.broadcast_to(image, (9, SIDE, SIDE)))
    assert np.abs(result - stain)[..., 8:-8, 8:-8].max() < 0.02


def test_flicker_goes_and_detail_stays_where_all_moves():
    phase, stain, _ = movie()
    noisy = stain + np.random.default_rng(0).normal(0, 0.3, stain.shape).astype(np.float32)
    steady = apply(MotionFilter(), noisy, phase=phase)
    naive = apply(moving_average(7), noisy)
    assert rms(steady - stain) < 0.55 * rms(noisy - stain)
    assert rms(naive - stain) > rms(noisy - stain)


def test_the_ends_are_filtered_too():
    phase, stain, _ = movie()
    noisy = stain + np.random.default_rng(0).normal(0, 0.3, stain.shape).astype(np.float32)
    steady = apply(MotionFilter(), noisy, phase=phase)
    for end in (0, -1):
        assert rms(steady[end] - stain[end]) < 0.75 * rms(noisy[end] - stain[end])


def test_shake_is_taken_out_or_left_in():
    shakes = np.random.default_rng(3).normal(0, 0.8, (16, 2))
    phase, stain, still = movie(16, 1.0, shakes)
    without = apply(MotionFilter(), stain, phase=phase)
    kept = apply(MotionFilter(keep_shake=True), stain, phase=phase)
    inner = slice(2, -2)
    assert rms(kept[inner] - stain[inner]) < 0.1
    assert rms(without[inner] - still[inner]) < 0.6 * rms(stain[inner] - still[inner])


def test_a_jump_of_the_stage_is_kept_and_nothing_is_mixed_over_it():
    phase, stain, _ = movie(8, 0.0)
    other_phase, other = moving(texture(11), np.zeros((8, 2))), moving(texture(12), np.zeros((8, 2)))[:, np.newaxis]
    joined = np.concatenate([stain, other])
    result = apply(MotionFilter(), joined, phase=np.concatenate([phase, other_phase]))
    own = [rms(result[t] - joined[t]) for t in (7, 8)]
    mixed = [rms((stain[0] + other[0]) / 2 - joined[t]) for t in (7, 8)]
    assert max(own) < 0.3 * min(mixed)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_short_movies(count):
    phase, stain, _ = movie(count)
    for temporal_filter in (MotionFilter(), causal(1), causal(0), MedianFilter()):
        result = apply(temporal_filter, stain, phase=phase)
        assert result.shape == stain.shape
        assert rms(result - stain) < (0.2 if temporal_filter.name != "median" else 2)
    if count == 1:
        np.testing.assert_array_equal(apply(MotionFilter(), stain, phase=phase), stain)


def test_dropped_frames_are_never_read():
    phase, stain, _ = movie(11)
    valid = np.ones(11, bool)
    valid[[0, 4, 5]] = False
    dropped_phase, dropped = phase.copy(), stain.copy()
    dropped_phase[~valid] = np.nan
    dropped[~valid] = np.nan
    result = apply(MotionFilter(), dropped, valid, phase=dropped_phase)
    assert np.isnan(result[~valid]).all()
    assert np.isfinite(result[valid]).all()
    assert rms(result[valid] - stain[valid]) < 0.15


def test_a_movie_without_a_valid_frame():
    stain = np.full((5, 1, 20, 20), np.nan, np.float32)
    result = apply(MotionFilter(), stain, np.zeros(5, bool), phase=stain[:, 0])
    assert np.isnan(result).all()


def test_a_step_of_the_lamp_does_not_matter():
    phase, stain, _ = movie(10)
    lit = phase.copy()
    lit[5:] = 1.5 * lit[5:] + 3
    np.testing.assert_allclose(
        apply(MotionFilter(), stain, phase=lit)[..., 8:-8, 8:-8],
        apply(MotionFilter(), stain, phase=phase)[..., 8:-8, 8:-8],
        atol=0.15,
    )


def test_what_appears_appears_at_once_and_not_before():
    y, x = np.indices((SIDE, SIDE))
    ground = 0.05 * texture(5)[:SIDE, :SIDE]
    cell = np.exp(-((y - 48) ** 2 + (x - 48) ** 2) / (2 * 7**2)).astype(np.float32)
    there = np.arange(12) >= 6
    phase = ground + 3 * there[:, np.newaxis, np.newaxis] * cell * (1 + 0.3 * texture(6)[:SIDE, :SIDE])
    stain = (there[:, np.newaxis, np.newaxis] * cell)[:, np.newaxis]
    result = apply(MotionFilter(), stain, phase=phase.astype(np.float32))
    brightness = result[:, 0, 44:53, 44:53].mean(axis=(1, 2)) / cell[44:53, 44:53].mean()
    assert brightness[:6].max() < 0.05
    assert brightness[6:].min() > 0.9


def test_a_single_odd_prediction_is_put_right():
    phase, stain, _ = movie(11)
    odd = stain.copy()
    odd[5, 0, 40:56, 40:56] += 8
    result = apply(MotionFilter(), odd, phase=phase)
    assert rms(result[5] - stain[5]) < 0.15 * rms(odd[5] - stain[5])


def test_another_movie_may_follow_and_gives_the_same():
    phase, stain, _ = movie(9)
    temporal_filter = MotionFilter()
    first = apply(temporal_filter, stain, phase=phase)
    np.testing.assert_array_equal(apply(temporal_filter, stain, phase=phase), first)


def test_frames_come_out_in_order_and_the_first_may_have_any_number():
    phase, stain, _ = movie(9)
    temporal_filter, indices = MotionFilter(), []
    for t in range(9):
        indices += [frame.index for frame in temporal_filter.push(Frame(t + 40, stain[t], phase=phase[t]))]
    assert indices == list(range(40, 45))
    assert [frame.index for frame in temporal_filter.flush()] == list(range(45, 49))


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_causal_waits_for_its_lag_and_no_longer(lag):
    phase, stain, _ = movie(10)
    temporal_filter = causal(lag)
    for t in range(10):
        ready = temporal_filter.push(Frame(t, stain[t], phase=phase[t]))
        assert [frame.index for frame in ready] == [t - lag] * (t >= lag)


def test_causal_does_not_know_the_future():
    phase, stain, _ = movie(12)
    whole = apply(causal(1), stain, phase=phase)
    part = apply(causal(1), stain[:8], phase=phase[:8])
    np.testing.assert_array_equal(whole[:7], part[:7])


def test_memory_is_that_of_the_window():
    phase, stain, _ = movie(24)
    temporal_filter, alive = MotionFilter(), []
    for t in range(24):
        data = stain[t].copy()
        alive.append(weakref.ref(data))
        temporal_filter.push(Frame(t, data, phase=phase[t]))
        del data
        assert sum(one() is not None for one in alive) <= 10
    assert temporal_filter.planes(1) < 200


def test_frames_are_not_written_to():
    phase, stain, _ = movie(6)
    for array in (phase, stain):
        array.flags.writeable = False
    apply(MotionFilter(), stain, phase=phase)
    apply(MedianFilter(), stain)


def test_all_channels_are_carried_along():
    phase, stain, _ = movie(8)
    pair = np.concatenate([stain, -2 * stain], axis=1)
    result = apply(MotionFilter(), pair, phase=phase)
    np.testing.assert_allclose(result[:, 1], -2 * result[:, 0], atol=1e-4)


def test_wrong_order_and_missing_phase():
    phase, stain, _ = movie(3)
    temporal_filter = MotionFilter()
    temporal_filter.push(Frame(0, stain[0], phase=phase[0]))
    with pytest.raises(ValueError, match="frame 2 came where frame 1 was due"):
        temporal_filter.push(Frame(2, stain[2], phase=phase[2]))
    with pytest.raises(ValueError, match="frame 0 has no phase"):
        MotionFilter().push(Frame(0, stain[0]))
    median_filter = MedianFilter()
    median_filter.push(Frame(0, stain[0]))
    with pytest.raises(ValueError, match="frame 2 does not follow frame 0"):
        median_filter.push(Frame(2, stain[2]))


def test_wrong_windows():
    for window in (1, 2, 8, -3):
        with pytest.raises(UsageError, match=f"--motion-window {window}: must be an odd number of frames, 3 or more"):
            centred(window)
    with pytest.raises(UsageError, match="--causal-lag -1"):
        causal(-1)
    with pytest.raises(UsageError, match="--median-window 4"):
        MedianFilter(4)
    with pytest.raises(UsageError, match="must be at least 1 and 0"):
        MotionFilter(before=0)
    with pytest.raises(UsageError, match="does not reach"):
        MotionFilter(after=3, lookahead=1)


def test_median_is_that_of_the_window():
    stain = np.random.default_rng(0).normal(size=(9, 2, 5, 4)).astype(np.float32)
    result = apply(MedianFilter(5), stain)
    for t in range(2, 7):
        np.testing.assert_allclose(result[t], np.median(stain[t - 2 : t + 3], axis=0))
    np.testing.assert_allclose(result[1], np.median(stain[:3], axis=0))
    np.testing.assert_array_equal(result[0], stain[0])
    np.testing.assert_array_equal(result[8], stain[8])


def test_median_leaves_out_invalid_frames_and_their_opposites():
    stain = np.random.default_rng(0).normal(size=(7, 1, 4, 4)).astype(np.float32)
    stain[2] = np.nan
    result = apply(MedianFilter(5), stain, [True, True, False, True, True, True, True])
    assert np.isnan(result[2]).all()
    np.testing.assert_array_equal(result[3], np.median(stain[[1, 3, 5]], axis=0))


def test_median_of_a_ramp_has_no_lag():
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32)[:, np.newaxis, np.newaxis, np.newaxis], (9, 1, 3, 3))
    np.testing.assert_array_equal(apply(MedianFilter(5), ramp), ramp)
