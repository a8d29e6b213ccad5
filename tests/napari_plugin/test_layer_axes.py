"""Which axis is which, and layers as movies."""

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

from image_translation.errors import UsageError
from image_translation.napari_plugin.layer_axes import (
    LayerAxes,
    as_layer,
    as_movie,
    guess_axes,
    interval,
    pixel_size,
)

pint = pytest.importorskip("pint", reason="napari, which brings pint, is not installed")

UNIT = pint.get_application_registry()


def unlabelled(n_dimensions: int) -> tuple[str, ...]:
    return tuple(str(index) for index in range(-n_dimensions, 0))


@pytest.mark.parametrize(
    ("labels", "shape", "letters"),
    [
        (("t", "y", "x"), (5, 8, 9), "t"),
        (("Time", "Z", "Y", "X"), (5, 3, 8, 9), "tz"),
        (("z", "t", "y", "x"), (3, 5, 8, 9), "zt"),
        (("c", "t", "y", "x"), (3, 5, 8, 9), "ct"),
        (("-4", "z", "y", "x"), (5, 3, 8, 9), "tz"),
        (("z", "-3", "y", "x"), (5, 30, 8, 9), "zt"),
        (("t", "-3", "y", "x"), (5, 30, 8, 9), "tz"),
        (("t", "z", "channels", "y", "x"), (5, 9, 2, 8, 9), "tzc"),
        (("-3", "-2", "-1"), (5, 8, 9), "t"),
        (("-4", "-3", "-2", "-1"), (5, 3, 8, 9), "tc"),
        (("-4", "-3", "-2", "-1"), (5, 15, 8, 9), "tz"),
        (("-5", "-4", "-3", "-2", "-1"), (5, 15, 2, 8, 9), "tzc"),
        (("-5", "-4", "-3", "-2", "-1"), (5, 2, 15, 8, 9), "tcz"),
        (("-5", "-4", "-3", "-2", "-1"), (5, 5, 5, 8, 9), "tcz"),
        (("y", "x"), (8, 9), ""),
    ],
)
def test_axes_are_known_by_label_or_by_order(labels: tuple[str, ...], shape: tuple[int, ...], letters: str) -> None:
    axes = guess_axes(labels, shape)
    axes.check(labels)
    assert {letter: getattr(axes, letter) for letter in letters} == {letter: i for i, letter in enumerate(letters)}
    assert axes.letters == "".join(letter.upper() for letter in "tcz" if letter in letters) + "YX"


def test_axes_that_cannot_be_a_movie() -> None:
    guess = guess_axes(("t", "wavelength", "z", "c", "y", "x"), (1, 2, 3, 4, 5, 6))
    with pytest.raises(UsageError, match="axis wavelength has no meaning: choose it once, as time, channel or z"):
        guess.check(("t", "wavelength", "z", "c", "y", "x"))
    with pytest.raises(UsageError, match="axis a has several meanings"):
        LayerAxes(3, t=0, c=0).check(("a", "y", "x"))
    with pytest.raises(UsageError, match="last two axes of a layer must be Y and X, but they are x and t"):
        LayerAxes(3, t=0).check(("y", "x", "t"))


def as_zarr(array: np.ndarray) -> Any:
    stored = zarr.create_array({}, shape=array.shape, dtype=array.dtype)
    stored[...] = array
    return stored


@pytest.mark.parametrize(
    "wrap", [np.asarray, da.from_array, as_zarr, xr.DataArray, lambda array: [array, array[..., ::2]]]
)
def test_a_layer_becomes_a_movie_and_a_stain_becomes_a_layer(wrap: Any) -> None:
    pixels = np.random.default_rng(0).normal(size=(3, 5, 2, 4, 6))  # Z, T, C, Y, X
    axes = LayerAxes(5, t=1, c=2, z=0)
    movie = as_movie(wrap(pixels), axes)
    assert axes.letters == "TCZYX"
    assert movie.shape == (5, 2, 3, 4, 6)
    if wrap is da.from_array:
        assert isinstance(movie, da.Array)
    np.testing.assert_array_equal(np.asarray(movie), np.einsum("ztcyx->tczyx", pixels))
    stain = np.asarray(movie)[:, 1]
    layer = as_layer(stain, axes)
    assert np.shares_memory(layer, stain)  # it shows frames that come later
    np.testing.assert_array_equal(layer, pixels[:, :, 1:2])


def test_a_movie_whose_axes_are_in_order_stays_as_it_is() -> None:
    stored = as_zarr(np.zeros((5, 4, 6)))
    assert as_movie(stored, LayerAxes(3, t=0)) is stored


@pytest.mark.parametrize(("axes", "shape"), [(LayerAxes(3, t=0), (5, 4, 6)), (LayerAxes(2), (4, 6))])
def test_axes_that_a_layer_lacks_are_dropped(axes: LayerAxes, shape: tuple[int, ...]) -> None:
    stain = np.zeros((5 if axes.t == 0 else 1, 1, 4, 6), np.float32)
    assert as_layer(stain, axes).shape == shape


def test_steps_are_converted_where_they_are_known() -> None:
    axes = LayerAxes(4, t=0, z=1)
    units = (UNIT.minute, UNIT.nanometer, UNIT.micrometer, UNIT.micrometer)
    assert interval((5, 500, 0.1, 0.2), units, axes) == 300
    assert pixel_size((5, 500, 0.1, 0.2), units, axes) == pytest.approx((0.5, 0.1, 0.2))
    pixels = (UNIT.pixel,) * 4
    assert interval((5, 500, 0.1, 0.2), pixels, axes) is None
    assert pixel_size((5, 500, 0.1, 0.2), pixels, axes) is None
    assert pixel_size((5, 1, 0.1, 0.2), (*pixels[:2], *units[2:]), axes) == (0.1, 0.2)
    assert pixel_size((5, 1, 0.1, 0), units, axes) is None
    assert interval((1, 1, 1), units[1:], LayerAxes(3, z=0)) is None
