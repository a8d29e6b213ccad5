"""Change of stages between images, and tables."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.activations import make_activations

from image_translation.errors import DataError, UsageError
from image_translation.explorer.inspector import BlankFrameError, Inspector
from image_translation.explorer.stage_statistics import change_table, relative_change, stage_changes, stage_table
from image_translation.explorer.stage_tiles import stage_colours
from image_translation.omezarr.store import open_store

STAGES = ["stem", "encoder 1", "encoder 2", "decoder 1", "head"]


def test_change_is_zero_of_equal_and_one_of_unrelated_maps():
    first, second = np.random.default_rng(0).normal(size=(2, 8, 50, 50))
    assert relative_change(first, first) == 0
    assert relative_change(first, second) == pytest.approx(1, abs=0.02)
    assert relative_change(first, -first) == pytest.approx(np.sqrt(2), abs=0.01)
    assert relative_change(first, np.roll(first, 7, axis=2)) == pytest.approx(1, abs=0.02)
    assert relative_change(first, first + 0.2 * second) == pytest.approx(0.2 / np.sqrt(2.04), abs=0.005)
    assert relative_change(first, second) == relative_change(second, first)


def test_change_grows_with_the_shift_of_a_smooth_map():
    x = 2 * np.pi * np.arange(100) / 100
    wave = np.sin(x).reshape(1, 1, 100)
    for shift in (1, 5, 25):
        assert relative_change(wave, np.roll(wave, shift)) == pytest.approx(np.sqrt(2) * np.sin(np.pi * shift / 100))


def test_change_is_invariant_to_common_gain_and_offset_and_number_of_channels():
    first, second = np.random.default_rng(0).normal(size=(2, 3, 30, 30))
    second = first + 0.3 * second
    offsets = np.array([1.0, -200.0, 30.0]).reshape(3, 1, 1)
    expected = relative_change(first, second)
    assert relative_change(1e-4 * first + offsets, 1e-4 * second + offsets) == pytest.approx(expected)
    assert relative_change(np.tile(first, (5, 1, 1)), np.tile(second, (5, 1, 1))) == pytest.approx(expected)


def test_change_includes_gain_and_offset_of_one_map_alone():
    first = np.random.default_rng(0).normal(size=(3, 30, 30))
    first -= first.mean(axis=(1, 2), keepdims=True)
    first /= first.std(axis=(1, 2), keepdims=True)
    assert relative_change(first, 2 * first) == pytest.approx(1 / np.sqrt(5))
    assert relative_change(first, first + 1) == pytest.approx(1 / np.sqrt(2.5))


def test_change_of_constants_and_of_pixels_that_are_not_finite():
    constant = np.full((2, 5, 5), 0.1)
    assert relative_change(constant, constant) == 0
    assert relative_change(constant, constant + 1) == pytest.approx(np.sqrt(2))
    assert np.isnan(relative_change(constant, np.full_like(constant, np.nan)))
    first, second = np.random.default_rng(0).normal(size=(2, 2, 30, 30))
    holes = second.copy()
    holes[0, :10], second[:, :10] = np.inf, first[:, :10]
    assert relative_change(first, holes) == pytest.approx(relative_change(first[:, 10:], second[:, 10:]))


def test_maps_of_different_shapes_cannot_be_compared():
    with pytest.raises(UsageError, match=r"\(3, 2, 2\) and \(3, 2, 4\)"):
        relative_change(np.zeros((3, 2, 2)), np.zeros((3, 2, 4)))


def test_change_of_the_input_and_of_every_stage(inspector: Inspector, movie: Path) -> None:
    position = open_store(movie).position("fov")
    still = stage_changes(lambda _: inspector.inspect(position, 2, 0), range(3))
    assert list(still) == ["input", *STAGES]
    assert all(np.array_equal(values, [0, 0]) for values in still.values())
    moving = stage_changes(lambda t: inspector.inspect(position, t, 0), range(3))
    assert all((values > 0).all() for values in moving.values())


def test_a_blank_frame_leaves_a_gap(inspector: Inspector, movie: Path) -> None:
    position = open_store(movie).position("fov")

    def inspect(t: int) -> Any:
        if t in {0, 3}:
            raise BlankFrameError("blank")
        return inspector.inspect(position, t, 0)

    changes = stage_changes(inspect, range(6))
    for values in changes.values():
        np.testing.assert_array_equal(np.isfinite(values), [False, True, False, False, True])
    with pytest.raises(DataError, match="all frames"):
        stage_changes(lambda _: inspect(0), range(3))

    def corrupt(t: int) -> Any:
        raise DataError("a truncated chunk")

    with pytest.raises(DataError, match="a truncated chunk"):
        stage_changes(corrupt, range(3))


def test_tables() -> None:
    activations = make_activations()
    changes = {"input": np.array([0.5, np.nan]), "stem": np.array([1.0, 2.0])}
    rows = list(csv.DictReader(io.StringIO(stage_table(activations, stage_colours([activations]), changes))))
    assert [row["stage"] for row in rows] == ["input", "stem", "encoder 1", "head"]
    assert (rows[0]["channels"], rows[0]["pc1"], rows[0]["change"]) == ("1", "", "0.5")
    assert (rows[1]["height"], rows[1]["change"], rows[2]["change"]) == ("32", "1.5", "")
    assert change_table({"a, b": changes}, range(4, 7)) == (
        "of,stage,frame,change to the next frame\n"
        '"a, b",input,4,0.5\n"a, b",input,5,\n"a, b",stem,4,1.0\n"a, b",stem,5,2.0\n'
    )
