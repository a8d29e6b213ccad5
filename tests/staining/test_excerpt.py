from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.finished_run import FinishedRun

from image_translation.staining.excerpt import CLOSE_UP, COLUMNS, SideBySide, choose_excerpt, choose_run


def movies(n_frames: int, size: tuple[int, int] = (100, 120), start: int = 7) -> Any:
    """A movie whose frames are numbered from `start`, in the shape of `SideBySide`."""
    stack = np.random.default_rng(0).normal(size=(n_frames, 2, *size)).astype(np.float32)
    return SimpleNamespace(
        frames=range(start, start + n_frames),
        names=("raw", "motion"),
        phase=lambda t: stack[t - start, 0],
        stain=lambda name, t: stack[t - start] * (1 if name == "raw" else 0.5),
    )


@pytest.mark.parametrize(
    ("count", "wanted", "expected"), [(10, 4, range(3, 7)), (3, 5, range(3)), (1, 5, range(1)), (5, 5, range(5))]
)
def test_the_middle_is_chosen_among_equal_frames(count: int, wanted: int, expected: range) -> None:
    assert choose_run(range(count), wanted) == expected
    assert choose_run(range(100, 100 + count), wanted) == range(100 + expected.start, 100 + expected.stop)


def test_invalid_frames_are_avoided() -> None:
    assert choose_run(range(12), 4, {5}) == range(6, 10)
    assert choose_run(range(12), 4, set(range(12))) == range(4, 8)
    assert choose_run(range(6), 4, {0, 3, 5}) == range(1, 5)


def test_flickering_frames_are_preferred_to_the_middle_but_not_to_valid_ones() -> None:
    assert choose_run(range(20), 3, (), {15: 1.0, 16: 1.0}) == range(15, 18)
    assert choose_run(range(20), 3, {16}, {15: 1.0, 16: 1.0}) == range(8, 11)
    # A change counts only if both of its frames are shown.
    assert choose_run(range(20), 2, (), {3: 1.0}) == range(3, 5)


def test_an_excerpt_shows_the_same_region_of_all_movies() -> None:
    excerpt = choose_excerpt(movies(9), (), {})
    assert excerpt.frames == range(9, 14)
    assert len(excerpt.frames) == COLUMNS
    assert excerpt.phase.shape == (5, 100, 120)
    assert {name: stack.shape for name, stack in excerpt.stains.items()} == {
        "raw": (5, 2, 100, 120),
        "motion": (5, 2, 100, 120),
    }
    np.testing.assert_array_equal(excerpt.stains["raw"][:, 0], excerpt.phase)
    np.testing.assert_array_equal(excerpt.less_raw()["motion"], -0.5 * excerpt.stains["raw"][2])
    y, x = excerpt.corners[2]
    here = excerpt.stains["raw"][:, :, y : y + CLOSE_UP, x : x + CLOSE_UP]
    expected = np.abs(np.diff(here, axis=0)).mean(axis=0)
    np.testing.assert_allclose(excerpt.close_up_change()["raw"], expected, rtol=1e-6)


def test_a_single_frame_has_no_change() -> None:
    excerpt = choose_excerpt(movies(1, (9, 300)), (), {})
    assert excerpt.close_up_change() == {}
    assert excerpt.phase.shape == (1, 9, 300)


def test_frames_have_the_numbers_of_the_movie(tmp_path: Path) -> None:
    run = FinishedRun(tmp_path, start=2, frames=4)
    movies = SideBySide(run.plan, run.series, run.stores)
    assert movies.names == ("raw", "window", "motion", "truth")
    assert movies.delays == {"raw": 0.0, "window": 0.5, "motion": 0.0}
    assert movies.frames == range(2, 6)
    np.testing.assert_array_equal(movies.phase(3), run.movie[3, 0, 0])
    np.testing.assert_array_equal(movies.stain("truth", 3), run.movie[3, 1:, 0])
    np.testing.assert_array_equal(movies.stain("motion", 3), run.stains["motion"][1])
    assert set(movies.stains(5)) == set(movies.names)


def test_missing_frames_are_nan(tmp_path: Path) -> None:
    run = FinishedRun(tmp_path, frames=4, invalid=[1])
    movies = SideBySide(run.plan, run.series, run.stores)
    assert np.isnan(movies.phase(1)).all()
    assert np.isnan(movies.stain("raw", 1)).all()
    assert np.isfinite(movies.stain("raw", 3)).all()
    last = movies.stain("window", 3)
    assert last.shape == (2, 40, 48)
    assert np.isnan(last).all()


def test_without_a_truth_there_is_none(tmp_path: Path) -> None:
    run = FinishedRun(tmp_path, truth=False)
    assert "truth" not in SideBySide(run.plan, run.series, run.stores).names
