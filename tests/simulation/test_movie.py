"""Simulated movies: reproducibility, and known brightness, number and motion of cells."""

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import label, map_coordinates

from image_translation.errors import UsageError
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import CHANNELS, MovieSpec

SMALL = MovieSpec(shape=(128, 112), frames=12, seed=4, density=0.5, cell_radius=14.0, flicker=1.0)
QUIET = dataclasses.replace(SMALL, divisions=0.0)
FIXED = dataclasses.replace(QUIET, speed=0.0, deformation=0.0, debris=0.0)
STILL = dataclasses.replace(FIXED, flicker=0.0, noise=0.0, background=0.0)


def pearson(a, b):
    return np.corrcoef(a, b)[0, 1]


def register(movie, t0, t1, channel):
    """Return the stain at the valid pixels: of frame t0, of frame t1 warped back to t0, and of frame t1."""
    flow, valid = movie.displacement(t0, t1)
    later = movie.fluorescence(t1)[channel]
    registered = map_coordinates(later, np.indices(valid.shape) + flow, order=1)
    return movie.fluorescence(t0)[channel][valid], registered[valid], later[valid]


def count_nuclei(movie, t, box):
    stain = movie.fluorescence(t)[0][box]
    return label(stain > 0.35)[1]


def test_frame_contains_phase_nuclei_and_membrane():
    movie = Movie(SMALL)
    frame = movie.frame(3)
    assert frame.shape == (len(CHANNELS), 128, 112)
    assert frame.dtype == np.float32
    np.testing.assert_array_equal(frame[0], movie.phase(3))
    np.testing.assert_array_equal(frame[1:], movie.fluorescence(3))
    assert np.isfinite(frame).all()


def test_frames_depend_on_the_seed_but_not_on_the_order():
    forward, backward = Movie(SMALL), Movie(SMALL)
    first = [forward.frame(t) for t in (0, 5, 11)]
    second = [backward.frame(t) for t in (11, 5, 0)][::-1]
    np.testing.assert_array_equal(first, second)
    other = Movie(dataclasses.replace(SMALL, seed=5))
    assert pearson(other.frame(0)[1].ravel(), first[0][1].ravel()) < 0.5


def test_nuclear_stain_is_constant_over_time():
    # Few cells, with all nuclei inside the field.
    spec = MovieSpec(shape=(160, 160), frames=40, seed=7, density=0.05, speed=0.5, divisions=0.0, rounded=0.0)
    movie = Movie(spec)
    inside = [movie.fluorescence(t)[0] for t in (0, 13, 26, 39)]
    assert all(image[0].max() == image[-1].max() == image[:, 0].max() == image[:, -1].max() == 0 for image in inside)
    total = np.array([image.sum(dtype=float) for image in inside])
    assert total[0] > 50
    np.testing.assert_allclose(total, total[0], rtol=0.01)


def test_displacement_to_the_same_frame_is_zero():
    flow, valid = Movie(SMALL).displacement(4, 4)
    assert flow.shape == (2, 128, 112)
    assert flow.dtype == np.float32
    assert valid.dtype == np.bool_
    assert valid.all()
    np.testing.assert_allclose(flow, 0, atol=1e-4)


def test_static_cells_have_no_displacement():
    movie = Movie(dataclasses.replace(FIXED, density=0.1, seed=7))
    flow, valid = movie.displacement(0, 11)
    assert valid.mean() > 0.99
    np.testing.assert_allclose(flow, 0, atol=1e-3)


@pytest.mark.parametrize("density", [0.2, 1.0])
@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_displacement_registers_nuclei(density, speed):
    movie = Movie(dataclasses.replace(SMALL, density=density, speed=speed))
    for t1 in (1, 8):
        truth, registered, unregistered = register(movie, 0, t1, channel=0)
        assert truth.size > 0.4 * 128 * 112
        assert pearson(truth, registered) > 0.96
        assert pearson(truth, registered) > pearson(truth, unregistered) + 0.005


def test_displacement_registers_membranes_of_adjacent_frames():
    truth, registered, unregistered = register(Movie(dataclasses.replace(SMALL, speed=3.0)), 5, 4, channel=1)
    assert pearson(truth, registered) > 0.9
    assert pearson(truth, registered) > pearson(truth, unregistered) + 0.1


