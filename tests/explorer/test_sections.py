"""Sections of the page, with synthetic activations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.activations import make_activations
from support.stores import phase, write_image

from image_translation.explorer.comparison import compare_images
from image_translation.explorer.inspector import Inspector
from image_translation.explorer.perturbation import PERTURBATIONS
from image_translation.explorer.sections import (
    ComparisonMode,
    Counterpart,
    ImageSelection,
    Section,
    change_section,
    comparison_modes,
    comparison_section,
    field_html,
    network_html,
    overview_section,
    overview_text,
    stage_section,
)
from image_translation.frame import Crop
from image_translation.omezarr.store import Position, open_store

FIRST = ImageSelection(t=1, z=0, crop=Crop(8, 4, 24, 20))


@pytest.fixture(scope="module")
def position(tmp_path_factory: pytest.TempPathFactory) -> Position:
    data = np.repeat(phase(3, (40, 52)), 2, axis=2) * np.array([1, 2], np.float32)[:, None, None]
    return open_store(write_image(tmp_path_factory.mktemp("movie") / "cells.ome.zarr", data)).position("fov")


def counterpart(mode: str, **options: object) -> Counterpart:
    values = {"t": 2, "z": 1, "perturbation": PERTURBATIONS["contrast"], "strength": 0.5}
    return Counterpart(ComparisonMode(mode), **values | options)  # type: ignore[arg-type]


def stage() -> Section:
    return stage_section(make_activations(), "encoder 1", ("channels", 2), "title", opacity=0.5)


def comparison() -> Section:
    found = compare_images(("one", "other"), (make_activations(), make_activations(shift=3)))
    return comparison_section(found, "title")


def change() -> Section:
    return change_section({"movie": {"input": np.ones(2), "stem": np.array([0.5, 2.0])}}, range(3), "title")


@pytest.mark.parametrize(
    ("make", "stem", "alt", "header"),
    [
        (lambda: overview_section(make_activations(), "title", 0.5), "overview", "stem", "stage,channels"),
        (stage, "encoder_1", "encoder 1, channel 2", "component,share of variance"),
        (comparison, "comparison", "encoder 1", "stage,difference"),
        (change, "change", "change of every stage", "of,stage,frame"),
    ],
)
def test_sections_have_html_a_figure_and_a_table(make: Callable[[], Section], stem: str, alt: str, header: str) -> None:
    section = make()
    assert section.file_stem == stem
    assert f'alt="{alt}"' in "".join(section.html)
    assert isinstance(section.figure(), Figure)
    assert section.csv().decode().startswith(header)
    assert section.document().startswith(b"<!DOCTYPE html>")


def test_figures_are_saved_as_png_and_svg() -> None:
    assert change().image("png").startswith(b"\x89PNG")
    assert b"<svg" in change().image("svg")


def test_the_overview_as_text() -> None:
    title, header, *rows = overview_text(make_activations(), "one title").splitlines()
    assert title == "one title"
    assert header.startswith("stage,")
    assert [row.split(",")[0] for row in rows] == ["input", "stem", "encoder 1", "head"]


def test_titles_name_network_movie_and_crop(position: Position) -> None:
    assert FIRST.title("dir/a.ckpt", "b/c.zarr", position) == "a.ckpt on c.zarr, fov z0, rows 8-32, columns 4-24"
    full = ImageSelection(t=0, z=1, crop=Crop(0, 0, 40, 52))
    assert full.title("demo_ckpt", "demo_movie", position) == "demo_ckpt on demo_movie, fov z1"


def test_only_possible_comparisons_are_offered(position: Position, tmp_path: Path) -> None:
    assert comparison_modes(position) == ["another frame", "another plane", "a perturbed image", "another network"]
    single = open_store(write_image(tmp_path / "one.zarr", phase(1))).position("fov")
    assert comparison_modes(single) == ["a perturbed image", "another network"]


def test_counterparts_are_read(inspector: Inspector, position: Position) -> None:
    first = FIRST.read(inspector, position).image
    frame = counterpart("another frame").read(FIRST, inspector, position).image
    plane = counterpart("another plane").read(FIRST, inspector, position).image
    perturbed = counterpart("a perturbed image").read(FIRST, inspector, position).image
    network = counterpart("another network", channels=("Phase3D",)).read(FIRST, inspector, position).image
    np.testing.assert_array_equal(frame, inspector.read(position, 2, 0, crop=FIRST.crop).image)
    np.testing.assert_array_equal(plane, inspector.read(position, 1, 1, crop=FIRST.crop).image)
    np.testing.assert_allclose(perturbed, first / 2)
    np.testing.assert_array_equal(network, first)


def test_counterparts_are_labelled() -> None:
    assert counterpart("another frame").labels(FIRST, "a") == ("frame 1", "frame 2")
    assert counterpart("another plane").labels(FIRST, "a") == ("plane 0", "plane 1")
    assert counterpart("a perturbed image").labels(FIRST, "a") == ("unperturbed", "contrast 0.5")
    assert counterpart("another network", checkpoint="x/b.ckpt").labels(FIRST, "a.ckpt") == ("a.ckpt", "b.ckpt")
    same_name = counterpart("another network", checkpoint="x/a.ckpt").labels(FIRST, "y/a.ckpt")
    assert same_name == ("y/a.ckpt", "x/a.ckpt")


def test_networks_and_images_are_compared_in_their_own_way() -> None:
    pair = (make_activations(), make_activations(seed=1))
    assert counterpart("another frame").compare(("a", "b"), pair, None).numbers[0] == "difference"
    assert counterpart("another network").compare(("a", "b"), pair, None).numbers[0] == "R2"


def test_the_field_is_shown_with_its_crop(inspector: Inspector, position: Position) -> None:
    selection = ImageSelection(t=0, z=0, channels=("Phase3D",), crop=FIRST.crop)
    assert "it-box" in field_html(position, selection)
    assert "This frame cannot be read." in field_html(position, ImageSelection(t=9, z=0, channels=("Phase3D",)))
    assert "million weights, and runs on cpu" in network_html(inspector)
