"""`evaluate`: the score card of the command, of arrays and of stores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cells import CHANNELS, cells_movie

from image_translation import UsageError, evaluate, stain
from image_translation.api.networks import Network
from image_translation.metrics.rows import read_csv

METHODS = ("raw", "motion", "window")


def values(rows: Any) -> dict[tuple[object, ...], float]:
    return {(row.method, row.channel, row.frame, row.metric): row.value for row in rows}


def test_scores_are_those_of_the_command(movie: Any, network: Network, described: Any, by_command: Path) -> None:
    scores = stain(movie, network, smooth=METHODS[1:], **described).evaluate()
    found, expected = values(scores.rows), values(read_csv(by_command / "metrics.csv"))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6, err_msg=str(key))
    assert set(scores.ranking) == set(METHODS)


def test_stores_are_scored_by_their_paths(by_command: Path) -> None:
    scores = evaluate(by_command)
    assert set(scores.ranking) == set(METHODS)
    assert "Nuclei" in str(scores)
    assert evaluate([by_command / "raw.ome.zarr", by_command / "motion.ome.zarr"]).ranking


def test_a_frozen_movie_is_worse_than_raw_and_a_steady_one_better() -> None:
    cells = cells_movie(frames=8)
    frozen = np.broadcast_to(cells.raw.mean(axis=0), cells.raw.shape)
    movies = {"raw": cells.raw, "frozen": frozen, "steady": cells.steady}
    scores = evaluate(movies, phase=cells.phase, truth=cells.truth, channels=CHANNELS)
    assert scores.ranking == ("steady", "raw", "frozen")
    assert scores.cards[0].failed("frozen")


def test_scores_are_saved(movie: Any, network: Network, tmp_path: Path) -> None:
    scores = stain(movie[5:, 0, 0], network, smooth=None).evaluate()
    assert values(read_csv(scores.save(tmp_path / "scores.csv"))).keys() == values(scores.rows).keys()


RAW = np.random.default_rng(0).normal(size=(3, 2, 32, 32)).astype(np.float32)


@pytest.mark.parametrize(
    ("movies", "options", "message"),
    [
        ({"mine": RAW}, {}, "named mine: one must be named 'raw'"),
        ({"raw": RAW, "mine": RAW[:, :1]}, {}, r"mine has shape \(3, 1, 1, 32, 32\), raw \(3, 2, 1, 32, 32\)"),
        ({"raw": RAW, "mine": RAW[:1]}, {}, "mine has shape"),
        ({"raw": RAW}, {"phase": RAW[:2, 0]}, "the phase has shape .* must fit raw"),
        ({"raw": RAW}, {"truth": RAW[:2]}, "the truth has shape"),
        ({"raw": RAW}, {"channels": ["Nuclei"]}, "channels Nuclei: the movies have 2"),
        ({"raw": RAW}, {"tracking": True}, "tracking: applies to stores on disk"),
        (["out"], {"blur": 1}, "unknown option 'blur'"),
        (7, {}, "movies of type int"),
    ],
)
def test_what_does_not_fit_is_refused(movies: Any, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(movies, **options)
