"""Arrays as movies: their axes, their planes, and what is refused."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from image_translation.errors import DataError, UsageError
from image_translation.sources import store_array

MOVIE = np.arange(4 * 2 * 3 * 5 * 6, dtype=np.uint16).reshape(4, 2, 3, 5, 6)


def test_every_plane_is_read_from_its_place() -> None:
    position = store_array(MOVIE).position("fov")
    assert position.shape == MOVIE.shape
    np.testing.assert_array_equal(position.read(3, 1, 2), MOVIE[3, 1, 2])


@pytest.mark.parametrize(("index", "axes"), [((slice(None), 0, 0), "tyx"), ((slice(None), slice(None), 0), "tcyx")])
def test_the_number_of_dimensions_tells_the_axes(index, axes) -> None:
    position = store_array(MOVIE[index]).position("fov")
    assert position.axes == tuple(axes)
    np.testing.assert_array_equal(position.read(2, 0, 0), MOVIE[2, 0, 0])


def test_axes_can_be_given() -> None:
    position = store_array(MOVIE[:, 0], axes="TZYX").position("fov")
    assert position.shape == (4, 1, 3, 5, 6)
    np.testing.assert_array_equal(position.read(1, 0, 2), MOVIE[1, 0, 2])


def test_xarray_names_its_axes() -> None:
    position = store_array(xr.DataArray(MOVIE[:, 0], dims=("time", "z", "y", "x"))).position("fov")
    assert position.shape == (4, 1, 3, 5, 6)
    np.testing.assert_array_equal(position.read(1, 0, 2), MOVIE[1, 0, 2])


def test_dask_computes_only_the_planes_that_are_read() -> None:
    computed = []

    def plane(block_info=None):
        computed.append(block_info[None]["chunk-location"][0])
        return np.ones((1, 5, 6))

    lazy = da.map_blocks(plane, chunks=((1,) * 4, 5, 6), dtype=float, meta=np.empty((0, 0, 0)))
    position = store_array(lazy).position("fov")
    assert position.read(2, 0, 0).shape == (5, 6)
    assert computed == [2]


def test_sizes_and_channels_are_those_given() -> None:
    store = store_array(MOVIE, channels=["Phase3D", "DNA"], pixel_size=(2, 0.5, 0.25), interval=300)
    position = store.position("fov")
    assert position.channels == ("Phase3D", "DNA")
    assert position.levels[0].scale == (300, 1, 2, 0.5, 0.25)
    assert position.voxel_size == (2, 0.5, 0.25)
    assert store_array(MOVIE).position("fov").voxel_size == (None, None, None)
    assert store_array(MOVIE, pixel_size=1).position("fov").voxel_size == (None, 1, 1)


@pytest.mark.parametrize(
    ("array", "given", "message"),
    [
        (MOVIE[0, 0, 0], {}, "has 2 dimensions; name its axes"),
        (MOVIE[:, 0], {"axes": "TQYX"}, "'TQYX' do not fit"),
        (MOVIE[:, 0], {"axes": "TYX"}, "which has 4 dimensions"),
        (MOVIE.astype(complex), {}, "pixels of type complex128"),
        (MOVIE[:0], {}, "is empty"),
        ([[1, 2]], {}, "is no array of images, but list"),
        (MOVIE, {"channels": ["Phase3D"]}, "has 2; name each of them once"),
        (MOVIE, {"pixel_size": -1}, "pixel size -1"),
        (MOVIE, {"interval": 0}, "interval 0"),
        (xr.DataArray(MOVIE[:, 0, 0], dims=("frame", "y", "x")), {}, "do not fit"),
    ],
)
def test_what_does_not_fit_is_refused(array, given, message) -> None:
    with pytest.raises(UsageError, match=message):
        store_array(array, name="my array", **given)


def test_an_array_that_fails_is_an_error_of_the_data() -> None:
    class Broken:
        shape, dtype = (2, 5, 6), np.dtype("uint8")

        def __getitem__(self, index):
            raise OSError("the disk is gone")

    with pytest.raises(DataError, match="cannot read frame 1, channel 0, plane 0 of movie: the disk is gone"):
        store_array(Broken(), name="movie").position("fov").read(1, 0, 0)
