"""Tolerant parsing of OME-Zarr metadata, versions 0.1 to 0.5.

Metadata that cannot be tolerated raise a ``ValueError`` with the value found and the value expected.
"""

import re
import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

AXES = ("t", "c", "z", "y", "x")
_NAME_OF_TYPE = {"time": "t", "channel": "c"}
_KNOWN_VERSION = re.compile(r"0\.[1-5](\D|$)")
TYPE_NAMES: Mapping[type[Any], str] = {dict: "mapping", list: "list", str: "string"}

_T = TypeVar("_T")


@dataclass(frozen=True)
class Level:
    """One resolution level of an image.

    Attributes
    ----------
    path
        Name of the array within its image group.
    scale, translation
        Physical size of a pixel and position of the first one, for T, C, Z, Y, X; 1 and 0 for axes that are not stored.
    shape
        Number of pixels along T, C, Z, Y, X; 1 for axes that are not stored.
    transformed
        Whether scale or translation are stored at all.
    """

    path: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    shape: tuple[int, ...]
    transformed: bool = True


def get_entry(metadata: Any, key: str, kind: type[_T], where: str, default: _T | None = None) -> _T:
    """Read an entry of a mapping and check its type.

    Parameters
    ----------
    metadata
        Metadata, which should be a mapping.
    key
        Name of the entry.
    kind
        Required type of the entry: dict, list, or str; it must not be empty.
    where
        What the metadata describe, for error messages.
    default
        Value for an absent or empty entry; without a default the entry is required.

    Raises
    ------
    ValueError
        If the entry is missing, empty, or of another type.
    """
    if not isinstance(metadata, Mapping):
        raise ValueError(f"{where} is {reprlib.repr(metadata)}; expected a mapping")  # noqa: TRY004
    value = metadata.get(key)
    if not value and default is not None:
        return default
    if key not in metadata:
        raise ValueError(f"{where} has no {key!r}")
    if not value or not isinstance(value, kind):
        raise ValueError(f"{key!r} of {where} is {reprlib.repr(value)}; expected a non-empty {TYPE_NAMES[kind]}")
    return value


def parse_path(metadata: Any, where: str) -> str:
    """Read the path of a well, image, or array, relative to the group that lists it.

    Raises
    ------
    ValueError
        If it is missing, or leads outside the group.
    """
    stored = get_entry(metadata, "path", str, where)
    path = PurePosixPath(stored)  # without the superfluous parts of ./A/1 and of 0/
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"the path of {where} is {stored!r}, which leads outside its group")
    if not path.parts or not stored.isprintable():
        raise ValueError(f"the path of {where} is {stored!r:.100}; expected names separated by /")
    return str(path)


