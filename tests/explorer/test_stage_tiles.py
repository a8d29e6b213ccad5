from pathlib import Path

import numpy as np
from support.activations import make_activations

from image_translation.explorer.inspector import Inspector
from image_translation.explorer.stage_tiles import all_tiles, diverging_rgb, stage_colours, tile_rows
from image_translation.omezarr.store import open_store

STAGES = ["stem", "encoder 1", "encoder 2", "decoder 1", "head"]


def test_equal_images_have_equal_colours(inspector: Inspector, movie: Path) -> None:
    position = open_store(movie).position("fov")
    one, other = inspector.inspect(position, 0, 0), inspector.inspect(position, 5, 0)
    colours = stage_colours([one, other])
    tiles = [all_tiles(activations, colours, 0.5) for activations in (one, other, one)]
    assert [tile.name for tile in tiles[0]] == ["input Phase3D", "prediction", *STAGES]
    assert [tile.pixel_size for tile in tiles[0]] == [0.5, 0.5, 1.0, 1.0, 2.0, 1.0, 0.5]
    for first, second, again in zip(*tiles, strict=True):
        np.testing.assert_array_equal(first.image, again.image)
        assert not np.array_equal(first.image, second.image)


def test_rows_are_images_encoder_and_decoder() -> None:
    activations = make_activations()
    rows = dict(tile_rows(activations, stage_colours([activations])))
    assert {name: [tile.name for tile in tiles] for name, tiles in rows.items()} == {
        "pictures": ["input Phase3D", "prediction"],
        "encoder": ["stem", "encoder 1"],
        "decoder": ["head"],
    }
    assert rows["encoder"][1].shape == (6, 16, 16)
    assert len(rows["encoder"][1].explained) == 3


def test_diverging_colours() -> None:
    blue, white, red = diverging_rgb(np.array([[-2, 0, 2]], np.float32), 2)[0].astype(int)
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert white.min() > 240
