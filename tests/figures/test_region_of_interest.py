import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from image_translation.figures.region_of_interest import expand_region, highest_contrast_region, track_cell


def blob(shape, centre, sigma=4.0):
    image = np.zeros(shape, dtype=np.float32)
    image[centre] = 1
    return gaussian_filter(image, sigma) * np.float32(2 * np.pi * sigma**2)


def moving_cell(path, shape=(96, 128), seed=0):
    """Return a textured cell that moves over a static background, (K, Y, X) float32."""
    rng = np.random.default_rng(seed)
    background = 0.1 * gaussian_filter(rng.normal(size=shape), 2)
    texture = gaussian_filter(rng.normal(size=(21, 21)), 1)
    frames = []
    for y, x in path:
        frame = background + blob(shape, (y, x))
        frame[y - 10 : y + 11, x - 10 : x + 11] += texture
        frames.append(frame)
    return np.array(frames, dtype=np.float32)


def test_region_has_the_highest_contrast_of_any_channel():
    image = np.zeros((2, 100, 120), dtype=np.float32)
    image[1, 70:80, 100:110] = 1
    y, x = highest_contrast_region(image, 40)
    assert (y.stop - y.start, x.stop - x.start) == (40, 40)
    assert y.start <= 70
    assert y.stop >= 80
    assert x.start <= 100
    assert x.stop >= 110


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 7, 300), (1, 50, 50)])
def test_region_of_an_image_without_contrast_lies_within_it(shape, value):
    y, x = highest_contrast_region(np.full(shape, value, dtype=np.float32), 32)
    assert (y.start, y.stop) == (0, min(32, shape[1]))
    assert (x.start, x.stop) == (0, min(32, shape[2]))


def test_expanded_region_lies_within_the_image():
    assert expand_region((slice(40, 60), slice(0, 20)), (100, 100), 50) == (slice(25, 75), slice(0, 50))
    assert expand_region((slice(80, 100), slice(10, 30)), (100, 30), 50) == (slice(50, 100), slice(0, 30))
    assert expand_region((slice(0, 64), slice(0, 64)), (64, 64), 50) == (slice(0, 64), slice(0, 64))


def test_window_tracks_a_moving_cell():
    path = [(40, 30 + 6 * t) for t in range(5)]
    stack = moving_cell(path)
    corners = track_cell(stack, blob(stack.shape[1:], path[2])[np.newaxis], 32)
    steps = np.diff(corners, axis=0)
    np.testing.assert_allclose(steps, [[0, 6]] * 4, atol=1)
    for (top, left), (y, x) in zip(corners, path, strict=True):
        assert top + 4 <= y < top + 28
        assert left + 4 <= x < left + 28


def test_window_moves_steadily_under_jitter():
    path = [(40, 30 + 4 * t + (3 if t % 2 else 0)) for t in range(5)]
    stack = moving_cell(path)
    corners = np.array(track_cell(stack, blob(stack.shape[1:], path[2])[np.newaxis], 32))
    assert np.ptp(np.diff(corners[:, 1])) <= 1


def test_moving_cell_is_preferred_to_a_brighter_static_one():
    path = [(70, 60 + 8 * t) for t in range(5)]
    stack = moving_cell(path, (110, 160)) + 2 * blob((110, 160), (25, 25))
    stain = blob((110, 160), path[2]) + 2 * blob((110, 160), (25, 25))
    corners = track_cell(stack.astype(np.float32), stain[np.newaxis], 32)
    assert corners[4][1] - corners[0][1] > 20


def test_extreme_pixels_do_not_matter():
    path = [(40, 30 + 6 * t) for t in range(5)]
    stack, stain = moving_cell(path), blob((96, 128), path[2])[np.newaxis]
    expected = track_cell(stack, stain, 32)
    stack[1, 40, 44], stack[3, 5, 5] = 1e30, -3e38
    np.testing.assert_allclose(track_cell(stack, stain, 32), expected, atol=1)


@pytest.mark.parametrize("bad", [0, np.nan])
def test_invalid_frames_are_skipped(bad):
    path = [(40, 30 + 3 * t) for t in range(5)]
    stack = moving_cell(path)
    stack[[1, 4]] = bad
    corners = track_cell(stack, blob(stack.shape[1:], path[2])[np.newaxis], 32)
    assert all(np.abs(np.diff([x for _, x in corners])) <= 5)


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 7, 300), (5, 33, 50), (3, 300, 2)])
def test_window_stays_within_frames_of_any_shape_and_content(shape, value):
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for stack in (np.full(shape, value, dtype=np.float32), noise):
        corners = track_cell(stack, stack[len(stack) // 2][np.newaxis], 32)
        assert len(corners) == shape[0]
        for y, x in corners:
            assert 0 <= y <= max(0, shape[1] - 32)
            assert 0 <= x <= max(0, shape[2] - 32)
