import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from support.cells import cells_movie

from image_translation.metrics.flicker import MotionMeter, change, move_back, reduce

SHAPE = (96, 120)


def texture(seed=0, shape=(160, 160)):
    return (gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2) * 10).astype(np.float32)


def shifted(dy, dx, seed=0):
    return texture(seed)[np.newaxis, 30 - dy : 30 - dy + SHAPE[0], 30 - dx : 30 - dx + SHAPE[1]]


def uniform(dy, dx, shape=SHAPE):
    return np.stack([np.full(shape, dy), np.full(shape, dx)]).astype(np.float32)


EVERYWHERE = np.ones(SHAPE, bool)


def test_what_only_moves_does_not_change():
    before, after = shifted(0, 0), shifted(3, -2)
    assert change(before, after, uniform(3, -2), EVERYWHERE) == pytest.approx([0], abs=1e-6)
    assert change(before, after, uniform(0, 0), EVERYWHERE)[0] > 0.3


def test_what_leaves_the_field_and_what_is_not_valid_does_not_count():
    before, after = shifted(0, 0), shifted(3, -2).copy()
    after[:, :, 60:] += 7
    left = np.arange(SHAPE[1]) < 50
    assert change(before, after, uniform(3, -2), EVERYWHERE & left) == pytest.approx([0], abs=1e-6)
    assert np.isnan(change(before, after, uniform(500, 0), EVERYWHERE)).all()
    assert np.isnan(change(before, after, uniform(0, 0), ~EVERYWHERE)).all()


def test_a_change_of_brightness_is_its_size():
    before = np.concatenate([shifted(0, 0), shifted(0, 0, seed=1)])
    after = before + np.float32([[[0.25]], [[-0.5]]])
    assert_allclose(change(before, after, uniform(0, 0), EVERYWHERE), [0.25, 0.5], rtol=1e-5)


def test_moving_back_undoes_the_motion():
    inside = (slice(None), slice(8, -8), slice(8, -8))
    assert_allclose(move_back(shifted(4, 1), uniform(4, 1))[inside], shifted(0, 0)[inside], atol=1e-5)


def test_reduced_images_are_means_of_blocks():
    image = np.random.default_rng(0).normal(size=(2, 7, 9)).astype(np.float32)
    assert_allclose(reduce(image), image[:, :6, :8].reshape(2, 3, 2, 4, 2).mean(axis=(2, 4)), atol=1e-6)
    assert reduce(image[:, :1, :1]).shape == (2, 1, 1)


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (2, -1), (-3, 4)])
def test_estimated_flow_is_that_of_a_texture_that_moves(dy, dx):
    meter = MotionMeter(lasting=False)
    assert meter.add(shifted(0, 0)) is None
    motion = meter.add(shifted(dy, dx))
    inner = motion.flow[:, 10:-10, 10:-10]
    assert_allclose(np.median(inner, axis=(1, 2)), [dy, dx], atol=0.15)
    assert motion.valid[10:-10, 10:-10].all()
    assert not motion.events[12:-12, 12:-12].any()


def test_estimated_flow_is_that_of_each_cell():
    m = cells_movie()
    for frames, lasting in ((m.truth, False), (m.phase[:, np.newaxis], True)):
        meter = MotionMeter(lasting=lasting)
        motions = [meter.add(frame) for frame in frames][1:]
        for motion, true in zip(motions, m.flow, strict=True):
            moving = np.hypot(*reduce(true)) > 0.4
            error = np.hypot(*(motion.flow - reduce(true)))[moving]
            assert np.median(error) < 0.45
            assert np.hypot(*reduce(true))[motion.fast].mean() > 1.5 * np.hypot(*reduce(true)).mean()


def test_the_phase_may_tremble_as_a_whole():
    meter = MotionMeter(lasting=True)
    places = [0, 2, -1, 1, 0, 2, -2, 1]
    flows = [meter.add(shifted(place, 0)) for place in places]
    assert max(abs(np.median(flow.flow[0])) for flow in flows[1:]) < 0.3


def test_a_drift_that_lasts_is_motion_and_so_is_a_jump():
    meter = MotionMeter(lasting=True)
    flows = [meter.add(shifted(2 * t, -t)) for t in range(9)]
    assert_allclose(np.median(flows[-1].flow, axis=(1, 2)), [2, -1], atol=0.3)
    jump = meter.add(shifted(16 - 5, -8))
    assert np.median(jump.flow[0]) == pytest.approx(-5, abs=0.5)


def test_what_appears_is_an_event():
    meter = MotionMeter(lasting=False)
    before, after = shifted(0, 0), shifted(1, 1).copy()
    y, x = np.indices(SHAPE)
    after[0] += 8 * np.exp(-((y - 40) ** 2 + (x - 70) ** 2) / 40)
    meter.add(before)
    events = meter.add(after).events
    assert events[15:25, 30:40].any()
    assert events.mean() < 0.1


def test_invalid_and_small_frames_have_no_motion():
    meter = MotionMeter(lasting=False)
    frames = [shifted(0, 0), None, shifted(0, 0), shifted(1, 0)]
    assert [meter.add(frame) is None for frame in frames] == [True, True, True, False]
    assert all(meter.add(np.ones((1, 20, 20), np.float32)) is None for _ in range(3))


def test_still_and_empty_frames_do_not_move():
    meter = MotionMeter(lasting=True)
    empty = np.zeros((1, 64, 64), np.float32)
    meter.add(empty)
    motion = meter.add(empty)
    assert_allclose(motion.flow, 0, atol=1e-3)
    assert not motion.events[12:-12, 12:-12].any()
