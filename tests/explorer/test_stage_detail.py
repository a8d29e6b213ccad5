"""One stage in detail, with synthetic activations."""

import csv
import io

import numpy as np
import pytest
from support.activations import make_activations

from image_translation.explorer.stage_detail import stage_detail


def test_components_of_a_stage() -> None:
    detail = stage_detail(make_activations(), "stem", "components", 2, 0.5)
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


def test_channels_of_a_stage_are_ordered_by_variance() -> None:
    activations = make_activations(channels=20)
    detail = stage_detail(activations, "encoder 1", "channels", 3, 0.5)
    np.testing.assert_array_equal(detail.values, activations.features["encoder 1"][3])
    assert detail.picture.pixel_size == 1.0
    numbers = [int(tile.name.removeprefix("channel ")) for tile in detail.tiles]
    deviations = activations.features["encoder 1"].std(axis=(1, 2))
    assert numbers == np.argsort(-deviations)[:12].tolist()
    assert detail.legend.startswith("12 of 20 channels")


def test_figures_of_a_stage() -> None:
    detail = stage_detail(make_activations(), "stem", "channels", 0)
    assert len(detail.distribution_figure().axes) == 2
    assert len(detail.distribution_figure().axes[0].patches) == 80
    assert any("PC 1" in axes.get_title() for axes in detail.component_figure().axes)
