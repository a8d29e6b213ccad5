"""The cache of decoded chunks, and errors for arrays that cannot be read."""

import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from support.stores import edit_json, file_metric, phase, write_image, write_plate

from image_translation.errors import DataError
from image_translation.omezarr import arrays
from image_translation.omezarr.arrays import open_array
from image_translation.omezarr.store import Position, open_store


def volume(seed: int = 0) -> np.ndarray:
    """Random movie of shape (5, 3, 4, 24, 36), float32."""
    return np.random.default_rng(seed).random((5, 3, 4, 24, 36), np.float32)


def bytes_for(position: Position, planes: list[tuple[int, int, int]]) -> int:
    before = file_metric("bytes_read")
    for plane in planes:
        position.read(*plane)
    return file_metric("bytes_read") - before


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_chunk_of_several_planes_is_decoded_once(tmp_path: Path, version: str) -> None:
    data = volume()
    path = write_image(tmp_path / "a.zarr", data, version=version, channels=None, chunk=(1, 1, 4))
    position = open_store(path).position("fov")
    assert position.chunks == (1, 1, 4, 24, 36)
    files = [file for file in path.rglob("*") if file.is_file() and file.name[0] not in ".z"]
    size = sum(file.stat().st_size for file in files) // len(files)
    position.read(4, 0, 0)
    # The order in which a movie with its truth is read.
    once = bytes_for(position, [(t, c, z) for t in range(4) for z in range(4) for c in range(3)])
    assert 11 * size < once < 13 * size
    np.testing.assert_array_equal(position.read(2, 1, 3), data[2, 1, 3])


def test_a_chunk_of_several_frames_is_decoded_once(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", volume(), channels=None, chunk=(5, 1, 1))
    position = open_store(path).position("fov")
    assert position.chunks == (5, 1, 1, 24, 36)
    assert bytes_for(position, [(0, 0, 0)]) > 0
    assert bytes_for(position, [(t, 0, 0) for t in range(5)]) == 0


def test_a_chunk_of_one_plane_is_not_cached(tmp_path: Path) -> None:
    position = open_store(write_image(tmp_path / "a.zarr", phase(3))).position("fov")
    assert position.chunks == (1, 1, 1, 24, 36)
    assert bytes_for(position, [(0, 0, 0)]) == bytes_for(position, [(0, 0, 0)]) > 0


def test_a_chunk_larger_than_the_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_CACHE_BYTES", 1000)
    data = volume()
    position = open_store(write_image(tmp_path / "a.zarr", data, channels=None, chunk=(1, 3, 4))).position("fov")
    for z in (0, 1, 0):
        np.testing.assert_array_equal(position.read(1, 2, z), data[1, 2, z])
    assert bytes_for(position, [(1, 2, 0)]) > 0


def test_all_positions_share_one_cache(tmp_path: Path) -> None:
    names = [f"A/{n}/0" for n in range(1, 9)]
    path = write_plate(tmp_path / "p.zarr", {name: volume() for name in names}, channels=None, chunk=(1, 1, 4))
    arrays._cache_of_size.cache_clear()
    store = open_store(path)
    for name in names:
        store.position(name).read(0, 0, 0)
    assert arrays._cache_of_size.cache_info().currsize == 1


@pytest.mark.parametrize("chunk", [(1, 1, 1), (1, 1, 4)])
def test_a_rewritten_store_is_read_again(tmp_path: Path, chunk: tuple[int, ...]) -> None:
    path = write_image(tmp_path / "a.zarr", volume(0), channels=None, chunk=chunk)
    before = open_store(path).position("fov")
    before.read(1, 0, 2)
    write_image(path, volume(1), channels=None, chunk=chunk)
    for position in (before, open_store(path).position("fov")):
        np.testing.assert_array_equal(position.read(1, 0, 2), volume(1)[1, 0, 2])
    write_image(path, volume(2)[:3, :, :3], channels=None, chunk=chunk)
    position = open_store(path).position("fov")
    assert position.shape == (3, 3, 3, 24, 36)
    np.testing.assert_array_equal(position.read(1, 0, 2), volume(2)[1, 0, 2])


def test_a_position_can_be_pickled(tmp_path: Path) -> None:
    data = volume()
    position = open_store(write_image(tmp_path / "a.zarr", data, channels=None, chunk=(1, 1, 4))).position("fov")
    unused = pickle.dumps(position)
    position.read(0, 0, 0)
    assert pickle.dumps(position) == unused
    assert pickle.loads(unused) == position
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(position.read, 3, 2, 1).result(), data[3, 2, 1])


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"chunks": [1, 1, 1, 10**6, 10**6]}, "chunks of 1 x 1 x 1 x 1000000 x 1000000 pixels, 3.73e+03 GiB each"),
        ({"shape": [1, 1, 1, 10**5, 10**5]}, "planes of 100000 x 100000 pixels, 37.3 GiB each"),
    ],
)
def test_huge_chunks_and_planes_are_refused(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1))
    edit_json(path / "0" / ".zarray", lambda content: content.update(changes))
    with pytest.raises(DataError) as caught:
        open_store(path).position("fov")
    assert str(caught.value).startswith(f"the array {path / '0'} has {found}; at most 4 GiB can be read")


def test_huge_shards_are_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1), version="0.5")
    shutil.rmtree(path / "0")
    size = 2**16
    zarr.create_array(
        path / "0", shape=(1, 1, 1, 64, 64), shards=(1, 1, 1, size, size), chunks=(1, 1, 1, 64, 64), dtype="u2"
    )
    with pytest.raises(DataError, match=r"shards of 1 x 1 x 1 x 65536 x 65536 pixels, 8 GiB each; at most 4 GiB"):
        open_store(path).position("fov")


@pytest.mark.parametrize(
    ("changes", "codec"),
    [
        ({"compressor": {"id": "lzma"}}, "lzma"),
        ({"compressor": {"id": "lz4", "acceleration": 1}}, "lz4"),
        ({"compressor": {"id": "unheard-of"}}, "unheard-of"),
        ({"filters": [{"id": "delta", "dtype": "<f4"}]}, r"\[{'id': 'delta', 'dtype': '<f4'}\]"),
    ],
)
def test_unsupported_compression_is_named(tmp_path: Path, changes: dict[str, Any], codec: str) -> None:
    array = write_image(tmp_path / "a.zarr", phase(1)) / "0"
    edit_json(array / ".zarray", lambda content: content.update(changes))
    found = f"^the compression or filter {codec} of the array {array} is not supported; rewrite the store with blosc"
    with pytest.raises(DataError, match=found) as caught:
        open_array(array, 2)
    assert "tensorstore_spec" not in str(caught.value)
    with pytest.raises(DataError, match=found):
        open_store(array.parent).position("fov").read(0, 0, 0)


@pytest.mark.parametrize(
    "message",
    [
        "codec not available: ''x''",
        "Unknown codec: 'x'",
        "An implementation for codec 'x' is not available. Register one",
    ],
    ids=["numcodecs", "zarr", "zarr 3.4"],
)
def test_a_codec_is_named_whatever_the_version_of_zarr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    array = write_image(tmp_path / "a.zarr", phase(1)) / "0"

    def refuse(*_: object, **__: object) -> None:
        raise ValueError(message)

    monkeypatch.setattr(arrays.ts, "open", refuse)
    with pytest.raises(DataError, match=r"^the compression or filter x of the array"):
        open_array(array, 2)
