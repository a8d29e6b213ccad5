"""Names of the images of a store that holds several: those of a plate, and of a series."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from image_translation.errors import DataError
from image_translation.omezarr.arrays import read_ome_attributes
from image_translation.omezarr.metadata import parse_images, parse_wells


def plate_names(path: Path, ome: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the positions of a plate, and the unreadable wells."""
    try:
        wells = parse_wells(ome)
    except ValueError as error:
        raise DataError(f"the plate {path} has invalid metadata: {error}") from error
    names: list[str] = []
    problems: dict[str, Exception] = {}
    for well in wells:
        try:
            names += [f"{well}/{image}" for image in parse_images(read_ome_attributes(path / well))]
        except (DataError, ValueError) as error:
            problems[well] = error
    if not names:
        raise DataError(f"the plate {path} has no readable well; {wells[0]}: {problems[wells[0]]}")
    return tuple(names), tuple(problems)


def series_names(path: Path) -> list[str]:
    """Return the names of the images of a series, which bioformats2raw numbers."""
    names = [child.name for child in path.iterdir() if child.is_dir() and child.name.isdecimal()]
    return sorted(names, key=int)
