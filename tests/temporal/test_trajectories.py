import numpy as np

from image_translation.frame import Frame
from image_translation.temporal.optical_flow import pixel_grid
from image_translation.temporal.trajectories import FlowPair, Trajectories

SHAPE = (40, 50)


class UniformFlow:
    """Flow source of a uniform velocity (dx, dy) per frame, with texture everywhere."""

    def __init__(self, velocity, *, consistent=True):
        self._forward = np.broadcast_to(np.float32(velocity), (*SHAPE, 2))
        self._backward = -self._forward if consistent else self._forward
        self.reset()

    def push(self, frame):
        first, self._first = self._first, False
        error = np.zeros(SHAPE, np.float32)
        return np.ones(SHAPE, bool), None if first else FlowPair(self._forward, self._backward, error, error)

    def reset(self):
        self._first = True


def append_frames(trajectories, indices):
    for index in indices:
        trajectories.append(Frame(index, np.zeros((1, *SHAPE), np.float32)))


def test_material_is_followed_in_both_directions():
    trajectories = Trajectories(UniformFlow((2, -1)))
    append_frames(trajectories, range(7))
    paths = {frame.index: path for frame, path in trajectories.follow(3, range(1, 6), pixel_grid(SHAPE))}
    assert list(paths) == [4, 5, 2, 1]
    for index, path in paths.items():
        expected = (2 * (index - 3), 3 - index, 0)
        np.testing.assert_allclose(path[10:-10, 10:-10], np.broadcast_to(expected, (20, 30, 3)), atol=1e-5)


def test_inconsistent_flow_has_no_confidence():
    trajectories = Trajectories(UniformFlow((2, 0), consistent=False))
    append_frames(trajectories, range(2))
    ((_, path),) = trajectories.follow(0, range(2), pixel_grid(SHAPE))
    assert path[..., 2].min() > 1e5


def test_old_frames_are_discarded_except_the_last():
    trajectories = Trajectories(UniformFlow((0, 0)))
    append_frames(trajectories, range(5))
    trajectories.discard_before(3)
    assert [frame.index for frame, _ in trajectories.follow(4, range(5), pixel_grid(SHAPE))] == [3]
    trajectories.discard_before(9)
    assert list(trajectories.follow(4, range(5), pixel_grid(SHAPE))) == []


def test_clear_starts_another_movie():
    trajectories = Trajectories(UniformFlow((2, 0)))
    append_frames(trajectories, range(3))
    trajectories.clear()
    append_frames(trajectories, [0])
    assert list(trajectories.follow(0, range(3), pixel_grid(SHAPE))) == []
