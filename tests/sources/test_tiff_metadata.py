"""Metadata of OME-TIFF and ImageJ: units, irregular times, names of channels, and what cannot be believed."""

from typing import Any

import pytest

from image_translation.sources.tiff_metadata import parse_imagej, parse_ome


def ome(attributes: str = "", content: str = "") -> str:
    pixels = f"<Pixels {attributes}>{content}</Pixels>"
    return f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image>{pixels}</Image></OME>'


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('PhysicalSizeX="0.5"', 0.5),
        ('PhysicalSizeX="500" PhysicalSizeXUnit="nm"', 0.5),
        ('PhysicalSizeX="0.0005" PhysicalSizeXUnit="mm"', 0.5),
        ('PhysicalSizeX="0.5" PhysicalSizeXUnit="µm"', 0.5),
        ('PhysicalSizeX="0.5" PhysicalSizeXUnit="pixel"', None),
        ('PhysicalSizeX="0"', None),
        ('PhysicalSizeX="-1"', None),
        ('PhysicalSizeX="wide"', None),
        ('PhysicalSizeX="inf"', None),
        ("", None),
    ],
)
def test_lengths_of_ome_become_micrometres(attributes: str, expected: float | None):
    assert parse_ome(ome(attributes)).pixel_size[2] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('TimeIncrement="90"', 90),
        ('TimeIncrement="1.5" TimeIncrementUnit="min"', 90),
        ('TimeIncrement="500" TimeIncrementUnit="ms"', 0.5),
        ('TimeIncrement="2" TimeIncrementUnit="h"', 7200),
        ('TimeIncrement="2" TimeIncrementUnit="frames"', None),
        ("", None),
    ],
)
def test_times_of_ome_become_seconds(attributes: str, expected: float | None):
    assert parse_ome(ome(attributes)).interval == pytest.approx(expected)


@pytest.mark.parametrize(
    ("times", "expected"), [([0, 60.1, 119.9, 180], 60), ([5, 65, 125], 60), ([0, 60, 300], None), ([0], None)]
)
def test_the_interval_is_that_of_the_planes_if_they_are_regular(times: list[float], expected: float | None):
    planes = "".join(
        f'<Plane TheC="{c}" TheT="{t}" TheZ="0" DeltaT="{s + c}"/>' for c in (0, 1) for t, s in enumerate(times)
    )
    assert parse_ome(ome("", planes)).interval == pytest.approx(expected)


def test_channels_of_ome_have_names_or_none_has():
    assert parse_ome(ome("", '<Channel Name="0488"/><Channel Name="Phase"/>')).channels == ("0488", "Phase")
    assert parse_ome(ome("", '<Channel Name="Phase"/><Channel/>')).channels == ()


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"unit": "um"}, (None, 0.25, 0.5)),
        ({"unit": "micron", "spacing": 2.0}, (2, 0.25, 0.5)),
        ({"unit": "\\u00B5m"}, (None, 0.25, 0.5)),
        ({"unit": "nm", "spacing": 200.0, "zunit": "micron"}, (200, 0.00025, 0.0005)),
        ({"unit": "pixel", "spacing": 1.0}, (None, None, None)),
        ({}, (None, None, None)),
    ],
)
def test_lengths_of_imagej_become_micrometres(metadata: dict[str, Any], expected: tuple[float | None, ...]):
    assert parse_imagej(metadata, [(4, 1), (2, 1)]).pixel_size == pytest.approx(expected)


def test_imagej_without_resolution_has_no_pixel_size():
    assert parse_imagej({"unit": "um"}, [(0, 1), (0, 1)]).pixel_size == (None, None, None)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"finterval": 2.0}, 2),
        ({"finterval": 2.0, "tunit": "min"}, 120),
        ({"finterval": 0.0}, None),
        ({"fps": 7.0}, None),
    ],
)
def test_times_of_imagej_become_seconds(metadata: dict[str, Any], expected: float | None):
    assert parse_imagej(metadata, [(1, 1), (1, 1)]).interval == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["Phase", "DNA", "Phase", "DNA"], ("Phase", "DNA")),
        (["Phase", "DNA"], ("Phase", "DNA")),
        (["a.tif:1", "a.tif:2", "a.tif:3", "a.tif:4"], ()),
        (["x", "x", "x", "x"], ()),
        ([], ()),
    ],
)
def test_labels_of_imagej_name_channels_only_where_they_are_alike(labels: list[str], expected: tuple[str, ...]):
    assert parse_imagej({"channels": 2, "Labels": labels}, [(1, 1), (1, 1)]).channels == expected
