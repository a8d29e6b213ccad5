from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stores import phase, write_image

from image_translation.errors import UsageError
from image_translation.explorer.presets import Presets, from_words
from image_translation.frame import Crop
from image_translation.omezarr.store import Position, open_store


def position(tmp_path: Path, data: np.ndarray, **options: Any) -> Position:
    return open_store(write_image(tmp_path / "a.zarr", data, **options)).position("fov")


def test_arguments_come_back_as_they_went() -> None:
    presets = Presets(
        "epoch=1-step=2.ckpt", "-b.zarr", "01", 5, 2, 7,
        ("0488", "two words"), Crop(1, 2, 3, 4), "encoder 2", "mean_std", "cuda:1",
    )  # fmt: skip
    assert from_words(presets.words()) == presets
    assert from_words([]) == Presets()
    assert from_words(Presets().words()) == Presets()
    assert from_words(["--time", "3", "--channel", "Phase", "a b"]) == Presets(time=3, channels=("Phase", "a b"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--time", "x"], "argument --time: invalid int value: 'x'"),
        (["--z", "1.5"], r"argument --z: invalid int value: '1\.5'"),
        (["--crop", "1,2,3"], "'1,2,3' is not Y,X,HEIGHT,WIDTH"),
        (["--crop", "1,2,0,3"], "'1,2,0,3' is not Y,X,HEIGHT,WIDTH"),
        (["--normalization", "best"], "argument --normalization: invalid choice: 'best'"),
        (["--colour", "red"], r"unrecognized arguments: --colour red; the page takes \[--checkpoint CHECKPOINT\] "),
    ],
)
def test_arguments_that_make_no_sense_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_words(words)


def test_numbers_lie_within_the_movie() -> None:
    assert [Presets(time=time).frame(10) for time in (-3, 4, 99)] == [0, 4, 9]
    assert [Presets(z=z).plane(5) for z in (None, 0, 9)] == [2, 0, 4]
    assert [Presets(time=time).watched(20) for time in (0, 5, 19)] == [(0, 7), (5, 12), (12, 19)]
    assert Presets().watched(3) == (0, 2)
    assert Presets().watched(1) == (0, 0)
    assert [Presets(time=2).compared(10), Presets(time=8).compared(10), Presets(compare=99).compared(10)] == [7, 3, 9]
    assert Presets().compared(1) == 0


def test_small_fields_are_shown_whole_and_large_ones_in_part() -> None:
    assert list(Presets().sizes((100, 300)).items()) == [
        ("all of it", (100, 300)),
        ("64 px", (64, 64)),
        ("128 px", (100, 128)),
        ("256 px", (100, 256)),
    ]
    large = Presets().sizes((2000, 1000))
    assert list(large) == ["256 px", "64 px", "128 px", "512 px", "1024 px", "all of it"]
    assert large["1024 px"] == (1024, 1000)
    given = Presets(crop=Crop(1, 2, 30, 40)).sizes((100, 100))
    assert list(given.items()) == [("30 x 40 px", (30, 40)), ("64 px", (64, 64)), ("all of it", (100, 100))]


def test_a_crop_lies_where_the_image_is_lively(tmp_path: Path) -> None:
    data = np.zeros((2, 2, 1, 200, 300), np.float32)
    data[0, 1, 0, 130:190, 200:260] = phase(1, (60, 60))[0, 0, 0]
    where = position(tmp_path, data, channels=("Nuclei", "Phase"))
    crop = Presets().place(where, (64, 64))
    assert 110 <= crop.y <= 136
    assert 180 <= crop.x <= 236
    wide = Presets().place(where, (200, 256))
    assert (wide.y, wide.height, wide.width) == (0, 200, 256)
    assert wide.x + wide.width <= 300
    assert Presets().place(where, (200, 300)) == Crop(0, 0, 200, 300)
    assert Presets(time=1).place(where, (64, 64)) == Crop(68, 118, 64, 64)  # a blank frame: the middle


def test_a_given_crop_is_taken_where_it_lies_in_the_field(tmp_path: Path) -> None:
    where = position(tmp_path, phase(1, (50, 60)))
    assert Presets(crop=Crop(10, 20, 30, 40)).place(where, (30, 40)) == Crop(10, 20, 30, 40)
    beyond = Presets(crop=Crop(30, 20, 30, 40))
    assert beyond.crop_in((50, 60)) is None
    assert list(beyond.sizes((50, 60))) == ["all of it"]
    assert beyond.place(where, (50, 60)) == Crop(0, 0, 50, 60)


def test_where_the_image_cannot_be_read_the_crop_is_in_the_middle(tmp_path: Path) -> None:
    where = position(tmp_path, phase(1, (100, 100)))
    for chunk in (tmp_path / "a.zarr" / "0").rglob("0"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:50])
    assert Presets().place(where, (64, 64)) == Crop(18, 18, 64, 64)
