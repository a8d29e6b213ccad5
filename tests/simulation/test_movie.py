"""The simulated movie: a function of its specification, with known brightness, counts and motion."""

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import label, map_coordinates

from image_translation.errors import UsageError
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import CHANNELS, MovieSpec

SMALL = MovieSpec(shape=(128, 112), frames=12, seed=4, density=0.5, cell_radius=14.0)
QUIET = dataclasses.replace(SMALL, divisions=0.0)
FIXED = dataclasses.replace(QUIET, speed=0.0, deformation=0.0, debris=0.0)


def pearson(a, b):
    return np.corrcoef(a, b)[0, 1]


def warp_back(movie, t0, t1, channel):
    """Stain of frame t1 fetched to where its material was in t0, the stain of t0, and where both are known."""
    flow, valid = movie.displacement(t0, t1)
    later = movie.fluorescence(t1)[channel]
    fetched = map_coordinates(later, np.indices(valid.shape) + flow, order=1)
    return movie.fluorescence(t0)[channel][valid], fetched[valid], later[valid]


def count_nuclei(movie, t, box):
    stain = movie.fluorescence(t)[0][box]
    return label(stain > 0.35)[1]


def test_frame_holds_phase_nuclei_membrane():
    movie = Movie(SMALL)
    frame = movie.frame(3)
    assert frame.shape == (len(CHANNELS), 128, 112)
    assert frame.dtype == np.float32
    np.testing.assert_array_equal(frame[0], movie.phase(3))
    np.testing.assert_array_equal(frame[1:], movie.fluorescence(3))
    assert np.isfinite(frame).all()


def test_seed_decides_and_order_does_not():
    forward, backward = Movie(SMALL), Movie(SMALL)
    first = [forward.frame(t) for t in (0, 5, 11)]
    second = [backward.frame(t) for t in (11, 5, 0)][::-1]
    np.testing.assert_array_equal(first, second)
    other = Movie(dataclasses.replace(SMALL, seed=5))
    assert pearson(other.frame(0)[1].ravel(), first[0][1].ravel()) < 0.5


def test_nuclear_stain_is_constant_over_time():
    # few cells, no nucleus of which meets the border of the field
    spec = MovieSpec(shape=(160, 160), frames=40, seed=7, density=0.05, speed=0.5, divisions=0.0, rounded=0.0)
    movie = Movie(spec)
    inside = [movie.fluorescence(t)[0] for t in (0, 13, 26, 39)]
    assert all(image[0].max() == image[-1].max() == image[:, 0].max() == image[:, -1].max() == 0 for image in inside)
    total = np.array([image.sum(dtype=float) for image in inside])
    assert total[0] > 50
    np.testing.assert_allclose(total, total[0], rtol=0.01)


def test_no_time_no_displacement():
    flow, valid = Movie(SMALL).displacement(4, 4)
    assert flow.shape == (2, 128, 112)
    assert flow.dtype == np.float32
    assert valid.dtype == np.bool_
    assert valid.all()
    np.testing.assert_allclose(flow, 0, atol=1e-4)


def test_cells_that_do_not_move_have_no_displacement():
    movie = Movie(dataclasses.replace(FIXED, density=0.1, seed=7))
    flow, valid = movie.displacement(0, 11)
    assert valid.mean() > 0.99
    np.testing.assert_allclose(flow, 0, atol=1e-3)


@pytest.mark.parametrize("density", [0.2, 1.0])
@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_displacement_maps_one_frame_to_another(density, speed):
    movie = Movie(dataclasses.replace(SMALL, density=density, speed=speed))
    for t1 in (1, 8):
        truth, fetched, still = warp_back(movie, 0, t1, channel=0)
        assert truth.size > 0.4 * 128 * 112
        assert pearson(truth, fetched) > 0.96
        assert pearson(truth, fetched) > pearson(truth, still) + 0.005


def test_displacement_maps_membranes_of_adjacent_frames():
    truth, fetched, still = warp_back(Movie(dataclasses.replace(SMALL, speed=3.0)), 5, 4, channel=1)
    assert pearson(truth, fetched) > 0.9
    assert pearson(truth, fetched) > pearson(truth, still) + 0.1


