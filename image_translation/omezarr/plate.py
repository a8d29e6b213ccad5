"""Plates that copy no other: the metadata of wells and positions, from the names of the positions.

NGFF 0.4, https://ngff.openmicroscopy.org/0.4/#hcs-layout.
"""

from collections.abc import Sequence
from pathlib import Path

import zarr

VERSION = "0.4"


def create_plate(path: Path, names: Sequence[str]) -> None:
    """Create the groups of a plate and its wells, of one acquisition; images are created separately.

    Parameters
    ----------
    path
        Directory to create; it must not exist.
    names
        Names of the positions, such as ``A/1/0``. Rows and columns are numbered in the order in which they appear.
    """
    images: dict[str, list[str]] = {}
    for name in names:
        well, _, image = name.rpartition("/")
        images.setdefault(well, []).append(image)
    rows, columns = (list(dict.fromkeys(well.split("/")[place] for well in images)) for place in (0, 1))
    wells = []
    for well in images:
        row, column = well.split("/")
        wells.append({"path": well, "rowIndex": rows.index(row), "columnIndex": columns.index(column)})
    root = zarr.open_group(path, mode="w-", zarr_format=2)
    root.attrs["plate"] = {
        "version": VERSION,
        "acquisitions": [{"id": 0}],
        "rows": [{"name": name} for name in rows],
        "columns": [{"name": name} for name in columns],
        "wells": wells,
    }
    for well, paths in images.items():
        described = [{"acquisition": 0, "path": image} for image in paths]
        root.require_group(well).attrs["well"] = {"version": VERSION, "images": described}
