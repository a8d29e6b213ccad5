"""Cells drawn as domes: phases and stains that add, granules that move, and the truth through the thickest cell."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from image_translation.simulation.domes import Granules, _Layers, draw_domes
from image_translation.simulation.geometry import PADDING
from image_translation.simulation.migration import simulate_population
from image_translation.simulation.movie import Movie
from image_translation.simulation.population import Population
from image_translation.simulation.spec import MovieSpec

SPEC = MovieSpec(
    shape=(128, 128), frames=12, seed=4, density=0.5, cell_radius=14.0, cells="domes", divisions=0.0, debris=0.0,
    noise=0.0, background=0.0,
)  # fmt: skip


def pearson(a: Any, b: Any) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def single(cell: int, cells: Population) -> Population:
    """Return the same population, of which only one cell exists."""
    return dataclasses.replace(cells, end=np.where(np.arange(len(cells.end)) == cell, cells.end, 0))


def test_paths_and_stains_of_cells_add() -> None:
    spec = dataclasses.replace(SPEC, granularity=0.0)
    cells = simulate_population(spec, PADDING)
    granules = Granules(spec.seed, cells)
    together = draw_domes(cells, 3, spec, granules)
    alone = [draw_domes(single(cell, cells), 3, spec, granules) for cell in cells.alive(3)]
    np.testing.assert_allclose(together.path, np.sum([one.path for one in alone], axis=0), atol=1e-4)
    np.testing.assert_allclose(together.stains, np.sum([one.stains for one in alone], axis=0), atol=1e-4)
    assert (np.sum([one.nearest >= 0 for one in alone], axis=0) > 1).any()  # some overlap


def test_the_owner_is_the_thickest_cell_outside_nuclei() -> None:
    cells = simulate_population(SPEC, PADDING)
    granules = Granules(SPEC.seed, cells)
    together = draw_domes(cells, 3, SPEC, granules)
    heights = []
    for cell in cells.alive(3):
        layers = _Layers(cells, 3, SPEC)
        layers.add(cell)
        heights.append(layers.height)
    thickest = np.where(np.max(heights, axis=0) > 0, cells.alive(3)[np.argmax(heights, axis=0)], -1)
    outside = together.nucleus <= 0.5
    np.testing.assert_array_equal(together.nearest[outside], thickest[outside])
    assert (together.depth[~outside] > 0).all()
    assert (together.nearest[~outside] >= 0).all()


def test_membranes_are_brightest_at_the_outline_and_nuclei_in_the_middle() -> None:
    spec = dataclasses.replace(SPEC, shape=(256, 256), density=0.1)
    movie = Movie(spec)
    nuclei, cells = movie.labels(2)
    stains = movie.fluorescence(2)
    domes = draw_domes(
        simulate_population(spec, PADDING), 2, spec, Granules(spec.seed, simulate_population(spec, PADDING))
    )
    depth = domes.depth[PADDING:-PADDING, PADDING:-PADDING]
    middle, rim = (cells > 0) & (depth > 6), (cells > 0) & (depth > 0.5) & (depth < 3)
    assert stains[1][rim].mean() > 1.3 * stains[1][middle].mean()
    assert 0.7 < stains[0][nuclei > 0].mean() < 1.3
    assert stains[0][cells == 0].mean() < 0.02


@pytest.mark.parametrize("speed", [0.5, 3.0])
def test_granules_and_nuclei_move_with_the_material(speed: float) -> None:
    fine, plain = (Movie(dataclasses.replace(SPEC, speed=speed, granularity=g, halo=0.0)) for g in (2.0, 0.0))
    flow, valid = fine.displacement(2, 4)
    before, after = (fine.phase(t) - plain.phase(t) for t in (2, 4))
    seen = valid & (plain.labels(2)[1] > 0)
    moved = map_coordinates(after, np.indices(valid.shape) + flow, order=1)
    assert pearson(before[seen], moved[seen]) > 0.7
    assert pearson(before[seen], moved[seen]) > pearson(before[seen], after[seen])
    later = map_coordinates(fine.fluorescence(4)[0], np.indices(valid.shape) + flow, order=1)
    assert pearson(fine.fluorescence(2)[0][valid], later[valid]) > 0.97


def test_frames_depend_on_the_seed_only() -> None:
    first, second = Movie(SPEC), Movie(SPEC)
    second.frame(5)
    np.testing.assert_array_equal(first.frame(3), second.frame(3))
    assert pearson(Movie(dataclasses.replace(SPEC, seed=5)).frame(3)[1], first.frame(3)[1]) < 0.5


def test_texture_jitter_and_stage_jitter_act_on_domes() -> None:
    still = dataclasses.replace(SPEC, speed=0.0, deformation=0.0)
    plain, textured = Movie(still), Movie(dataclasses.replace(still, texture_jitter=1.0))
    assert np.abs(textured.phase(2) - plain.phase(2)).mean() > 0.01
    np.testing.assert_array_equal(textured.fluorescence(2), plain.fluorescence(2))
    moving = Movie(dataclasses.replace(still, stage_jitter=2.0))
    flow, valid = moving.displacement(0, 1)
    expected = np.subtract(moving.stage_shift(1), moving.stage_shift(0))  # repulsion moves crowded cells a little
    np.testing.assert_allclose(flow[:, valid].T, np.broadcast_to(expected, (valid.sum(), 2)), atol=0.02)
