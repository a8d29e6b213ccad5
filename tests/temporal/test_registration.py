"""Known jitter is recovered; what is not jitter of the stage is left alone, or refused."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import fourier_shift, gaussian_filter, map_coordinates

from image_translation.temporal.registration import (
    MIN_FRAMES,
    Jitter,
    RegistrationRefusedError,
    count_tiles,
    estimate_jitter,
    moves_along,
    tile_shifts,
)

SIDE, FRAMES = 160, 14


def texture(seed: int = 0, side: int = SIDE + 80) -> np.ndarray:
    image = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 2.5, mode="wrap")
    return image / image.std()


def displaced(path: np.ndarray, noise: float = 0.05) -> list[np.ndarray]:
    """Return frames whose content is displaced along a path (T, 2)."""
    rng = np.random.default_rng(1)
    spectrum = np.fft.fft2(texture())
    frames = [np.fft.ifft2(fourier_shift(spectrum, step)).real[40:-40, 40:-40] for step in path]
    return [(frame + noise * rng.normal(size=frame.shape)).astype(np.float32) for frame in frames]


def measure(frames: list[np.ndarray]) -> np.ndarray:
    return np.array([tile_shifts(a, b) for a, b in pairwise(frames)])


def estimate(frames: list[np.ndarray]) -> Jitter:
    return estimate_jitter(measure(frames), np.ones(len(frames), bool))


def jitter(strength: float, frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    return strength * np.random.default_rng(seed).normal(size=(frames, 2))


@pytest.mark.parametrize("step", [(0.0, 0.0), (0.3, -0.45), (-2.6, 1.5), (5.0, -4.4)])
def test_the_shift_of_every_tile_is_found(step: tuple[float, float]) -> None:
    first, second = displaced(np.array([(0, 0), step]))
    found = tile_shifts(first, second)
    assert len(found) == count_tiles(first.shape) == 4
    np.testing.assert_allclose(found, np.broadcast_to(step, found.shape), atol=0.07)


@pytest.mark.parametrize("shape", [(1024, 1100), (96, 300), (76, 76)])
def test_frames_have_at_least_four_tiles(shape: tuple[int, int]) -> None:
    assert 4 <= count_tiles(shape) <= 36


def test_tiny_frames_have_no_tiles() -> None:
    assert count_tiles((75, 400)) == 0
    assert tile_shifts(*np.zeros((2, 40, 40), np.float32)).shape == (0, 2)


def test_jitter_to_and_fro_is_recovered() -> None:
    path = 0.6 * np.array([(1, -1) if t % 2 else (-1, 1) for t in range(15)])  # odd, so that it has no slope
    found = estimate(displaced(path))
    np.testing.assert_allclose(found.shifts, -path, atol=0.1)
    assert found.found
    assert found.common > 5 * found.spread


def test_random_jitter_is_recovered_from_frame_to_frame() -> None:
    path = jitter(0.5)
    found = estimate(displaced(path)).shifts
    left = np.diff(path + found, axis=0)  # what remains is slow
    assert np.sqrt(np.square(left).mean()) < 0.1 < 0.7 * np.sqrt(np.square(np.diff(path, axis=0)).mean())


def test_persistent_motion_stays_and_its_jitter_goes() -> None:
    drift = np.outer(np.arange(FRAMES) - FRAMES / 2, (1.5, -0.8))
    steady = estimate(displaced(drift))
    assert not steady.found
    assert steady.common < 0.1
    path = jitter(0.5)
    alone, moving = (estimate(displaced(p)).shifts for p in (path, path + drift))
    np.testing.assert_allclose(moving, alone, atol=0.1)


def test_jumps_stay() -> None:
    path = jitter(0.5)
    jumped = path + np.where(np.arange(FRAMES) < 8, 0.0, 12.0)[:, np.newaxis]
    found = estimate(displaced(jumped)).shifts
    for part in (slice(None, 8), slice(8, None)):
        left = np.diff((path + found)[part], axis=0)
        assert np.sqrt(np.square(left).mean()) < 0.15
    assert np.abs(found).max() < 2.0


def test_invalid_frames_are_not_displaced() -> None:
    path = jitter(0.5, 20)
    shifts = measure(displaced(path))
    valid = np.ones(20, bool)
    valid[9] = False
    shifts[8:10] = np.nan
    found = estimate_jitter(shifts, valid).shifts
    assert not found[9].any()
    for part in (slice(None, 9), slice(10, None)):
        left = np.diff((path + found)[part], axis=0)
        assert np.sqrt(np.square(left).mean()) < 0.15


def test_streaming_tiles_are_refused() -> None:
    rng = np.random.default_rng(0)
    points, field = np.indices((SIDE + 80,) * 2).astype(float), texture()
    frames = []
    for _ in range(FRAMES):
        flow = gaussian_filter(rng.normal(size=points.shape), (0, 30, 30))
        points += flow / flow.std()
        frames.append(map_coordinates(field, points, order=3, mode="wrap")[40:-40, 40:-40].astype(np.float32))
    with pytest.raises(RegistrationRefusedError, match=r"tiles disagree.* is \d\.\d\d px, .* about it, \d\.\d\d px"):
        estimate(frames)


def test_a_sheet_that_moves_as_a_whole_is_refused() -> None:
    rng = np.random.default_rng(2)
    velocity = np.zeros((FRAMES, 2))
    for t in range(1, FRAMES):
        velocity[t] = 0.7 * velocity[t - 1] + 0.7 * rng.normal(size=2)
    with pytest.raises(RegistrationRefusedError, match=r"like a sheet of cells.* is -?0\.\d\d; it must"):
        estimate(displaced(np.cumsum(velocity, axis=0)))


def test_few_frames_are_refused() -> None:
    shifts = measure(displaced(jitter(0.5, MIN_FRAMES)))
    assert estimate_jitter(shifts, np.ones(MIN_FRAMES, bool)).found
    with pytest.raises(RegistrationRefusedError, match=r"9 valid frames, 7 of them between two others; .* 10 consec"):
        estimate_jitter(shifts[1:], np.ones(MIN_FRAMES - 1, bool))
    with pytest.raises(RegistrationRefusedError, match="1 valid frames"):
        estimate_jitter(shifts[:0], np.ones(1, bool))


def test_frames_without_texture_are_refused() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.normal(size=(SIDE, SIDE)).astype(np.float32) for _ in range(12)]
    with pytest.raises(RegistrationRefusedError, match=r"only 0 of 10 frames .* 4 tiles \(of 4\) with a texture"):
        estimate(noise)
    constant = [np.ones((SIDE, SIDE), np.float32)] * 12
    with pytest.raises(RegistrationRefusedError, match="texture"):
        estimate(constant)


def test_another_channel_moves_along_or_not() -> None:
    rng = np.random.default_rng(3)
    path = jitter(0.5)[:, np.newaxis]
    phase, stain, still, unknown = (
        np.diff(path * factor, axis=0) + 0.1 * rng.normal(size=(FRAMES - 1, 9, 2)) for factor in (1, 1, 0, np.nan)
    )
    assert moves_along(phase, stain)
    assert not moves_along(phase, still)
    assert moves_along(phase, unknown)  # a stage moves all channels
