"""OME-Zarr stores for tests, written with zarr alone, so that any optional metadata can be left out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
import zarr

from image_translation.omezarr.output import ImageSpec, create_store, finish_image
from image_translation.omezarr.store import open_store

WINDOW = {"min": 0.0, "max": 1.0, "start": 0.1, "end": 0.9}
AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def phase(frames: int = 14, size: tuple[int, int] = (24, 36), seed: int = 0) -> np.ndarray:
    """Return a random phase movie of shape (T, 1, 1, Y, X), float32, with small changes between frames."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(frames, 1, 1, *size)).astype(np.float32)
    return rng.normal(size=(1, 1, 1, *size)).astype(np.float32) + 0.3 * steps


def file_metric(name: str) -> int:
    """Return a counter of tensorstore for all files in this process: ``read``, ``write`` or ``bytes_read``."""
    prefix = "/tensorstore/kvstore/file/"
    metrics = ts.experimental_collect_matching_metrics(prefix, include_zero_metrics=True)
    return sum(value["value"] for metric in metrics if metric["name"] == prefix + name for value in metric["values"])


def write_image(
    path: Path,
    data: np.ndarray,
    *,
    channels: tuple[str, ...] | None = ("Phase3D",),
    axes: str = "tczyx",
    version: str = "0.4",
    names: tuple[str, ...] = ("0",),
    scale: tuple[float, ...] | None = None,
    units: dict[str, str] | None = None,
    attributes: dict[str, Any] | None = None,
    keep_zero_chunks: bool = False,
    chunk: tuple[int, ...] = (),
) -> Path:
    """Write an image with the given axes; `names` are its levels, each of half the size of the one before.

    `chunk` is the number of frames, channels and planes in a chunk, by default 1.
    """
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    scale = scale or (1.0,) * data.ndim
    datasets = []
    for level, name in enumerate(names):
        step = 2**level
        reduced = data[..., ::step, ::step]
        array = group.create_array(
            name,
            shape=reduced.shape,
            dtype=reduced.dtype,
            chunks=(chunk or (1,) * (reduced.ndim - 2)) + reduced.shape[-2:],
            config={"write_empty_chunks": keep_zero_chunks},
            chunk_key_encoding={"name": "default" if zarr_format == 3 else "v2", "separator": "/"},
        )
        array[...] = reduced
        factors = [*scale[:-2], scale[-2] * step, scale[-1] * step]
        datasets.append({"path": name, "coordinateTransformations": [{"type": "scale", "scale": factors}]})
    axes_metadata = [
        {"name": axis, "type": AXIS_TYPES[axis]} | ({"unit": units[axis]} if units and axis in units else {})
        for axis in axes
    ]
    ome: dict[str, Any] = {"multiscales": [{"axes": axes_metadata, "datasets": datasets, "version": version}]}
    if channels is not None:
        ome["omero"] = {"channels": [{"label": label} for label in channels]}
    group.attrs.update({"ome": {"version": version} | ome} if zarr_format == 3 else ome)
    group.attrs.update(attributes or {})
    return path


def write_plate(path: Path, movies: dict[str, np.ndarray], *, version: str = "0.4", **options: Any) -> Path:
    """Write a plate of movies by position name, such as ``A/1/0``."""
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    wells: dict[str, list[str]] = {}
    for name in movies:
        well, _, image = name.rpartition("/")
        wells.setdefault(well, []).append(image)
    rows = sorted({well.split("/")[0] for well in wells})
    columns = sorted({well.split("/")[1] for well in wells})
    plate = {
        "version": version,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [
            {"path": well, "rowIndex": rows.index(well.split("/")[0]), "columnIndex": columns.index(well.split("/")[1])}
            for well in wells
        ],
    }

    def describe(node: zarr.Group, key: str, value: Any) -> None:
        node.attrs.update({"ome": {"version": version, key: value}} if zarr_format == 3 else {key: value})

    describe(group, "plate", plate)
    for well, images in wells.items():
        describe(
            group.require_group(well), "well", {"version": version, "images": [{"path": image} for image in images]}
        )
    for name, data in movies.items():
        write_image(path / name, data, version=version, **options)
    return path


def edit_json(file: Path, edit: Callable[[Any], Any]) -> None:
    """Modify the content of a JSON file in place."""
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def make_output(source: Path, target: Path, **options: Any) -> list[ImageSpec]:
    """Create and finish an output store of two channels for a source; `options` change its `ImageSpec`."""
    store = open_store(source)
    images = []
    for name in store.names:
        like = store.position(name)
        settings = {"frames": range(like.shape[0]), "length": like.shape[0], "planes": (like.shape[2] // 2,)} | options
        images.append(ImageSpec(like, ("Nuclei", "Membrane"), **settings))
    create_store(target, store, images)
    for image in images:
        name = image.like.name
        finish_image(target if name == "fov" else target / name, image, [WINDOW] * 2, {"version": "1"})
    return images
