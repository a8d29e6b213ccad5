"""Images that are displaced when they are read."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from support.stores import write_image

from image_translation.omezarr.registered import Registration, displace, register, stored_registration
from image_translation.omezarr.store import open_store

FOUND = Registration("by hand", 1, ("Phase3D",), ((1.0, -2.0), (0.0, 0.0), (0.5, 0.25)), 0.5, 0.1)


def test_valid_planes_of_the_named_channels_are_displaced(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(6, 2, 2, 20, 24)).astype(np.float32)
    data[3, 0, 0] = 0
    position = open_store(write_image(tmp_path / "a.zarr", data, channels=("Phase3D", "Nuclei"))).position("fov")
    found = pickle.loads(pickle.dumps(register(position, FOUND)))
    np.testing.assert_allclose(found.read(1, 0, 1)[1:, :-2], data[1, 0, 1, :-1, 2:], atol=1e-5)
    for t, channel, z in [(0, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0), (1, 1, 0)]:
        np.testing.assert_array_equal(found.read(t, channel, z), data[t, channel, z])
    assert not np.allclose(found.read(3, 0, 1), data[3, 0, 1], atol=0.1)
    assert (found.shape, found.chunks, found.channels) == (position.shape, position.chunks, position.channels)


def test_subpixel_displacement_of_a_smooth_image() -> None:
    image = gaussian_filter(np.random.default_rng(0).normal(size=(60, 60)), 3).astype(np.float32)
    there = displace(image, (0.4, -0.7))
    assert there.dtype == np.float32
    np.testing.assert_allclose(displace(there, (-0.4, 0.7))[6:-6, 6:-6], image[6:-6, 6:-6], atol=0.01 * image.std())


@pytest.mark.parametrize(("dtype", "result"), [("uint16", "float32"), ("int32", "float64"), ("float64", "float64")])
def test_integers_keep_their_precision(dtype: str, result: str) -> None:
    image = np.arange(400, dtype=dtype).reshape(20, 20) + np.array(60000, dtype)
    there = displace(image, (1.0, 0.0))
    assert there.dtype == result
    np.testing.assert_allclose(there[1:], image[:-1], atol=0.01)


def test_the_provenance_keeps_the_registration(tmp_path: Path) -> None:
    stored = {"image_translation": {"registration": json.loads(json.dumps(FOUND.to_json()))}}
    movie = write_image(tmp_path / "a.zarr", np.ones((1, 1, 1, 8, 8)), attributes=stored)
    assert stored_registration(open_store(movie).position("fov")) == FOUND
    broken = write_image(tmp_path / "b.zarr", np.ones((1, 1, 1, 8, 8)), attributes={"image_translation": {}})
    assert stored_registration(open_store(broken).position("fov")) is None


def test_labels_are_displaced_as_their_image_and_stay_labels(tmp_path: Path) -> None:
    movie = write_image(tmp_path / "a.zarr", np.random.default_rng(0).normal(size=(2, 1, 1, 20, 24)))
    labels = np.random.default_rng(1).integers(0, 9, (2, 1, 1, 20, 24)).astype(np.int32)
    write_image(movie / "labels" / "nuclei", labels, channels=None)
    found = register(open_store(movie).position("fov"), FOUND).labels("nuclei")
    assert found is not None
    there = found.read(1, 0, 0)
    assert there.dtype == np.int32
    np.testing.assert_array_equal(there[1:, :-2], labels[1, 0, 0, :-1, 2:])
    assert register(open_store(movie).position("fov"), FOUND).labels("cells") is None
