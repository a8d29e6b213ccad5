"""Stores of all kinds come out in one form; what cannot be read is said in one line."""

import json
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from support.stores import file_metric, phase, write_image, write_plate

from image_translation.errors import DataError, UsageError
from image_translation.omezarr import arrays
from image_translation.omezarr.arrays import open_array
from image_translation.omezarr.metadata import AXES, Level
from image_translation.omezarr.selection import select_channel, select_planes
from image_translation.omezarr.store import Position, open_store

REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_image_has_the_axes_names_and_pixels_that_were_written(tmp_path: Path, version: str) -> None:
    data = phase(3)
    write_image(
        tmp_path / "a.zarr",
        data,
        version=version,
        scale=(60, 1, 2, 0.5, 0.5),
        units={"t": "second"},
        names=("s0", "s1"),
    )
    store = open_store(tmp_path / "a.zarr")
    position = store.position("fov")
    assert (store.layout, store.version, store.names) == ("fov", version, ("fov",))
    assert position.shape == data.shape
    assert position.channels == ("Phase3D",)
    assert position.units == {"t": "second"}
    assert [level.scale for level in position.levels] == [(60, 1, 2, 0.5, 0.5), (60, 1, 2, 1, 1)]
    np.testing.assert_array_equal(position.read(2, 0, 0), data[2, 0, 0])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_relative_paths_may_lead_upwards_and_through_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    data = phase(2)
    (tmp_path / "data" / "inner").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "data" / "inner")
    write_image(tmp_path / "data" / "a.zarr", data, version=version)
    monkeypatch.chdir(tmp_path / "here")
    for path in ("../data/a.zarr", "link/../a.zarr"):  # of a link, .. is the folder that holds its target
        np.testing.assert_array_equal(open_store(Path(path)).position("fov").read(1, 0, 0), data[1, 0, 0])


@pytest.mark.parametrize("axes", ["yx", "zyx", "cyx", "tyx", "tcyx", "tzyx", "czyx"])
def test_missing_axes_have_length_one(tmp_path: Path, axes: str) -> None:
    sizes = {"t": 3, "c": 2, "z": 4, "y": 5, "x": 6}
    data = np.arange(np.prod([sizes[axis] for axis in axes])).reshape([sizes[axis] for axis in axes]).astype("u2")
    position = open_store(write_image(tmp_path / "a.zarr", data, axes=axes, channels=None)).position("fov")
    assert position.shape == tuple(sizes[axis] if axis in axes else 1 for axis in "tczyx")
    last = [sizes[axis] - 1 if axis in axes else 0 for axis in "tcz"]
    np.testing.assert_array_equal(position.read(*last), data[(-1,) * (len(axes) - 2)])


def test_channels_without_names_are_numbered(tmp_path: Path) -> None:
    data = np.repeat(phase(2), 2, axis=1)
    assert open_store(write_image(tmp_path / "a.zarr", data, channels=None)).position("fov").channels == (
        "channel_0",
        "channel_1",
    )