def test_displacement_has_the_length_of_the_speed():
    spec = dataclasses.replace(QUIET, shape=(256, 256), frames=30, density=0.3, speed=2.0, deformation=0.0)
    movie = Movie(spec)
    lengths = []
    for t in range(0, 29, 4):
        flow, valid = movie.displacement(t, t + 1)
        moving = valid & flow.any(axis=0)
        lengths.append(np.hypot(*flow)[moving].mean())
    assert np.mean(lengths) == pytest.approx(2.0, rel=0.35)


def test_flicker_changes_what_does_not_move():
    change = []
    for flicker in (0.0, 1.0, 3.0):
        movie = Movie(dataclasses.replace(FIXED, flicker=flicker))
        phase = np.stack([movie.phase(t) for t in range(6)])
        change.append(np.abs(np.diff(phase, axis=0)).mean())
    assert change[0] < 0.9 * change[1]
    assert change[1] < 0.6 * change[2]


def test_steady_optics_without_noise_give_the_same_frame_again():
    movie = Movie(dataclasses.replace(FIXED, density=0.1, seed=7, flicker=0.0, noise=0.0, background=0.0))
    np.testing.assert_allclose(movie.phase(0), movie.phase(11), atol=1e-3)


def test_stain_does_not_flicker():
    steady, strong = (Movie(dataclasses.replace(SMALL, flicker=f)) for f in (0.0, 3.0))
    np.testing.assert_array_equal(steady.fluorescence(6), strong.fluorescence(6))


def test_dropped_frames_are_zero_in_the_phase_only():
    movie, whole = Movie(dataclasses.replace(SMALL, dropped=(2, 7))), Movie(SMALL)
    assert not movie.phase(2).any()
    assert not movie.phase(7).any()
    np.testing.assert_array_equal(movie.fluorescence(2), whole.fluorescence(2))
    np.testing.assert_array_equal(movie.frame(3), whole.frame(3))


def test_a_division_makes_one_nucleus_two():
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


def test_density_covers_more_of_the_field():
    shares = []
    for density in (0.1, 0.4, 0.7, 1.0):
        spec = dataclasses.replace(QUIET, shape=(256, 256), density=density, rounded=0.0)
        shares.append((Movie(spec).fluorescence(0)[1] > 0.06).mean())
    assert all(np.diff(shares) > 0.1)
    assert shares[-1] > 0.9
    assert shares[0] == pytest.approx(0.13, abs=0.06)  # rims are blurred outwards


def test_contrast_scales_the_phase():
    plain = dataclasses.replace(QUIET, noise=0.0, background=0.0)
    single, double = (Movie(dataclasses.replace(plain, contrast=c)).phase(2) for c in (1.0, 2.0))
    np.testing.assert_allclose(2 * single, double, atol=1e-4)


def test_cells_are_bright_on_ground_near_zero():
    phase, nuclei, membrane = Movie(dataclasses.replace(SMALL, halo=0.0)).frame(0)
    ground = membrane < 0.01
    assert abs(np.median(phase[ground])) < 0.15
    assert np.median(phase[nuclei > 0.5]) > 0.5
    assert pearson(phase.ravel(), nuclei.ravel()) > 0.6


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"density": 1.5}, "density is 1.5; it must lie between 0.01 and 1"),
        ({"flicker": -1.0}, "flicker is -1"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"frames": 0}, "frames is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"shape": (8, 64)}, r"shape is \(8, 64\)"),
        ({"dropped": (3, 12), "frames": 12}, r"dropped names the frames \[12\]"),
    ],
)
def test_bad_specification_names_the_value_and_the_rule(wrong, named):
    with pytest.raises(UsageError, match=named):
        MovieSpec(**wrong)


@pytest.mark.parametrize("t", [-1, 12])
def test_frame_outside_the_movie(t):
    movie = Movie(SMALL)
    with pytest.raises(UsageError, match=f"frame {t} does not exist; the movie has the frames 0 to 11"):
        movie.phase(t)
    with pytest.raises(UsageError, match=f"frame {t} does not exist"):
        movie.displacement(0, t)
