"""What an inspection shows and writes: pictures of all stages, and how much each changes from frame to frame."""

import csv
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from image_translation import data
from image_translation.errors import DataError, UsageError
from image_translation.feature_colours import composite, limits, to_rgb
from image_translation.feature_map import Basis, change, fit_basis, project, spectrum
from image_translation.inspect_options import CHANGE, COMPARISON, OVERVIEW, STAGE, TABLE, InspectOptions
from image_translation.inspection import BlankFrameError, Inspector, View
from image_translation.plot_features import Tile, comparison_figure, overview_figure
from image_translation.plot_stages import change_figure, component_figure
from image_translation.selection import select_frames, select_planes
from image_translation.store import open_store

SHOWN_COMPONENTS = 6  # of a single stage
INPUT = "input"
WATCHED_FRAMES = 8  # whose change is measured, if nothing else is asked for
DPI = 200

_log = logging.getLogger(__name__)


class StageColours(NamedTuple):
    """How a stage is coloured: its basis, and the range of each component."""

    basis: Basis
    contrast: NDArray[np.float64]


def inspect(options: InspectOptions) -> Path:
    """Look inside a network, and write what is seen.

    Parameters
    ----------
    options
        What to look at; their own ``check`` has passed.

    Returns
    -------
    Path
        The overview.

    Raises
    ------
    UsageError
        An argument does not fit the movie or the checkpoint.
    DataError
        The movie or the checkpoint cannot be read, or a frame is blank.
    """
    store = open_store(data.resolve(options.movie, kind="movie"))
    names = store.select([options.position] if options.position else [])
    if len(names) > 1:
        raise UsageError(f"{store.path} has {len(names)} positions; choose one with --position, such as {names[0]}")
    position = store.position(names[0])
    (plane, *more) = select_planes(position, options.z)
    if more:
        raise UsageError("--z all: one plane is shown; give its index, or 'middle'")
    frames = select_frames(position, options.frames)
    if options.frames == (None, None):
        first = min(options.time, max(0, len(frames) - WATCHED_FRAMES))
        frames = frames[first : first + WATCHED_FRAMES]
    inspector = Inspector(options.checkpoint, normalization=options.normalization, device=options.device)

    def look(t: int) -> View:
        return inspector.look(position, t, plane, channels=options.channels, crop=options.crop)

    views = {t: look(t) for t in dict.fromkeys([options.time, *([] if options.compare is None else [options.compare])])}
    colours = stage_colours(views.values())
    title = f"{Path(options.checkpoint).name} on {Path(options.movie).name}, {position.name} z{plane}"
    figures: dict[str, Figure] = {
        OVERVIEW: overview_figure(
            tile_rows(views[options.time], colours, position.pixel_size), f"{title}, frame {options.time}"
        )
    }
    if options.compare is not None:
        columns = [
            (f"frame {t}", [tile for _, tiles in tile_rows(view, colours, position.pixel_size) for tile in tiles])
            for t, view in views.items()
        ]
        figures[COMPARISON] = comparison_figure(columns, title)
    if options.stage:
        figures[STAGE] = _stage_figure(views[options.time], options.stage, position.pixel_size)
    changes: dict[str, NDArray[np.float64]] = {}
    if len(frames) > 1:
        changes = stage_changes(look, frames)
        if np.nan_to_num(changes[INPUT]).any():
            figures[CHANGE] = change_figure({Path(options.movie).name: changes}, list(frames))
        else:
            _log.warning("the frames %d to %d do not change: no %s", frames[0], frames[-1], CHANGE)
    options.output.mkdir(parents=True, exist_ok=True)
    for name in (OVERVIEW, COMPARISON, CHANGE, STAGE):
        if name in figures:
            figures[name].savefig(options.output / name, dpi=DPI)
        else:
            (options.output / name).unlink(missing_ok=True)  # of an earlier run with other options
    _write_table(options.output / TABLE, views[options.time], colours, changes)
    return options.output / OVERVIEW