def test_scale_and_translation_of_all_levels_combine(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", phase(2), names=("0", "1"))
    group = zarr.open_group(path, mode="r+")
    multiscales = group.attrs["multiscales"]
    multiscales[0]["datasets"][1]["coordinateTransformations"].append(
        {"type": "translation", "translation": [0, 0, 0, 3, 5]}
    )
    multiscales[0]["coordinateTransformations"] = [{"type": "scale", "scale": [10, 1, 1, 0.1, 0.1]}]
    group.attrs["multiscales"] = multiscales
    level = open_store(path).position("fov").levels[1]
    np.testing.assert_allclose(level.scale, (10, 1, 1, 0.2, 0.2))
    np.testing.assert_allclose(level.translation, (0, 0, 0, 0.3, 0.5))


def test_plate_lists_positions_and_selects_by_pattern(tmp_path: Path) -> None:
    names = ["A/1/0", "A/1/1", "B/2/0"]
    store = open_store(write_plate(tmp_path / "p.zarr", {name: phase(2, seed=i) for i, name in enumerate(names)}))
    assert store.layout == "plate"
    assert store.select() == tuple(names)
    assert store.select(["B/*"]) == ("B/2/0",)
    assert store.select(["*/0", "A/1/0"]) == ("A/1/0", "B/2/0")
    with pytest.raises(UsageError, match=r"C/1/0 matches nothing in .*A/1/0, A/1/1, B/2/0"):
        store.select(["C/1/0"])
    np.testing.assert_array_equal(store.position("B/2/0").read(1, 0, 0), phase(2, seed=2)[1, 0, 0])


def test_channel_choice(tmp_path: Path) -> None:
    data = np.repeat(phase(1), 2, axis=1)
    with_phase = open_store(write_image(tmp_path / "a.zarr", data, channels=("DAPI", "Phase3D"))).position("fov")
    assert select_channel(with_phase, None) == 1
    assert select_channel(with_phase, "DAPI") == 0
    without = open_store(write_image(tmp_path / "b.zarr", data, channels=("DAPI", "GFP"))).position("fov")
    with pytest.raises(UsageError, match=r"has the channels DAPI, GFP; choose one with --channel"):
        select_channel(without, None)
    with pytest.raises(UsageError, match=r"--channel Phase is not in .*it has DAPI, GFP"):
        select_channel(without, "Phase")
    alone = open_store(write_image(tmp_path / "c.zarr", phase(1), channels=("Green",))).position("fov")
    assert select_channel(alone, None) == 0


def test_plane_choice(tmp_path: Path) -> None:
    position = open_store(write_image(tmp_path / "a.zarr", np.repeat(phase(1), 5, axis=2))).position("fov")
    assert select_planes(position, "middle") == (2,)
    assert select_planes(position, "all") == (0, 1, 2, 3, 4)
    assert select_planes(position, "4") == (4,)
    for wrong in ("5", "-1", "top", "04", "1.0", "\u0664", ""):
        with pytest.raises(UsageError, match=f"--z {wrong} is not in .*allowed are 0 to 4, 'middle', and 'all'"):
            select_planes(position, wrong)
    with pytest.raises(UsageError, match=f"--z {'9' * 20} is not in"):
        select_planes(position, "9" * 5000)


def test_truncated_chunk_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", phase(3, size=(64, 64)))
    position = open_store(path).position("fov")
    chunk = path / "0" / "1" / "0" / "0" / "0" / "0"
    whole = chunk.read_bytes()
    for kept in (0, 8, len(whole) // 2, len(whole) - 1):
        chunk.write_bytes(whole[:kept])
        with pytest.raises(DataError, match="cannot read frame 1, channel 0, plane 0 of"):
            position.read(1, 0, 0)
    position.read(2, 0, 0)


def test_missing_chunk_reads_as_zero(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", phase(3))
    (path / "0" / "1" / "0" / "0" / "0" / "0").unlink()
    assert not open_store(path).position("fov").read(1, 0, 0).any()


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
    # As a movie with its truth is read: frame by frame, plane by plane, channel by channel.
    once = bytes_for(position, [(t, c, z) for t in range(4) for z in range(4) for c in range(3)])
    assert 11 * size < once < 13 * size
    np.testing.assert_array_equal(position.read(2, 1, 3), data[2, 1, 3])


def test_a_chunk_of_several_frames_is_decoded_once(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", volume(), channels=None, chunk=(5, 1, 1))
    position = open_store(path).position("fov")
    assert position.chunks == (5, 1, 1, 24, 36)
    assert bytes_for(position, [(0, 0, 0)]) > 0
    assert bytes_for(position, [(t, 0, 0) for t in range(5)]) == 0


def test_a_chunk_of_one_plane_is_not_kept(tmp_path: Path) -> None:
    position = open_store(write_image(tmp_path / "a.zarr", phase(3))).position("fov")
    assert position.chunks == (1, 1, 1, 24, 36)
    assert bytes_for(position, [(0, 0, 0)]) == bytes_for(position, [(0, 0, 0)]) > 0


def test_a_chunk_that_the_cache_does_not_hold_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "LARGEST_CACHE", 1000)
    data = volume()
    position = open_store(write_image(tmp_path / "a.zarr", data, channels=None, chunk=(1, 3, 4))).position("fov")
    for z in (0, 1, 0):
        np.testing.assert_array_equal(position.read(1, 2, z), data[1, 2, z])
    assert bytes_for(position, [(1, 2, 0)]) > 0


def test_all_positions_share_one_cache(tmp_path: Path) -> None:
    names = [f"A/{n}/0" for n in range(1, 9)]
    path = write_plate(tmp_path / "p.zarr", {name: volume() for name in names}, channels=None, chunk=(1, 1, 4))
    arrays._cache.cache_clear()
    store = open_store(path)
    for name in names:
        store.position(name).read(0, 0, 0)
    assert arrays._cache.cache_info().currsize == 1


@pytest.mark.parametrize("chunk", [(1, 1, 1), (1, 1, 4)])
def test_what_was_rewritten_is_read_anew(tmp_path: Path, chunk: tuple[int, ...]) -> None:
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


def test_a_position_goes_into_another_process(tmp_path: Path) -> None:
    data = volume()
    position = open_store(write_image(tmp_path / "a.zarr", data, channels=None, chunk=(1, 1, 4))).position("fov")
    unused = pickle.dumps(position)
    position.read(0, 0, 0)
    assert pickle.dumps(position) == unused
    assert pickle.loads(unused) == position
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(position.read, 3, 2, 1).result(), data[3, 2, 1])


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_store(tmp_path / "none.zarr")
    (tmp_path / "folder").mkdir()
    advice = (
        r"is no OME-Zarr store \(no \.zgroup or zarr\.json in it\); convert other formats, e\.g\. with bioformats2raw"
    )
    with pytest.raises(DataError, match=advice):
        open_store(tmp_path / "folder")
    (tmp_path / "movie.tif").write_bytes(b"II*\0")
    with pytest.raises(DataError, match=advice):
        open_store(tmp_path / "movie.tif")
    zarr.open_group(tmp_path / "plain.zarr", mode="w")
    with pytest.raises(DataError, match="no 'multiscales' and no 'plate'"):
        open_store(tmp_path / "plain.zarr")
    with pytest.raises(
        DataError, match=r"the plate .* has broken metadata: 'wells' of the plate is \[\]; expected a list"
    ):
        open_store(write_plate(tmp_path / "empty.zarr", {}))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_one_resolution_is_no_image(tmp_path: Path, version: str) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1), version=version)
    with pytest.raises(DataError, match=f"0 is a Zarr array, .*; give the image that it belongs to: {path}$"):
        open_store(path / "0")


