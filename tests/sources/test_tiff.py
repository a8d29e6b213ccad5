"""TIFF movies: their axes and metadata, their planes, and what is refused because it would be read wrongly."""

import logging
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from image_translation.errors import DataError, UsageError
from image_translation.omezarr.registered import Registration, register
from image_translation.sources.movie import open_movie
from image_translation.sources.movie_metadata import MovieMetadata

MOVIE = np.random.default_rng(0).integers(0, 60_000, (4, 2, 3, 20, 30), dtype=np.uint16)  # T, C, Z, Y, X
OME = {
    "axes": "TCZYX",
    "PhysicalSizeX": 250,
    "PhysicalSizeXUnit": "nm",
    "PhysicalSizeY": 0.25,
    "PhysicalSizeZ": 2,
    "TimeIncrement": 1.5,
    "TimeIncrementUnit": "min",
    "Channel": {"Name": ["Phase3D", "DNA"]},
}
IMAGEJ = {"axes": "TZCYX", "unit": "\\u00B5m", "spacing": 2.0, "finterval": 90.0, "Labels": ["Phase3D", "DNA"] * 12}


def write_imagej(path: Path, data: np.ndarray = MOVIE, **metadata: object) -> Path:
    known = IMAGEJ | {"axes": "TZCYX"} | metadata
    tifffile.imwrite(path, data.swapaxes(1, 2), imagej=True, byteorder=">", resolution=(4, 4), metadata=known)
    return path


def write(path: Path, data: np.ndarray = MOVIE[:, 0, 0], **options: object) -> Path:
    tifffile.imwrite(path, data, photometric="minisblack", **options)
    return path


def opened(path: Path, **given: object):
    return open_movie(path, MovieMetadata(**given)).position("fov")


def require_planes(position, expected: np.ndarray = MOVIE) -> None:
    assert position.shape == expected.shape
    assert position.dtype == expected.dtype
    for t, c, z in np.ndindex(expected.shape[:3]):
        np.testing.assert_array_equal(position.read(t, c, z), expected[t, c, z])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "lzw"},
        {"compression": "zstd", "predictor": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 7},
        {"bigtiff": True, "byteorder": ">"},
        {"compression": "zlib", "byteorder": ">"},
    ],
    ids=str,
)
def test_an_ome_tiff_says_everything(tmp_path: Path, options: dict[str, object]):
    position = opened(write(tmp_path / "a.ome.tif", MOVIE, metadata=OME, **options))
    require_planes(position)
    assert position.channels == ("Phase3D", "DNA")
    assert position.levels[0].scale == (90, 1, 2, 0.25, 0.25)
    assert position.voxel_size == (2, 0.25, 0.25)
    assert position.units["t"] == "second"
    assert position.chunk_files(0, 0, 0) == [tmp_path / "a.ome.tif"]


def test_an_imagej_hyperstack_says_everything(tmp_path: Path):
    position = opened(write_imagej(tmp_path / "a.tif"))
    require_planes(position)
    assert position.channels == ("Phase3D", "DNA")
    assert position.levels[0].scale == (90, 1, 2, 0.25, 0.25)


def test_a_large_imagej_file_describes_all_planes_on_one_page(tmp_path: Path):
    path = write_imagej(tmp_path / "a.tif")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        assert tif.byteorder == ">"
        page = tif.pages.first
        after = page.offset + 2 + 12 * len(page.tags)  # of the tags: the offset of the next page
    content[after : after + 4] = struct.pack(">I", 0)
    path.write_bytes(content)
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == 1
    require_planes(opened(path))
    path.write_bytes(content[: page.dataoffsets[0] + MOVIE.nbytes - 1])
    with pytest.raises(DataError, match=r"damaged or incomplete"):
        opened(path)


def test_a_pyramid_is_read_at_full_resolution(tmp_path: Path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        writer.write(MOVIE[:, 0, 0], subifds=1, metadata={"axes": "TYX"})
        writer.write(MOVIE[:, 0, 0, ::2, ::2], subfiletype=1)
    require_planes(opened(tmp_path / "a.ome.tif"), MOVIE[:, :1, :1])


def test_an_ome_tiff_can_be_several_files(tmp_path: Path):
    xml = tifffile.OmeXml()
    xml.addimage("uint16", (2, 20, 30), (2, 1, 1, 20, 30, 1), axes="TYX")
    text = xml.tostring().replace('<TiffData IFD="0" PlaneCount="2"/>', "%s")
    parts = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="p{t}.ome.tif">urn:uuid:{t}</UUID></TiffData>'
        for t in (0, 1)
    )
    assert "%s" in text
    for t in (0, 1):
        own = (text % parts).replace("<OME ", f'<OME UUID="urn:uuid:{t}" ', 1)
        own = own.replace(own[own.index(' UUID="', own.index("uuid:") + 8) : own.index(" Creator")], "", 1)
        tifffile.imwrite(
            tmp_path / f"p{t}.ome.tif",
            MOVIE[t, 0, 0],
            description=own.encode(),
            metadata=None,
            photometric="minisblack",
        )
    for movie in (tmp_path / "p0.ome.tif", tmp_path):
        position = pickle.loads(pickle.dumps(opened(movie)))
        require_planes(position, MOVIE[:2, :1, :1])
        assert position.chunk_files(1, 0, 0) == [tmp_path / "p1.ome.tif"]
    (tmp_path / "p1.ome.tif").unlink()
    with pytest.raises(DataError, match=r"incomplete: .*failed to read 'p1.ome.tif'"):
        opened(tmp_path / "p0.ome.tif")


