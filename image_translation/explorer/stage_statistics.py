"""Views of a network as numbers: how much every stage changes, and the tables of what is shown."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import DataError
from image_translation.explorer.inspector import BlankFrameError, View
from image_translation.explorer.principal_components import change
from image_translation.explorer.stage_tiles import StageColours

INPUT = "input"


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
        "input" and each stage to the change of each pair, (T - 1,) float64; NaN beside a blank frame.

    Raises
    ------
    DataError
        All frames are blank.
    """
    found: dict[str, list[float]] = {}
    before: View | None = None
    for number, t in enumerate(frames):
        try:
            now = look(t)
        except BlankFrameError:
            now = None
        if number:
            known = now or before
            stages = _maps(known) if known else found
            values = differences(before, now) if before and now else {}
            for stage in stages:
                found.setdefault(stage, [np.nan] * (number - 1)).append(values.get(stage, np.nan))
        before = now
    if not found:
        raise DataError("all frames whose change is to be measured are blank; choose others")
    return {stage: np.array(values) for stage, values in found.items()}


def differences(one: View, other: View) -> dict[str, float]:
    """Return how much the input and every stage differ between two views of one network."""
    maps = _maps(other)
    return {stage: change(features, maps[stage]) for stage, features in _maps(one).items()}


def stage_table(
    view: View, colours: Mapping[str, StageColours], changes: Mapping[str, NDArray[np.float64]] | None = None
) -> str:
    """Write down shape, explained variance and mean change of the input and of every stage, as CSV."""
    rows: list[list[object]] = []
    for stage, features in _maps(view).items():
        shares = list(colours[stage].basis.explained) if stage in colours else []
        known = (changes or {}).get(stage, np.array([]))
        known = known[np.isfinite(known)]
        rows.append([stage, *features.shape, *(shares + [""] * 3)[:3], float(known.mean()) if known.size else ""])
    return table(["stage", "channels", "height", "width", "pc1", "pc2", "pc3", "change"], rows)


def change_table(changes: Mapping[str, Mapping[str, NDArray[np.float64]]], frames: Iterable[int]) -> str:
    """Write down every change as CSV, a row each; `changes` as for `stages.change_figure`."""
    pairs = list(frames)[:-1]
    rows = [
        [label, stage, frame, float(value)]
        for label, stages in changes.items()
        for stage, values in stages.items()
        for frame, value in zip(pairs, values, strict=True)
    ]
    return table(["of", "stage", "frame", "change to the next frame"], rows)


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write rows as CSV; what is not finite is left empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if isinstance(one, float) and not np.isfinite(one) else one for one in row])
    return file.getvalue()


def _maps(view: View) -> dict[str, NDArray[np.float32]]:
    return {INPUT: view.image, **view.features}
