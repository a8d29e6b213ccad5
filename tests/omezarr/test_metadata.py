"""Tolerant parsing of metadata; invalid values are shown in errors."""

from typing import Any

import pytest

from image_translation.omezarr.metadata import (
    Level,
    get_entry,
    parse_axes,
    parse_channel_names,
    parse_images,
    parse_labels,
    parse_level,
    parse_path,
    parse_version,
    parse_wells,
    require_known_version,
)

SCALE = {"type": "scale", "scale": [60, 0.5, 0.25]}


def level(*steps: Any, shared: tuple[Any, ...] = (), shape: tuple[int, ...] = (7, 8, 9)) -> Level:
    return parse_level({"path": "0", "coordinateTransformations": list(steps)}, shared, "tyx", shape)


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        (5, "the image is 5; expected a mapping"),
        (None, "the image is None; expected a mapping"),
        ({}, "the image has no 'datasets'"),
        ({"datasets": 5}, "'datasets' of the image is 5; expected a non-empty list"),
        ({"datasets": []}, r"'datasets' of the image is \[\]; expected a non-empty list"),
        ({"datasets": {"a": 1}}, "'datasets' of the image is {'a': 1}; expected a non-empty list"),
    ],
)
def test_a_missing_or_invalid_entry_is_an_error(metadata: Any, found: str) -> None:
    with pytest.raises(ValueError, match=f"^{found}"):
        get_entry(metadata, "datasets", list, "the image")


def test_a_default_replaces_absent_and_empty_but_not_invalid_entries() -> None:
    assert [get_entry(one, "steps", list, "it", []) for one in ({}, {"steps": None}, {"steps": {}})] == [[], [], []]
    with pytest.raises(ValueError, match="'steps' of it is 5; expected a non-empty list"):
        get_entry({"steps": 5}, "steps", list, "it", [])


def test_the_version_is_found_in_all_its_places() -> None:
    assert parse_version({"version": "0.5", "multiscales": [{"version": "0.4"}]}) == "0.5"
    assert parse_version({"plate": {"version": "0.3"}}) == "0.3"
    assert parse_version({"multiscales": [{}, {"version": "0.2"}]}) == "0.2"
    assert [parse_version({"multiscales": one}) for one in (5, None, [], {}, [5])] == ["0.4"] * 5


def test_axes_of_all_versions() -> None:
    assert parse_axes({"axes": [{"name": "T", "unit": "hour"}, {"name": "y"}, {"name": "x"}]}, 3) == (
        ("t", "y", "x"),
        {"t": "hour"},
    )
    assert parse_axes({"axes": ["z", "y", "x"]}, 3) == (("z", "y", "x"), {})
    assert parse_axes({}, 5) == (("t", "c", "z", "y", "x"), {})


def test_axes_of_time_and_channels_may_have_any_name() -> None:
    axes = [{"name": "Time", "type": "time", "unit": "hour"}, {"name": "lambda", "type": "channel"}, "y", "x"]
    assert parse_axes({"axes": axes}, 4) == (("t", "c", "y", "x"), {"t": "hour"})


def test_axes_that_are_not_stated_are_not_guessed() -> None:
    with pytest.raises(ValueError, match="states no axes, and its arrays have 3 dimensions; only the five of t, c, z"):
        parse_axes({}, 3)


@pytest.mark.parametrize(("version", "known"), [("0.1", True), ("0.5-dev", True), ("0.6", False), ("0.10", False)])
def test_a_version_that_is_not_understood_is_refused(version: str, known: bool) -> None:
    metadata = {"multiscales": [{"version": version}]}
    if known:
        require_known_version(metadata)
    else:
        with pytest.raises(ValueError, match=rf"its OME-Zarr version is '{version}'; 0.1 to 0.5 can be read"):
            require_known_version(metadata)


def test_units_that_are_not_strings_are_dropped() -> None:
    axes = [{"name": "z", "unit": 5}, {"name": "y", "unit": ["micrometer"]}, {"name": "x", "unit": "micrometer"}]
    assert parse_axes({"axes": axes}, 3) == (("z", "y", "x"), {"x": "micrometer"})


@pytest.mark.parametrize(
    ("axes", "found"),
    [
        (5, "'axes' of the multiscale image is 5; expected a non-empty list"),
        ([5, "y", "x"], "an axis is 5; expected a mapping"),
        ([{}, "y", "x"], "an axis has no 'name'"),
        ([{"name": 5}, "y", "x"], "'name' of an axis is 5; expected a non-empty string"),
        (["y", "x"], "the axes are y, x for 3 dimensions; expected some of t, c, z, y, x, in this order"),
        (["t", "x", "y"], "the axes are t, x, y for 3 dimensions"),
    ],
)
def test_invalid_axes_are_an_error(axes: Any, found: str) -> None:
    with pytest.raises(ValueError, match=f"^{found}"):
        parse_axes({"axes": axes}, 3)


