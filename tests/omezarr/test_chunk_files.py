import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from support.stores import edit_json, phase, write_image

from image_translation.errors import DataError
from image_translation.omezarr.chunk_files import ChunkFiles, count_missing, fingerprint
from image_translation.omezarr.store import open_store


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_files_of_a_plane_are_those_of_its_chunks(tmp_path: Path, version: str) -> None:
    path = write_image(tmp_path / "in.zarr", phase(7), version=version, chunk=(3, 1, 1))
    files = open_store(path).position("fov").chunk_files(4, 0, 0)
    prefix = "0/c" if version == "0.5" else "0"
    assert [file.relative_to(path).as_posix() for file in files] == [f"{prefix}/1/0/0/0/0"]
    assert files[0].is_file()


def test_the_files_of_a_plane_in_shards_and_tiles(tmp_path: Path) -> None:
    zarr.create_array(
        tmp_path / "0", data=np.ones((6, 10, 10), "u1"), chunks=(1, 5, 5), shards=(4, 10, 5), zarr_format=3
    )
    files = ChunkFiles(tmp_path / "0").of_plane([5])
    assert [file.relative_to(tmp_path).as_posix() for file in files] == ["0/c/1/0/0", "0/c/1/0/1"]
    assert count_missing(files) == 0
    files[1].unlink()
    assert count_missing(files) == 1


def test_nested_chunks_are_found_without_the_key_that_says_so(tmp_path: Path) -> None:
    data = phase(4)
    path = write_image(tmp_path / "in.zarr", data)
    edit_json(path / "0/.zarray", lambda content: content.pop("dimension_separator"))
    assert "dimension_separator" not in json.loads((path / "0/.zarray").read_text())
    np.testing.assert_array_equal(open_store(path).position("fov").read(3, 0, 0), data[3, 0, 0])


def test_flat_chunks_without_the_key_are_read(tmp_path: Path) -> None:
    data = phase(4)
    path = write_image(tmp_path / "in.zarr", data)
    encoding = {"name": "v2", "separator": "."}
    zarr.create_array(
        path / "0", data=data, chunks=(1, 1, 1, 24, 36), zarr_format=2, chunk_key_encoding=encoding, overwrite=True
    )
    edit_json(path / "0/.zarray", lambda content: content.pop("dimension_separator", None))
    assert (path / "0/3.0.0.0.0").exists()
    np.testing.assert_array_equal(open_store(path).position("fov").read(3, 0, 0), data[3, 0, 0])


def test_a_blank_plane_is_read_but_not_one_of_an_array_that_is_gone(tmp_path: Path) -> None:
    path = write_image(tmp_path / "in.zarr", np.zeros((3, 1, 1, 16, 16), np.float32))
    position = open_store(path).position("fov")
    assert not position.read(1, 0, 0).any()
    (path / "0/.zarray").unlink()
    with pytest.raises(DataError, match=r"0 was there and is gone; is its disk or network share still connected\?"):
        position.read(1, 0, 0)


def test_a_fingerprint_tells_size_time_and_absence(tmp_path: Path) -> None:
    file = tmp_path / "0"
    seen = {fingerprint([file])}
    for content in (b"a", b"ab"):
        file.write_bytes(content)
        seen.add(fingerprint([file]))
    assert len(seen) == 3
    assert fingerprint([file]) in seen
