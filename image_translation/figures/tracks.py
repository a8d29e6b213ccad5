"""Tracks of nuclei: their paths over the last frame, and their lives as bars over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from image_translation.figures.style import (
    FIGURE_WIDTH,
    PHASE_CMAP,
    PLAIN_TEXT,
    add_scale_bar,
    display_window,
    frame_locator,
    show_image,
    style_axes,
)

_TAIL = 30  # frames of a path, at most: more would hide the image
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#4477FF")  # on grey images
_SIDE, _MARGIN, _TITLE, _BOTTOM = 3.2, 0.45, 0.25, 0.4  # inches
_TITLE_WIDTH = 2.6


@dataclass(frozen=True, slots=True, eq=False)
class TrackRows:
    """Nuclei of all frames, N rows in the order of the frames.

    Attributes
    ----------
    frame
        Index of the frame, (N,) int64.
    y, x
        Centroid in pixels, (N,) float64.
    track, root
        Track, and first track of the lineage, (N,) int64.
    parents
        By track, the track that divided into it.
    """

    frame: NDArray[np.int64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    track: NDArray[np.int64]
    root: NDArray[np.int64]
    parents: Mapping[int, int]


def tracks_figure(
    image: NDArray[np.float32],
    last: int,
    rows: TrackRows,
    *,
    length: int,
    invalid: Sequence[int] = (),
    channel: str = "",
    pixel_size: float | None = None,
) -> Figure:
    """Draw tracks over a frame, and as bars over time; the colours are those of the lineages.

    Parameters
    ----------
    image
        The last valid frame, (Y, X) float32.
    last
        Its index.
    rows
        The nuclei.
    length
        Number of frames.
    invalid
        Indices of invalid frames.
    channel
        Name of the channel.
    pixel_size
        In micrometres, if known.
    """
    height, width = image.shape
    shown = min(_SIDE, _SIDE * height / width)
    size = (FIGURE_WIDTH, shown + _TITLE + _BOTTOM)
    figure = Figure(figsize=size)

    def add(left: float, wide: float) -> Axes:
        return figure.add_axes((left / size[0], _BOTTOM / size[1], wide / size[0], shown / size[1]))

    wide = max(_TITLE_WIDTH, shown * width / height)  # a narrow image is centred below its title
    axes = add(0.1, wide)
    axes.set(xticks=[], yticks=[])
    show_image(axes, image, display_window([image]), PHASE_CMAP)
    _draw_paths(axes, rows, last)
    if pixel_size:
        add_scale_bar(axes, width, pixel_size)
    begin = max(0, last - _TAIL)
    axes.set_title(f"{channel}, frame {last}, and tracks since frame {begin}", **PLAIN_TEXT)
    left = 0.1 + wide + _MARGIN
    bars = add(left, size[0] - left - 0.1)
    _draw_lives(bars, rows, length, invalid)
    return figure


def _colour(root: int) -> str:
    return _COLOURS[root % len(_COLOURS)]


def _by_track(rows: TrackRows) -> dict[int, NDArray[np.intp]]:
    """Return the rows of each track, in the order of the frames."""
    order = np.argsort(rows.track, kind="stable")
    tracks, starts = np.unique(rows.track[order], return_index=True)
    return dict(zip(tracks.tolist(), np.split(order, starts)[1:], strict=True))


def _draw_paths(axes: Axes, rows: TrackRows, last: int) -> None:
    """Draw the paths of the last frames, with a dot where the nucleus is now."""
    recent = rows.frame >= last - _TAIL
    members = {track: inside[recent[inside]] for track, inside in _by_track(rows).items()}
    ends = {track: inside[-1] for track, inside in _by_track(rows).items()}
    lines, colours = [], []
    for track, inside in members.items():
        if not inside.size:
            continue
        parent = rows.parents.get(track)
        path = np.concatenate([[ends[parent]], inside]) if parent else inside
        lines.append(np.stack([rows.x[path], rows.y[path]], axis=-1))
        colours.append(_colour(int(rows.root[inside[0]])))
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=1.1))
    now = rows.frame == last
    axes.scatter(rows.x[now], rows.y[now], s=9, c=[_colour(root) for root in rows.root[now].tolist()], linewidths=0)


def _draw_lives(axes: Axes, rows: TrackRows, length: int, invalid: Sequence[int]) -> None:
    """Draw a bar for each track, the daughters beside their mother; gaps are where the nucleus is missing."""
    members = _by_track(rows)
    places = {track: place for place, track in enumerate(_in_order(members, rows.parents))}
    lines, colours = [], []
    for track, inside in members.items():
        place, frames = places[track], rows.frame[inside]
        runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
        segments = [[(run[0] - 0.4, place), (run[-1] + 0.4, place)] for run in runs]
        if track in rows.parents:
            segments.append([(frames[0] - 0.5, places[rows.parents[track]]), (frames[0] - 0.5, place)])
        lines += segments
        colours += [_colour(int(rows.root[inside[0]]))] * len(segments)
    width = float(np.clip(120 / max(1, len(places)), 0.6, 3))
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=width, capstyle="butt"))
    for t in invalid:
        axes.axvspan(t - 0.5, t + 0.5, color="0.85", linewidth=0)
    axes.set(xlim=(-0.5, length - 0.5), ylim=(len(places), -1), yticks=[])
    axes.xaxis.set_major_locator(frame_locator())
    axes.set_xlabel("frame", **PLAIN_TEXT)
    axes.set_facecolor("0.2")
    divisions = len(set(rows.parents.values()))
    counts = f"{len(places)} tracks, {divisions} division{'s'[: divisions != 1]}"
    axes.set_title(f"{counts}{'; invalid frames in grey' if invalid else ''}", **PLAIN_TEXT)
    style_axes(axes)


def _in_order(tracks: Mapping[int, object], parents: Mapping[int, int]) -> list[int]:
    """Return tracks so that a mother lies between her daughters, and lineages follow each other by their beginning."""
    children: dict[int, list[int]] = {}
    for track, parent in parents.items():
        children.setdefault(parent, []).append(track)
    places: list[int] = []
    pending = [(track, False) for track in sorted(tracks, reverse=True) if track not in parents]
    while pending:
        track, opened = pending.pop()
        own = sorted(children.get(track, ()))
        if opened or not own:
            places.append(track)
            continue
        middle = len(own) // 2
        pending += [(child, False) for child in reversed(own[middle:])]
        pending += [(track, True)]
        pending += [(child, False) for child in reversed(own[:middle])]
    return places
