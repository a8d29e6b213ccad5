import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.cells import cells_movie
from support.textures import SHAPE, shifted, uniform

from image_translation.metrics.motion import MotionEstimator, reduce, warp_back


def test_warping_back_reverses_the_motion():
    interior = (slice(None), slice(8, -8), slice(8, -8))
    assert_allclose(warp_back(shifted(4, 1), uniform(4, 1))[interior], shifted(0, 0)[interior], atol=1e-5)


def test_reduced_images_are_means_of_blocks():
    image = np.random.default_rng(0).normal(size=(2, 7, 9)).astype(np.float32)
    assert_allclose(reduce(image), image[:, :6, :8].reshape(2, 3, 2, 4, 2).mean(axis=(2, 4)), atol=1e-6)
    assert reduce(image[:, :1, :1]).shape == (2, 1, 1)


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (2, -1), (-3, 4)])
def test_flow_of_a_moving_texture(dy, dx):
    estimator = MotionEstimator()
    assert estimator.add(shifted(0, 0)) is None
    motion = estimator.add(shifted(dy, dx))
    inner = motion.flow[:, 10:-10, 10:-10]
    assert_allclose(np.median(inner, axis=(1, 2)), [dy, dx], atol=0.15)
    assert motion.valid[10:-10, 10:-10].all()
    assert not motion.events[12:-12, 12:-12].any()


def test_flow_of_moving_cells():
    m = cells_movie()
    for frames in (m.truth, m.phase[:, np.newaxis]):
        estimator = MotionEstimator()
        motions = [estimator.add(frame) for frame in frames][1:]
        for motion, true in zip(motions, m.flow, strict=True):
            moving = np.hypot(*reduce(true)) > 0.4
            error = np.hypot(*(motion.flow - reduce(true)))[moving]
            assert np.median(error) < 0.45
            assert np.hypot(*reduce(true))[motion.fast].mean() > 1.5 * np.hypot(*reduce(true)).mean()


def test_a_shift_of_the_whole_image_is_motion():
    estimator = MotionEstimator()
    positions = [0, 2, -1, 1, 0, 2, -2, 1]
    flows = [estimator.add(shifted(position, 0)) for position in positions]
    found = [np.median(flow.flow[0]) for flow in flows[1:]]
    assert_allclose(found, np.diff(positions), atol=0.3)


def test_an_appearing_object_is_an_event():
    estimator = MotionEstimator()
    before, after = shifted(0, 0), shifted(1, 1).copy()
    y, x = np.indices(SHAPE)
    after[0] += 8 * np.exp(-((y - 40) ** 2 + (x - 70) ** 2) / 40)
    estimator.add(before)
    events = estimator.add(after).events
    assert events[15:25, 30:40].any()
    assert events.mean() < 0.1


def test_there_is_no_motion_of_invalid_and_small_frames():
    estimator = MotionEstimator()
    frames = [shifted(0, 0), None, shifted(0, 0), shifted(1, 0)]
    assert [estimator.add(frame) is None for frame in frames] == [True, True, True, False]
    assert all(estimator.add(np.ones((1, 20, 20), np.float32)) is None for _ in range(3))


def test_empty_frames_do_not_move():
    estimator = MotionEstimator()
    empty = np.zeros((1, 64, 64), np.float32)
    estimator.add(empty)
    motion = estimator.add(empty)
    assert_allclose(motion.flow, 0, atol=1e-3)
    assert not motion.events[12:-12, 12:-12].any()
