from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import phase, write_image

from image_translation.errors import UsageError
from image_translation.frame import Crop
from image_translation.presets import Presets, from_arguments
from image_translation.store import Position, open_store


def position(tmp_path: Path, data: np.ndarray, **options: Any) -> Position:
    return open_store(write_image(tmp_path / "a.zarr", data, **options)).position("fov")


def test_arguments_come_back_as_they_went() -> None:
    presets = Presets(
        "a.ckpt", "b.zarr", "B/3/3", 5, 2, 7, ("one", "two words"), Crop(1, 2, 3, 4), "encoder 2", "mean_std", "cuda:1"
    )
    words = presets.arguments()
    given: dict[str, Any] = {}
    for flag, value in zip(words[::2], words[1::2], strict=True):
        name = flag.removeprefix("--")
        given[name] = [*given.get(name, []), value] if name == "channel" else value
    assert from_arguments(given) == presets
    assert from_arguments({}) == Presets()
    assert from_arguments({"time": 3, "channel": "Phase"}) == Presets(time=3, channels=("Phase",))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"time": "x"}, "--time x: must be a whole number"),
        ({"z": 1.5}, r"--z 1\.5: must be a whole number"),
        ({"crop": "1,2,3"}, "'1,2,3' is not Y,X,HEIGHT,WIDTH"),
        ({"crop": "1,2,0,3"}, "'1,2,0,3' is not Y,X,HEIGHT,WIDTH"),
        ({"normalization": "best"}, "--normalization best: must be one of median_iqr, mean_std, none"),
        ({"colour": "red"}, r"--colour: no such argument of the page; there are --checkpoint, .*--channel"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_arguments(given)


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


def test_a_given_crop_is_taken_and_must_lie_in_the_field(tmp_path: Path) -> None:
    where = position(tmp_path, phase(1, (50, 60)))
    assert Presets(crop=Crop(10, 20, 30, 40)).place(where, (30, 40)) == Crop(10, 20, 30, 40)
    with pytest.raises(UsageError, match=r"the crop \(30, 20, 30, 40\) is not in .*, 50 x 60"):
        Presets(crop=Crop(30, 20, 30, 40)).place(where, (30, 40))
