import numpy as np
import pytest

from image_translation.temporal import jitter


def second_differences(positions: np.ndarray) -> list[np.ndarray | None]:
    return [None, *np.diff(positions, n=2, axis=0), None]


def test_to_and_fro_is_shake():
    positions = np.array([[0.5, -1.0], [-0.5, 1.0]] * 4 + [[0.5, -1.0]])
    found = jitter.displacement(second_differences(positions), 4)
    np.testing.assert_allclose(found, positions[4], rtol=0.05)


def test_one_frame_out_of_place_is_shake():
    positions = np.zeros((9, 2))
    positions[4] = 1.5, -0.5
    np.testing.assert_allclose(jitter.displacement(second_differences(positions), 4), positions[4], rtol=0.3)


@pytest.mark.parametrize("velocity", [0, 0.5, 20])
def test_steady_motion_is_no_shake(velocity):
    positions = np.arange(9)[:, np.newaxis] * np.array([velocity, -velocity])
    np.testing.assert_allclose(jitter.displacement(second_differences(positions), 4), 0, atol=1e-6)


def test_a_jump_of_the_stage_is_no_shake():
    positions = np.zeros((9, 2))
    positions[5:] = 25, 0
    assert not jitter.displacement(second_differences(positions), 4).any()
    assert not jitter.displacement(second_differences(positions), 5).any()


@pytest.mark.parametrize("known", [[None], [None, None], [None] * 9])
def test_without_accelerations_there_is_none(known):
    assert jitter.displacement(known, 0).tolist() == [0, 0]


def test_what_is_unknown_is_left_out():
    positions = np.array([[0.5, 0.0], [-0.5, 0.0]] * 4 + [[0.5, 0.0]])
    known = second_differences(positions)
    known[6] = None
    np.testing.assert_allclose(jitter.displacement(known, 2), positions[2], rtol=0.1)


def test_the_common_acceleration_is_that_of_most_regions():
    back, there = np.zeros((128, 128, 2), np.float32), np.zeros((128, 128, 2), np.float32)
    back[..., 0], there[..., 0] = -3, 3.5
    there[:32, :64] = 30  # a cell that does something else
    np.testing.assert_allclose(jitter.acceleration(back, there, np.ones((128, 128), bool)), (0.5, 0))


def test_regions_that_do_not_agree_have_hardly_any_shake():
    found, plain = [], []
    for seed in range(30):
        regions = np.random.default_rng(seed).normal(0, 2, (4, 4, 2))
        there = np.kron(regions, np.ones((32, 32, 1))).astype(np.float32)
        found.append(jitter.acceleration(np.zeros_like(there), there, np.ones((128, 128), bool)))
        plain.append(np.median(regions, axis=(0, 1)))
    assert np.square(found).mean() < 0.2 * np.square(plain).mean()


def test_a_few_cells_do_not_tell_shake():
    flow, textured = np.ones((128, 128, 2), np.float32), np.zeros((128, 128), bool)
    textured[:64, :96] = True
    assert jitter.acceleration(flow, flow, textured) is None
    textured[:, :96] = True
    np.testing.assert_allclose(jitter.acceleration(flow, flow, textured), (2, 2))
