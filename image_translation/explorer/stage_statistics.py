"""Statistics of the stages of a network as numbers and CSV: variance of components, and change between images."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import DataError, UsageError
from image_translation.explorer.inspector import Activations, BlankFrameError
from image_translation.explorer.stage_tiles import StageColours

INPUT = "input"
ALL_BLANK = "all frames whose change is to be measured are blank; choose others"


def relative_change(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Return how much a map (C, H, W) differs from an earlier one: 0 if equal, about 1 if unrelated, at most 1.41.

    It is the root of sum((a - b)^2) / sum((a - m)^2 + (b - m)^2), over all channels and pixels that are finite in both,
    with m the mean of a channel over both maps. It does not depend on a gain and an offset that both maps share, nor on
    the number of channels, so that stages can be compared with each other and with the input. A gain or an offset of
    one of the maps alone counts as change, as in flicker. Without finite pixels it is NaN.

    Raises
    ------
    UsageError
        The shapes differ.
    """
    if before.shape != after.shape:
        msg = f"the maps have shapes {before.shape} and {after.shape}; only maps of equal shape can be compared"
        raise UsageError(msg)
    finite = np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
    if not finite.any():
        return float("nan")
    difference = spread = 0.0
    for first, second in zip(before, after, strict=True):
        a, b = first[finite].astype(np.float64), second[finite].astype(np.float64)
        difference += float(np.square(a - b).sum())
        mean = (a.mean() + b.mean()) / 2
        spread += float(np.square(a - mean).sum() + np.square(b - mean).sum())
    return float(np.sqrt(difference / spread)) if difference > 0 else 0.0


def stage_differences(first: Activations, second: Activations) -> dict[str, float]:
    """Return the relative change of the input and of every stage between two images of one network."""
    maps = _input_and_features(second)
    return {stage: relative_change(features, maps[stage]) for stage, features in _input_and_features(first).items()}


def stage_changes(inspect: Callable[[int], Activations], frames: Iterable[int]) -> dict[str, NDArray[np.float64]]:
    """Measure the relative change of the input and of every stage from each frame to the next.

    Parameters
    ----------
    inspect
        Returns the activations for a frame index; may raise a ``BlankFrameError``.
    frames
        Indices of the frames, at least two.

    Returns
    -------
    dict
        Change of each pair of frames, (T - 1,) float64, by "input" and stage; NaN next to a blank frame.

    Raises
    ------
    DataError
        All frames are blank.
    """
    found: dict[str, list[float]] = {}
    before: Activations | None = None
    for number, t in enumerate(frames):
        try:
            now = inspect(t)
        except BlankFrameError:
            now = None
        if number:
            known = now or before
            stages = _input_and_features(known) if known else found
            values = stage_differences(before, now) if before and now else {}
            for stage in stages:
                found.setdefault(stage, [np.nan] * (number - 1)).append(values.get(stage, np.nan))
        before = now
    if not found:
        raise DataError(ALL_BLANK)
    return {stage: np.array(values) for stage, values in found.items()}


def stage_table(
    activations: Activations,
    colours: Mapping[str, StageColours],
    changes: Mapping[str, NDArray[np.float64]] | None = None,
) -> str:
    """Return shape, explained variance and mean change of the input and of every stage as CSV."""
    rows: list[list[object]] = []
    for stage, features in _input_and_features(activations).items():
        shares = list(colours[stage].basis.explained) if stage in colours else []
        known = (changes or {}).get(stage, np.array([]))
        known = known[np.isfinite(known)]
        rows.append([stage, *features.shape, *(shares + [""] * 3)[:3], float(known.mean()) if known.size else ""])
    return format_csv(["stage", "channels", "height", "width", "pc1", "pc2", "pc3", "change"], rows)


def change_table(changes: Mapping[str, Mapping[str, NDArray[np.float64]]], frames: Iterable[int]) -> str:
    """Return the change of every pair of frames as CSV, one per row; `changes` as for `stages.change_figure`."""
    pairs = list(frames)[:-1]
    rows = [
        [label, stage, frame, float(value)]
        for label, stages in changes.items()
        for stage, values in stages.items()
        for frame, value in zip(pairs, values, strict=True)
    ]
    return format_csv(["of", "stage", "frame", "change to the next frame"], rows)


def format_csv(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV; values that are not finite are left empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if isinstance(one, float) and not np.isfinite(one) else one for one in row])
    return file.getvalue()


def _input_and_features(activations: Activations) -> dict[str, NDArray[np.float32]]:
    return {INPUT: activations.image, **activations.features}