def change(file: Path, edit: Callable[[Any], Any]) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("multiscales", "found"),
    [
        (5, "'multiscales' of the image is 5; expected a list that is not empty"),
        ([], r"'multiscales' of the image is \[\]; expected a list that is not empty"),
        ({}, "'multiscales' of the image is {}; expected a list that is not empty"),
        ([5], "the multiscale image is 5; expected a mapping"),
        ([{}], "the multiscale image has no 'datasets'"),
        ([{"datasets": [{}]}], "a dataset has no 'path'"),
        ([{"datasets": [{"path": "/0"}]}], "the path of a dataset is '/0', which leads out of its group"),
        (
            [{"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale"}]}]}],
            "the scale of dataset '0' is None; expected 5 positive finite numbers, for t, c, z, y, x",
        ),
    ],
)
def test_broken_metadata_of_an_image_are_named(tmp_path: Path, multiscales: Any, found: str) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1))
    change(path / ".zattrs", lambda content: content.update(multiscales=multiscales))
    with pytest.raises(DataError, match=f"^the image {path} has broken metadata: {found}$"):
        open_store(path).position("fov")


@pytest.mark.parametrize("file", [".zattrs", "0/.zarray"])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"{", r"no valid JSON \("),
        (b"\xff\xfe{", r"no valid JSON \("),
        (b"[1, 2]", "not of the form that Zarr prescribes"),
        (b'{"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "their JSON is nested too deeply"),
    ],
)
def test_files_that_are_no_metadata(tmp_path: Path, file: str, content: bytes, found: str) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1))
    (path / file).write_bytes(content)
    with pytest.raises(DataError, match=f"^the metadata of {(path / file).parent} cannot be read: {found}"):
        open_store(path).position("fov")


def test_a_listed_array_that_is_missing(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1))
    shutil.rmtree(path / "0")
    with pytest.raises(
        DataError, match=f"^the array {path / '0'} is missing, though the metadata of its image list it"
    ):
        open_store(path).position("fov")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"chunks": [1, 1, 1, 10**6, 10**6]}, "chunks of 1 x 1 x 1 x 1000000 x 1000000 pixels, 3.73e+03 GiB each"),
        ({"shape": [1, 1, 1, 10**5, 10**5]}, "planes of 100000 x 100000 pixels, 37.3 GiB each"),
    ],
)
def test_blocks_that_no_memory_holds_are_refused(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1))
    change(path / "0" / ".zarray", lambda content: content.update(changes))
    with pytest.raises(DataError) as caught:
        open_store(path).position("fov")
    assert str(caught.value).startswith(f"the array {path / '0'} has {found}; at most 4 GiB can be read")


def test_shards_that_no_memory_holds_are_refused(tmp_path: Path) -> None:
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
def test_compression_that_is_not_supported_is_named(tmp_path: Path, changes: dict[str, Any], codec: str) -> None:
    array = write_image(tmp_path / "a.zarr", phase(1)) / "0"
    change(array / ".zarray", lambda content: content.update(changes))
    found = f"^the compression or filter {codec} of the array {array} is not supported; rewrite the store with blosc"
    with pytest.raises(DataError, match=found) as caught:
        open_array(array, 2)
    assert "tensorstore_spec" not in str(caught.value)
    with pytest.raises(DataError, match=found):
        open_store(array.parent).position("fov").read(0, 0, 0)


