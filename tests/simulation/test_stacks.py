"""Stacks: sections at known heights, phase through focus, and single planes as they were."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from image_translation.simulation.dome_volume import add_domes
from image_translation.simulation.domes import Granules, draw_domes
from image_translation.simulation.flicker import fluctuation
from image_translation.simulation.geometry import PADDING
from image_translation.simulation.heights import draw_heights, draw_relief, plane_heights
from image_translation.simulation.migration import simulate_population
from image_translation.simulation.movie import Movie
from image_translation.simulation.optics import DEPTH_OF_FIELD
from image_translation.simulation.spec import CELLS, OPTICS, MovieSpec
from image_translation.simulation.volume import add_debris, empty_volume

SPEC = MovieSpec(shape=(112, 96), frames=40, seed=3, planes=9, density=0.5)
PLAIN = dataclasses.replace(SPEC, noise=0.0, background=0.0, debris=0.0)
ALL = dataclasses.replace(PLAIN, planes=41, plane_spacing=1.0)  # from below the cells to above them


def movie(spec: MovieSpec, **changes: Any) -> Movie:
    return Movie(dataclasses.replace(spec, **changes))


def pearson(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize(
    ("cells", "optics", "mean", "pixel", "deviation"),
    [
        ("spread", "path", [0.340248, 0.232672, 0.288511], [-0.125755, 0.0, 0.618222], [0.531082, 0.373816, 0.269686]),
        ("spread", "reconstructed", [0, 0.232672, 0.288511], [-0.782718, 0, 0.618222], [0.882416, 0.373816, 0.269686]),
        ("domes", "path", [0.567707, 0.202831, 0.499236], [0.687665, 0.0, 0.755159], [0.582725, 0.366014, 0.300083]),
        ("domes", "reconstructed", [0, 0.202831, 0.499236], [0.134253, 0, 0.755159], [0.859152, 0.366014, 0.300083]),
    ],
)
def test_single_planes_are_as_before_there_were_stacks(
    cells: str, optics: str, mean: list[float], pixel: list[float], deviation: list[float]
) -> None:
    spec = MovieSpec(
        shape=(96, 80), frames=6, seed=11, cells=cells, optics=optics, flicker=1.0, focus_jitter=0.2, texture_jitter=0.5
    )
    frame = Movie(spec).frame(3)
    np.testing.assert_array_equal(frame, movie(spec, planes=1, plane_spacing=5.0).frame(3))
    frame = frame.astype(float)
    np.testing.assert_allclose(frame.mean(axis=(1, 2)), mean, atol=2e-5)
    np.testing.assert_allclose(frame[:, 40, 33], pixel, atol=1e-4)
    np.testing.assert_allclose(frame.std(axis=(1, 2)), deviation, atol=2e-5)


@pytest.mark.parametrize("cells", CELLS)
def test_a_frame_is_a_stack_that_depends_on_the_seed_only(cells: str) -> None:
    spec = dataclasses.replace(SPEC, cells=cells, flicker=1.0, focus_jitter=0.1, dropped=(4,))
    one, same = Movie(spec), Movie(spec)
    frame = one.frame(7)
    assert frame.shape == (3, 9, 112, 96)
    assert frame.dtype == np.float32
    assert np.isfinite(frame).all()
    same.frame(2)
    np.testing.assert_array_equal(same.frame(7), frame)
    np.testing.assert_array_equal(same.phase(7), frame[0])
    np.testing.assert_array_equal(same.fluorescence(7), frame[1:])
    dropped = one.frame(4)
    assert not dropped[0].any()
    assert dropped[1].any()


@pytest.mark.parametrize("cells", CELLS)
def test_the_centre_of_mass_of_a_nucleus_is_at_its_height(cells: str) -> None:
    one = movie(ALL, shape=(160, 160), cells=cells, density=0.25, divisions=0.0, seed=7)
    found: list[float] = []
    for t in (0, 20, 39):
        stain, labels = one.fluorescence(t)[0], one.labels(t)[0]
        around = {
            label: binary_dilation((labels == label).any(axis=0), iterations=4) for label in one.nuclear_heights(t)
        }
        for label, height in one.nuclear_heights(t).items():
            area = around[label] & ~np.any([mask for other, mask in around.items() if other != label], axis=0)
            profile = stain[:, area].sum(axis=1, dtype=float)
            if profile.sum() > 100:  # not merely the edge of a nucleus outside the field
                assert profile @ np.arange(41.0) / profile.sum() == pytest.approx(height, abs=0.05)
                found.append(height)
    assert len(found) >= 9
    assert np.ptp(found) > 2


def test_nuclei_are_at_heights_of_their_own_that_vary_slowly_and_stay_in_their_cells() -> None:
    for cells in CELLS:
        spec = dataclasses.replace(SPEC, cells=cells, divisions=3.0)
        population = simulate_population(spec, PADDING)
        heights = draw_heights(population, spec)
        assert heights.nucleus.shape == heights.cell.shape == population.spread.shape
        alive = np.array(
            [[t in range(b, e) for b, e in zip(population.birth, population.end, strict=True)] for t in range(40)]
        )
        assert (heights.nucleus - heights.nuclear_radius > -1e-6)[alive].all()
        assert (heights.nucleus + heights.nuclear_radius < heights.cell + 1e-6)[alive].all()
        spread = alive & (population.spread > 0.99)
        assert 1 < heights.nucleus[0, spread[0]].std() < 6
        resting = spread.all(axis=0)
        change = np.abs(np.diff(heights.nucleus[:, resting], axis=0))
        assert 0 < change.max() < 1
        assert np.ptp(heights.nucleus[:, resting], axis=0).max() > 1.5


def test_plane_spacing_scales_the_stack() -> None:
    coarse = movie(PLAIN, planes=5, plane_spacing=2.0)
    fine = movie(PLAIN, planes=9, plane_spacing=1.0)
    np.testing.assert_allclose(coarse.frame(3), fine.frame(3)[:, ::2], atol=1e-4)
    np.testing.assert_array_equal(coarse.labels(3), fine.labels(3)[:, ::2])
    assert coarse.nuclear_heights(3) == pytest.approx(fine.nuclear_heights(3))
    np.testing.assert_allclose(np.diff(plane_heights(coarse.spec)), 2)
    assert plane_heights(coarse.spec).mean() == pytest.approx(0.375 * coarse.spec.cell_radius)


@pytest.mark.parametrize("optics", OPTICS)
def test_a_defocus_moves_the_phase_along_z_and_not_the_truth(optics: str) -> None:
    one = movie(PLAIN, optics=optics)
    moved = movie(PLAIN, optics=optics, defocus=PLAIN.defocus + 2 * PLAIN.plane_spacing / DEPTH_OF_FIELD)
    np.testing.assert_allclose(moved.phase(3)[:-2], one.phase(3)[2:], atol=1e-4)
    assert np.abs(moved.phase(3) - one.phase(3)).mean() > 0.01
    np.testing.assert_array_equal(moved.fluorescence(3), one.fluorescence(3))


def test_focus_jitter_moves_all_planes_of_the_phase_together_and_not_the_truth() -> None:
    still = movie(PLAIN, shape=(97, 97))
    jittered = movie(PLAIN, shape=(97, 97), focus_jitter=0.3)
    middle = (slice(None), slice(44, 53), slice(44, 53))  # where the tilt of the focal plane is small
    for t in (1, 2, 3):
        offset = fluctuation(jittered.spec, "defocus", t)[0]
        phase = jittered.phase(t)
        expected = movie(PLAIN, shape=(97, 97), defocus=float(PLAIN.defocus + offset)).phase(t)
        error, change = (np.abs(phase - other)[middle].mean(axis=(1, 2)) for other in (expected, still.phase(t)))
        assert error.max() < 0.25 * change.max() + 0.005
        np.testing.assert_array_equal(jittered.fluorescence(t), still.fluorescence(t))


def test_gain_and_noise_differ_between_planes_and_the_drift_of_the_gain_does_not() -> None:
    spec = dataclasses.replace(SPEC, gain_jitter=0.1)
    gains = np.array([fluctuation(spec, "gain", t, 9, common_drift=True) for t in range(40)])
    assert gains.std(axis=1).mean() == pytest.approx(np.sqrt(0.5) * 0.1, rel=0.15)
    drift = np.array([fluctuation(spec, "gain", t)[0] for t in range(40)])
    assert np.corrcoef(gains.mean(axis=1), drift)[0, 1] > 0.6
    plain, gained, noisy = (movie(PLAIN, **c).phase(2) for c in ({}, {"gain_jitter": 0.1}, {"noise": 0.1}))
    expected = 1 + fluctuation(spec, "gain", 2, 9, common_drift=True)
    np.testing.assert_allclose(gained, expected[:, None, None] * plain, atol=1e-4)
    noise = noisy - plain
    assert noise.std(axis=(1, 2)) == pytest.approx(0.1, rel=0.4)
    assert abs(pearson(noise[3], noise[4])) < 0.1


@pytest.mark.parametrize("optics", OPTICS)
@pytest.mark.parametrize("cells", CELLS)
def test_the_middle_plane_looks_like_a_movie_of_single_planes_and_others_do_not(cells: str, optics: str) -> None:
    spec = dataclasses.replace(SPEC, shape=(192, 192), cells=cells, optics=optics, planes=23)
    stack, single = Movie(spec), movie(spec, planes=1)
    phase, stains = stack.phase(2), stack.fluorescence(2)
    assert 0.6 < phase[11].std() / single.phase(2).std() < 1.3
    assert pearson(phase[11], single.phase(2)) > 0.8
    assert pearson(stains[0, 11], single.fluorescence(2)[0]) > 0.7
    for end in (0, 22):
        assert phase[end].std() < 0.6 * phase[11].std()
        assert (stains[:, end].std(axis=(1, 2)) < 0.15 * stains[:, 11].std(axis=(1, 2))).all()


def test_the_nuclear_stain_is_constant_over_time() -> None:
    # Few cells, with all nuclei inside the field.
    one = movie(ALL, shape=(160, 160), seed=7, density=0.05, speed=0.5, divisions=0.0, rounded=0.0)
    total = np.array([one.fluorescence(t)[0].sum(dtype=float) for t in (0, 13, 26, 39)])
    np.testing.assert_allclose(total, total[0], rtol=0.02)


def test_slices_of_domes_and_debris_add_up_to_the_optical_path() -> None:
    for spacing in (0.7, 2.0, 9.0):
        spec = MovieSpec(
            shape=(128, 128), frames=4, cells="domes", planes=5, plane_spacing=spacing, granularity=0.7, debris=2.0
        )
        population = simulate_population(spec, PADDING)
        heights, granules = draw_heights(population, spec), Granules(spec.seed, population)
        domes = draw_domes(population, 1, spec, granules)
        relief = draw_relief(heights, 1, domes.nearest, domes.profile, domes.nuclear_profile)
        volume = empty_volume(spec, domes.path.shape, 60.0)
        add_domes(volume, domes, relief, population=population, heights=heights, t=1, spec=spec, granules=granules)
        add_debris(volume, spec, 1)
        assert len(volume.slices) > 6
        assert np.count_nonzero(volume.path.any(axis=(1, 2))) > 4
        error = np.abs(volume.path.sum(axis=0) - domes.path)
        assert np.quantile(error, 0.99) < 1e-4  # a granule at the edge of its cell may be cut elsewhere
        assert error.mean() < 1e-3


@pytest.mark.parametrize("cells", CELLS)
def test_labels_are_sections_of_the_cells_and_tracks_are_those_of_single_planes(cells: str) -> None:
    stack, single = movie(ALL, cells=cells), movie(ALL, cells=cells, planes=1)
    assert stack.lineage() == single.lineage()
    for before, after in zip(stack.displacement(3, 4), single.displacement(3, 4), strict=True):
        np.testing.assert_array_equal(before, after)
    for t in (0, 30):
        nuclei, bodies = stack.labels(t)
        seen, seen_bodies = single.labels(t)
        assert nuclei.shape == (41, 112, 96)
        assert nuclei.dtype == np.int32
        np.testing.assert_array_equal(nuclei.max(axis=0), seen)  # every nucleus is cut by some plane
        assert set(np.unique(nuclei)) - {0} == set(stack.nuclear_heights(t))
        assert ((nuclei == 0) | (bodies == nuclei)).all()  # nuclei are in their cells
        assert (bodies.max(axis=0) == seen_bodies)[seen_bodies > 0].mean() > 0.95
        stain = stack.fluorescence(t)[0]
        assert stain[nuclei > 0].mean() > 5 * stain[nuclei == 0].mean()
        for label, height in stack.nuclear_heights(t).items():
            assert np.argwhere(nuclei == label)[:, 0].mean() == pytest.approx(height, abs=0.75)
