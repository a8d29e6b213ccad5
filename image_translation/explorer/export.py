"""The command `inspect`: pictures of all stages, and how much each changes from frame to frame, as files."""

import logging
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from image_translation import data
from image_translation.errors import UsageError
from image_translation.explorer.inspector import Inspector, View
from image_translation.explorer.options import CHANGE, COMPARISON, OVERVIEW, STAGE, TABLE, InspectOptions
from image_translation.explorer.presets import WATCHED_FRAMES
from image_translation.explorer.stage_detail import look_at
from image_translation.explorer.stage_statistics import INPUT, stage_changes, stage_table
from image_translation.explorer.stage_tiles import stage_colours, tile_rows
from image_translation.figures.stages import change_figure
from image_translation.figures.tiles import comparison_figure, overview_figure
from image_translation.omezarr.selection import select_frames, select_planes
from image_translation.omezarr.store import open_store

DPI = 200

_log = logging.getLogger(__name__)


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
        if options.stage not in views[options.time].features:
            raise UsageError(f"--stage {options.stage}: the stages are {', '.join(views[options.time].features)}")
        detail = look_at(views[options.time], options.stage, "components", 1, position.pixel_size)
        figures[STAGE] = detail.figure()
    changes: dict[str, NDArray[np.float64]] = {}
    if len(frames) > 1:
        changes = stage_changes(look, tqdm(frames, unit="frame", disable=None, dynamic_ncols=True, desc="inspecting"))
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
    (options.output / TABLE).write_text(stage_table(views[options.time], colours, changes), encoding="utf-8")
    return options.output / OVERVIEW