def test_another_process_opens_the_file_itself(tmp_path: Path):
    position = opened(write_imagej(tmp_path / "a.tif"))
    position.read(0, 0, 0)
    require_planes(pickle.loads(pickle.dumps(position)))


def test_a_file_is_open_only_while_it_is_read(tmp_path: Path):
    position = opened(write_imagej(tmp_path / "a.tif"))
    position.read(0, 0, 0)
    (tmp_path / "a.tif").rename(tmp_path / "b.tif")
    with pytest.raises(DataError, match=r"cannot read .*a.tif: No such file"):
        position.read(1, 0, 0)


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path):
    position = opened(write_imagej(tmp_path / "a.tif"))
    copy = pickle.loads(pickle.dumps(position))
    write_imagej(tmp_path / "a.tif", MOVIE[:, :, :, :10])
    for one in (position, copy):
        with pytest.raises(DataError, match=r"a.tif has changed while it was read"):
            one.read(0, 0, 0)


def test_a_tiff_can_be_registered(tmp_path: Path):
    position = opened(write_imagej(tmp_path / "a.tif"))
    shifts = Registration("test", 0, ("Phase3D",), ((1.0, 2.0),) * 4, 0.0, 0.0)
    registered = register(position, shifts)
    np.testing.assert_allclose(registered.read(1, 0, 0)[1:, 2:], MOVIE[1, 0, 0, :-1, :-2], rtol=1e-3, atol=1)
    np.testing.assert_array_equal(registered.stored.read(1, 0, 0), MOVIE[1, 0, 0])
    assert registered.chunk_files(0, 0, 0) == [tmp_path / "a.tif"]


@pytest.mark.parametrize(
    ("axes", "data", "suggested"),
    [
        ("I 4, Y 20, X 30", MOVIE[:, 0, 0], "TYX"),
        ("I 12, Y 20, X 30", MOVIE[:, 0].reshape(12, 20, 30), "TYX"),
        ("Q 4, Q 3, Y 20, X 30", MOVIE[:, 0], "TZYX or TCYX"),
    ],
)
def test_ambiguous_axes_are_named(tmp_path: Path, axes: str, data: np.ndarray, suggested: str):
    metadata = {"metadata": None} if axes.startswith("I") else {}
    path = write(tmp_path / "a.tif", data, **metadata)
    with pytest.raises(UsageError, match=rf"a.tif does not say .*: {axes}; name them .* --axes, such as {suggested}$"):
        opened(path)
    position = opened(path, axes=suggested[:4].strip())
    assert position.shape == (data.shape[0], 1, 1 if data.ndim == 3 else 3, 20, 30)
    np.testing.assert_array_equal(position.read(data.shape[0] - 1, 0, 0), data.reshape(*position.shape)[-1, 0, 0])


def test_axes_are_given_in_the_order_of_the_file(tmp_path: Path):
    path = write(tmp_path / "a.tif", MOVIE.transpose(2, 0, 1, 3, 4), metadata={})
    require_planes(opened(path, axes="ztcyx"))


@pytest.mark.parametrize("axes", ["TCZYX", "TZYX", "YX"])
def test_axes_that_do_not_fit_are_refused(tmp_path: Path, axes: str):
    path = write(tmp_path / "a.tif", metadata=None)
    with pytest.raises(
        UsageError, match=rf"--axes {axes}: .*a.tif has 3 axes, I 4, Y 20, X 30; give one letter for each"
    ):
        opened(path, axes=axes)


@pytest.mark.parametrize(
    "given", [{"axes": "TQYX"}, {"axes": "YXT"}, {"axes": "TTYX"}, {"interval": 0}, {"pixel_size": (1, 1, 1, 1)}]
)
def test_impossible_metadata_are_refused(tmp_path: Path, given: dict[str, object]):
    with pytest.raises(UsageError, match=f"--{next(iter(given)).replace('_', '-')} "):
        opened(write_imagej(tmp_path / "a.tif"), **given)


