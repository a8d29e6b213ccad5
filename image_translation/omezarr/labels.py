"""Label images of an OME-Zarr image: integers that number the objects of each frame, in its group ``labels``.

NGFF 0.4, https://ngff.openmicroscopy.org/0.4/#labels-md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from image_translation.omezarr.axes import axes_metadata
from image_translation.omezarr.output import ImageSpec, transformations_metadata

GROUP = "labels"
"""Name of the group of the label images in the group of their image."""


class LabelWriter:
    """Writes label images (T, 1, Z, Y, X), int32, of an image of OME-Zarr 0.4, frame by frame.

    Parameters
    ----------
    path
        Directory of the image, which must exist and have no labels.
    image
        Specification of the image, whose axes and scale are copied at the finest level.
    names
        Names of the label images.
    """

    def __init__(self, path: Path, image: ImageSpec, names: Sequence[str]) -> None:
        group = zarr.open_group(path / GROUP, mode="w-", zarr_format=2)
        group.attrs["labels"] = list(names)
        self._arrays: dict[str, Any] = {name: _create(group.create_group(name), name, image) for name in names}

    def write(self, t: int, frames: Mapping[str, NDArray[np.int32]]) -> None:
        """Write frame `t` of each label image, by name: (Z, Y, X), or (Y, X) of an image of one plane."""
        for name, frame in frames.items():
            self._arrays[name][t, 0] = frame.reshape(-1, *frame.shape[-2:])


def _create(group: zarr.Group, name: str, image: ImageSpec) -> Any:
    finest = image.levels[0]
    group.attrs["multiscales"] = [{
        "version": "0.4",
        "name": name,
        "axes": axes_metadata(image.like.units),
        "datasets": [{"path": "0", "coordinateTransformations": transformations_metadata(finest)}],
    }]  # fmt: skip
    group.attrs["image-label"] = {"version": "0.4", "source": {"image": "../../"}}
    length, _, depth, height, width = finest.shape
    return group.create_array(
        "0", shape=(length, 1, depth, height, width), chunks=(1, 1, 1, height, width), dtype=np.int32, fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )  # fmt: skip
