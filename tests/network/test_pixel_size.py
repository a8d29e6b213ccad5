"""Pixels of a movie against those of the training."""

import pytest

from image_translation.network.pixel_size import describe_mismatch, describe_size


@pytest.mark.parametrize(
    ("movie", "network", "stacks"),
    [
        ((0.2, 0.1, 0.1), None, True),
        ((None, None, None), (0.2, 0.1, 0.1), True),
        ((0.2, 0.1, 0.1), (0.2, 0.1, 0.1), True),
        ((0.2, 0.109, 0.1), (0.2, 0.1, 0.109), True),
        ((2.0, 0.1, 0.1), (0.2, 0.1, 0.1), False),  # planes do not matter
        ((2.0, 0.1, 0.1), (None, 0.1, 0.1), True),
        ((None, 0.1, 0.1), (0.2, 0.1, 0.1), True),
    ],
)
def test_nothing_is_said_where_sizes_agree_or_are_unknown(movie, network, stacks):
    assert describe_mismatch({"fov": movie}, network, stacks=stacks) is None


@pytest.mark.parametrize(
    "movie", [(0.2, 0.1, 0.112), (0.2, 0.112, 0.1), (0.2, 0.1, 0.09), (0.23, 0.1, 0.1), (0.18, 0.1, 0.1)]
)
def test_a_difference_along_any_axis_is_named(movie):
    text = describe_mismatch({"fov": movie}, (0.2, 0.1, 0.1), stacks=True)
    assert text
    assert "trained with pixels of 0.2 x 0.1 x 0.1 um (z, y, x), and those of the movie are" in text
    assert f"{' x '.join(map(str, movie))} um (z, y, x): cells" in text
    assert "--resample" in text


def test_one_line_for_all_positions():
    fine, coarse, coarser = (None, 0.1, 0.1), (None, 0.2, 0.2), (None, 0.3, 0.3)
    text = describe_mismatch({"A/1/0": coarse, "A/2/0": fine, "A/3/0": coarse, "A/4/0": coarser}, fine, stacks=False)
    assert text
    assert "\n" not in text
    assert "0.2 x 0.2 um (y, x) in A/1/0, A/3/0 and 0.3 x 0.3 um (y, x) in A/4/0: cells" in text


def test_sizes_are_short():
    assert describe_size((None, 1 / 3, 2), stacks=True) == "? x 0.3333 x 2 um (z, y, x)"
    assert describe_size((None, 0.108, 0.325), stacks=False) == "0.108 x 0.325 um (y, x)"