def test_mean_displacement_equals_the_speed():
    spec = dataclasses.replace(QUIET, shape=(256, 256), frames=30, density=0.3, speed=2.0, deformation=0.0)
    movie = Movie(spec)
    lengths = []
    for t in range(0, 29, 4):
        flow, valid = movie.displacement(t, t + 1)
        moving = valid & flow.any(axis=0)
        lengths.append(np.hypot(*flow)[moving].mean())
    assert np.mean(lengths) == pytest.approx(2.0, rel=0.35)


def test_flicker_changes_static_images():
    change = []
    for flicker in (0.0, 1.0, 3.0):
        movie = Movie(dataclasses.replace(FIXED, flicker=flicker))
        phase = np.stack([movie.phase(t) for t in range(6)])
        change.append(np.abs(np.diff(phase, axis=0)).mean())
    assert change[0] < 0.9 * change[1]
    assert change[1] < 0.6 * change[2]


def test_static_movie_without_flicker_and_noise_is_constant():
    movie = Movie(dataclasses.replace(FIXED, density=0.1, seed=7, flicker=0.0, noise=0.0, background=0.0))
    np.testing.assert_allclose(movie.phase(0), movie.phase(11), atol=1e-3)


def test_flicker_does_not_change_the_stain():
    steady, strong = (Movie(dataclasses.replace(SMALL, flicker=f)) for f in (0.0, 3.0))
    np.testing.assert_array_equal(steady.fluorescence(6), strong.fluorescence(6))


def test_only_the_phase_of_dropped_frames_is_zero():
    movie, complete = Movie(dataclasses.replace(SMALL, dropped=(2, 7))), Movie(SMALL)
    assert not movie.phase(2).any()
    assert not movie.phase(7).any()
    np.testing.assert_array_equal(movie.fluorescence(2), complete.fluorescence(2))
    np.testing.assert_array_equal(movie.frame(3), complete.frame(3))


def test_division_adds_one_nucleus():
    spec = MovieSpec(frames=60, seed=5, density=0.1, divisions=1.5, speed=0.3)
    movie = Movie(spec)
    inner = [(t, y, x) for t, y, x in movie.divisions if min(y, x) >= 24 and max(y, x) <= 231 and 8 <= t < 54]
    assert len(inner) >= 2
    for t, y, x in inner:
        box = tuple(slice(int(c) - 24, int(c) + 25) for c in (y, x))
        assert count_nuclei(movie, t + 4, box) == count_nuclei(movie, t - 1, box) + 1
        before, after = (movie.fluorescence(k)[0][box].sum() for k in (t - 1, t))
        assert after == pytest.approx(before, rel=0.15)
        spread, round_up = (movie.phase(k)[box].max() for k in (t - 8, t - 1))
        assert round_up > 1.2 * spread


def test_coverage_increases_with_density():
    covered = []
    for density in (0.1, 0.4, 0.7, 1.0):
        spec = dataclasses.replace(QUIET, shape=(256, 256), density=density, rounded=0.0)
        covered.append((Movie(spec).fluorescence(0)[1] > 0.06).mean())
    assert all(np.diff(covered) > 0.1)
    assert covered[-1] > 0.9
    assert covered[0] == pytest.approx(0.13, abs=0.06)  # membranes are blurred outwards


def test_phase_is_proportional_to_contrast():
    plain = dataclasses.replace(QUIET, noise=0.0, background=0.0)
    single, double = (Movie(dataclasses.replace(plain, contrast=c)).phase(2) for c in (1.0, 2.0))
    np.testing.assert_allclose(2 * single, double, atol=1e-4)


def test_cells_are_bright_on_a_background_near_zero():
    phase, nuclei, membrane = Movie(dataclasses.replace(SMALL, halo=0.0)).frame(0)
    background = membrane < 0.01
    assert abs(np.median(phase[background])) < 0.15
    assert np.median(phase[nuclei > 0.5]) > 0.5
    assert pearson(phase.ravel(), nuclei.ravel()) > 0.6


@pytest.mark.parametrize("t", [-1, 12])
def test_frame_index_out_of_range_is_an_error(t):
    movie = Movie(SMALL)
    with pytest.raises(UsageError, match=f"frame {t} does not exist; the movie has the frames 0 to 11"):
        movie.phase(t)
    with pytest.raises(UsageError, match=f"frame {t} does not exist"):
        movie.displacement(0, t)
