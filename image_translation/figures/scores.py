"""Figures of paired scores: boxes of all fields, and the best, the median and the worst field side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from image_translation.figures.style import (
    PHASE_COLOURS,
    PLAIN,
    SMALL,
    STAIN_COLOURS,
    TEXT,
    WIDTH,
    display_window,
    looks,
    show,
    style,
    text_length,
    wrap,
)
from image_translation.metrics.rows import EVERYWHERE, MEAN, OBJECTS, PIXELS, Row

Image = NDArray[np.float32]

_TITLES = {
    "pearson": "Pearson",
    "ssim": "SSIM",
    "psnr": "PSNR / dB",
    "mae": "mean abs. error",
    "dice": "Dice, objects",
    "jaccard": "Jaccard, objects",
    "ap_50": "AP at 0.5",
    "ap_75": "AP at 0.75",
    "count_error": "count error",
}
_PANELS = 5  # beside each other
_MOST_POINTS = 40


def plot_boxes(rows: Sequence[Row]) -> Figure:
    """Draw the spread of each score over the fields: one row of panels a channel, one box a prediction.

    Boxes reach from the first to the third quartile, whiskers to the extremes within 1.5 times that; below is what
    the mean of the truth would score.
    """
    channels = list(dict.fromkeys(row.channel for row in rows))
    lines = [
        (channel, names)
        for channel in channels
        for names in (PIXELS, OBJECTS)
        if any(row.channel == channel and row.metric in names for row in rows)
    ]
    figure = Figure(figsize=(WIDTH, 0.31 * WIDTH * len(lines)), layout="constrained")
    methods = [name for name in dict.fromkeys(row.method for row in rows if row.position != EVERYWHERE) if name != MEAN]
    drawn = looks(methods)
    for axes_row, (channel, names) in zip(figure.subplots(len(lines), _PANELS, squeeze=False), lines, strict=True):
        for axes, name in zip(axes_row, (*names, *(None,) * (_PANELS - len(names))), strict=True):
            if name is None:
                axes.set_axis_off()
                continue
            values = {method: _values(rows, channel, method, name) for method in methods}
            _boxes(axes, values, {method: look.colour for method, look in drawn.items()})
            known = [value for value in _values(rows, channel, MEAN, name) if isfinite(value)]
            if known:
                axes.set_xlabel(f"{MEAN}:\n{np.mean(known):.3g}", fontsize=SMALL, color="0.35")
            axes.set_title(_TITLES[name], **PLAIN)
            style(axes)
        axes_row[0].set_ylabel(channel, **PLAIN)
    if len(methods) > 1:
        handles = [_entry(method, drawn[method].colour) for method in methods]
        longest = max(text_length(method, SMALL) for method in methods)
        columns = max(1, min(4, len(methods), int(WIDTH / (longest + 0.6))))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=SMALL, frameon=False)
    return figure


@dataclass(frozen=True)
class FieldView:
    """One field for `plot_fields`.

    Attributes
    ----------
    title
        What it is, such as "worst".
    source
        What it was predicted from, (Y, X), if that is known.
    truth
        True image, (Y, X).
    predicted
        Predictions in the unit of the truth, by name.
    captions
        What is written above each prediction.
    objects
        Objects in the truth (under the name of nothing, "") and in each prediction, (Y, X), if there are any.
    """

    title: str
    source: Image | None
    truth: Image
    predicted: Mapping[str, Image]
    captions: Mapping[str, str]
    objects: Mapping[str, NDArray[np.int32]]


def plot_fields(views: Sequence[FieldView]) -> Figure:
    """Show fields side by side with their predictions, in one scale, with the outlines of the objects."""
    methods = list(views[0].predicted)
    first = any(view.source is not None for view in views)
    columns = first + 1 + len(methods)
    height, width = views[0].truth.shape
    side = min(WIDTH / columns, WIDTH / 3)
    tall = side * min(max(height / width, 0.1), 4)  # of strips, the layout or the page would know no end
    figure = Figure(figsize=(columns * side, (tall + 0.24) * len(views)), layout="constrained")
    for row, view in zip(figure.subplots(len(views), columns, squeeze=False), views, strict=True):
        window = display_window([view.truth])
        drawn = iter(row)
        if first:
            axes = next(drawn)
            _title(axes, view.title, side)
            if view.source is not None:
                show(axes, view.source, display_window([view.source]), PHASE_COLOURS)
        images = {"": view.truth, **view.predicted}
        captions = {"": "truth" if first else f"{view.title}: truth", **view.captions}
        for name, image in images.items():
            axes = next(drawn)
            show(axes, image, window, STAIN_COLOURS)
            if name in view.objects:
                _outline(axes, view.objects[name])
            _title(axes, captions[name], side)
        for axes in row:
            axes.set_axis_off()
    return figure


def _entry(label: str, colour: str) -> Patch:
    return Patch(facecolor=colour, alpha=0.5, edgecolor=colour, label=label.replace("$", r"\$"))


def _values(rows: Sequence[Row], channel: str, method: str, name: str) -> list[float]:
    return [row.value for row in rows if (row.channel, row.method, row.metric) == (channel, method, name)]


def _boxes(axes: Axes, values: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> None:
    rng = np.random.default_rng(0)
    for place, (method, found) in enumerate(values.items()):
        known = [value for value in found if isfinite(value)]  # identical images have an infinite PSNR
        if not known:
            continue
        box = axes.boxplot(
            known, positions=[place], widths=0.6, patch_artist=True, showfliers=len(known) > _MOST_POINTS
        )
        for patch in box["boxes"]:
            patch.set(facecolor=colours[method], alpha=0.3, edgecolor=colours[method])
        for line in (*box["medians"], *box["whiskers"], *box["caps"]):
            line.set(color=colours[method], linewidth=1.0)
        if len(known) <= _MOST_POINTS:
            places = place + rng.uniform(-0.18, 0.18, len(known))
            axes.plot(places, known, ".", color=colours[method], markersize=3, alpha=0.8)
    axes.set_xticks([])
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.margins(y=0.16)
    axes.grid(visible=True, axis="y", linewidth=0.3, alpha=0.6)


def _title(axes: Axes, text: str, width: float) -> None:
    axes.set_title("\n".join(wrap(text, 0.94 * width, TEXT, 3)), **PLAIN)


def _outline(axes: Axes, objects: NDArray[np.int32]) -> None:
    edges = find_boundaries(objects, mode="inner")
    overlay = np.zeros((*objects.shape, 4), np.float32)
    overlay[edges] = (0.35, 1.0, 0.6, 0.9)
    axes.imshow(overlay, interpolation="nearest")
