"""The figures of a run: picks what is worth showing out of the finished stores, and saves what is drawn."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from image_translation import plot
from image_translation.evaluate import RAW
from image_translation.output import PlaneStack, image_path
from image_translation.plan import Plan, Series
from image_translation.sink import SeriesResult
from image_translation.store import Position

COLUMNS = 5  # frames side by side
CROP = 192  # pixels, so that cells can be seen
TIMES = 64  # frames in a kymograph
POSITIONS = 4  # drawn out of many
DPI = 200


def write_figures(plan: Plan, stores: Mapping[str, Path], results: Sequence[SeriesResult], directory: Path) -> None:
    """Draw and save the figures of the first positions, each of the middle one of its planes.

    Parameters
    ----------
    plan
        The run.
    stores
        Where the complete store of each method lies.
    results
        What is known of each series of the plan, in the plan's order.
    directory
        Where the figures go; those of several positions go into a folder each.
    """
    planes: dict[str, list[tuple[Series, SeriesResult]]] = {}
    for series, result in zip(plan.series, results, strict=True):
        planes.setdefault(series.position.name, []).append((series, result))
    folders = [directory / stem for stem in file_stems(planes)] if len(planes) > 1 else [directory]
    for folder, stack in list(zip(folders, planes.values(), strict=True))[:POSITIONS]:
        series, result = stack[len(stack) // 2]
        folder.mkdir(parents=True, exist_ok=True)
        plot.adjacent_pearson_figure(result.rows).savefig(folder / "corrcoef.png", dpi=DPI)
        plot.tradeoff_figure(result.rows).savefig(folder / "tradeoff.png", dpi=DPI)
        _write_images(plan, series, stores, folder)


def file_stems(names: Iterable[str]) -> list[str]:
    """Turn names that differ into stems of file names that differ, also where upper and lower case are the same.

    ASCII letters, digits, ``-``, ``_`` and ``.`` are kept, but for a dot in front; anything else becomes ``-``.
    """
    stems: dict[str, str] = {}
    for name in names:
        stem = re.sub(r"^\.|[^A-Za-z0-9_.-]", "-", name)
        numbered = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
        free = next(candidate for candidate in numbered if candidate.lower() not in stems)
        stems[free.lower()] = free
    return list(stems.values())


def _write_images(plan: Plan, series: Series, stores: Mapping[str, Path], folder: Path) -> None:
    name = series.position.name
    stacks = {}
    for method in dict.fromkeys([RAW, *plan.options.methods]):
        image = plan.images(method)[name]
        stacks[method] = (PlaneStack(image_path(stores[method], name), image, series.plane, write=False), image.length)
    middle = _middle(len(series.frames), COLUMNS)
    raw = stacks[RAW][0]
    first = raw.read(middle.start)
    crop = _busiest(first)
    row = crop[0].start + int(first[:, *crop].std(axis=2).sum(axis=0).argmax())
    offset = series.frames.start
    phase = _crops([series.position.read(offset + t, series.channel, series.z)[np.newaxis] for t in middle], crop)
    truth = [
        np.stack([series.position.read(offset + t, channel, series.z) for channel in series.truth])
        for t in middle
        if series.truth
    ]
    shown = {
        method: _crops([stack.read(min(t, length - 1)) for t in middle], crop)
        for method, (stack, length) in stacks.items()
    }
    if truth:
        shown["truth"] = _crops(truth, crop)
    labels = [f"frame {offset + t}" for t in middle]
    times = _middle(len(series.frames), TIMES)
    lines = {
        method: np.stack([stack.read(t)[:, row, crop[1]] for t in times if t < length])
        for method, (stack, length) in stacks.items()
    }
    channels = plan.spec.output_channels
    for c, (channel, stem) in enumerate(zip(channels, file_stems(channels), strict=True)):
        images = {method: stack[:, c] for method, stack in shown.items()}
        figure = plot.frames_figure(images, labels, channel, phase[:, 0], pixel_size=_pixel_size(series.position))
        figure.savefig(folder / f"{stem}_combined.png", dpi=DPI)
        kymographs = {method: line[:, c] for method, line in lines.items()}
        figure = plot.kymograph_figure(kymographs, channel, first_frame=offset + times.start)
        figure.savefig(folder / f"{stem}_kymograph.png", dpi=DPI)


def _pixel_size(position: Position) -> float | None:
    """Width of a pixel in micrometres; a scale of exactly 1 is what writers put where they do not know it."""
    size = position.levels[0].scale[-1]
    return size if position.units.get("x") == "micrometer" and 0 < size < inf and size != 1 else None


def _middle(count: int, wanted: int) -> range:
    """Choose consecutive frames in the middle of a movie: flicker shows from one frame to the next."""
    start = max(0, (count - wanted) // 2)
    return range(start, min(count, start + wanted))


def _busiest(image: NDArray[np.float32]) -> tuple[slice, slice]:
    """Choose the crop of an image (C, Y, X) with the most contrast in all channels."""
    height, width = image.shape[1:]
    sides = (min(CROP, height), min(CROP, width))
    best, chosen = -1.0, (0, 0)
    for y in range(0, height - sides[0] + 1, max(1, sides[0] // 2)):
        for x in range(0, width - sides[1] + 1, max(1, sides[1] // 2)):
            contrast = float(image[:, y : y + sides[0], x : x + sides[1]].std(axis=(1, 2)).sum())
            if contrast > best:
                best, chosen = contrast, (y, x)
    return slice(chosen[0], chosen[0] + sides[0]), slice(chosen[1], chosen[1] + sides[1])


def _crops(images: Sequence[NDArray[np.float32]], crop: tuple[slice, slice]) -> NDArray[np.float32]:
    return np.stack([image[:, *crop] for image in images]).astype(np.float32)