def test_a_broken_well_leaves_the_others(tmp_path: Path) -> None:
    path = write_plate(tmp_path / "p.zarr", {name: phase(1) for name in ("A/1/0", "A/2/0", "B/1/0", "B/2/0")})
    shutil.rmtree(path / "A" / "2")
    (path / "B" / "1" / ".zattrs").write_text('{"well": {"images": [5]}}')
    store = open_store(path)
    assert (store.names, store.unreadable) == (("A/1/0", "B/2/0"), ("A/2", "B/1"))
    assert store.select() == store.select(["*/0"]) == ("A/1/0", "B/2/0")
    assert store.select(["A/1/0"]) == ("A/1/0",)
    for pattern in ("A/2/0", "A/2/*", "B/1/0"):
        with pytest.raises(UsageError) as caught:
            store.select([pattern])
        well = path / pattern.rpartition("/")[0]
        assert str(caught.value) == (
            f"--position {pattern} cannot be read: the metadata of the well {well} are missing or broken; "
            "the other wells have A/1/0, B/2/0"
        )


def test_a_plate_needs_one_well_that_can_be_read(tmp_path: Path) -> None:
    path = write_plate(tmp_path / "p.zarr", {"A/1/0": phase(1), "A/2/0": phase(1)})
    shutil.rmtree(path / "A")
    with pytest.raises(
        DataError, match=f"^the plate {path} has no well that can be read; A/1: {path}/A/1 does not exist"
    ):
        open_store(path)
    change(path / ".zattrs", lambda content: content.update(plate={"wells": [{"path": "../other"}]}))
    with pytest.raises(DataError, match=r"the path of a well is '\.\./other', which leads out of its group"):
        open_store(path)


def test_a_listed_image_that_is_missing(tmp_path: Path) -> None:
    path = write_plate(tmp_path / "p.zarr", {"A/1/0": phase(1)})
    shutil.rmtree(path / "A" / "1" / "0")
    with pytest.raises(DataError, match=f"^{path}/A/1/0 does not exist, though the metadata of its store list it"):
        open_store(path).position("A/1/0")


def test_a_label_of_two_channels_chooses_none(tmp_path: Path) -> None:
    data = np.repeat(phase(1), 2, axis=1)
    position = open_store(write_image(tmp_path / "a.zarr", data, channels=("Phase", "Phase"))).position("fov")
    assert position.channels == ("channel_0", "channel_1")
    with pytest.raises(
        UsageError, match="it has channel_0, channel_1, numbered because its labels do not name each channel once"
    ):
        select_channel(position, "Phase")
    with pytest.raises(UsageError, match=r"it has channel_0, channel_1$"):
        select_channel(position, "GFP")


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.exists(), reason="the real data are not beside the checkout")
def test_stores_of_other_writers() -> None:
    shapes = {
        "livecyte_phase.ome.zarr": {"B/3/3": (160, 1, 1, 615, 615)},
        "isl_neurons_paired.ome.zarr": {"fov": (1, 4, 3, 1024, 1024)},
        "foreign/fractal_cardiomyocyte_mip_plate_v04.zarr": {"B/03/0": (1, 1, 1, 1080, 2560)},
        "foreign/ngio_tubhiswt4D_tczyx_v04.zarr": {"fov": (3, 1, 2, 512, 512)},
        "foreign/omezarrpy_plate_v05.zarr": dict.fromkeys(("A/1/0", "A/1/1", "B/2/0"), (12, 1, 1, 256, 256)),
        "foreign/ome_zarr_py_bf2raw/fake-series-2.zarr": dict.fromkeys(("0", "1"), (1, 1, 1, 512, 512)),
        "foreign/ome_zarr_py_bf2raw/plate-rows-2.zarr": dict.fromkeys(("A/1/0", "B/1/0"), (1, 1, 1, 512, 512)),
    }
    for name, expected in shapes.items():
        store = open_store(REAL / name)
        assert {position: store.position(position).shape for position in store.names} == expected
        first = store.position(store.names[0])
        assert first.read(0, 0, 0).shape == first.shape[3:]


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        (0.325, "micrometer", 0.325),
        (1.0, "micrometer", None),
        (0.325, "", None),
        (0.0, "micrometer", None),
        (-0.5, "micrometer", None),
        (float("inf"), "micrometer", None),
        (float("nan"), "micrometer", None),
    ],
)
def test_pixel_sizes_are_finite_and_positive(size: float, unit: str, expected: float | None) -> None:
    level = Level("0", (1.0, 1.0, 1.0, size, size), (0.0,) * 5, (1, 1, 1, 4, 4))
    position = Position("fov", Path(), AXES, {"x": unit}, (level,), ("Phase",), {}, np.dtype(np.uint8), zarr_format=2)
    assert position.pixel_size == expected
