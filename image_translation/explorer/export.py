"""The command ``inspect -o``: figures of every stage and a table of their variance and change, as files."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from image_translation import data
from image_translation.errors import DataError, UsageError
from image_translation.explorer.inspector import Activations, BlankFrameError, Inspector, NetworkInput
from image_translation.explorer.options import CHANGE, COMPARISON, OVERVIEW, STAGE, TABLE, InspectOptions
from image_translation.explorer.presets import CHANGE_FRAMES
from image_translation.explorer.stage_detail import stage_detail
from image_translation.explorer.stage_statistics import ALL_BLANK, INPUT, stage_changes, stage_table
from image_translation.explorer.stage_tiles import StageColours, all_tiles, stage_colours, tile_rows
from image_translation.figures.stages import change_figure
from image_translation.figures.tiles import comparison_figure, overview_figure
from image_translation.network.devices import resolve_device
from image_translation.omezarr.selection import select_frames, select_planes
from image_translation.omezarr.store import Position
from image_translation.progress_bar import ProgressBar
from image_translation.sources.movie import open_movie

DPI = 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class InspectionPlan:
    """An inspection whose options have been checked against the movie and the checkpoint.

    Attributes
    ----------
    options
        Options of the inspection.
    position, z
        Image and index of the plane.
    frames
        Indices of the frames whose change is measured.
    inspector
        The network.
    inputs
        Inputs of the network: the frame ``time`` and, if there is one, the frame ``compare``, by index.
    """

    options: InspectOptions
    position: Position
    z: int
    frames: range
    inspector: Inspector
    inputs: dict[int, NetworkInput]

    def read(self, t: int) -> NetworkInput:
        """Read the input of the network at a frame."""
        return self.inspector.read(self.position, t, self.z, channels=self.options.channels, crop=self.options.crop)

    @property
    def title(self) -> str:
        """Title of the figures, without the frame."""
        checkpoint, movie = Path(self.options.checkpoint).name, Path(self.options.movie).name
        return f"{checkpoint} on {movie}, {self.position.name} z{self.z}"


def make_plan(options: InspectOptions) -> InspectionPlan:
    """Check options against their movie and their checkpoint. Nothing is written.

    Parameters
    ----------
    options
        Options that have passed their own ``check``.

    Returns
    -------
    InspectionPlan
        Input of `write_inspection`.

    Raises
    ------
    UsageError
        An option does not fit the movie, the checkpoint or this machine.
    DataError
        The movie or the checkpoint cannot be read, or a frame is blank.
    """
    resolve_device(options.device)  # before anything is downloaded or read
    store = open_movie(data.resolve(options.movie, kind="movie"), options.metadata)
    names = store.select([options.position] if options.position else [])
    if len(names) > 1:
        raise UsageError(f"{store.path} has {len(names)} positions; choose one with --position, such as {names[0]}")
    position = store.position(names[0])
    (plane, *more) = select_planes(position, options.z)
    if more:
        raise UsageError("--z all: only one plane can be inspected; give its index, or 'middle'")
    frames = select_frames(position, options.frames)
    if options.frames == (None, None):
        first = min(options.time, max(0, len(frames) - CHANGE_FRAMES))
        frames = frames[first : first + CHANGE_FRAMES]
    inspector = Inspector(
        options.checkpoint,
        normalization=options.normalization,
        head_pool=options.head_pool,
        device=options.device,
    )
    plan = InspectionPlan(options, position, plane, frames, inspector, {})
    for t in (options.time, options.compare):
        if t is not None and t not in plan.inputs:
            plan.inputs[t] = plan.read(t)
    _require_valid_frame(plan)
    if options.stage and options.stage not in inspector.stages:
        raise UsageError(f"--stage {options.stage}: no such stage; choose one of {', '.join(inspector.stages)}")
    note = inspector.pixel_size_note(position)
    if note:
        _log.warning("%s", note)
    return plan


def write_inspection(plan: InspectionPlan) -> Path:
    """Run the network on the frames of a plan, and write the figures and the table.

    Returns
    -------
    Path
        The overview figure.

    Raises
    ------
    DataError
        A frame cannot be read.
    """
    options = plan.options
    activations = {t: plan.inspector.run(network_input) for t, network_input in plan.inputs.items()}
    colours = stage_colours(activations.values())
    figures = _stage_figures(plan, activations, colours)
    changes: dict[str, NDArray[np.float64]] = {}
    if len(plan.frames) > 1:
        changes = _stage_changes(plan)
        if np.nan_to_num(changes[INPUT]).any():
            figures[CHANGE] = change_figure({Path(options.movie).name: changes}, list(plan.frames))
        else:
            _log.warning("frames %d to %d do not change: %s is not written", plan.frames[0], plan.frames[-1], CHANGE)
    options.output.mkdir(parents=True, exist_ok=True)
    for name in (OVERVIEW, COMPARISON, CHANGE, STAGE):
        if name in figures:
            figures[name].savefig(options.output / name, dpi=DPI)
        else:
            (options.output / name).unlink(missing_ok=True)  # of an earlier run with other options
    (options.output / TABLE).write_text(stage_table(activations[options.time], colours, changes), encoding="utf-8")
    return options.output / OVERVIEW


def _stage_changes(plan: InspectionPlan) -> dict[str, NDArray[np.float64]]:
    with ProgressBar(len(plan.frames), "inspecting") as bar:

        def run(t: int) -> Activations:
            activations = plan.inspector.run(plan.read(t))
            bar.update()
            return activations

        return stage_changes(run, plan.frames)


def _stage_figures(
    plan: InspectionPlan, activations: Mapping[int, Activations], colours: Mapping[str, StageColours]
) -> dict[str, Figure]:
    """Draw the overview, and the comparison and the components of one stage if they are requested, by file name."""
    options, pixel_size = plan.options, plan.position.pixel_size
    first = activations[options.time]
    rows = tile_rows(first, colours, pixel_size)
    figures = {OVERVIEW: overview_figure(rows, f"{plan.title}, frame {options.time}")}
    if options.compare is not None:
        columns = [(f"frame {t}", all_tiles(one, colours, pixel_size)) for t, one in activations.items()]
        figures[COMPARISON] = comparison_figure(columns, plan.title)
    if options.stage:
        figures[STAGE] = stage_detail(first, options.stage, "components", 1, pixel_size).component_figure()
    return figures


def _require_valid_frame(plan: InspectionPlan) -> None:
    """Raise a ``DataError`` if all frames whose change is to be measured are blank."""
    if len(plan.frames) < 2 or set(plan.frames) & set(plan.inputs):
        return
    for t in plan.frames:
        try:
            plan.read(t)
        except BlankFrameError:
            continue
        return
    raise DataError(ALL_BLANK)