def test_transformations_are_applied_in_order() -> None:
    move = {"type": "translation", "translation": [1, 2, 3]}
    double = {"type": "scale", "scale": [2, 2, 2]}
    found = level(SCALE, move, {"type": "identity"}, shared=(double,))
    assert found == Level("0", (120, 1, 1, 1, 0.5), (2, 0, 0, 4, 6), (7, 1, 1, 8, 9))


@pytest.mark.parametrize(
    "wrong",
    [
        *(None, 5, "1", [2.0], [[1], [1], [1]], [1, [1], 1]),
        *([1, 1, last] for last in (None, "wide", float("nan"), float("inf"), 10**400, 0, -0.5)),
    ],
)
def test_a_scale_is_a_positive_number_for_each_axis(wrong: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^the scale of dataset '0' is .*; expected 3 positive finite numbers, for t, y, x$"
    ):
        level({"type": "scale", "scale": wrong})


@pytest.mark.parametrize("wrong", [None, 5, [2.0], [1, 1, float("nan")], [1, 1, float("-inf")]])
def test_a_translation_is_a_finite_number_for_each_axis(wrong: Any) -> None:
    assert level({"type": "translation", "translation": [0, -1, 2]}).translation == (0, 0, 0, -1, 2)
    with pytest.raises(ValueError, match=r"^the translation of dataset '0' is .*; expected 3 finite numbers"):
        level({"type": "translation", "translation": wrong})


@pytest.mark.parametrize(
    ("dataset", "found"),
    [
        (5, "a dataset is 5; expected a mapping"),
        ({}, "a dataset has no 'path'"),
        ({"path": 0}, "'path' of a dataset is 0; expected a non-empty string"),
        ({"path": "../0"}, r"the path of a dataset is '\.\./0', which leads outside its group"),
        ({"path": "0", "coordinateTransformations": 5}, "'coordinateTransformations' of dataset '0' is 5"),
        ({"path": "0", "coordinateTransformations": [5]}, "a transformation of dataset '0' is 5"),
        ({"path": "0", "coordinateTransformations": [{}]}, "a transformation of dataset '0' has no 'type'"),
    ],
)
def test_invalid_datasets_are_an_error(dataset: Any, found: str) -> None:
    with pytest.raises(ValueError, match=f"^{found}"):
        parse_level(dataset, (), "tyx", (7, 8, 9))


def test_the_number_of_axes_must_match_the_array() -> None:
    with pytest.raises(ValueError, match=r"^dataset '0' has 2 dimensions, but the axes are t, y, x"):
        level(SCALE, shape=(8, 9))


@pytest.mark.parametrize(
    "omero", [None, 5, "text", [], {}, {"channels": 5}, {"channels": ["DAPI", "GFP"]}, {"channels": [{}, {}]}]
)
def test_a_malformed_omero_block_is_ignored(omero: Any) -> None:
    assert parse_labels({"omero": omero}) == ()
    assert parse_channel_names({"omero": omero}, 2) == ("channel_0", "channel_1")


@pytest.mark.parametrize("labels", [["a", "a"], [1, "1"], ["a"], ["a", "b", "c"], ["a", None], ["a", ["b"]]])
def test_labels_that_are_not_unique_are_replaced(labels: list[Any]) -> None:
    omero = {"channels": [{"label": label} for label in labels]}
    assert parse_channel_names({"omero": omero}, 2) == ("channel_0", "channel_1")


def test_unique_labels_are_kept() -> None:
    assert parse_channel_names({"omero": {"channels": [{"label": "a"}, {"label": 405}]}}, 2) == ("a", "405")


def test_wells_and_images_are_listed_by_path() -> None:
    assert parse_wells({"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}) == ("A/1", "B/2")
    assert parse_images({"well": {"images": [{"path": "0"}, {"path": "1"}]}}) == ("0", "1")
    with pytest.raises(ValueError, match=r"^'plate' of the root is 5; expected a non-empty mapping"):
        parse_wells({"plate": 5})
    with pytest.raises(ValueError, match=r"^the group has no 'well'"):
        parse_images({})
    for outside in ("/etc", "A/../../1", ".."):
        with pytest.raises(ValueError, match="which leads outside its group"):
            parse_path({"path": outside}, "a well")
