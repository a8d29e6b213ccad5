"""Comparison of two images or networks, with synthetic activations."""

from dataclasses import replace

import numpy as np
import pytest
from support.activations import make_activations

from image_translation.explorer.comparison import REGRESSION_LEGEND, compare_images, compare_networks
from image_translation.explorer.stage_statistics import stage_differences
from image_translation.figures.tiles import COMMON_BASIS_LEGEND, Tile

LABELS = ("one", "other")


def tiles(columns: tuple[tuple[str, list[Tile]], ...]) -> list[dict[str, Tile]]:
    return [{tile.name: tile for tile in column} for _, column in columns]


def test_equal_images_have_equal_colours_and_no_difference() -> None:
    found = compare_images(LABELS, (make_activations(), make_activations()), 0.5)
    one, other = tiles(found.columns)
    assert [label for label, _ in found.columns] == ["one", "other"]
    assert list(one) == ["input Phase3D", "prediction", "stem", "encoder 1", "head"]
    for name in one:
        np.testing.assert_array_equal(one[name].image, other[name].image)
    assert (one["stem"].note, other["stem"].note) == ("", "differs by 0.00")
    assert found.legend == COMMON_BASIS_LEGEND
    assert found.table() == "stage,difference\ninput,0.0\nstem,0.0\nencoder 1,0.0\nhead,0.0\n"


def test_different_images_share_one_basis() -> None:
    first, second = make_activations(), make_activations(shift=7)
    one, other = tiles(compare_images(LABELS, (first, second)).columns)
    np.testing.assert_array_equal(np.roll(one["stem"].image, 7, axis=1), other["stem"].image)
    assert other["stem"].note == f"differs by {stage_differences(first, second)['stem']:.2f}"
    assert 0.9 < stage_differences(first, second)["stem"] < 1.1


def test_two_states_of_one_network_share_a_basis() -> None:
    first = make_activations()
    rng = np.random.default_rng(5)
    later = {
        stage: maps + 0.2 * maps.std() * rng.normal(size=maps.shape).astype("f4")
        for stage, maps in first.features.items()
    }
    found = compare_networks(LABELS, (first, replace(first, features=later)))
    assert found.legend.endswith(COMMON_BASIS_LEGEND)
    name, values = found.numbers
    assert name == "agreement"
    assert all(0.9 < value < 1 for value in values.values())
    assert tiles(found.columns)[1]["stem"].note == f"channels agree: {values['stem']:.2f}"


def test_networks_trained_apart_are_compared_by_regression() -> None:
    first, second = make_activations(seed=0), make_activations(seed=1, channels=9)
    found = compare_networks(LABELS, (first, second))
    name, values = found.numbers
    assert (name, found.legend) == ("R2", REGRESSION_LEGEND)
    one, other = tiles(found.columns)
    for stage in ("stem", "encoder 1"):  # both are functions of the same four pixels
        assert values[stage] == pytest.approx(1, abs=0.01)
        assert other[stage].note == "R² 1.00"
        assert np.abs(one[stage].image.astype(int) - other[stage].image).mean() < 3
    assert other["stem"].shape == (9, 32, 32)
    assert 0.2 < values["head"] < 0.99  # two channels cannot predict everything


def test_only_common_and_large_enough_stages_are_compared() -> None:
    first, second = make_activations(seed=0), make_activations(seed=1)
    fewer = {"stem": second.features["stem"], "decoder 7": second.features["head"]}
    found = compare_networks(LABELS, (first, replace(second, features=fewer)))
    assert list(found.numbers[1]) == ["stem"]
    tiny = {stage: maps[:, :3, :3] for stage, maps in second.features.items()}
    assert compare_networks(LABELS, (first, replace(second, features=tiny))).numbers[1] == {}
