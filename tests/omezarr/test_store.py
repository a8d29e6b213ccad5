"""Reading of stores of all layouts and versions, and errors for stores that cannot be read."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from support.stores import edit_json, phase, write_image, write_plate

from image_translation.errors import DataError, UsageError
from image_translation.omezarr.metadata import AXES, Level
from image_translation.omezarr.store import Position, open_store

REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_is_read_with_its_metadata(tmp_path: Path, version: str) -> None:
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
def test_relative_paths_may_contain_parents_and_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    data = phase(2)
    (tmp_path / "data" / "inner").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "data" / "inner")
    write_image(tmp_path / "data" / "a.zarr", data, version=version)
    monkeypatch.chdir(tmp_path / "here")
    for path in ("../data/a.zarr", "link/../a.zarr"):  # .. after a link is the parent of its target
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


def test_positions_of_a_plate_are_selected_by_pattern(tmp_path: Path) -> None:
    names = ["A/1/0", "A/1/1", "B/2/0"]
    store = open_store(write_plate(tmp_path / "p.zarr", {name: phase(2, seed=i) for i, name in enumerate(names)}))
    assert store.layout == "plate"
    assert store.select() == tuple(names)
    assert store.select(["B/*"]) == ("B/2/0",)
    assert store.select(["*/0", "A/1/0"]) == ("A/1/0", "B/2/0")
    with pytest.raises(UsageError, match=r"C/1/0 matches nothing in .*A/1/0, A/1/1, B/2/0"):
        store.select(["C/1/0"])
    np.testing.assert_array_equal(store.position("B/2/0").read(1, 0, 0), phase(2, seed=2)[1, 0, 0])


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


def test_paths_that_are_not_stores(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_store(tmp_path / "none.zarr")
    (tmp_path / "directory").mkdir()
    advice = r"is not an OME-Zarr store \(it contains no .*\); a movie can also be a TIFF file, .* convert other"
    with pytest.raises(DataError, match=advice):
        open_store(tmp_path / "directory")
    (tmp_path / "movie.tif").write_bytes(b"II*\0")
    with pytest.raises(
        DataError, match=r"is a file; an OME-Zarr store is a directory; a movie .* convert other formats"
    ):
        open_store(tmp_path / "movie.tif")
    zarr.open_group(tmp_path / "plain.zarr", mode="w")
    with pytest.raises(DataError, match="it has neither 'multiscales' nor 'plate' metadata"):
        open_store(tmp_path / "plain.zarr")
    with pytest.raises(
        DataError, match=r"the plate .* has invalid metadata: 'wells' of the plate is \[\]; expected a non-empty list"
    ):
        open_store(write_plate(tmp_path / "empty.zarr", {}))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_array_is_not_an_image(tmp_path: Path, version: str) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1), version=version)
    with pytest.raises(DataError, match=f"0 is a Zarr array, .*; give the path of the image: {path}$"):
        open_store(path / "0")


@pytest.mark.parametrize(
    ("multiscales", "found"),
    [
        (5, "'multiscales' of the image is 5; expected a non-empty list"),
        ([], r"'multiscales' of the image is \[\]; expected a non-empty list"),
        ({}, "'multiscales' of the image is {}; expected a non-empty list"),
        ([5], "the multiscale image is 5; expected a mapping"),
        ([{}], "the multiscale image has no 'datasets'"),
        ([{"datasets": [{}]}], "a dataset has no 'path'"),
        ([{"datasets": [{"path": "/0"}]}], "the path of a dataset is '/0', which leads outside its group"),
        (
            [{"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale"}]}]}],
            "the scale of dataset '0' is None; expected 5 positive finite numbers, for t, c, z, y, x",
        ),
    ],
)
def test_invalid_metadata_of_an_image_are_described(tmp_path: Path, multiscales: Any, found: str) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1))
    edit_json(path / ".zattrs", lambda content: content.update(multiscales=multiscales))
    with pytest.raises(DataError, match=f"^the image {path} has invalid metadata: {found}$"):
        open_store(path).position("fov")


@pytest.mark.parametrize("file", [".zattrs", "0/.zarray"])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"{", r"not valid JSON \("),
        (b"\xff\xfe{", r"not valid JSON \("),
        (b"[1, 2]", "not in the form that Zarr requires"),
        (b'{"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "their JSON is nested too deeply"),
    ],
)
def test_metadata_that_are_not_valid_json(tmp_path: Path, file: str, content: bytes, found: str) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1))
    (path / file).write_bytes(content)
    with pytest.raises(DataError, match=f"^the metadata of {(path / file).parent} cannot be read: {found}"):
        open_store(path).position("fov")


def test_a_missing_array_is_an_error(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", phase(1))
    shutil.rmtree(path / "0")
    with pytest.raises(
        DataError, match=f"^the array {path / '0'} is missing, though the metadata of its image list it"
    ):
        open_store(path).position("fov")


def test_positions_of_valid_wells_remain_readable(tmp_path: Path) -> None:
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
            f"--position {pattern} cannot be read: the metadata of the well {well} are missing or invalid; "
            "the other wells have A/1/0, B/2/0"
        )


def test_a_plate_needs_a_readable_well(tmp_path: Path) -> None:
    path = write_plate(tmp_path / "p.zarr", {"A/1/0": phase(1), "A/2/0": phase(1)})
    shutil.rmtree(path / "A")
    with pytest.raises(DataError, match=f"^the plate {path} has no readable well; A/1: {path}/A/1 does not exist"):
        open_store(path)
    edit_json(path / ".zattrs", lambda content: content.update(plate={"wells": [{"path": "../other"}]}))
    with pytest.raises(DataError, match=r"the path of a well is '\.\./other', which leads outside its group"):
        open_store(path)


def test_a_missing_position_is_an_error(tmp_path: Path) -> None:
    path = write_plate(tmp_path / "p.zarr", {"A/1/0": phase(1)})
    shutil.rmtree(path / "A" / "1" / "0")
    with pytest.raises(DataError, match=f"^{path}/A/1/0 does not exist, though the metadata of its store list it"):
        open_store(path).position("A/1/0")


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.exists(), reason="needs the real data beside the checkout")
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
    level = Level("0", (1.0, 1.0, size, 0.5, 0.25), (0.0,) * 5, (1, 1, 1, 4, 4))
    units = {"z": unit, "y": "micrometer", "x": "nanometer"}
    position = Position("fov", Path(), AXES, units, (level,), ("Phase",), {}, np.dtype(np.uint8), zarr_format=2)
    assert position.voxel_size == (expected, 0.5, None)


@pytest.mark.parametrize(("planes", "width", "expected"), [(5, 0.25, 1.0), (1, 0.25, None), (5, 1.0, None)])
def test_planes_may_be_one_micrometre_apart(planes: int, width: float, expected: float | None) -> None:
    level = Level("0", (1.0, 1.0, 1.0, width, width), (0.0,) * 5, (1, 1, planes, 4, 4))
    units = dict.fromkeys("zyx", "micrometer")
    position = Position("fov", Path(), AXES, units, (level,), ("Phase",), {}, np.dtype(np.uint8), zarr_format=2)
    assert position.voxel_size[0] == expected


@pytest.mark.parametrize("file", [".zattrs", "0/.zarray", "0/3/0/0/0/0"])
def test_only_regular_files_are_read(tmp_path: Path, file: str) -> None:
    path = write_image(tmp_path / "m.ome.zarr", phase(5))
    target = path / file
    target.rename(tmp_path / "elsewhere")
    target.symlink_to(tmp_path / "elsewhere")
    assert open_store(path).position("fov").read(3, 0, 0).any()
    target.unlink()
    os.mkfifo(target)
    with pytest.raises(DataError, match=f"{file}: is a named pipe; only regular files") as caught:
        open_store(path).position("fov").read(3, 0, 0)
    assert "\n" not in str(caught.value)


def test_files_larger_than_they_can_be_are_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "m.ome.zarr", phase(5))
    os.truncate(path / "0/3/0/0/0/0", 2**40)  # sparse: a terabyte that takes no space
    with pytest.raises(DataError, match="1,099,511,627,776 bytes; at most"):
        open_store(path).position("fov").read(3, 0, 0)
    os.truncate(path / ".zattrs", 2**40)
    with pytest.raises(DataError, match="zattrs: has 1,099,511,627,776 bytes"):
        open_store(path)


def test_zipped_stores_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = write_image(tmp_path / "m.ome.zarr", phase(2))
    zipped = Path(shutil.make_archive(str(tmp_path / "m"), "zip", path)).rename(tmp_path / "m.ozx")
    with pytest.raises(DataError, match=f"is a file; .* unpack it: python -m zipfile -e {zipped} {tmp_path}/m$"):
        open_store(zipped)


def test_superfluous_parts_of_paths_are_ignored(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "p.ome.zarr", {"A/1/0": phase(2), "A/2/0": phase(2, seed=1)})
    edit_json(plate / ".zattrs", lambda root: root["plate"]["wells"][0].update(path="./A//1"))
    edit_json(plate / "A/1/.zattrs", lambda well: well["well"]["images"][0].update(path="0/"))
    store = open_store(plate)
    assert store.names == ("A/1/0", "A/2/0")
    assert store.position("A/1/0").read(1, 0, 0).any()
    edit_json(plate / ".zattrs", lambda root: root["plate"]["wells"][1].update(path="A/1"))
    with pytest.raises(DataError, match="it lists the well 'A/1' 2 times"):
        open_store(plate)
    edit_json(plate / ".zattrs", lambda root: root["plate"]["wells"][1].update(path="./"))
    with pytest.raises(DataError, match=r"the path of a well is '\./'; expected names"):
        open_store(plate)
