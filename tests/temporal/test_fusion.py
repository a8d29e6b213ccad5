import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from image_translation.temporal.fusion import fuse, relative_error, sum_sides

SHAPE = (128, 128)
OFFSETS = np.array([0, -3, -2, -1, 1, 2, 3])
WEIGHTS = np.exp(-0.5 * (OFFSETS / 2) ** 2).astype(np.float32)


def texture(seed: int, sigma: float = 1.5) -> np.ndarray:
    image = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), sigma)
    return (image / image.std()).astype(np.float32)


def fused(images: np.ndarray, offsets: np.ndarray = OFFSETS) -> np.ndarray:
    sides = sum_sides(images, offsets, WEIGHTS, np.ones_like(images))
    return fuse(sides, relative_error(sides))


def rms(image: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(image))))


def line(position: float) -> np.ndarray:
    x = np.arange(SHAPE[1])
    return np.broadcast_to(np.exp(-((x - position) ** 2) / 2), SHAPE).astype(np.float32)


def test_independent_flicker_is_averaged():
    truth = texture(0, 4)
    noisy = truth + np.stack([0.3 * texture(seed) for seed in range(1, 8)])
    assert rms(fused(noisy) - truth) < 0.6 * rms(noisy[0] - truth)


def test_flicker_of_the_frame_alone_is_removed():
    truth = texture(0, 4)
    images = np.stack([truth + 0.5 * texture(1), *[truth] * 6])
    assert rms(fused(images) - truth) < 0.3 * rms(images[0] - truth)


def test_equal_images_are_unchanged():
    np.testing.assert_allclose(fused(np.stack([texture(0)] * 7)), texture(0), atol=1e-6)


@pytest.mark.parametrize("velocity", [0.3, 0.7])
def test_an_outline_that_the_flow_does_not_follow_is_kept(velocity: float):
    """Neighbours before and after show the line on either side of its place, by less than its width a frame."""
    images = np.stack([line(32 + velocity * offset) for offset in OFFSETS])
    assert rms(fused(images) - images[0]) < 0.2 * rms(images.mean(axis=0) - images[0])


def test_a_place_where_the_neighbours_disagree_does_not_spoil_the_others():
    truth = texture(0, 4)
    images = truth + np.stack([0.3 * texture(seed) for seed in range(1, 8)])
    images[OFFSETS > 0, 16:40, 16:40] += 5  # as where a cell has come
    result = fused(images)
    assert rms((result - images[0])[24:32, 24:32]) < 0.05
    assert rms((result - truth)[64:]) < 0.75 * rms((images[0] - truth)[64:])


def test_an_unusual_place_of_doubtful_motion_keeps_its_frame():
    """As a nucleus that condenses: its neighbours agree with each other. Without doubt it is an error of one frame."""
    truth = texture(0, 4)
    images = truth + np.stack([0.3 * texture(seed) for seed in range(1, 8)])
    images[0, 24:36, 24:36] += 5
    for confidence, least, most in ((0.5, 0, 0.1), (1, 4, 5)):
        confident = np.ones_like(images)
        confident[1:, 8:48, 8:48] = confidence
        sides = sum_sides(images, OFFSETS, WEIGHTS, confident)
        result = fuse(sides, relative_error(sides))
        assert least <= rms((result - images[0])[26:34, 26:34]) <= most
        assert rms((result - truth)[64:]) < 0.75 * rms((images[0] - truth)[64:])


def test_flicker_of_sparse_structures_is_not_unusual():
    """The change of the background says nothing about that of the few nuclei."""
    nuclei = np.zeros(SHAPE, np.float32)
    for y, x in ((30, 30), (90, 40), (60, 100)):
        nuclei[y - 6 : y + 6, x - 6 : x + 6] = 1
    noise = np.stack([0.01 * texture(seed) for seed in range(7)])
    images = nuclei * np.array([1.3, 1, 1, 1, 1, 1, 1], np.float32)[:, np.newaxis, np.newaxis] + noise
    assert rms((fused(images) - nuclei)[nuclei > 0]) < 0.4 * rms((images[0] - nuclei)[nuclei > 0])


def test_neighbours_without_confidence_have_no_effect():
    images = np.stack([texture(seed) for seed in range(7)])
    confidence = np.zeros_like(images)
    confidence[0] = 1
    sides = sum_sides(images, OFFSETS, WEIGHTS, confidence)
    np.testing.assert_allclose(fuse(sides, relative_error(sides)), images[0], atol=1e-6)


def test_a_place_trusted_on_one_side_only_keeps_its_frame():
    """As after a division: the frames before show other material, and those after may all be displaced alike."""
    images = np.stack([texture(0)] + [texture(1)] * 6)
    confidence = np.ones_like(images)
    confidence[OFFSETS < 0, :, :64] = 0
    sides = sum_sides(images, OFFSETS, WEIGHTS, confidence)
    change = fuse(sides, relative_error(sides)) - images[0]
    assert rms(change[:, :64]) < 1e-3
    assert rms(change[:, 72:]) > 0.5


def test_error_of_independent_estimates_is_that_of_their_mean():
    """Weights 1: the mean of 6 has a sixth of the variance; its squared difference from the frame is 7 sixths of it."""
    images = np.stack([texture(seed, 0.8) for seed in range(7)])
    sides = sum_sides(images, OFFSETS, np.ones(7, np.float32), np.ones((7, *SHAPE), np.float32))
    assert sides.two_sided
    assert float(np.median(relative_error(sides))) == pytest.approx(1 / 7, rel=0.15)


def test_neighbours_on_one_side_are_used_less():
    images = np.stack([texture(seed) for seed in range(7)])
    arguments = WEIGHTS, np.ones((7, *SHAPE), np.float32)
    two, one = sum_sides(images, OFFSETS, *arguments), sum_sides(images, np.abs(OFFSETS), *arguments)
    assert (two.two_sided, one.two_sided) == (True, False)
    error = np.full(SHAPE, 0.9, np.float32)
    np.testing.assert_allclose(two.own, one.own)
    assert rms(fuse(one, error) - one.own) < 0.6 * rms(fuse(two, error) - two.own)
    np.testing.assert_array_equal(fuse(two, 2 * error), two.own)
