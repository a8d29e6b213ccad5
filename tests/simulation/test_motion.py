"""Motion of simulated cells: walkers accelerate alone, streaming cells together; cells detach."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from image_translation.simulation.migration import simulate_population
from image_translation.simulation.population import Population
from image_translation.simulation.spec import MovieSpec

PADDING = 16
SPEC = MovieSpec(
    shape=(400, 400), frames=40, seed=3, density=0.6, cell_radius=14.0, speed=2.0, divisions=0.0, rounded=0.0
)


def velocities(spec: MovieSpec) -> tuple[Population, NDArray[np.float64]]:
    """Return the cells, and their velocities (T - 1, N, 2) without the jumps at the periodic boundary."""
    cells = simulate_population(spec, PADDING)
    domain = np.array(spec.shape) + 2 * (PADDING + 3 * spec.cell_radius)
    return cells, np.diff(cells.center + cells.wraps * domain, axis=0)


def similarity(values: NDArray[np.float64], pairs: NDArray[np.bool_]) -> float:
    """Return the mean correlation over time of the vectors (T, N, 2) of pairs (N, N) of cells."""
    norm = np.sqrt((values**2).sum(axis=(0, 2)))
    return float((np.einsum("tni,tmi->nm", values, values) / np.outer(norm, norm))[pairs].mean())


@pytest.mark.parametrize(("motion", "near", "far"), [("walk", (-0.2, 0.2), 0.1), ("stream", (0.75, 1.0), 0.15)])
def test_streaming_neighbours_accelerate_together_and_walkers_do_not(
    motion: str, near: tuple[float, float], far: float
) -> None:
    cells, velocity = velocities(dataclasses.replace(SPEC, motion=motion))
    acceleration = np.diff(velocity, axis=0)
    distance = np.linalg.norm(cells.center[20][:, None] - cells.center[20][None], axis=-1) / (2 * SPEC.cell_radius)
    assert near[0] < similarity(acceleration, (distance > 0) & (distance < 1.2)) < near[1]
    assert abs(similarity(acceleration, (distance > 7) & (distance < 9))) < far
    if motion == "stream":
        assert similarity(acceleration, (distance > 2) & (distance < 2.5)) > 0.4


def test_streams_turn_within_three_frames_and_walkers_do_not() -> None:
    memory = {}
    for motion in ("walk", "stream"):
        _, velocity = velocities(dataclasses.replace(SPEC, motion=motion))
        memory[motion] = [(velocity[:-lag] * velocity[lag:]).sum() / (velocity**2).sum() for lag in (1, 3, 5)]
    assert memory["walk"][1] > 0.7
    assert memory["stream"][0] > 0.6
    assert memory["stream"][1] < 0.4
    assert abs(memory["stream"][2]) < 0.2


def test_the_mean_speed_of_streams_is_the_stated_one() -> None:
    speeds = [
        np.linalg.norm(velocities(dataclasses.replace(SPEC, motion="stream", seed=seed))[1], axis=-1).mean()
        for seed in range(3)
    ]
    assert np.mean(speeds) == pytest.approx(2.0, rel=0.1)


def test_detaching_cells_round_up_and_leave_no_daughters() -> None:
    cells = simulate_population(dataclasses.replace(SPEC, detaching=1.5, frames=60), PADDING)
    assert (cells.parent == -1).all()
    gone = np.flatnonzero(cells.end < 60)
    assert gone.size / cells.end.size == pytest.approx(1 - np.exp(-1.5 * 0.58), abs=0.1)
    for cell in gone[cells.end[gone] > 10]:
        end = cells.end[cell]
        assert cells.spread[end - 6, cell] == 1
        assert cells.spread[end - 1, cell] < 0.7
    assert len(cells.alive(59)) == cells.end.size - gone.size


def test_cells_that_detach_do_not_change_how_many_divide() -> None:
    both = simulate_population(dataclasses.replace(SPEC, divisions=1.0, detaching=1.0, frames=60), PADDING)
    founders = both.parent == -1
    divided = np.isin(np.arange(len(both.end)), both.parent)
    ended = founders & (both.end < 60)
    assert (ended & divided).sum() / ended.sum() == pytest.approx(0.5, abs=0.12)
