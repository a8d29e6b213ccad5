"""What a TIFF file says of its pixels: their size, the interval of its frames, the names of its channels.

OME-TIFF says it in XML, ImageJ in a text of its own; plain TIFF does not.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from tifffile import TiffFile

_MICROMETRES: Mapping[str, float] = {
    "pm": 1e-6, "Å": 1e-4, "nm": 1e-3, "nanometer": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "\\u00b5m": 1.0,
    "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4,
    "m": 1e6, "inch": 25400.0, "in": 25400.0,
}  # fmt: skip
_SECONDS: Mapping[str, float] = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "msec": 1e-3, "s": 1.0, "sec": 1.0, "second": 1.0,
    "seconds": 1.0, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0,
}  # fmt: skip
_IRREGULAR = 0.1  # of the interval: from this deviation on, time points have no common interval


@dataclass(frozen=True)
class TiffMetadata:
    """What a file says; None and empty where it says nothing.

    Attributes
    ----------
    pixel_size
        Distance of planes, and height and width of a pixel, in micrometres.
    interval
        Seconds between frames.
    channels
        Names of the channels.
    """

    pixel_size: tuple[float | None, float | None, float | None] = (None, None, None)
    interval: float | None = None
    channels: tuple[str, ...] = ()


def read_metadata(tif: "TiffFile") -> TiffMetadata:
    """Read the metadata of an open file."""
    if tif.is_ome and tif.ome_metadata:
        return parse_ome(tif.ome_metadata)
    if tif.is_imagej and tif.imagej_metadata:
        tags = tif.pages.first.tags
        resolution = [tags.valueof(f"{axis}Resolution", (0, 1)) for axis in "YX"]
        return parse_imagej(tif.imagej_metadata, resolution)
    return TiffMetadata()


def parse_ome(text: str) -> TiffMetadata:
    """Parse OME-XML, of the first image that has pixels."""
    root = ET.fromstring(text)  # noqa: S314 - expat limits the expansion of entities
    pixels = next((element for element in root.iter() if _name(element) == "Pixels"), None)
    if pixels is None:
        return TiffMetadata()

    def size(axis: str) -> float | None:
        return _convert(
            pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit"), "µm", units=_MICROMETRES
        )

    interval = _convert(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit"), "s", units=_SECONDS)
    names = [element.get("Name", "") for element in pixels if _name(element) == "Channel"]
    return TiffMetadata(
        (size("Z"), size("Y"), size("X")),
        interval or _interval_of_planes(pixels),
        tuple(names) if all(names) else (),
    )


def parse_imagej(metadata: Mapping[str, Any], resolution: Sequence[tuple[int, int]]) -> TiffMetadata:
    """Parse what ImageJ stores.

    Parameters
    ----------
    metadata
        As tifffile returns them.
    resolution
        Pixels per unit along y and x, as fractions.
    """
    unit = metadata.get("unit")
    (rows, per_rows), (columns, per_columns) = resolution
    y = _convert(per_rows / rows if rows else None, metadata.get("yunit", unit), "", units=_MICROMETRES)
    x = _convert(per_columns / columns if columns else None, unit, "", units=_MICROMETRES)
    z = _convert(metadata.get("spacing"), metadata.get("zunit", unit), "", units=_MICROMETRES)
    interval = _convert(metadata.get("finterval"), metadata.get("tunit"), "s", units=_SECONDS)
    return TiffMetadata((z, y, x), interval, _names_of_labels(metadata))


def _names_of_labels(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of channels, where the labels of planes are alike in each channel and differ between them."""
    count, labels = int(metadata.get("channels", 1)), metadata.get("Labels", ())
    if str(metadata.get("order", "czt"))[:1].lower() != "c" or count < 1:
        return ()
    of_channels = [{str(label) for label in labels[number::count] if label} for number in range(count)]
    names = [found.pop() for found in of_channels if len(found) == 1]
    return tuple(names) if len(set(names)) == count else ()


def _interval_of_planes(pixels: ET.Element) -> float | None:
    """Return the mean interval between the times of planes, if they are regular; some writers state no other."""
    times: dict[int, float] = {}
    for element in pixels:
        plane = element.attrib
        if _name(element) == "Plane" and (plane.get("TheC", "0"), plane.get("TheZ", "0")) == ("0", "0"):
            time = _convert(plane.get("DeltaT"), plane.get("DeltaTUnit"), "s", units=_SECONDS, zero=True)
            if time is None or not plane.get("TheT", "").isdecimal():
                return None
            times[int(plane["TheT"])] = time
    if len(times) < 2 or sorted(times) != list(range(len(times))):
        return None
    ordered = [times[number] for number in range(len(times))]
    mean = (ordered[-1] - ordered[0]) / (len(ordered) - 1)
    steps = [after - before for before, after in pairwise(ordered)]
    return mean if mean > 0 and max(abs(step - mean) for step in steps) <= _IRREGULAR * mean else None


def _convert(value: Any, unit: Any, default: str, *, units: Mapping[str, float], zero: bool = False) -> float | None:
    """Return a positive length or time in the common unit; None if it is none, or its unit is not known."""
    name = str(default if unit is None else unit).strip()
    factor = units.get(name, units.get(name.lower()))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    least = number >= 0 if zero else number > 0
    return number * factor if factor and least and number < math.inf else None


def _name(element: ET.Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]
