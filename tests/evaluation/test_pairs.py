from typing import Any

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal
from support.stores import write_image, write_plate

from image_translation.errors import UsageError
from image_translation.evaluation.pairs import Pairing, find_pairs
from image_translation.omezarr.store import open_store

CHANNELS = ("DNA", "Membrane")
ALL = Pairing()


def movie(seed=0, shape=(4, 2, 1, 20, 24)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def find(tmp_path):
    """Write a prediction and a truth, and find the pairs."""

    def run(predicted, truth, wanted=ALL, names=CHANNELS, *, request=None, later=0.0):
        write_image(tmp_path / "p", predicted, channels=names)
        write_image(tmp_path / "t", truth, channels=CHANNELS)
        if later:
            group = zarr.open_group(tmp_path / "p", mode="r+")
            multiscales: Any = group.attrs["multiscales"]
            shift = {"type": "translation", "translation": [later, 0, 0, 0, 0]}
            multiscales[0]["datasets"][0]["coordinateTransformations"].append(shift)
            group.attrs["multiscales"] = multiscales
        return find_pairs("net", open_store(tmp_path / "p"), request or {}, open_store(tmp_path / "t"), wanted)

    return run


def test_each_image_has_its_truth_beside_it(find):
    predicted, truth = movie(0), movie(1)
    pairs = find(predicted, truth)
    assert [(pair.channel, pair.field) for pair in pairs] == [(name, ("fov", t)) for name in CHANNELS for t in range(4)]
    for pair in pairs:
        c = CHANNELS.index(pair.channel)
        for mine, true in zip(pair.read(), (predicted, truth), strict=True):
            assert mine.dtype == np.float32
            assert_array_equal(mine, true[pair.field[1], c, 0])


@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_a_pair_with_an_invalid_truth_is_none(find, value):
    truth = movie(1)
    truth[2, 0] = value
    assert [pair.read() is None for pair in find(movie(), truth)] == [False, False, True] + 5 * [False]


@pytest.mark.parametrize(("value", "none"), [(0, False), (np.nan, True), (np.inf, True)])
def test_a_prediction_may_be_constant_but_must_be_finite(find, value, none):
    predicted = movie()
    predicted[1, 1] = value
    assert [pair.read() is None for pair in find(predicted, movie(1))] == 5 * [False] + [none, False, False]


@pytest.mark.parametrize(("every", "frames"), [(1, [0, 1, 2, 3]), (2, [0, 2]), (3, [0, 3]), (9, [0])])
def test_frames_can_be_skipped(find, every, frames):
    assert [pair.field[1] for pair in find(movie(0), movie(1), Pairing(every=every))] == 2 * frames


def test_channels_may_have_other_names_in_the_truth(find):
    predicted, truth = movie(0), movie(1)
    wanted = Pairing(names={"Nuclei": "Membrane", "Cells": "DNA", "of another prediction": "Membrane"})
    pairs = find(predicted, truth, wanted, ("Nuclei", "Cells"))
    assert [pair.channel for pair in pairs] == 4 * ["Membrane"] + 4 * ["DNA"]
    assert_array_equal(pairs[0].read(), [predicted[0, 0, 0], truth[0, 1, 0]])
    assert_array_equal(pairs[7].read(), [predicted[3, 1, 0], truth[3, 0, 0]])


def test_channels_missing_in_the_truth_are_skipped_unless_requested(find):
    assert {pair.channel for pair in find(movie(), movie(), names=("DNA", "Actin"))} == {"DNA"}
    assert {pair.channel for pair in find(movie(), movie(), Pairing(channels=("Membrane",)))} == {"Membrane"}


@pytest.mark.parametrize(
    ("wanted", "names", "text"),
    [
        (Pairing(channels=("X",)), CHANNELS, "the prediction net has no channel X; it has DNA, Membrane"),
        (Pairing(names={"DNA": "X"}), CHANNELS, "the truth has no channel X: .* has DNA, Membrane"),
        (Pairing(names={"DNA": "Membrane"}), CHANNELS, "net has two channels, DNA and Membrane, for the true Membrane"),
        (Pairing(channels=("b",)), ("a", "b"), "the truth has no channel b: "),
        (ALL, ("a", "b"), "none of the channels a, b .* say which is which with --same a=Membrane"),
        (Pairing(positions=("A/1/0",)), CHANNELS, "--position A/1/0 matches nothing"),
    ],
)
def test_missing_channels_are_named(find, wanted, names, text):
    with pytest.raises(UsageError, match=text):
        find(movie(), movie(), wanted, names)


@pytest.mark.parametrize(
    ("truth", "text"),
    [
        (movie(shape=(4, 2, 1, 20, 23)), "the truth .* has frames of 20 x 23"),
        (movie(shape=(3, 2, 1, 20, 24)), "the truth .* has 3 frames .* the 4 frames 0 to 3 are needed"),
    ],
)
def test_a_mismatching_truth_is_an_error(find, truth, text):
    with pytest.raises(UsageError, match=text):
        find(movie(), truth)


def test_each_of_several_planes_is_a_field(find):
    predicted, truth = movie(0, (2, 2, 3, 20, 24)), movie(1, (2, 2, 3, 20, 24))
    pairs = find(predicted, truth, Pairing(channels=("Membrane",)))
    assert [pair.field for pair in pairs] == [(f"fov z{z}", t) for z in range(3) for t in range(2)]
    assert_array_equal(pairs[5].read(), [predicted[1, 1, 2], truth[1, 1, 2]])


def test_a_prediction_of_later_frames_is_scored_against_their_truth(find):
    predicted, truth = movie(0)[2:], movie(1)
    pairs = find(predicted, truth, request={"input": {"frames": {"fov": [2, 4]}}}, later=2.0)
    assert [pair.field for pair in pairs[:2]] == [("fov", 2), ("fov", 3)]
    assert_array_equal(pairs[1].read(), [predicted[1, 0, 0], truth[3, 0, 0]])
    with pytest.raises(UsageError, match=r"begins -0\.5 frames after"):
        find(movie()[:3], truth, later=0.5)


def test_positions_of_a_plate_are_matched_by_name(tmp_path):
    shapes = {"A/1/0": (1, 2, 1, 20, 24), "A/2/0": (2, 2, 1, 31, 12), "B/1/0": (1, 2, 1, 1, 50)}
    predicted, truth = ({name: movie(seed, shape) for name, shape in shapes.items()} for seed in (0, 1))
    stores = [
        open_store(write_plate(tmp_path / name, dict(movies), channels=CHANNELS))
        for name, movies in (("p", predicted.items()), ("t", reversed(truth.items())))
    ]
    pairs = find_pairs("net", stores[0], {}, stores[1], Pairing(channels=("DNA",)))
    assert [pair.field for pair in pairs] == [("A/1/0", 0), ("A/2/0", 0), ("A/2/0", 1), ("B/1/0", 0)]
    for pair in pairs:
        place, t = pair.field
        assert_array_equal(pair.read(), [predicted[place][t, 0, 0], truth[place][t, 0, 0]])
    chosen = find_pairs("net", stores[0], {}, stores[1], Pairing(positions=("A/*",)))
    assert {pair.field[0] for pair in chosen} == {"A/1/0", "A/2/0"}