def stage_colours(views: Iterable[View]) -> dict[str, StageColours]:
    """Find colours for every stage that mean the same in all views: one basis, and one range for each component.

    Parameters
    ----------
    views
        Of one network.
    """
    shown = list(views)
    colours = {}
    for stage in shown[0].features:
        maps = [view.features[stage] for view in shown]
        basis = fit_basis(maps)
        colours[stage] = StageColours(basis, limits([project(one, basis) for one in maps]))
    return colours


def tile_rows(
    view: View, colours: Mapping[str, StageColours], pixel_size: float | None = None
) -> list[tuple[str, list[Tile]]]:
    """Arrange a view as tiles: the pictures, and the stages of the encoder and of the decoder.

    Parameters
    ----------
    view
        What is shown.
    colours
        Of every stage.
    pixel_size
        Side of a pixel of the image in micrometres.
    """
    pictures = [
        Tile(f"input {name}", image, pixel_size=pixel_size)
        for name, image in zip(view.image_channels, view.image, strict=True)
    ]
    for name, images in (("prediction", view.prediction), ("truth", view.truth)):
        if images is not None:
            pictures.append(
                Tile(name, composite(list(images)) if len(images) == 2 else images[0], pixel_size=pixel_size)
            )
    width = view.image.shape[-1]
    rows: dict[str, list[Tile]] = {"pictures": pictures, "encoder": [], "decoder": []}
    for stage, (basis, contrast) in colours.items():
        features = view.features[stage]
        size = None if pixel_size is None else pixel_size * width / features.shape[-1]
        explained = tuple(float(share) for share in basis.explained)
        tile = Tile(stage, to_rgb(project(features, basis), contrast), features.shape, explained, size)
        rows["decoder" if stage.startswith(("decoder", "head")) else "encoder"].append(tile)
    return list(rows.items())


def stage_changes(look: Callable[[int], View], frames: Iterable[int]) -> dict[str, NDArray[np.float64]]:
    """Measure how much the input and every stage change from each frame to the next.

    Parameters
    ----------
    look
        Shows a frame by its number.
    frames
        Numbers of the frames, at least two.

    Returns
    -------
    dict
        "input" and each stage to `feature_map.change` of each pair, (T - 1,) float64; NaN beside a blank frame.
    """
    found: dict[str, list[float]] = {}
    before: dict[str, NDArray[np.float32]] | None = None
    for number, t in enumerate(tqdm(frames, unit="frame", disable=None, dynamic_ncols=True, desc="inspecting")):
        try:
            view = look(t)
            now = {INPUT: view.image, **view.features}
        except BlankFrameError:
            now = None
        if number:
            for stage in now or before or found:
                value = change(before[stage], now[stage]) if before and now else np.nan
                found.setdefault(stage, [np.nan] * (number - 1)).append(value)
        before = now
    if not found:
        raise DataError("all frames whose change is to be measured are blank; choose others with --frames")
    return {stage: np.array(values) for stage, values in found.items()}


def _stage_figure(view: View, stage: str, pixel_size: float | None) -> Figure:
    if stage not in view.features:
        raise UsageError(f"--stage {stage}: the stages are {', '.join(view.features)}")
    features = view.features[stage]
    basis = fit_basis([features], SHOWN_COMPONENTS)
    size = None if pixel_size is None else pixel_size * view.image.shape[-1] / features.shape[-1]
    shares = [float(share) for share in basis.explained]
    return component_figure(stage, project(features, basis), shares, spectrum(features), pixel_size=size)


def _write_table(
    path: Path, view: View, colours: Mapping[str, StageColours], changes: Mapping[str, NDArray[np.float64]]
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["stage", "channels", "height", "width", "pc1", "pc2", "pc3", "change"])
        for stage, features in {INPUT: view.image, **view.features}.items():
            shares = list(colours[stage].basis.explained) if stage in colours else []
            known = changes.get(stage, np.array([]))
            known = known[np.isfinite(known)]
            mean = float(known.mean()) if known.size else ""
            writer.writerow([stage, *features.shape, *(shares + [""] * 3)[:3], mean])
