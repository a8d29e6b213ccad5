"""Two views held against each other, and one stage in detail; the views are made up."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from image_translation.explorer.comparison import TRANSLATED, compare_images, compare_networks
from image_translation.explorer.inspector import View
from image_translation.explorer.stage_detail import look_at
from image_translation.explorer.stage_statistics import change_table, differences, stage_table
from image_translation.explorer.stage_tiles import stage_colours
from image_translation.figures.tiles import ONE_BASIS, Tile
from image_translation.network.features import Placement

LABELS = ("one", "other")
PLACEMENTS = {"stem": Placement(1), "encoder 1": Placement(2), "head": Placement(1), "decoder 7": Placement(1)}


def view(seed: int = 0, *, channels: int = 6, shift: int = 0) -> View:
    """A field of 32 x 32 pixels, and linear functions of it and of its neighbours as stages."""
    field = np.random.default_rng(99).normal(size=(1, 32, 32))
    field = np.roll(field, shift, axis=-1).astype(np.float32)
    rng = np.random.default_rng(seed)
    shifted = np.stack([np.roll(field[0], (y, x), (0, 1)) for y in range(2) for x in range(2)])

    def stage(step: int, count: int) -> np.ndarray:
        weights = rng.normal(size=(count, 4)) * np.array([4, 3, 2, 1])
        return np.tensordot(weights, shifted, 1)[:, ::step, ::step].astype(np.float32)

    features = {"stem": stage(1, channels), "encoder 1": stage(2, channels), "head": stage(1, 2)}
    return View(field, ("Phase3D",), None, features["head"], features, PLACEMENTS)


def tiles(columns: tuple[tuple[str, list[Tile]], ...]) -> list[dict[str, Tile]]:
    return [{tile.name: tile for tile in column} for _, column in columns]


def test_equal_images_have_equal_colours_and_no_difference() -> None:
    found = compare_images(LABELS, (view(), view()), 0.5)
    one, other = tiles(found.columns)
    assert [label for label, _ in found.columns] == ["one", "other"]
    assert list(one) == ["input Phase3D", "prediction", "stem", "encoder 1", "head"]
    for name in one:
        np.testing.assert_array_equal(one[name].image, other[name].image)
    assert (one["stem"].note, other["stem"].note) == ("", "differs by 0.00")
    assert found.legend == ONE_BASIS
    assert found.table() == "stage,difference\ninput,0.0\nstem,0.0\nencoder 1,0.0\nhead,0.0\n"


def test_images_that_differ_are_shown_in_one_basis() -> None:
    first, second = view(), view(shift=7)
    one, other = tiles(compare_images(LABELS, (first, second)).columns)
    np.testing.assert_array_equal(np.roll(one["stem"].image, 7, axis=1), other["stem"].image)
    assert other["stem"].note == f"differs by {differences(first, second)['stem']:.2f}"
    assert 0.9 < differences(first, second)["stem"] < 1.1


def test_two_states_of_one_network_share_a_basis() -> None:
    first = view()
    rng = np.random.default_rng(5)
    later = {
        stage: maps + 0.2 * maps.std() * rng.normal(size=maps.shape).astype("f4")
        for stage, maps in first.features.items()
    }
    found = compare_networks(LABELS, (first, replace(first, features=later)))
    assert found.legend.endswith(ONE_BASIS)
    name, values = found.numbers
    assert name == "agreement"
    assert all(0.9 < value < 1 for value in values.values())
    assert tiles(found.columns)[1]["stem"].note == f"channels agree: {values['stem']:.2f}"


def test_networks_that_were_trained_apart_are_translated() -> None:
    first, second = view(seed=0), view(seed=1, channels=9)
    found = compare_networks(LABELS, (first, second))
    name, values = found.numbers
    assert (name, found.legend) == ("R2", TRANSLATED)
    one, other = tiles(found.columns)
    for stage in ("stem", "encoder 1"):  # both know the four neighbours
        assert values[stage] == pytest.approx(1, abs=0.01)
        assert other[stage].note == "R² 1.00"
        assert np.abs(one[stage].image.astype(int) - other[stage].image).mean() < 3
    assert other["stem"].shape == (9, 32, 32)
    assert 0.2 < values["head"] < 0.99  # two channels cannot tell everything


def test_networks_of_other_stages_are_compared_where_they_can_be() -> None:
    first, second = view(seed=0), view(seed=1)
    fewer = {"stem": second.features["stem"], "decoder 7": second.features["head"]}
    found = compare_networks(LABELS, (first, replace(second, features=fewer)))
    assert list(found.numbers[1]) == ["stem"]
    tiny = {stage: maps[:, :3, :3] for stage, maps in second.features.items()}
    assert compare_networks(LABELS, (first, replace(second, features=tiny))).numbers[1] == {}


def test_components_of_a_stage() -> None:
    detail = look_at(view(), "stem", "components", 2, 0.5)
    assert [tile.name for tile in detail.tiles] == [f"PC {n}" for n in range(1, 7)]
    assert detail.name == "PC 2"
    assert detail.picture.pixel_size == 0.5
    assert detail.values.shape == (32, 32)
    np.testing.assert_array_equal(detail.picture.image, detail.tiles[1].image)
    assert sum(detail.shares) == pytest.approx(1)
    rows = list(csv.DictReader(io.StringIO(detail.table())))
    assert [float(row["share of variance"]) for row in rows] == pytest.approx(list(detail.shares), abs=1e-5)
    high, low = detail.values.argmax(), detail.values.argmin()
    red, _, blue = np.moveaxis(detail.picture.image.reshape(-1, 3).astype(int), -1, 0)
    assert red[high] > blue[high]
    assert red[low] < blue[low]


def test_channels_of_a_stage_come_by_how_much_they_vary() -> None:
    shown = view(channels=20)
    detail = look_at(shown, "encoder 1", "channels", 3, 0.5)
    np.testing.assert_array_equal(detail.values, shown.features["encoder 1"][3])
    assert detail.picture.pixel_size == 1.0
    numbers = [int(tile.name.removeprefix("channel ")) for tile in detail.tiles]
    deviations = shown.features["encoder 1"].std(axis=(1, 2))
    assert numbers == np.argsort(-deviations)[:12].tolist()
    assert detail.legend.startswith("12 of 20 channels")


def test_figures_of_a_stage_are_drawn() -> None:
    detail = look_at(view(), "stem", "channels", 0)
    assert len(detail.distribution().axes) == 2
    assert len(detail.distribution().axes[0].patches) == 80
    assert any("PC 1" in axes.get_title() for axes in detail.figure().axes)


def test_tables() -> None:
    shown = view()
    changes = {"input": np.array([0.5, np.nan]), "stem": np.array([1.0, 2.0])}
    rows = list(csv.DictReader(io.StringIO(stage_table(shown, stage_colours([shown]), changes))))
    assert [row["stage"] for row in rows] == ["input", "stem", "encoder 1", "head"]
    assert (rows[0]["channels"], rows[0]["pc1"], rows[0]["change"]) == ("1", "", "0.5")
    assert (rows[1]["height"], rows[1]["change"], rows[2]["change"]) == ("32", "1.5", "")
    assert change_table({"a, b": changes}, range(4, 7)) == (
        "of,stage,frame,change to the next frame\n"
        '"a, b",input,4,0.5\n"a, b",input,5,\n"a, b",stem,4,1.0\n"a, b",stem,5,2.0\n'
    )
