"""What the metadata of an OME-Zarr image say, read as tolerantly as they are written (versions 0.1 to 0.5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

AXES = ("t", "c", "z", "y", "x")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Level:
    """One resolution of an image.

    Attributes
    ----------
    path
        Name of the array within its image group.
    scale, translation
        Physical size of a pixel and place of the first one, for T, C, Z, Y, X; 1 and 0 for axes that are not stored.
    shape
        Number of pixels along T, C, Z, Y, X; 1 for axes that are not stored.
    """

    path: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    shape: tuple[int, ...]


def parse_version(ome: Mapping[str, Any]) -> str:
    """Find the version in the metadata of an image or a plate; 0.4 where none is stated."""
    described = [ome, ome.get("plate"), *(ome.get("multiscales") or ())]
    return next((str(d["version"]) for d in described if isinstance(d, dict) and "version" in d), "0.4")


def parse_axes(multiscale: Mapping[str, Any], ndim: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """Read the axes of an image.

    Parameters
    ----------
    multiscale
        Entry of ``multiscales``; its axes are mappings (from 0.4 on), names (0.3), or absent (before).
    ndim
        Number of dimensions of the arrays.

    Returns
    -------
    names : tuple of str
        Out of t, c, z, y, x, in this order.
    units : dict
        Unit of each axis that states one, as the writer spelt it.

    Raises
    ------
    ValueError
        If the axes are others, or do not fit the arrays.
    """
    described = multiscale.get("axes") or AXES[-ndim:]
    axes = [{"name": axis} if isinstance(axis, str) else axis for axis in described]
    names = tuple(str(axis["name"]).lower() for axis in axes)
    if len(names) != ndim or [axis for axis in AXES if axis in names] != list(names) or not {"y", "x"} <= set(names):
        raise ValueError(f"axes {names} for {ndim} dimensions; expected some of t, c, z, y, x, in this order")
    return names, {name: axis["unit"] for name, axis in zip(names, axes, strict=True) if axis.get("unit")}


def parse_level(
    dataset: Mapping[str, Any], shared: Sequence[Mapping[str, Any]], axes: Sequence[str], shape: Sequence[int]
) -> Level:
    """Combine the transformations of one dataset with those that all datasets share.

    Parameters
    ----------
    dataset
        Entry of ``datasets``.
    shared
        ``coordinateTransformations`` of the multiscale image, applied after the dataset's own.
    axes
        Axes of the array.
    shape
        Its shape.
    """
    scale, translation = np.ones(len(axes)), np.zeros(len(axes))
    for step in [*(dataset.get("coordinateTransformations") or ()), *shared]:
        if step["type"] == "scale":
            factor = np.asarray(step["scale"], dtype=float)
            scale, translation = scale * factor, translation * factor
        elif step["type"] == "translation":
            translation = translation + np.asarray(step["translation"], dtype=float)
    return Level(
        dataset["path"],
        _expand(scale.tolist(), axes, 1.0),
        _expand(translation.tolist(), axes, 0.0),
        _expand(shape, axes, 1),
    )


def parse_channel_names(ome: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Read the channel names; they are ``channel_0``, ``channel_1``, ... where the labels do not name each channel."""
    labels = [channel.get("label") for channel in (ome.get("omero") or {}).get("channels") or ()]
    if len(labels) != count or len(set(labels)) != count or None in labels:
        return tuple(f"channel_{number}" for number in range(count))
    return tuple(str(label) for label in labels)


def _expand(values: Sequence[_T], axes: Sequence[str], default: _T) -> tuple[_T, ...]:
    stored = dict(zip(axes, values, strict=True))
    return tuple(stored.get(axis, default) for axis in AXES)
