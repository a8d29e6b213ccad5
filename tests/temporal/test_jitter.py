import numpy as np
import pytest

from image_translation.temporal import jitter


def second_differences(positions: np.ndarray) -> list[np.ndarray | None]:
    """Accelerations (dx, dy) of each frame, unknown in the first and the last."""
    return [None, *np.diff(positions, n=2, axis=0), None]


def test_alternating_displacement_is_jitter():
    positions = np.array([[0.5, -1.0], [-0.5, 1.0]] * 4 + [[0.5, -1.0]])
    estimated = jitter.displacement(second_differences(positions), 4)
    np.testing.assert_allclose(estimated, positions[4], rtol=0.05)


def test_displacement_of_a_single_frame_is_jitter():
    positions = np.zeros((9, 2))
    positions[4] = 1.5, -0.5
    np.testing.assert_allclose(jitter.displacement(second_differences(positions), 4), positions[4], rtol=0.3)


@pytest.mark.parametrize("velocity", [0, 0.5, 20])
def test_uniform_motion_is_not_jitter(velocity):
    positions = np.arange(9)[:, np.newaxis] * np.array([velocity, -velocity])
    np.testing.assert_allclose(jitter.displacement(second_differences(positions), 4), 0, atol=1e-6)


def test_stage_jump_is_not_jitter():
    positions = np.zeros((9, 2))
    positions[5:] = 25, 0
    assert not jitter.displacement(second_differences(positions), 4).any()
    assert not jitter.displacement(second_differences(positions), 5).any()


@pytest.mark.parametrize("known", [[None], [None, None], [None] * 9])
def test_no_jitter_without_known_accelerations(known):
    assert jitter.displacement(known, 0).tolist() == [0, 0]


def test_unknown_accelerations_are_skipped():
    positions = np.array([[0.5, 0.0], [-0.5, 0.0]] * 4 + [[0.5, 0.0]])
    known = second_differences(positions)
    known[6] = None
    np.testing.assert_allclose(jitter.displacement(known, 2), positions[2], rtol=0.1)


def test_common_acceleration_is_that_of_most_tiles():
    backward, forward = np.zeros((128, 128, 2), np.float32), np.zeros((128, 128, 2), np.float32)
    backward[..., 0], forward[..., 0] = -3, 3.5
    forward[:32, :64] = 30  # a cell with a different motion
    np.testing.assert_allclose(jitter.common_acceleration(backward, forward, np.ones((128, 128), bool)), (0.5, 0))


def test_common_acceleration_is_shrunk_where_tiles_disagree():
    estimated, medians = [], []
    for seed in range(30):
        velocities = np.random.default_rng(seed).normal(0, 2, (4, 4, 2))
        forward = np.kron(velocities, np.ones((32, 32, 1))).astype(np.float32)
        estimated.append(jitter.common_acceleration(np.zeros_like(forward), forward, np.ones((128, 128), bool)))
        medians.append(np.median(velocities, axis=(0, 1)))
    assert np.square(estimated).mean() < 0.2 * np.square(medians).mean()


def test_common_acceleration_needs_enough_textured_tiles():
    flow, textured = np.ones((128, 128, 2), np.float32), np.zeros((128, 128), bool)
    textured[:64, :96] = True
    assert jitter.common_acceleration(flow, flow, textured) is None
    textured[:, :96] = True
    np.testing.assert_allclose(jitter.common_acceleration(flow, flow, textured), (2, 2))
