"""Initial state of the page."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stores import phase, write_image

from image_translation.errors import UsageError
from image_translation.explorer.presets import Presets, default_channels, parse_presets
from image_translation.frame import Crop
from image_translation.network.loading import ModelSpec
from image_translation.omezarr.store import Position, open_store


def position(tmp_path: Path, data: np.ndarray, **options: Any) -> Position:
    return open_store(write_image(tmp_path / "a.zarr", data, **options)).position("fov")


def test_arguments_round_trip() -> None:
    presets = Presets(
        "epoch=1-step=2.ckpt", "-b.zarr", "01", 5, 2, 7,
        ("0488", "two words"), Crop(1, 2, 3, 4), "encoder 2", "mean_std", "cuda:1", True,
    )  # fmt: skip
    assert parse_presets(presets.to_arguments()) == presets
    described = Presets(movie="frames/*.tif", axes="TYX", interval=60.0, pixel_size=(2.0, 0.5, 0.5))
    assert parse_presets(described.to_arguments()) == described
    assert described.metadata_of("frames/*.tif") == described.metadata
    assert described.metadata_of("demo_movie").to_json() == {}
    assert parse_presets(["--head-pool", "no"]) == Presets(head_pool=False)
    assert parse_presets(Presets(head_pool=False).to_arguments()) == Presets(head_pool=False)
    assert parse_presets([]) == Presets()
    assert parse_presets(Presets().to_arguments()) == Presets()
    assert parse_presets(["--time", "3", "--channel", "Phase", "a b"]) == Presets(time=3, channels=("Phase", "a b"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time", "x"], "argument --time: invalid int value: 'x'"),
        (["--z", "1.5"], r"argument --z: invalid int value: '1\.5'"),
        (["--crop", "1,2,3"], "'1,2,3' is not Y,X,HEIGHT,WIDTH"),
        (["--crop", "1,2,0,3"], "'1,2,0,3' is not Y,X,HEIGHT,WIDTH"),
        (["--normalization", "best"], "argument --normalization: invalid choice: 'best'"),
        (["--head-pool", "maybe"], "argument --head-pool: invalid choice: 'maybe'"),
        (["--colour", "red"], r"unrecognized arguments: --colour red; the page takes \[--checkpoint CHECKPOINT\] "),
    ],
)
def test_invalid_arguments_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_presets(arguments)


def test_the_pooling_of_the_head_is_that_of_the_given_checkpoint_only() -> None:
    presets = Presets(checkpoint="a.ckpt", head_pool=False)
    assert presets.head_pool_of("a.ckpt") is False
    assert presets.head_pool_of("b.ckpt") is None


def test_initial_indices_lie_within_the_movie() -> None:
    assert [Presets(time=time).initial_frame(10) for time in (-3, 4, 99)] == [0, 4, 9]
    assert [Presets(z=z).initial_plane(5) for z in (None, 0, 9)] == [2, 0, 4]
    assert [Presets(time=time).change_frames(20) for time in (0, 5, 19)] == [(0, 7), (5, 12), (12, 19)]
    assert Presets().change_frames(3) == (0, 2)
    assert Presets().change_frames(1) == (0, 0)
    assert [
        Presets(time=2).initial_second_frame(10),
        Presets(time=8).initial_second_frame(10),
        Presets(compare=99).initial_second_frame(10),
    ] == [7, 3, 9]
    assert Presets().initial_second_frame(1) == 0


def test_small_fields_are_shown_in_full_and_large_ones_cropped() -> None:
    assert list(Presets().crop_sizes((100, 300)).items()) == [
        ("full field", (100, 300)),
        ("64 px", (64, 64)),
        ("128 px", (100, 128)),
        ("256 px", (100, 256)),
    ]
    large = Presets().crop_sizes((2000, 1000))
    assert list(large) == ["256 px", "64 px", "128 px", "512 px", "1024 px", "full field"]
    assert large["1024 px"] == (1024, 1000)
    given = Presets(crop=Crop(1, 2, 30, 40)).crop_sizes((100, 100))
    assert list(given.items()) == [("30 x 40 px", (30, 40)), ("64 px", (64, 64)), ("full field", (100, 100))]


def test_the_initial_crop_has_the_highest_contrast(tmp_path: Path) -> None:
    data = np.zeros((2, 2, 1, 200, 300), np.float32)
    data[0, 1, 0, 130:190, 200:260] = phase(1, (60, 60))[0, 0, 0]
    where = position(tmp_path, data, channels=("Nuclei", "Phase"))
    crop = Presets().initial_crop(where, (64, 64))
    assert 110 <= crop.y <= 136
    assert 180 <= crop.x <= 236
    wide = Presets().initial_crop(where, (200, 256))
    assert (wide.y, wide.height, wide.width) == (0, 200, 256)
    assert wide.x + wide.width <= 300
    assert Presets().initial_crop(where, (200, 300)) == Crop(0, 0, 200, 300)
    assert Presets(time=1).initial_crop(where, (64, 64)) == Crop(68, 118, 64, 64)  # a blank frame: the centre


def test_a_given_crop_is_used_if_it_lies_in_the_field(tmp_path: Path) -> None:
    where = position(tmp_path, phase(1, (50, 60)))
    assert Presets(crop=Crop(10, 20, 30, 40)).initial_crop(where, (30, 40)) == Crop(10, 20, 30, 40)
    beyond = Presets(crop=Crop(30, 20, 30, 40))
    assert beyond.crop_within((50, 60)) is None
    assert list(beyond.crop_sizes((50, 60))) == ["full field"]
    assert beyond.initial_crop(where, (50, 60)) == Crop(0, 0, 50, 60)


def test_the_initial_crop_of_an_unreadable_image_is_central(tmp_path: Path) -> None:
    where = position(tmp_path, phase(1, (100, 100)))
    for chunk in (tmp_path / "a.zarr" / "0").rglob("0"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:50])
    assert Presets().initial_crop(where, (64, 64)) == Crop(18, 18, 64, 64)


def test_position_and_stage_must_exist() -> None:
    assert [Presets(position=name).initial_position(("a", "b")) for name in (None, "b", "c")] == ["a", "b", "a"]
    assert [Presets(stage=name).initial_stage({"stem": 8, "head": 2}) for name in (None, "head", "x")] == [
        "stem", "head", "stem",
    ]  # fmt: skip


def test_unknown_sources_are_refused() -> None:
    Presets().check()
    with pytest.raises(UsageError, match="nowhere"):
        Presets(movie="nowhere").check()
    with pytest.raises(UsageError, match="a checkpoint is needed"):
        Presets(checkpoint="demo_movie").check()


@pytest.mark.parametrize(
    ("trained", "names", "expected"),
    [
        (["Phase3D"], ("Nuclei", "Phase3D"), ("Phase3D",)),
        (["Nuclei", "Membrane"], ("Membrane", "Phase3D", "Nuclei"), ("Nuclei", "Membrane")),
        (["Other"], ("DAPI", "Phase3D", "phase 2"), ("Phase3D",)),
        (["Other"], ("DAPI", "BF"), ("BF",)),
        ([None], ("DAPI", "MAP2"), ("DAPI",)),
        (["Nuclei", "Membrane"], ("Phase", "DAPI", "MAP2", "NFH"), ("DAPI", "MAP2")),
        (["Nuclei", "Membrane"], ("Phase",), ("Phase",)),
    ],
)
def test_default_channels(
    tiny_model: tuple[ModelSpec, Any],
    tmp_path: Path,
    trained: list[str | None],
    names: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    architecture = replace(tiny_model[0].architecture, in_channels=len(trained))
    spec = replace(tiny_model[0], input_channels=tuple(filter(None, trained)), architecture=architecture)
    data = np.repeat(phase(1), len(names), axis=1)
    where = position(tmp_path, data, channels=names)
    assert default_channels(spec, where) == expected
    assert Presets(channels=names[:1]).initial_channels(spec, where) == (names[:1] if len(trained) == 1 else expected)
    assert Presets(channels=("none",)).initial_channels(spec, where) == expected
