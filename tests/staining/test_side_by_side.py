from pathlib import Path

import numpy as np
from support.drawn_run import DrawnRun

from image_translation.staining.side_by_side import SideBySide


def test_frames_have_the_numbers_of_the_movie(tmp_path: Path) -> None:
    run = DrawnRun(tmp_path, start=2, frames=4)
    movies = SideBySide(run.plan, run.series, run.stores)
    assert movies.names == ("raw", "window", "motion", "truth")
    assert movies.delays == {"raw": 0.0, "window": 0.5, "motion": 0.0}
    assert movies.frames == range(2, 6)
    np.testing.assert_array_equal(movies.phase(3), run.movie[3, 0, 0])
    np.testing.assert_array_equal(movies.stain("truth", 3), run.movie[3, 1:, 0])
    np.testing.assert_array_equal(movies.stain("motion", 3), run.stains["motion"][1])
    assert set(movies.stains(5)) == set(movies.names)


def test_what_is_not_there_is_nan(tmp_path: Path) -> None:
    run = DrawnRun(tmp_path, frames=4, invalid=[1])
    movies = SideBySide(run.plan, run.series, run.stores)
    assert np.isnan(movies.phase(1)).all()
    assert np.isnan(movies.stain("raw", 1)).all()
    assert np.isfinite(movies.stain("raw", 3)).all()
    last = movies.stain("window", 3)
    assert last.shape == (2, 40, 48)
    assert np.isnan(last).all()


def test_without_a_truth_there_is_none(tmp_path: Path) -> None:
    run = DrawnRun(tmp_path, truth=False)
    assert "truth" not in SideBySide(run.plan, run.series, run.stores).names
