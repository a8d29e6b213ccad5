import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from image_translation.temporal import optical_flow


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    rng = np.random.default_rng(0)
    return gaussian_filter(rng.normal(size=(160, 180)), 3).astype(np.float32) * 20


@pytest.fixture(scope="module")
def estimator() -> optical_flow.FlowEstimator:
    return optical_flow.FlowEstimator()


def inner(flow: np.ndarray) -> np.ndarray:
    return flow[16:-16, 16:-16]


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (1.5, -2.25), (-4, 3)])
def test_a_shift_is_found(estimator, scene, dx, dy):
    before, _ = estimator.prepare(scene)
    after, _ = estimator.prepare(shift(scene, (dy, dx), order=3, mode="nearest"))
    flow = estimator.flow(before, after)
    assert flow.shape == (160, 180, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(inner(flow), axis=(0, 1)), (dx, dy), atol=0.1)
    assert np.abs(inner(flow) - (dx, dy)).mean() < 0.15


def test_a_step_of_the_lamp_is_no_motion(estimator, scene):
    before, _ = estimator.prepare(scene)
    after, _ = estimator.prepare(1.4 * scene + 30)
    assert np.abs(inner(estimator.flow(before, after))).max() < 0.1


def test_texture_is_where_the_contrast_is(estimator):
    phase = np.zeros((128, 128), np.float32)
    phase[:, :48] = np.random.default_rng(0).normal(size=(128, 48))
    _, textured = estimator.prepare(phase)
    assert textured[:, :48].all()
    assert not textured[:, 100:].any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (9, 7), (31, 33)])
def test_small_images_have_a_flow(estimator, shape):
    guide, textured = estimator.prepare(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert textured.shape == shape
    np.testing.assert_allclose(estimator.flow(guide, guide), np.zeros((*shape, 2)), atol=0.05)


def test_an_even_image_has_no_flow(estimator):
    guide, _ = estimator.prepare(np.full((64, 64), 3, np.float32))
    assert not estimator.flow(guide, guide).any()


def test_reading_at_the_pixels_gives_the_image(scene):
    places = optical_flow.grid(scene.shape)
    np.testing.assert_array_equal(optical_flow.warp(scene, places), scene)
    np.testing.assert_array_equal(optical_flow.sample(scene, places), scene)


def test_reading_between_pixels_shifts(scene):
    moved = optical_flow.warp(scene, optical_flow.grid(scene.shape) + np.float32([0.5, -1.25]))
    expected = shift(scene, (1.25, -0.5), order=3)
    assert np.abs(moved - expected)[8:-8, 8:-8].max() < 0.06 * scene.std()


def test_flows_there_and_back_agree_or_not():
    there, back = np.zeros((40, 40, 2), np.float32), np.zeros((40, 40, 2), np.float32)
    there[..., 0], back[..., 0] = 2, -2
    np.testing.assert_allclose(optical_flow.mismatch(there, back), 0, atol=1e-6)
    back[..., 1] = 3
    np.testing.assert_allclose(optical_flow.mismatch(there, back), 9, rtol=1e-6)


def test_a_chain_adds_flows_and_mismatches():
    steps = [np.broadcast_to(np.float32([dx, dy, e]), (30, 30, 3)).copy() for dx, dy, e in [(1, 0, 0.5), (2, -1, 0.25)]]
    first, second = optical_flow.chain(steps, optical_flow.grid((30, 30)))
    np.testing.assert_allclose(first, np.broadcast_to([1, 0, 0.5], first.shape))
    np.testing.assert_allclose(second, np.broadcast_to([3, -1, 0.75], second.shape))


def test_a_chain_follows_the_material():
    step = np.zeros((20, 40, 3), np.float32)
    step[:, 20:, 0] = 5  # moves only where it has got to in the first step
    start = np.zeros((20, 40, 3), np.float32)
    start[..., 0] = 10
    totals = optical_flow.chain([start, step], optical_flow.grid((20, 40)))
    assert (totals[1][:, 5, 0] == 10).all()
    assert (totals[1][:, 12, 0] == 15).all()


def test_velocities_that_last_are_averaged_and_others_are_not():
    first = np.zeros((60, 60, 2), np.float32)
    near, far = first + np.float32([0.2, 0]), first + np.float32([8, 0])
    np.testing.assert_allclose(optical_flow.lasting([first]), first)
    np.testing.assert_allclose(optical_flow.lasting([first, near])[..., 0], 0.1, atol=0.01)
    np.testing.assert_allclose(optical_flow.lasting([first, far])[..., 0], 0, atol=0.01)


def test_inside():
    places = np.float32([[[0, 0], [9, 4], [9.1, 4], [-0.1, 0]]])
    assert optical_flow.inside(places, (5, 10)).tolist() == [[True, True, False, False]]
