"""Label images of OME-Zarr images: integers that number the objects of each frame.

They are in the group ``labels`` of their image, or are stores of their own. NGFF 0.4 and 0.5,
https://ngff.openmicroscopy.org/0.4/#labels-md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from image_translation.omezarr.axes import axes_metadata
from image_translation.omezarr.metadata import AXES, Level
from image_translation.omezarr.output import ImageSpec
from image_translation.omezarr.store import PROVENANCE_KEY, STORE_SUFFIX

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
        self._images = {name: LabelImage(path / GROUP / name, image, levels=1, channel_axis=True) for name in names}
        for name in names:
            list_labels(path, name)

    def write(self, t: int, frames: Mapping[str, NDArray[np.int32]]) -> None:
        """Write frame `t` of each label image, by name: (Z, Y, X), or (Y, X) of an image of one plane."""
        for name, frame in frames.items():
            self._images[name].write(t, frame.reshape(1, -1, *frame.shape[-2:]))


class LabelImage:
    """A label image (T, Z, Y, X), int32, that is written frames by frames.

    Parameters
    ----------
    path
        Directory of the label image, which must not exist.
    image
        Specification of the image that it labels, whose version, axes, scales and pyramid are copied.
    name
        Its name; None takes that of the directory.
    levels
        Number of levels of the pyramid, at most; None takes those of the image.
    channel_axis
        Add an axis of one channel: (T, 1, Z, Y, X).
    source
        Path of the image, relative to the label image; None if it has no image beside it.
    attributes
        Provenance as JSON values, stored in the attribute ``image_translation``; None stores none.

    Attributes
    ----------
    frames_per_file
        Number of frames that share a file, and are to be written together.
    """

    def __init__(
        self,
        path: Path,
        image: ImageSpec,
        *,
        name: str | None = None,
        levels: int | None = None,
        channel_axis: bool = False,
        source: str | None = "../../",
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        group = zarr.open_group(path, mode="w-", zarr_format=image.zarr_format)
        version = "0.4" if image.zarr_format == 2 else "0.5"
        self._levels = image.levels[:levels]
        self._channels: tuple[int, ...] = (1,) if channel_axis else ()
        kept = [number for number, axis in enumerate(AXES) if axis != "c" or channel_axis]
        axes = axes_metadata(image.like.units)
        multiscale = {
            "name": (name or path.name).removesuffix(STORE_SUFFIX),
            "axes": [axes[number] for number in kept],
            "datasets": [
                {"path": level.path, "coordinateTransformations": _transformations(level, kept)}
                for level in self._levels
            ],
        }
        label: dict[str, Any] = {"source": {"image": source}} if source else {}
        if version == "0.4":
            group.attrs["multiscales"] = [{"version": version, **multiscale}]
            group.attrs["image-label"] = {"version": version, **label}
        else:
            group.attrs["ome"] = {"version": version, "multiscales": [multiscale], "image-label": label}
        if attributes is not None:
            group.attrs[PROVENANCE_KEY] = dict(attributes)
        self.frames_per_file = image.frames_per_shard
        self._arrays = [self._create(group, level) for level in self._levels]

    def write(self, start: int, frames: NDArray[np.int32]) -> None:
        """Write consecutive frames from `start` on, (T, Z, Y, X).

        Lower levels have every nth pixel: a mean of labels would be another label.
        """
        for level, array in zip(self._levels, self._arrays, strict=True):
            frames = _downsample(frames, level.shape[3:])
            length, *rest = frames.shape
            array[start : start + length] = frames.reshape(length, *self._channels, *rest)

    def _create(self, group: zarr.Group, level: Level) -> Any:
        length, _, depth, height, width = level.shape
        one, axes = (*self._channels, 1, height, width), [axis for axis in AXES if axis != "c" or self._channels]
        if group.metadata.zarr_format == 2:
            kind: dict[str, Any] = {
                "chunk_key_encoding": {"name": "v2", "separator": "/"},
                "attributes": {"_ARRAY_DIMENSIONS": axes},  # by which xarray names the axes
            }
        else:
            shard = (self.frames_per_file, *one) if self.frames_per_file > 1 else None
            kind = {"shards": shard, "dimension_names": axes}
        shape = (length, *self._channels, depth, height, width)
        return group.create_array(level.path, shape=shape, chunks=(1, *one), dtype=np.int32, fill_value=0, **kind)


def list_labels(path: Path, name: str) -> None:
    """Add a label image to the list of those of an image; readers see what is listed.

    Parameters
    ----------
    path
        Directory of the image.
    name
        Name of the label image.
    """
    zarr_format = zarr.open_group(path, mode="r", use_consolidated=False).metadata.zarr_format
    group = zarr.open_group(path / GROUP, mode="a", zarr_format=zarr_format)
    nested = zarr_format == 3
    ome: dict[str, Any] = dict(group.attrs.get("ome", {"version": "0.5"}) if nested else group.attrs)
    ome["labels"] = [*(other for other in ome.get("labels", ()) if other != name), name]
    group.attrs.update({"ome": ome} if nested else ome)


def _transformations(level: Level, axes: Sequence[int]) -> list[dict[str, Any]]:
    scale, translation = ([values[axis] for axis in axes] for values in (level.scale, level.translation))
    moved = [{"type": "translation", "translation": translation}] if any(translation) else []
    return [{"type": "scale", "scale": scale}, *moved]


def _downsample(frames: NDArray[np.int32], shape: Sequence[int]) -> NDArray[np.int32]:
    for axis, (old, new) in enumerate(zip(frames.shape[-2:], shape, strict=True), frames.ndim - 2):
        factor = max(1, round(old / new))
        index = np.minimum(np.arange(new) * factor + (factor - 1) // 2, old - 1)
        frames = np.take(frames, index, axis=axis)
    return frames
