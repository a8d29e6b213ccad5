"""The causes of flicker are told apart, with their strengths, in simulated movies of one cause each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stores import write_image

from benchmarks import flicker_causes, real_movies
from benchmarks.causes import CAUSES, Strengths, attribute, explain, jitter
from benchmarks.flicker_causes import ONE_CAUSE, Simulated, measure_simulated
from image_translation.metrics.rows import RAW
from image_translation.simulation.spec import MovieSpec

SPEC = MovieSpec(shape=(192, 192), frames=18, seed=5, density=0.6)
SPEED = 1.0
PART = {"gain": "gain", "background": "background", "lateral": "shift", "focus": "focus", "noise": "noise"}


@pytest.fixture(scope="module")
def simulated() -> dict[str, Simulated]:
    return {cause: measure_simulated(SPEC, cause, SPEED) for cause in ("none", *PART)}


@pytest.mark.parametrize("cause", PART)
def test_the_change_is_attributed_to_its_cause(simulated: dict[str, Simulated], cause: str) -> None:
    floor, shares = simulated["none"].strengths.shares, simulated[cause].strengths.shares
    # A strong defocus is explained in part only: the other part looks like noise.
    names = CAUSES if cause == "focus" else (*CAUSES, "noise")
    above = {name: shares[name] - floor[name] for name in names}
    assert max(above, key=lambda name: above[name]) == PART[cause]
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(("cause", "tolerance"), [("gain", 0.1), ("lateral", 0.15), ("focus", 0.35)])
def test_fluctuations_are_measured(simulated: dict[str, Simulated], cause: str, tolerance: float) -> None:
    result = simulated[cause]
    assert result.slope == pytest.approx(1, abs=tolerance)
    found, _, limit = result.strengths.table()[cause]
    assert found == pytest.approx(result.true, rel=0.3)
    assert limit > 0.8 * result.true


@pytest.mark.parametrize("cause", ["background", "noise"])
def test_strengths_of_images_are_measured(simulated: dict[str, Simulated], cause: str) -> None:
    found, _, limit = simulated[cause].strengths.table()[cause]
    assert found == pytest.approx(ONE_CAUSE[cause][1], rel=0.3)
    assert limit > 0.8 * found


def test_nothing_is_found_where_nothing_fluctuates(simulated: dict[str, Simulated]) -> None:
    table = simulated["none"].strengths.table()
    for cause in ("gain", "lateral", "background"):
        assert table[cause][0] < 0.3 * simulated[cause].true
        assert table[cause][2] < 0.4 * simulated[cause].true


def test_strength_of_white_jitter_does_not_count_motion_and_errors_of_the_fit() -> None:
    rng = np.random.default_rng(1)
    position = 0.3 * rng.standard_normal((4001, 2))  # a variance of .09, half of that of a fluctuation
    changes = np.diff(position, axis=0) + 0.2 * rng.standard_normal((4000, 2)) + 0.7
    assert jitter(changes)[0] == pytest.approx(0.3 * np.sqrt(2), rel=0.05)
    assert jitter(changes - np.diff(position, axis=0))[0] < 0.08


def test_effects_share_a_change_by_their_size() -> None:
    a, b = np.random.default_rng(2).standard_normal((2, 60, 60)).astype(np.float32)
    everywhere = np.ones((60, 60), bool)
    shares = attribute(a + 2 * b, {"a": a, "b": 2 * b, "too small": 1e-3 * b}, everywhere)
    assert shares["a"] == pytest.approx(0.2, abs=0.03)
    assert shares["b"] == pytest.approx(0.8, abs=0.03)
    assert shares["too small"] < 1e-3


def test_a_gain_is_explained_exactly() -> None:
    image = np.random.default_rng(3).random((64, 64)).astype(np.float32)
    change = explain(image, 1.1 * image, np.zeros((2, 64, 64), np.float32), np.ones((64, 64), bool))
    # Relative to the mean of both frames.
    assert change.coefficients["gain"][0] == pytest.approx(0.1 / 1.05, rel=0.02)
    assert np.abs(change.rest).max() < 0.01
    strengths = Strengths()
    strengths.add(change)
    assert strengths.speed == 0


def test_causes_of_the_change_of_a_stain() -> None:
    rng = np.random.default_rng(4)
    still = np.kron(rng.random((16, 16)) > 0.7, np.ones((6, 6))).astype(np.float32)
    still += 0.02 * rng.standard_normal(still.shape).astype(np.float32)
    movie = np.stack([(1 + 0.1 * (-1) ** t) * still for t in range(4)]).astype(np.float32)
    (shares,) = flicker_causes.stain_shares(movie, lambda phase: phase[np.newaxis] ** 2)
    assert shares["gain"] > 0.7
    assert sum(shares.values()) == pytest.approx(1)
    assert "gain" in flicker_causes.format_stain([shares, shares])


def test_tables_of_the_causes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flicker_causes, "SPEEDS", (1.0,))
    monkeypatch.setattr(flicker_causes, "ONE_CAUSE", {name: ONE_CAUSE[name] for name in ("none", "gain")})
    noise = np.random.default_rng(5).random((5, 1, 1, 80, 80)).astype(np.float32)
    write_image(tmp_path / "bacteria_phase_annotated.ome.zarr", noise)
    assert flicker_causes.main(["--simulated-frames", "5", "--side", "96", "--data", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "| gain " in printed.out
    assert "| bacteria " in printed.out
    assert "Livecyte is skipped" in printed.err


@pytest.mark.parametrize("main", [flicker_causes.main, real_movies.main])
def test_too_few_frames_are_one_line(main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--frames", "3"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "argument --frames: '3' is not a whole number of at least" in line


def test_parts_without_data_are_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert real_movies.main(["--data", str(tmp_path)]) == 0
    errors = capsys.readouterr().err.splitlines()
    assert [line.split("; ")[1] for line in errors] == [f"{part} is skipped" for part in real_movies.PARTS]


def test_soft_masks_separate_touching_cells() -> None:
    labels = np.zeros((40, 60), np.float32)
    labels[10:30, 10:30], labels[10:30, 30:50] = 1, 2
    cells, outlines = real_movies.soft_masks(labels)
    assert cells[20, 20] > 0.95
    assert cells[20, 30] < 0.7
    assert outlines[20, 30] > outlines[20, 20] + 0.3
    assert cells[2, 2] < 0.01


def test_card_of_a_movie_with_truth(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    truth = np.repeat(np.kron(rng.random((1, 1, 12, 12)), np.ones((6, 6))), 12, axis=0).astype(np.float32)
    raw = truth + 0.2 * rng.standard_normal(truth.shape).astype(np.float32)
    results = real_movies.smoothed(raw, truth[:, 0])
    card = real_movies.score(results, truth[:, 0], ("Cells",), truth)
    scores = {entry.method: entry.values for entry in card.entries}
    assert scores["savgol"]["pearson"] > scores[RAW]["pearson"]
    assert scores["savgol"]["flicker"] < 0.7
    assert f"| Cells   | {RAW}" in real_movies.format_card(card)
    arguments: Any = type("Arguments", (), {"images": tmp_path / "images"})
    real_movies.draw("still", truth[:, 0], results, arguments, truth)
    assert (tmp_path / "images" / "still-0.png").stat().st_size > 1000
