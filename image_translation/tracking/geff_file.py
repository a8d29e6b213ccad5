"""Tracks as a graph of nuclei and links, in the graph exchange file format, https://liveimagetrackingtools.org/geff."""

import warnings
from pathlib import Path

import numpy as np

from image_translation.omezarr.metadata import AXES
from image_translation.omezarr.store import Position
from image_translation.tracking.lineage import Lineage
from image_translation.tracking.nuclei import Nuclei

_SPACE, _TIME = ("z", "y", "x"), "t"


def write_geff(path: Path, nuclei: Nuclei, lineage: Lineage, *, position: Position, z: int, labels: str) -> None:
    """Write a graph: a node for each nucleus, and an edge to its next frame, or to its daughters.

    The properties of nodes are t, z, y, x in frames, planes and pixels, whose unit after scaling is that of the image;
    ``track`` and ``lineage``; ``area`` in pixels, and ``mean_intensity``.

    Parameters
    ----------
    path
        Group to create.
    nuclei, lineage
        What is written.
    position
        Image of the nuclei.
    z
        Its plane.
    labels
        Path of the array of labels, (T, Z, Y, X), relative to that of the graph.
    """
    from geff import GeffMetadata
    from geff.core_io import write_arrays
    from geff_spec import Axis, RelatedObject

    finest = position.levels[0]
    scales = dict(zip(AXES, zip(finest.scale, finest.translation, strict=True), strict=True))
    axes = [
        Axis(
            name=name,
            type="time" if name == _TIME else "space",
            unit=None if name == _TIME else "pixel",
            scale=scales[name][0],
            scaled_unit=position.units.get(name),
            offset=scales[name][1],
        )
        for name in (_TIME, *_SPACE)
    ]
    columns = {
        "t": nuclei.frame,
        "z": np.full(len(nuclei), z, np.float64),
        "y": nuclei.y,
        "x": nuclei.x,
        "track": lineage.tracks,
        "lineage": lineage.roots(),
        "area": nuclei.area,
        "mean_intensity": nuclei.intensity,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units of other writers, which are kept as they are
        write_arrays(
            geff_store=path,
            node_ids=np.arange(len(nuclei), dtype=np.uint64),
            node_props={name: {"values": values, "missing": None} for name, values in columns.items()},
            edge_ids=lineage.edges().astype(np.uint64),
            edge_props={},
            metadata=GeffMetadata(
                directed=True,
                axes=axes,
                node_props_metadata={},
                edge_props_metadata={},
                track_node_props={"tracklet": "track", "lineage": "lineage"},
                related_objects=[RelatedObject(type="labels", path=labels, label_prop="track")],
            ),
            zarr_format=2 if position.zarr_format == 2 else 3,
        )
