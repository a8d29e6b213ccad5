import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.textures import SHAPE, shifted, uniform

from image_translation.metrics.flicker import Steps, change
from image_translation.metrics.motion import reduce

EVERYWHERE = np.ones(SHAPE, bool)


def test_motion_alone_is_no_change():
    before, after = shifted(0, 0), shifted(3, -2)
    assert change(before, after, uniform(3, -2), EVERYWHERE) == pytest.approx([0], abs=1e-6)
    assert change(before, after, uniform(0, 0), EVERYWHERE)[0] > 0.3


def test_pixels_that_leave_the_frame_or_are_not_valid_are_ignored():
    before, after = shifted(0, 0), shifted(3, -2).copy()
    after[:, :, 60:] += 7
    left = np.arange(SHAPE[1]) < 50
    assert change(before, after, uniform(3, -2), EVERYWHERE & left) == pytest.approx([0], abs=1e-6)
    assert np.isnan(change(before, after, uniform(500, 0), EVERYWHERE)).all()
    assert np.isnan(change(before, after, uniform(0, 0), ~EVERYWHERE)).all()


def test_change_of_an_offset_is_its_size():
    before = np.concatenate([shifted(0, 0), shifted(0, 0, seed=1)])
    after = before + np.float32([[[0.25]], [[-0.5]]])
    assert_allclose(change(before, after, uniform(0, 0), EVERYWHERE), [0.25, 0.5], rtol=1e-5)


def step_between(before, after):
    steps = Steps()
    steps.add(3, before)
    steps.add(4, after)
    return steps.get(3)


def test_flicker_is_the_change_relative_to_raw():
    before, after = shifted(0, 0), shifted(2, -1)
    step = step_between(before, after)
    references = reduce(before), reduce(after)
    images = {gain: (references[0], references[1] + np.float32(gain)) for gain in (4, 1)}
    raw = step.score(images[4], references, is_raw=True)
    assert raw["flicker"] == raw["flicker_fast"] == [1]
    assert raw["change"] == pytest.approx([4], abs=0.2)
    smoothed = step.score(images[1], references)
    assert_allclose(smoothed["flicker"], smoothed["change"] / raw["change"])
    assert smoothed["flicker"] == pytest.approx([0.25], abs=0.1)
    assert smoothed["fast"] == pytest.approx([1], abs=1e-6)


def test_steps_are_released():
    steps = Steps()
    for index in range(5):
        steps.add(index, shifted(index, 0))
    steps.release(2)
    assert [steps.get(index) is None for index in range(5)] == [True, True, False, False, True]
