from pathlib import Path

import numpy as np
import zarr
from iohub.ngff import open_ome_zarr
from ome_zarr_models.v04 import HCS
from support.stores import phase, write_image

from image_translation.omezarr.plate import create_plate
from image_translation.omezarr.store import open_store

NAMES = ["B/3/0", "A/3/0", "A/10/0", "A/10/1"]


def test_plates_are_valid_and_their_positions_are_found(tmp_path: Path) -> None:
    create_plate(tmp_path / "p.zarr", NAMES)
    for number, name in enumerate(NAMES):
        write_image(tmp_path / "p.zarr" / name, phase(1, (16, 16)) + number, channels=None)
    assert open_store(tmp_path / "p.zarr").names == tuple(NAMES)
    plate = HCS.from_zarr(zarr.open_group(tmp_path / "p.zarr", mode="r")).attributes.plate
    assert [row.name for row in plate.rows] == ["B", "A"]
    assert [column.name for column in plate.columns] == ["3", "10"]
    assert [(well.path, well.rowIndex, well.columnIndex) for well in plate.wells] == [
        ("B/3", 0, 0), ("A/3", 1, 0), ("A/10", 1, 1),
    ]  # fmt: skip
    with open_ome_zarr(tmp_path / "p.zarr", mode="r") as read:
        for name, position in read.positions():
            np.testing.assert_array_equal(position["0"][:], phase(1, (16, 16)) + NAMES.index(name))
