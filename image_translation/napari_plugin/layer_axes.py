"""Axes of a layer: which of them is time, channel and z, and the layer as a movie of the axes T, C, Z, Y, X.

The last two axes of a layer are always Y and X. The others are known by their labels or, where a layer has none,
guessed by their order; the user sees the guess and can change it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError

NAMES = {"t": "time", "c": "channel", "z": "z"}
_SYNONYMS = {
    **dict.fromkeys(("t", "time", "frame", "frames", "timepoint"), "t"),
    **dict.fromkeys(("c", "ch", "channel", "channels"), "c"),
    **dict.fromkeys(("z", "depth", "plane", "planes", "slice"), "z"),
    **dict.fromkeys(("y", "row", "height"), "y"),
    **dict.fromkeys(("x", "column", "width"), "x"),
}
_MAX_CHANNELS = 4  # a longer axis without a label is taken for z


@dataclass(frozen=True)
class LayerAxes:
    """Meaning of the axes of a layer, but for the last two, which are Y and X.

    Attributes
    ----------
    n_dimensions
        Number of axes of the layer, with Y and X.
    t, c, z
        Index of the axis, from 0; None where the layer has no such axis.
    """

    n_dimensions: int
    t: int | None = None
    c: int | None = None
    z: int | None = None

    def check(self, labels: Sequence[str]) -> None:
        """Raise a ``UsageError`` if an axis has no meaning, or two of them."""
        chosen = [index for index in (self.t, self.c, self.z) if index is not None]
        for index in range(self.n_dimensions - 2):
            if chosen.count(index) != 1:
                problem = "has several meanings" if index in chosen else "has no meaning"
                raise UsageError(f"axis {labels[index]} {problem}: choose it once, as time, channel or z")
        for index, wanted in zip((-2, -1), "yx", strict=True):
            if _SYNONYMS.get(labels[index].lower(), wanted) != wanted:
                raise UsageError(
                    f"the last two axes of a layer must be Y and X, but they are {labels[-2]} and {labels[-1]}; "
                    "transpose the layer"
                )

    @property
    def letters(self) -> str:
        """Axes of the movie, such as ``TCYX``, in the order of `Movie`."""
        return "".join(letter.upper() for letter in "tcz" if getattr(self, letter) is not None) + "YX"

    @property
    def order(self) -> tuple[int, ...]:
        """Axes of the layer in the order of `letters`."""
        leading = [index for index in (self.t, self.c, self.z) if index is not None]
        return (*leading, self.n_dimensions - 2, self.n_dimensions - 1)


def guess_axes(labels: Sequence[str], shape: Sequence[int]) -> LayerAxes:
    """Guess the meaning of the axes of a layer.

    Parameters
    ----------
    labels
        Label of each axis, as ``layer.axis_labels``; labels that say nothing, such as "-3", are ignored.
    shape
        Number of pixels along each axis.

    Returns
    -------
    LayerAxes
        Axes by their labels. Those without are time, channel and z in this order, as far as these are not known; of two
        candidates for channel and z, the shorter one is the channel, and a single one if it has up to 4 entries.
    """
    found: dict[str, int] = {}
    unknown = []
    for index, label in enumerate(labels[:-2]):
        letter = _SYNONYMS.get(label.strip().lower(), "")
        if letter in NAMES and letter not in found:
            found[letter] = index
        else:
            unknown.append(index)
    if unknown and "t" not in found:
        found["t"] = unknown.pop(0)
    unknown.sort(key=lambda index: shape[index])
    if unknown and "c" not in found and (len(unknown) > 1 or "z" in found or shape[unknown[0]] <= _MAX_CHANNELS):
        found["c"] = unknown.pop(0)
    if unknown and "z" not in found:
        found["z"] = unknown.pop(0)
    return LayerAxes(len(labels), found.get("t"), found.get("c"), found.get("z"))


def finest(data: Any) -> Any:
    """Return the array of a layer: of a multiscale layer, a list of levels, the finest level."""
    return data[0] if isinstance(data, Sequence) else data


def as_movie(data: Any, axes: LayerAxes) -> Any:
    """Return the pixels of a layer with the axes `LayerAxes.letters`; a view, and of a lazy array a lazy one."""
    array = finest(data)
    array = getattr(array, "data", array) if hasattr(array, "dims") else array  # of xarray
    if axes.order == tuple(range(axes.n_dimensions)):
        return array
    if not hasattr(array, "transpose"):  # zarr
        from dask.array import from_array

        array = from_array(array)  # type: ignore[no-untyped-call]
    return array.transpose(axes.order)


def as_layer(stain: NDArray[Any], axes: LayerAxes) -> NDArray[Any]:
    """Arrange a stain like the layer that it was predicted from.

    Parameters
    ----------
    stain
        One channel, (T, Z, Y, X).
    axes
        Axes of the layer.

    Returns
    -------
    ndarray
        View with as many axes as the layer, in its order; an axis of channels has one entry.

    Raises
    ------
    ValueError
        If it has several frames or planes and the layer has no such axis.
    """
    dropped = tuple(index for index, letter in enumerate("tz") if getattr(axes, letter) is None)
    kept = np.squeeze(stain, axis=dropped)
    if axes.c is not None:
        kept = np.expand_dims(kept, 0 if axes.t is None else 1)
    return kept.transpose(np.argsort(axes.order))


def interval(scale: Sequence[float], units: Sequence[Any], axes: LayerAxes) -> float | None:
    """Return the time between frames in seconds; None if unknown.

    Parameters
    ----------
    scale, units
        Step and unit (pint) of each axis of the layer.
    axes
        Its axes.
    """
    return None if axes.t is None else _convert(scale[axes.t], units[axes.t], "second")


def pixel_size(scale: Sequence[float], units: Sequence[Any], axes: LayerAxes) -> tuple[float, ...] | None:
    """Return the size of a pixel (y, x), or (z, y, x), in micrometres; None if unknown. Parameters as of `interval`."""
    indices = (*([] if axes.z is None else [axes.z]), axes.n_dimensions - 2, axes.n_dimensions - 1)
    sizes = [_convert(scale[index], units[index], "micrometer") for index in indices]
    known = [size for size in sizes if size is not None]
    if len(known) == len(sizes):
        return tuple(known)
    return tuple(known) if len(known) == 2 and sizes[0] is None else None


def _convert(step: float, unit: Any, target: str) -> float | None:
    """Convert a step to a unit; None if it is a number of pixels, or no positive one."""
    if not unit.is_compatible_with(target) or not 0 < step < float("inf"):
        return None
    return float((step * unit).to(target).magnitude)