def parse_wells(ome: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the paths of the wells of a plate; a ValueError where they are missing, malformed or not unique."""
    wells: list[Any] = get_entry(get_entry(ome, "plate", dict, "the root"), "wells", list, "the plate")
    return _require_unique([parse_path(well, "a well") for well in wells], "well")


def parse_images(ome: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the paths of the images of a well; a ValueError where they are missing, malformed or not unique."""
    images: list[Any] = get_entry(get_entry(ome, "well", dict, "the group"), "images", list, "the well")
    return _require_unique([parse_path(image, "an image") for image in images], "image")


def _require_unique(paths: Sequence[str], what: str) -> tuple[str, ...]:
    (path, times), *_ = Counter(paths).most_common(1)
    if times > 1:
        raise ValueError(f"it lists the {what} {path!r} {times} times")
    return tuple(paths)


def require_known_version(ome: Mapping[str, Any]) -> None:
    """Raise a ``ValueError`` if the metadata are of a version that is not understood."""
    version = parse_version(ome)
    if not _KNOWN_VERSION.match(version):
        raise ValueError(f"its OME-Zarr version is {version!r}; 0.1 to 0.5 can be read: convert it to one of these")


def parse_version(ome: Mapping[str, Any]) -> str:
    """Find the version in the metadata of an image or a plate; 0.4 if there is none."""
    multiscales = ome.get("multiscales")
    blocks = [ome, ome.get("plate"), *(multiscales if isinstance(multiscales, list) else ())]
    return next((str(block["version"]) for block in blocks if isinstance(block, dict) and "version" in block), "0.4")


def parse_axes(multiscale: Mapping[str, Any], ndim: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """Read the axes of an image.

    Axes of time and of channels may have any name, if they state their type; those of space are z, y, x.

    Parameters
    ----------
    multiscale
        Entry of ``multiscales``; its axes are mappings (from 0.4 on), names (0.3), or absent (before, where there are
        always five).
    ndim
        Number of dimensions of the arrays.

    Returns
    -------
    names : tuple of str
        Some of t, c, z, y, x, in this order.
    units : dict
        Unit of each axis that has one, as stored.

    Raises
    ------
    ValueError
        If the axes are others, or do not match the number of dimensions.
    """
    if not multiscale.get("axes") and ndim != len(AXES):
        raise ValueError(
            f"it states no axes, and its arrays have {ndim} dimensions; only the five of t, c, z, y, x can be left out"
        )
    stored: list[Any] = get_entry(multiscale, "axes", list, "the multiscale image", list(AXES))
    axes = [{"name": axis} if isinstance(axis, str) else axis for axis in stored]
    own_names = [get_entry(axis, "name", str, "an axis").lower() for axis in axes]
    types = (axis.get("type") for axis in axes)
    names = tuple(_NAME_OF_TYPE.get(str(kind), name) for kind, name in zip(types, own_names, strict=True))
    if len(names) != ndim or [axis for axis in AXES if axis in names] != list(names) or not {"y", "x"} <= set(names):
        found = ", ".join(names)
        raise ValueError(f"the axes are {found} for {ndim} dimensions; expected some of t, c, z, y, x, in this order")
    units = {name: axis.get("unit") for name, axis in zip(names, axes, strict=True)}
    return names, {name: unit for name, unit in units.items() if unit and isinstance(unit, str)}


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

    Raises
    ------
    ValueError
        If a scale or translation is not one finite number for each axis, or a scale is not positive.
    """
    path = parse_path(dataset, "a dataset")
    where = f"dataset {path!r}"
    if len(shape) != len(axes):
        raise ValueError(f"{where} has {len(shape)} dimensions, but the axes are {', '.join(axes)}")
    steps: list[Any] = get_entry(dataset, "coordinateTransformations", list, where, [])
    scale, translation = np.ones(len(axes)), np.zeros(len(axes))
    for step in [*steps, *shared]:
        kind = get_entry(step, "type", str, f"a transformation of {where}")
        if kind == "scale":
            factor = _parse_vector(step, kind, axes, where)
            scale, translation = scale * factor, translation * factor
        elif kind == "translation":
            translation = translation + _parse_vector(step, kind, axes, where)
    return Level(
        path,
        _expand(scale.tolist(), axes, 1.0),
        _expand(translation.tolist(), axes, 0.0),
        _expand(shape, axes, 1),
        transformed=bool(steps or shared),
    )


def parse_labels(ome: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the labels of the channels as stored; none if the optional ``omero`` block is absent or malformed."""
    try:
        labels = [channel["label"] for channel in ome["omero"]["channels"]]
    except (KeyError, TypeError):
        return ()
    return tuple(str(label) for label in labels if isinstance(label, str | int | float))


def parse_channel_names(ome: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Return the labels as channel names; ``channel_0``, ``channel_1``, ... if they are missing or not unique."""
    labels = parse_labels(ome)
    if len(labels) != count or len(set(labels)) != count:
        return tuple(f"channel_{number}" for number in range(count))
    return labels


def _parse_vector(step: Mapping[str, Any], kind: str, axes: Sequence[str], where: str) -> NDArray[np.float64]:
    """Read the numbers of a scale or translation, one per axis."""
    stored = step.get(kind)
    try:
        numbers = np.asarray(stored, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.empty(0)
    least = 0.0 if kind == "scale" else -np.inf
    if numbers.shape != (len(axes),) or not np.all(np.isfinite(numbers) & (numbers > least)):
        expected = f"{len(axes)} {'positive ' if kind == 'scale' else ''}finite numbers, for {', '.join(axes)}"
        raise ValueError(f"the {kind} of {where} is {reprlib.repr(stored)}; expected {expected}")
    return numbers


def _expand(values: Sequence[_T], axes: Sequence[str], default: _T) -> tuple[_T, ...]:
    """Extend values for some axes to T, C, Z, Y, X."""
    stored = dict(zip(axes, values, strict=True))
    return tuple(stored.get(axis, default) for axis in AXES)