def test_what_is_given_wins_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write_imagej(tmp_path / "a.tif")
    with caplog.at_level(logging.WARNING):
        same = opened(path, axes="TZCYX", interval=90, pixel_size=(2, 0.25, 0.25))
        assert not caplog.records
        other = opened(path, axes="ZTCYX", interval=60, pixel_size=(0.5,))
    require_planes(same)
    require_planes(other, MOVIE.swapaxes(0, 2))
    assert other.levels[0].scale == (60, 1, 2, 0.5, 0.5)
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].endswith("--axes ZTCYX is taken, and the file says TZCYX")
    assert messages[1].endswith(
        "the pixel size 2, 0.5, 0.5 (z, y, x, in micrometres) is taken, and the file says 2, 0.25, 0.25"
    )
    assert messages[2].endswith("--interval 60 seconds is taken, and the file says 90")


def test_what_the_file_does_not_say_is_given(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    position = opened(write(tmp_path / "a.tif", metadata=None), axes="TYX", interval=5, pixel_size=(0.2, 0.1))
    assert position.levels[0].scale == (5, 1, 1, 0.2, 0.1)
    assert position.channels == ("channel_0",)
    assert not caplog.records


def test_colours_are_refused(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(UsageError, match=r"a.tif is in colours: a pixel has 3 samples .*Split Channels"):
        opened(tmp_path / "a.tif", axes="TYXC"[:3])


def test_several_images_are_listed(tmp_path: Path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        writer.write(MOVIE[:, 0, 0], metadata={"axes": "TYX", "Name": "first"})
        writer.write(MOVIE[:2, 0, 0, :10], metadata={"axes": "TYX", "Name": "second"})
    expected = r"holds 2 images \('first': T 4, Y 20, X 30, uint16; 'second': T 2, Y 10, X 30, uint16\)"
    with pytest.raises(UsageError, match=expected):
        opened(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("kind", ["ome", "ome compressed", "imagej", "plain", "tiles"])
def test_a_truncated_file_is_an_error_and_never_fewer_frames(tmp_path: Path, kind: str):
    path = tmp_path / "a.tif"
    if kind == "imagej":
        write_imagej(path)
    else:
        options = {"ome": {"ome": True, "metadata": OME}, "plain": {"metadata": None}, "tiles": {"tile": (16, 16)}}
        compressed = {"compression": "zlib"} if "compressed" in kind else {}
        write(path, MOVIE, **options[kind.split(maxsplit=1)[0]], **compressed)
    content, axes = path.read_bytes(), None if kind in ("ome", "ome compressed", "imagej") else "TZYX"
    expected = MOVIE if axes is None else MOVIE.reshape(-1, 1, 1, 20, 30)
    for length in (0, 4, 9, *range(100, len(content), len(content) // 12)):
        path.write_bytes(content[:length])
        with pytest.raises((DataError, UsageError)) as raised:
            require_planes(opened(path, axes=axes and "TYX"), expected)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("said", "there"), [(3, 4), (5, 4)])
def test_pages_that_the_metadata_do_not_tell_of_are_an_error(tmp_path: Path, said: int, there: int):
    path = write(tmp_path / "a.ome.tif", metadata={"axes": "TYX"})
    content = path.read_bytes()
    for name in ("SizeT", "PlaneCount"):
        content = content.replace(f'{name}="{there}"'.encode(), f'{name}="{said}"'.encode())
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"has {there} pages, and its OME metadata tell of {said}|damaged or incomplete"
    ):
        opened(path)


def test_a_damaged_page_is_an_error(tmp_path: Path):
    path = write(tmp_path / "a.ome.tif", metadata={"axes": "TYX"}, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        start, count = tif.pages[2].dataoffsets[0], tif.pages[2].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + count] = bytes(count)
    path.write_bytes(content)
    position = opened(path)
    np.testing.assert_array_equal(position.read(1, 0, 0), MOVIE[1, 0, 0])
    with pytest.raises(DataError, match=r"cannot read .*a.ome.tif: "):
        position.read(2, 0, 0)


def test_a_page_that_lacks_its_pixels_is_an_error(tmp_path: Path):
    path = write_imagej(tmp_path / "a.tif")
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[5].offset + 2 + 12 * [tag.code for tag in tif.pages.get(5).tags].index(273)
    content = bytearray(path.read_bytes())
    content[place + 2 : place + 4] = b"\xff\xff"  # the type of the tag of its offsets: there is none
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.tif is (truncated or )?damaged"):  # noqa: PT012 - when it is opened or read
        position = opened(path)
        for index in np.ndindex(position.shape[:3]):
            position.read(*index)
