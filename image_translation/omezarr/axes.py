"""Axes of an image as OME metadata, with the units that OME-Zarr allows.

NGFF 0.5, https://ngff.openmicroscopy.org/0.5/#axes-md.
"""

from collections.abc import Mapping
from typing import Any

from image_translation.omezarr.metadata import AXES

_PREFIXES = (
    *("yotta", "zetta", "exa", "peta", "tera", "giga", "mega", "kilo", "hecto", ""),
    *("deci", "centi", "milli", "micro", "nano", "pico", "femto", "atto", "zepto", "yocto"),
)
_LENGTHS = {*(f"{prefix}meter" for prefix in _PREFIXES), "angstrom", "foot", "inch", "mile", "parsec", "yard"}
_TIMES = {*(f"{prefix}second" for prefix in _PREFIXES), "minute", "hour", "day"}
_TYPES = {"t": "time", "c": "channel"}
_UNITS = {"time": _TIMES, "channel": set[str](), "space": _LENGTHS}


def axes_metadata(units: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the axes T, C, Z, Y, X as in ``multiscales``.

    Plural units ("seconds") are corrected and other invalid units are left out: readers may refuse them.

    Parameters
    ----------
    units
        Units as stored, by axis.
    """
    axes = []
    for name in AXES:
        kind, stored = _TYPES.get(name, "space"), units.get(name, "")
        allowed = [unit for unit in (stored, stored.removesuffix("s")) if unit in _UNITS[kind]]
        axes.append({"name": name, "type": kind, **({"unit": allowed[0]} if allowed else {})})
    return axes
