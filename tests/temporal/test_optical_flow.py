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
def test_shift_is_recovered(estimator, scene, dx, dy):
    before, _ = estimator.prepare(scene)
    after, _ = estimator.prepare(shift(scene, (dy, dx), order=3, mode="nearest"))
    flow = estimator.estimate(before, after)
    assert flow.shape == (160, 180, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(inner(flow), axis=(0, 1)), (dx, dy), atol=0.1)
    assert np.abs(inner(flow) - (dx, dy)).mean() < 0.15


def test_illumination_step_gives_no_flow(estimator, scene):
    before, _ = estimator.prepare(scene)
    after, _ = estimator.prepare(1.4 * scene + 30)
    assert np.abs(inner(estimator.estimate(before, after))).max() < 0.1


def test_texture_mask_marks_high_contrast(estimator):
    phase = np.zeros((128, 128), np.float32)
    phase[:, :48] = np.random.default_rng(0).normal(size=(128, 48))
    _, textured = estimator.prepare(phase)
    assert textured[:, :48].all()
    assert not textured[:, 100:].any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (9, 7), (31, 33)])
def test_small_images_have_a_flow(estimator, shape):
    normalised, textured = estimator.prepare(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert textured.shape == shape
    np.testing.assert_allclose(estimator.estimate(normalised, normalised), np.zeros((*shape, 2)), atol=0.05)


def test_constant_image_has_no_flow(estimator):
    normalised, _ = estimator.prepare(np.full((64, 64), 3, np.float32))
    assert not estimator.estimate(normalised, normalised).any()


def test_sampling_at_the_pixels_returns_the_image(scene):
    points = optical_flow.pixel_grid(scene.shape)
    np.testing.assert_array_equal(optical_flow.warp(scene, points), scene)
    np.testing.assert_array_equal(optical_flow.sample(scene, points), scene)


def test_warp_by_a_constant_flow_is_a_shift(scene):
    moved = optical_flow.warp(scene, optical_flow.pixel_grid(scene.shape) + np.float32([0.5, -1.25]))
    expected = shift(scene, (1.25, -0.5), order=3)
    assert np.abs(moved - expected)[8:-8, 8:-8].max() < 0.06 * scene.std()


def test_forward_backward_error_is_the_squared_distance():
    forward, backward = np.zeros((40, 40, 2), np.float32), np.zeros((40, 40, 2), np.float32)
    forward[..., 0], backward[..., 0] = 2, -2
    np.testing.assert_allclose(optical_flow.forward_backward_error(forward, backward), 0, atol=1e-6)
    backward[..., 1] = 3
    np.testing.assert_allclose(optical_flow.forward_backward_error(forward, backward), 9, rtol=1e-6)


def test_chaining_adds_flows_and_uncertainties():
    steps = [np.broadcast_to(np.float32([dx, dy, e]), (30, 30, 3)).copy() for dx, dy, e in [(1, 0, 0.5), (2, -1, 0.25)]]
    first, second = optical_flow.chain_flows(steps, optical_flow.pixel_grid((30, 30)))
    np.testing.assert_allclose(first, np.broadcast_to([1, 0, 0.5], first.shape))
    np.testing.assert_allclose(second, np.broadcast_to([3, -1, 0.75], second.shape))


def test_chaining_follows_the_material():
    step = np.zeros((20, 40, 3), np.float32)
    step[:, 20:, 0] = 5  # moves only where the material is after the first step
    start = np.zeros((20, 40, 3), np.float32)
    start[..., 0] = 10
    totals = optical_flow.chain_flows([start, step], optical_flow.pixel_grid((20, 40)))
    assert (totals[1][:, 5, 0] == 10).all()
    assert (totals[1][:, 12, 0] == 15).all()


def test_only_similar_velocities_are_averaged():
    first = np.zeros((60, 60, 2), np.float32)
    near, far = first + np.float32([0.2, 0]), first + np.float32([8, 0])
    np.testing.assert_allclose(optical_flow.average_velocities([first], 0.1), first)
    np.testing.assert_allclose(optical_flow.average_velocities([first, near], 0.1)[..., 0], 0.1, atol=0.01)
    np.testing.assert_allclose(optical_flow.average_velocities([first, far], 0.1)[..., 0], 0, atol=0.01)
    np.testing.assert_allclose(optical_flow.average_velocities([first, near], 0.0)[..., 0], 0, atol=0.05)


def test_inside_includes_the_border_pixels():
    points = np.float32([[[0, 0], [9, 4], [9.1, 4], [-0.1, 0]]])
    assert optical_flow.inside(points, (5, 10)).tolist() == [[True, True, False, False]]


def test_photometric_error_is_small_along_the_true_flow(estimator, scene):
    source, _ = estimator.prepare(scene)
    target, _ = estimator.prepare(shift(scene, (0, 4), order=3, mode="nearest"))
    still = np.zeros((*scene.shape, 2), np.float32)
    moved = still + np.float32([4, 0])
    assert inner(optical_flow.photometric_error(source, target, moved)).max() < 1
    assert inner(optical_flow.photometric_error(source, target, still)).mean() > 1
