"""Known answers of resampling: constants, ramps, blobs, and round trips."""

import numpy as np
import pytest
from scipy import ndimage

from image_translation.errors import UsageError
from image_translation.network.resampling import PlaneCollector, Resampling, interpolate, resize

SHAPE = (120, 132)
SIZES = [(40, 44), (37, 51), (60, 66), (110, 121), (119, 133), (150, 170), (361, 396)]


def coordinates(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return where the pixels of a grid of another size lie, in pixels of `SHAPE`."""
    y, x = ((np.arange(new) + 0.5) * old / new - 0.5 for new, old in zip(size, SHAPE, strict=True))
    return y[:, None] + 0 * x, x + 0 * y[:, None]


def blob(size: tuple[int, int] = SHAPE) -> np.ndarray:
    y, x = coordinates(size)
    return np.exp(-((y - 61.7) ** 2 + (x - 50.3) ** 2) / 2 / 8**2)[None].astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_constants_stay(size):
    image = np.stack([np.full(SHAPE, 3.5, np.float32), np.full(SHAPE, -2, np.float32)])
    resized = resize(image, size)
    assert (resized.shape, resized.dtype) == ((2, *size), np.float32)
    np.testing.assert_allclose(resized, np.broadcast_to(image[:, :1, :1], resized.shape), atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_a_ramp_stays_a_ramp(size):
    y, x = coordinates(SHAPE)
    image = np.stack([x, y + 2 * x]).astype(np.float32)
    y, x = coordinates(size)
    inside = (slice(None), slice(size[0] // 5, -size[0] // 5), slice(size[1] // 5, -size[1] // 5))
    expected = np.stack([x, y + 2 * x])
    assert np.abs(resize(image, size) - expected)[inside].max() < 0.1  # of a pixel; half a pixel if it were shifted
    assert abs((resize(image, size) - expected)[inside].mean()) < 0.002


@pytest.mark.parametrize("size", SIZES)
def test_the_centre_of_mass_stays(size):
    resized = resize(blob(), size)[0]
    y, x = coordinates(size)
    assert (resized * y).sum() / resized.sum() == pytest.approx(61.7, abs=1e-3)
    assert (resized * x).sum() / resized.sum() == pytest.approx(50.3, abs=1e-3)
    np.testing.assert_allclose(resized, blob(size)[0], atol=0.03)


@pytest.mark.parametrize("size", SIZES)
def test_a_round_trip_of_a_smooth_image_is_near_the_identity(size):
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 6, mode="reflect")
    image = (noise / noise.std())[None].astype(np.float32)
    back = resize(resize(image, size), SHAPE)
    assert np.abs(back - image)[:, 10:-10, 10:-10].max() < 0.05
    assert np.abs(back - image).max() < 0.3  # at the border, where neighbours lack


def test_shrinking_does_not_alias():
    y, x = np.mgrid[:120, :120]
    board = ((y + x) % 2).astype(np.float32)[None]
    np.testing.assert_allclose(resize(board, (40, 40))[:, 2:-2, 2:-2], 0.5, atol=1e-3)
    stripes = np.sin(2 * np.pi * x / 2.7)[None].astype(np.float32)  # finer than the pixels that are to come
    assert np.abs(resize(stripes, (30, 30))[:, 2:-2, 2:-2]).max() < 0.02


def test_an_image_of_the_right_size_is_returned_itself():
    image = blob()
    resampling = Resampling.between((5, *SHAPE), (0.2, 0.1, 0.1), (0.2, 0.1, 0.1))
    assert resampling == Resampling.none((5, *SHAPE))
    assert resampling.to_network(image) is image
    assert resampling.to_movie(image) is image
    assert [resampling.sources(z) for z in range(5)] == [((z, 1.0),) for z in range(5)]
    assert [resampling.predictions(z) for z in range(5)] == [((z, 1.0),) for z in range(5)]


def test_grids_cover_the_same_field():
    resampling = Resampling.between((1, 100, 50), (1, 0.325, 0.13), (1, 0.13, 0.325))
    assert resampling.network_shape == (1, 250, 20)
    image = np.zeros((1, 100, 50), np.float32)
    assert resampling.to_network(image).shape == (1, 250, 20)
    assert resampling.to_movie(resampling.to_network(image)).shape == (1, 100, 50)
    assert Resampling.between((1, 3, 3), (1, 1, 1), (1, 8, 8)).network_shape == (1, 1, 1)


@pytest.mark.parametrize(("axis", "size"), [("z", (9, 1, 1)), ("y", (1, 0.1, 1)), ("x", (1, 1, 8.1))])
def test_pixels_that_differ_too_much_are_an_error(axis, size):
    with pytest.raises(UsageError, match=f"--resample: along {axis}, the pixels of the movie are .* a factor of 8 is"):
        Resampling.between((5, 10, 10), size, (1, 1, 1))
    assert Resampling.between((5, 10, 10), (8, 1, 1 / 8), (1, 1, 1)).network_shape == (33, 10, 1)


@pytest.mark.parametrize(
    ("depth", "size", "network_size", "planes"),
    [
        (8, 0.5, 0.25, 15),  # 14 steps
        (15, 0.25, 0.5, 8),
        (5, 2.1, 0.3, 29),  # 28 steps, but for rounding
        (8, 0.3, 0.25, 10),  # 8.4 steps: enclosed by 9
        (8, 0.25, 0.7, 4),  # 2.5 steps: enclosed by 3
        (1, 0.5, 0.25, 1),
    ],
)
def test_planes_have_the_spacing_of_the_network(depth, size, network_size, planes):
    resampling = Resampling.between((depth, 4, 4), (size, 1, 1), (network_size, 1, 1))
    assert resampling.network_shape == (planes, 4, 4)
    heights = [sum(z * weight for z, weight in resampling.sources(k)) * size for k in range(planes)]
    middle, extent = (depth - 1) / 2 * size, (depth - 1) * size
    expected = [min(max(middle + (k - (planes - 1) / 2) * network_size, 0), extent) for k in range(planes)]
    assert heights == pytest.approx(expected, abs=1e-5)
    assert all(sum(weight for _, weight in resampling.sources(k)) == 1 for k in range(planes))


@pytest.mark.parametrize("factor", [0.2, 0.4, 0.77, 1, 1.2, 2, 3.6])
def test_a_ramp_in_z_comes_back(factor):
    depth = 11
    resampling = Resampling.between((depth, 2, 2), (factor, 1, 1), (1, 1, 1))
    stack = np.arange(depth, dtype=np.float32)[:, None, None] + np.zeros((2, 2), np.float32)
    seen = [
        interpolate([(stack[z], weight) for z, weight in resampling.sources(k)])
        for k in range(resampling.network_shape[0])
    ]
    collector = PlaneCollector[np.ndarray](resampling, range(depth))
    found = {z: interpolate(parts) for k, plane in enumerate(seen) for z, parts in collector.push(k, plane)}
    assert list(found) == list(range(depth))
    # Planes at the ends are between one of the network that repeats the last of the movie, and the one before.
    outside = 1 / factor
    inside = [z for z in range(depth) if outside <= z <= depth - 1 - outside]
    assert inside
    np.testing.assert_allclose([found[z][0, 0] for z in inside], inside, atol=1e-4)
    np.testing.assert_allclose([found[z][0, 0] for z in range(depth)], range(depth), atol=0.5 / factor)


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("step", [1, -1])
def test_planes_are_complete_as_soon_as_their_neighbours_are_there(factor, step):
    resampling = Resampling.between((9, 2, 2), (factor, 1, 1), (1, 1, 1))
    planes = [3, 4, 5]
    needed = resampling.needed(planes)
    collector, taken = PlaneCollector[int](resampling, planes), []
    for number in needed[::step]:
        for z, parts in collector.push(number, number):
            assert dict(resampling.predictions(z)) == dict(parts)
            assert number in dict(parts)
            taken.append(z)
    assert sorted(taken) == planes


def test_planes_within_those_that_can_be_predicted():
    resampling = Resampling.between((8, 2, 2), (0.5, 1, 1), (0.25, 1, 1))
    assert resampling.within(range(15)) == range(8)
    assert resampling.within(range(1, 14)) == range(1, 7)
    assert resampling.within(range(2, 3)) == range(1, 2)
    assert resampling.within(range(1, 2)) == range(0)
    assert resampling.needed([2, 3]) == range(4, 7)
    assert resampling.seen([4, 5]) == {2, 3}
