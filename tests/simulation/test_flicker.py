"""Each cause of flicker changes what it says, by the strength that it says, and nothing else."""

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.registration import phase_cross_correlation

from image_translation.simulation.flicker import FLICKER_PRESET, fluctuation, strength
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import OPTICS, MovieSpec

STILL = MovieSpec(
    shape=(128, 128), frames=12, seed=7, density=0.25, cell_radius=14.0, speed=0.0, deformation=0.0, divisions=0.0,
    debris=0.5, noise=0.0, background=0.0,
)  # fmt: skip
CAUSES = ["focus", "texture", "gain", "background", "halo", "lateral", "stage"]


def movie(**changes: Any) -> Movie:
    return Movie(dataclasses.replace(STILL, **changes))


def phases(of: Movie) -> NDArray[np.float32]:
    return np.stack([of.phase(t) for t in range(of.spec.frames)])


def shift_between(image: NDArray[np.float32], moved: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the displacement (dy, dx) from an image to a moved one, by phase correlation."""
    border = np.hanning(len(image))[:, None] * np.hanning(len(image))
    shift, *_ = phase_cross_correlation(image * border, moved * border, upsample_factor=50, normalization=None)
    return -np.asarray(shift)


@pytest.fixture(scope="module")
def still() -> NDArray[np.float32]:
    return Movie(STILL).frame(0)


def test_without_a_cause_nothing_changes() -> None:
    frames = np.stack([Movie(STILL).frame(t) for t in range(3)])
    np.testing.assert_array_equal(frames[0], frames[1])
    np.testing.assert_array_equal(frames[0], frames[2])


@pytest.mark.parametrize("optics", OPTICS)
@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_changes_the_phase_and_only_the_stage_moves_the_truth(cause: str, optics: str) -> None:
    still = movie(optics=optics).frame(0)
    one, same = (movie(**{f"{cause}_jitter": 0.4, "optics": optics}) for _ in range(2))
    before, after = one.frame(2), one.frame(3)
    np.testing.assert_array_equal(after, same.frame(3))
    assert np.abs(before[0] - after[0]).mean() > 1e-3
    assert np.abs(before[0] - still[0]).mean() > 1e-3
    assert np.array_equal(before[1:], still[1:]) == (cause != "stage")


def test_only_the_preset_is_added_to_a_cause() -> None:
    spec = MovieSpec(flicker=2.0, lateral_jitter=0.25)
    assert strength(spec, "lateral") == 0.25 + 2 * FLICKER_PRESET["lateral"]
    assert strength(spec, "stage") == 2 * FLICKER_PRESET["stage"]
    assert {strength(MovieSpec(), cause) for cause in FLICKER_PRESET} == {0}


def test_fluctuations_have_the_stated_strength_and_are_independent() -> None:
    values = np.array([
        [fluctuation(MovieSpec(frames=60, gain_jitter=0.3, halo_jitter=0.3, seed=seed), cause, t)[0] for t in range(60)]
        for cause in ("gain", "halo") for seed in range(30)
    ]).reshape(2, -1)  # fmt: skip
    np.testing.assert_allclose(values.std(axis=1), 0.3, rtol=0.1)
    assert abs(np.corrcoef(values)[0, 1]) < 0.1


def test_gain_jitter_scales_the_phase(still: NDArray[np.float32]) -> None:
    one = movie(gain_jitter=0.1)
    for t, phase in enumerate(phases(one)):
        gain = np.float32(1 + fluctuation(one.spec, "gain", t)[0])
        np.testing.assert_allclose(phase, gain * still[0], atol=1e-5)


def test_background_jitter_adds_a_smooth_background_that_is_independent_in_each_frame(
    still: NDArray[np.float32],
) -> None:
    added = phases(movie(background_jitter=0.2, frames=40)) - movie(frames=40).phase(0)
    assert added.std() == pytest.approx(0.2, rel=0.25)
    assert np.abs(np.diff(added, axis=-1)).max() < 0.05
    similarity = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairwise(added)]
    assert abs(np.mean(similarity)) < 0.3


def test_focus_jitter_is_a_defocus_that_varies_over_the_field(still: NDArray[np.float32]) -> None:
    one = movie(focus_jitter=0.2)
    for t in (1, 2):
        offset = fluctuation(one.spec, "defocus", t)[0]
        tilt = fluctuation(one.spec, "focal_tilt", t, 2)
        phase = one.phase(t)
        for row, column in ((0, 0), (0, 127), (127, 0), (64, 64)):
            defocus = STILL.defocus + offset + tilt @ np.array([row / 63.5 - 1, column / 63.5 - 1])
            local = movie(defocus=float(defocus)).phase(0)
            near = np.exp(-((np.arange(128) - row)[:, None] ** 2 + (np.arange(128) - column) ** 2) / (2 * 6.0**2))
            assert (near * np.abs(phase - local)).sum() < 0.25 * (near * np.abs(still[0] - local)).sum() + 0.2


def test_texture_jitter_changes_within_two_frames_and_only_in_cells(still: NDArray[np.float32]) -> None:
    change = phases(movie(texture_jitter=1.0, halo=0.0)) - movie(halo=0.0).phase(0)
    in_cells = gaussian_filter(still[2], 2) > 0.1
    assert np.abs(change[:, ~in_cells]).mean() < 0.2 * np.abs(change[:, in_cells]).mean()

    def similarity(lag: int) -> float:
        return float(np.corrcoef(change[:-lag, in_cells].ravel(), change[lag:, in_cells].ravel())[0, 1])

    assert similarity(1) > 0.6
    assert 0.2 < similarity(2) < 0.55
    assert abs(similarity(5)) < 0.15


def test_halo_jitter_changes_low_frequencies_only(still: NDArray[np.float32]) -> None:
    change = phases(movie(halo_jitter=0.3)) - still[0]
    fine = change - np.stack([gaussian_filter(image, 5) for image in change])
    assert fine[:, 20:-20, 20:-20].std() < 0.15 * change.std()


def test_lateral_jitter_moves_the_phase_only(still: NDArray[np.float32]) -> None:
    one = movie(lateral_jitter=1.5, debris=0.0)
    plain = movie(debris=0.0).phase(0)
    for t in range(4):
        np.testing.assert_allclose(shift_between(plain, one.phase(t)), one.lateral_shift(t), atol=0.1)
        assert one.stage_shift(t) == (0, 0)
        np.testing.assert_array_equal(one.fluorescence(t), still[1:])


def test_stage_jitter_moves_phase_truth_and_background_alike(still: NDArray[np.float32]) -> None:
    one = movie(stage_jitter=2.0)
    for t in range(1, 4):
        expected = np.subtract(one.stage_shift(t), one.stage_shift(0))
        for before, after in zip(one.frame(0), one.frame(t), strict=True):
            np.testing.assert_allclose(shift_between(before, after), expected, atol=0.25)
        flow, valid = one.displacement(0, t)
        assert valid.mean() > 0.7
        np.testing.assert_allclose(flow[:, valid], expected[:, None] * np.ones(valid.sum()), atol=1e-3)
    shifts = np.array([one.stage_shift(t) for t in range(8)] + [movie(stage_jitter=2.0, seed=9).stage_shift(0)])
    assert 1 < shifts.std() < 3.5


def test_divisions_follow_the_stage() -> None:
    spec = MovieSpec(shape=(256, 256), frames=30, seed=5, density=0.5, divisions=4.0, speed=0.0, stage_jitter=3.0)
    one = Movie(spec)
    inner = [(t, y, x) for t, y, x in one.divisions if min(y, x) > 8 and max(y, x) < 248]
    assert inner
    for t, y, x in inner:
        box = tuple(slice(int(c) - 4, int(c) + 5) for c in (y, x))
        assert one.fluorescence(t - 1)[0][box].mean() > 0.5


def test_noise_does_not_depend_on_flicker() -> None:
    noise, flicker, both = (
        movie(**changes).phase(3)
        for changes in ({"noise": 0.1}, {"gain_jitter": 0.01}, {"noise": 0.1, "gain_jitter": 0.01})
    )
    plain = movie().phase(3)
    np.testing.assert_allclose(both - flicker, noise - plain, atol=2e-2)
