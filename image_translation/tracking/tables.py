"""Tables of tracked nuclei: CSV for people and statistics programs, and tracks for napari."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.files import read_text, write_json
from image_translation.omezarr.store import Position
from image_translation.tracking.lineage import Lineage
from image_translation.tracking.nuclei import Nuclei

NUCLEI = "nuclei.csv"
NAPARI_TRACKS, NAPARI_OPTIONS = "napari_tracks.csv", "napari_tracks.json"

_SECONDS = {"millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_T, _, _Z, _Y, _X = range(5)


def write_nuclei(path: Path, nuclei: Nuclei, lineage: Lineage, position: Position) -> None:
    """Write a line for each nucleus and frame.

    Columns are ``track``, ``parent`` (the track that divided into it, or 0), ``lineage`` (its first track), ``frame``,
    ``y``, ``x`` and ``area`` in pixels, ``mean_intensity`` in the unit of the stain; and, where the image states them,
    ``time_s``, ``y_um``, ``x_um`` and ``area_um2``, in its coordinates.
    """
    finest = position.levels[0]
    columns: dict[str, NDArray[Any]] = {
        "track": lineage.tracks,
        "parent": np.array([lineage.parents.get(track, 0) for track in lineage.tracks.tolist()], np.int64),
        "lineage": lineage.roots(),
        "frame": nuclei.frame,
        "y": nuclei.y,
        "x": nuclei.x,
        "area": nuclei.area,
        "mean_intensity": nuclei.intensity,
    }
    seconds = _SECONDS.get(position.units.get("t", ""))
    if seconds and finest.scale[_T] != 1:  # what many writers store where the interval is unknown
        columns["time_s"] = seconds * (nuclei.frame * finest.scale[_T] + finest.translation[_T])
    _, height, width = position.voxel_size
    if height and width:
        columns["y_um"] = nuclei.y * height + finest.translation[_Y]
        columns["x_um"] = nuclei.x * width + finest.translation[_X]
        columns["area_um2"] = nuclei.area * (height * width)
    _write_csv(path, columns)


def write_napari_tracks(directory: Path, nuclei: Nuclei, lineage: Lineage, position: Position, z: int) -> None:
    """Write what a layer of tracks in napari needs: ``napari_tracks.csv`` and ``napari_tracks.json``.

    The table has the columns ``track_id``, ``t``, ``z``, ``y``, ``x``, in frames, planes and pixels; the other file has
    graph, scale and translation.
    """
    order = np.lexsort((nuclei.frame, lineage.tracks))
    columns = {
        "track_id": lineage.tracks[order],
        "t": nuclei.frame[order],
        "z": np.full(len(nuclei), z),
        "y": nuclei.y[order],
        "x": nuclei.x[order],
    }
    _write_csv(directory / NAPARI_TRACKS, columns)
    finest = position.levels[0]
    options = {
        "name": "tracks",
        "graph": {str(track): [parent] for track, parent in sorted(lineage.parents.items())},
        "scale": [finest.scale[axis] for axis in (_T, _Z, _Y, _X)],
        "translate": [finest.translation[axis] for axis in (_T, _Z, _Y, _X)],
    }
    write_json(directory / NAPARI_OPTIONS, options)


def read_napari_tracks(directory: Path | str) -> dict[str, Any]:
    """Read tracks for napari: ``viewer.add_tracks(**read_napari_tracks("OUT/tracks/fov"))``.

    Parameters
    ----------
    directory
        Directory of a position, as ``track`` writes it.

    Returns
    -------
    dict
        ``data``, (N, 5) float64: track, t, z, y, x, sorted by track and frame; ``graph``, ``name``, ``scale`` and
        ``translate``.

    Raises
    ------
    UsageError
        If there are no tracks in the directory.
    """
    directory = Path(directory)
    try:
        lines = read_text(directory / NAPARI_TRACKS).splitlines()[1:]
        options = json.loads(read_text(directory / NAPARI_OPTIONS))
    except FileNotFoundError as error:
        raise UsageError(
            f"{directory} has no {Path(error.filename).name}; give the directory of a position that "
            "image-translation track wrote, such as OUT/tracks/fov"
        ) from error
    rows = np.array([line.split(",") for line in lines], np.float64).reshape(-1, 5)
    graph = {int(track): list(parents) for track, parents in options.pop("graph").items()}
    return {"data": rows, "graph": graph, **options}


def _write_csv(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        texts = [
            [format(value, ".7g") if isinstance(value, float) else value for value in column.tolist()]
            for column in columns.values()
        ]
        writer.writerows(zip(*texts, strict=True))
