import tracemalloc
import weakref

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.temporal.filter import apply
from image_translation.temporal.linear import moving_average
from image_translation.temporal.motion_filter import MotionFilter, causal, centred

SIDE = 128


def texture(seed: int, sigma: float = 2.5) -> np.ndarray:
    image = gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE + 80, SIDE + 80)), sigma)
    return (image / image.std()).astype(np.float32)


def shifted_views(image: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Central crops of an image that is shifted by each (y, x) in turn: (T, Y, X)."""
    views = [shift(image, position, order=3, mode="nearest")[40:-40, 40:-40] for position in positions]
    return np.array(views, np.float32)


def movie(n_frames: int = 12, velocity: float = 2.0, jitter: np.ndarray | None = None):
    """Phase (T, Y, X) and stain (T, 1, Y, X) of a tissue in uniform translation, with jitter of the stage."""
    positions = np.arange(n_frames)[:, np.newaxis] * np.array([0.5, 1.0]) * velocity - velocity * n_frames / 2
    seen = positions if jitter is None else positions + jitter
    return shifted_views(texture(1), seen), shifted_views(texture(2), seen)[:, np.newaxis]


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values[..., 12:-12, 12:-12]))))


def test_static_movie_is_unchanged():
    image = texture(1)[:SIDE, :SIDE]
    stain = np.broadcast_to(texture(2)[:SIDE, :SIDE], (9, 1, SIDE, SIDE))
    result = apply(MotionFilter(), stain, phase=np.broadcast_to(image, (9, SIDE, SIDE)))
    assert np.abs(result - stain)[..., 8:-8, 8:-8].max() < 0.02


def test_flicker_is_reduced_and_detail_kept_in_a_moving_movie():
    phase, stain = movie()
    noisy = stain + np.random.default_rng(0).normal(0, 0.3, stain.shape).astype(np.float32)
    filtered = apply(MotionFilter(), noisy, phase=phase)
    naive = apply(moving_average(7), noisy)
    assert rms(filtered - stain) < 0.55 * rms(noisy - stain)
    assert rms(naive - stain) > rms(noisy - stain)


def test_first_and_last_frames_are_filtered():
    phase, stain = movie()
    noisy = stain + np.random.default_rng(0).normal(0, 0.3, stain.shape).astype(np.float32)
    filtered = apply(MotionFilter(), noisy, phase=phase)
    for end in (0, -1):
        assert rms(filtered[end] - stain[end]) < 0.75 * rms(noisy[end] - stain[end])


def test_no_frame_is_displaced():
    jitter = np.random.default_rng(3).normal(0, 0.8, (16, 2))
    phase, stain = movie(16, 1.0, jitter)
    result = apply(MotionFilter(), stain, phase=phase)
    assert rms(result - stain) < 0.1
    noisy = stain + np.random.default_rng(0).normal(0, 0.3, stain.shape).astype(np.float32)
    assert rms(apply(MotionFilter(), noisy, phase=phase) - stain) < 0.6 * rms(noisy - stain)


def test_stage_jump_is_kept_and_not_averaged_across():
    phase, stain = movie(8, 0.0)
    other_phase = shifted_views(texture(11), np.zeros((8, 2)))
    other = shifted_views(texture(12), np.zeros((8, 2)))[:, np.newaxis]
    joined = np.concatenate([stain, other])
    result = apply(MotionFilter(), joined, phase=np.concatenate([phase, other_phase]))
    own = [rms(result[t] - joined[t]) for t in (7, 8)]
    mixed = [rms((stain[0] + other[0]) / 2 - joined[t]) for t in (7, 8)]
    assert max(own) < 0.3 * min(mixed)


def test_ends_are_kept_where_the_adjacent_frame_shows_that_neighbours_do_not_help():
    """The stain moves against the phase, so that each neighbour shows it in another place."""
    phase, _ = movie(8, 0.0)
    stain = shifted_views(texture(2), np.linspace(-3.5, 3.5, 8)[:, np.newaxis] * (0, 1))[:, np.newaxis]
    for temporal_filter in (MotionFilter(), causal(0)):
        result = apply(temporal_filter, stain, phase=phase)
        for t in (0, -1):
            assert rms(result[t] - stain[t]) < 0.1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_short_movies(count):
    phase, stain = movie(count)
    for temporal_filter in (MotionFilter(), causal(1), causal(0)):
        result = apply(temporal_filter, stain, phase=phase)
        assert result.shape == stain.shape
        assert rms(result - stain) < 0.2
    if count == 1:
        np.testing.assert_array_equal(apply(MotionFilter(), stain, phase=phase), stain)


def test_invalid_frames_are_never_read():
    phase, stain = movie(11)
    valid = np.ones(11, bool)
    valid[[0, 4, 5]] = False
    dropped_phase, dropped = phase.copy(), stain.copy()
    dropped_phase[~valid] = np.nan
    dropped[~valid] = np.nan
    result = apply(MotionFilter(), dropped, valid, phase=dropped_phase)
    assert np.isnan(result[~valid]).all()
    assert np.isfinite(result[valid]).all()
    assert rms(result[valid] - stain[valid]) < 0.15


def test_movie_without_valid_frames():
    stain = np.full((5, 1, 20, 20), np.nan, np.float32)
    result = apply(MotionFilter(), stain, np.zeros(5, bool), phase=stain[:, 0])
    assert np.isnan(result).all()


def test_illumination_step_has_no_effect():
    phase, stain = movie(10)
    brighter = phase.copy()
    brighter[5:] = 1.5 * brighter[5:] + 3
    np.testing.assert_allclose(
        apply(MotionFilter(), stain, phase=brighter)[..., 8:-8, 8:-8],
        apply(MotionFilter(), stain, phase=phase)[..., 8:-8, 8:-8],
        atol=0.15,
    )


def test_cell_that_appears_is_neither_early_nor_late():
    y, x = np.indices((SIDE, SIDE))
    background = 0.05 * texture(5)[:SIDE, :SIDE]
    cell = np.exp(-((y - 48) ** 2 + (x - 48) ** 2) / (2 * 7**2)).astype(np.float32)
    present = np.arange(12) >= 6
    phase = background + 3 * present[:, np.newaxis, np.newaxis] * cell * (1 + 0.3 * texture(6)[:SIDE, :SIDE])
    stain = (present[:, np.newaxis, np.newaxis] * cell)[:, np.newaxis]
    result = apply(MotionFilter(), stain, phase=phase.astype(np.float32))
    brightness = result[:, 0, 44:53, 44:53].mean(axis=(1, 2)) / cell[44:53, 44:53].mean()
    assert brightness[:6].max() < 0.05
    assert brightness[6:].min() > 0.9


def test_outlier_in_a_single_prediction_is_corrected():
    phase, stain = movie(11)
    perturbed = stain.copy()
    perturbed[5, 0, 40:56, 40:56] += 8
    result = apply(MotionFilter(), perturbed, phase=phase)
    assert rms(result[5] - stain[5]) < 0.15 * rms(perturbed[5] - stain[5])


def test_filter_can_be_reused_for_another_movie():
    phase, stain = movie(9)
    temporal_filter = MotionFilter()
    first = apply(temporal_filter, stain, phase=phase)
    np.testing.assert_array_equal(apply(temporal_filter, stain, phase=phase), first)


def test_output_is_in_order_for_any_first_index():
    phase, stain = movie(9)
    temporal_filter, indices = MotionFilter(), []
    for t in range(9):
        indices += [frame.index for frame in temporal_filter.push(Frame(t + 40, stain[t], phase=phase[t]))]
    assert indices == list(range(40, 45))
    assert [frame.index for frame in temporal_filter.flush()] == list(range(45, 49))


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_causal_filter_has_the_given_lag(lag):
    phase, stain = movie(10)
    temporal_filter = causal(lag)
    for t in range(10):
        ready = temporal_filter.push(Frame(t, stain[t], phase=phase[t]))
        assert [frame.index for frame in ready] == [t - lag] * (t >= lag)


def test_causal_filter_does_not_use_later_frames():
    phase, stain = movie(12)
    complete = apply(causal(1), stain, phase=phase)
    part = apply(causal(1), stain[:8], phase=phase[:8])
    np.testing.assert_array_equal(complete[:7], part[:7])


def test_memory_is_limited_to_the_window():
    phase, stain = movie(24)
    temporal_filter, held = MotionFilter(), []
    for t in range(24):
        data = stain[t].copy()
        held.append(weakref.ref(data))
        temporal_filter.push(Frame(t, data, phase=phase[t]))
        del data
        assert sum(reference() is not None for reference in held) <= 10


@pytest.mark.parametrize("temporal_filter", [centred(7), causal(1)], ids=["motion", "causal"])
@pytest.mark.parametrize("channels", [1, 3])
def test_no_more_memory_is_needed_than_is_stated(temporal_filter: MotionFilter, channels: int):
    phase = shifted_views(texture(1), np.linspace(-3, 3, 10)[:, np.newaxis] * (0, 1))
    tracemalloc.start()
    for t in range(10):
        stain = np.stack([phase[t]] * channels)
        temporal_filter.push(Frame(t, stain, phase=phase[t].copy()))
    temporal_filter.flush()
    images = tracemalloc.get_traced_memory()[1] / phase[0].nbytes
    tracemalloc.stop()
    assert 0.6 * temporal_filter.images_held(channels) < images < temporal_filter.images_held(channels)


def test_input_is_not_modified():
    phase, stain = movie(6)
    for array in (phase, stain):
        array.flags.writeable = False
    apply(MotionFilter(), stain, phase=phase)


def test_channels_are_filtered_alike():
    phase, stain = movie(8)
    pair = np.concatenate([stain, -2 * stain], axis=1)
    result = apply(MotionFilter(), pair, phase=phase)
    np.testing.assert_allclose(result[:, 1], -2 * result[:, 0], atol=1e-4)


def test_wrong_order_and_missing_phase_are_errors():
    phase, stain = movie(3)
    temporal_filter = MotionFilter()
    temporal_filter.push(Frame(0, stain[0], phase=phase[0]))
    with pytest.raises(ValueError, match="frame 2 was pushed instead of frame 1"):
        temporal_filter.push(Frame(2, stain[2], phase=phase[2]))
    with pytest.raises(ValueError, match="frame 0 has no phase"):
        MotionFilter().push(Frame(0, stain[0]))


def test_invalid_windows_are_errors():
    for window in (1, 2, 8, -3):
        with pytest.raises(UsageError, match=f"--motion-window {window}: must be an odd number of frames, 3 or more"):
            centred(window)
    with pytest.raises(UsageError, match="--causal-lag -1"):
        causal(-1)
    with pytest.raises(UsageError, match="must be at least 1 and 0"):
        MotionFilter(before=0)
    with pytest.raises(UsageError, match="does not reach"):
        MotionFilter(after=3, lookahead=1)
