"""Movies of one file per frame: names that tell what each file is, and names that do not."""

import logging
from pathlib import Path

import pytest

from image_translation.errors import UsageError
from image_translation.sources.file_numbers import number_files

FOLDER = Path("folder")


def number(*names: str, axes: str | None = None) -> tuple[str, tuple[int, ...], list[str]]:
    found = number_files([FOLDER / name for name in sorted(names)], FOLDER, axes)
    return found.axes, found.shape, [file.name for file in found.files]


@pytest.mark.parametrize(
    ("names", "axes", "shape"),
    [
        (["f1.tif", "f2.tif", "f10.tif"], "T", (3,)),
        (["2024-01-01_cells_000.tif", "2024-01-01_cells_001.tif"], "T", (2,)),
        (["a_t1.ome.tif", "a_t2.ome.tif"], "T", (2,)),
        (["a_c1.tif", "a_c2.tif"], "C", (2,)),
        (["a_z01.tif", "a_z02.tif"], "Z", (2,)),
        (["t1_c1.tif", "t1_c2.tif", "t2_c1.tif", "t2_c2.tif"], "TC", (2, 2)),
        (["ch0_frame1.TIFF", "ch0_frame2.TIFF", "ch1_frame1.TIFF", "ch1_frame2.TIFF"], "CT", (2, 2)),
        ([f"w{c}_z{z}_t{t}.tif" for c in (1, 2) for z in (0, 1) for t in (1, 2, 3)], "CZT", (2, 2, 3)),
    ],
)
def test_numbers_tell_what_the_files_are(names: list[str], axes: str, shape: tuple[int, ...]):
    assert number(*names) == (axes, shape, names)  # which are written in their order


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["t1_phase.tif", "t1_dna.tif"], r"differ in more than numbers, such as t1_dna.tif and t1_phase.tif; .*phase"),
        (["a_s1.tif", "a_s2.tif"], r"not clear .* 1 vary, after 's'"),
        (["pos1_t1.tif", "pos1_t2.tif", "pos2_t1.tif", "pos2_t2.tif"], r"2 vary, after 'pos', 't'"),
        (["10_01.tif", "10_02.tif", "11_01.tif", "11_02.tif"], r"not clear what the numbers"),
        (["t1_c1.tif", "t1_c2.tif", "t2_c1.tif"], r"1 files of folder are missing: .*has the numbers 2, 2"),
        (["t1.tif", "t01.tif", "t2.tif"], r"have the same numbers"),
    ],
)
def test_names_that_do_not_tell_it_are_refused(names: list[str], message: str):
    with pytest.raises(UsageError, match=message):
        number(*names)


def test_given_axes_decide():
    assert number("10_59.tif", "11_00.tif", "9_30.tif", axes="T")[2] == ["9_30.tif", "10_59.tif", "11_00.tif"]
    assert number("1_1.tif", "1_2.tif", "2_1.tif", "2_2.tif", axes="CT")[:2] == ("CT", (2, 2))
    with pytest.raises(UsageError, match=r"1 numbers vary .* and 2 axes of files are given"):
        number("a1.tif", "a2.tif", axes="TC")


def test_gaps_are_told(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        number("t10.tif", "t20.tif", "t30.tif")
        assert not caplog.records
        number("t1.tif", "t2.tif", "t4.tif", "t5.tif")
    assert "have gaps, the first after 2: is a frame missing?" in caplog.text
