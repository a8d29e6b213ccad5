"""Figures of paired scores: box plots over all fields, and example fields with their predictions."""

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
    FIGURE_WIDTH,
    PHASE_CMAP,
    PLAIN_TEXT,
    SMALL_SIZE,
    STAIN_CMAP,
    TEXT_SIZE,
    display_window,
    method_styles,
    show_image,
    style_axes,
    text_width,
    wrap_text,
)
from image_translation.metrics.rows import ALL_POSITIONS, MEAN_OF_TRUTH, OBJECT_METRICS, PIXEL_METRICS, Row

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
_PANELS_PER_ROW = 5
_MAX_POINTS = 40  # up to which every field is drawn as a point


def box_plot_figure(rows: Sequence[Row]) -> Figure:
    """Draw box plots of each score over the fields: one row of panels per channel, one box per prediction.

    Boxes span the first to the third quartile; whiskers reach the furthest values within 1.5 interquartile ranges. The
    score of the mean of the truth is given below each panel.
    """
    channels = list(dict.fromkeys(row.channel for row in rows))
    lines = [
        (channel, names)
        for channel in channels
        for names in (PIXEL_METRICS, OBJECT_METRICS)
        if any(row.channel == channel and row.metric in names for row in rows)
    ]
    figure = Figure(figsize=(FIGURE_WIDTH, 0.31 * FIGURE_WIDTH * len(lines)), layout="constrained")
    methods = [
        name
        for name in dict.fromkeys(row.method for row in rows if row.position != ALL_POSITIONS)
        if name != MEAN_OF_TRUTH
    ]
    styles = method_styles(methods)
    for axes_row, (channel, names) in zip(
        figure.subplots(len(lines), _PANELS_PER_ROW, squeeze=False), lines, strict=True
    ):
        for axes, name in zip(axes_row, (*names, *(None,) * (_PANELS_PER_ROW - len(names))), strict=True):
            if name is None:
                axes.set_axis_off()
                continue
            values = {method: _values(rows, channel, method, name) for method in methods}
            _boxes(axes, values, {method: style.colour for method, style in styles.items()})
            known = [value for value in _values(rows, channel, MEAN_OF_TRUTH, name) if isfinite(value)]
            if known:
                axes.set_xlabel(f"{MEAN_OF_TRUTH}:\n{np.mean(known):.3g}", fontsize=SMALL_SIZE, color="0.35")
            axes.set_title(_TITLES[name], **PLAIN_TEXT)
            style_axes(axes)
        axes_row[0].set_ylabel(channel, **PLAIN_TEXT)
    if len(methods) > 1:
        handles = [_legend_patch(method, styles[method].colour) for method in methods]
        longest = max(text_width(method, SMALL_SIZE) for method in methods)
        columns = max(1, min(4, len(methods), int(FIGURE_WIDTH / (longest + 0.6))))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=SMALL_SIZE, frameon=False)
    return figure


@dataclass(frozen=True)
class FieldView:
    """A field with its truth and predictions, for `field_figure`.

    Attributes
    ----------
    title
        Title of the field, such as "worst".
    source
        Input of the prediction, (Y, X), or None if it is unknown.
    truth
        True image, (Y, X).
    predicted
        Predictions, (Y, X), in the unit of the truth, by name.
    captions
        Title of each prediction, by name.
    objects
        Label images, (Y, X), of the predictions by name, and of the truth under the empty name; may lack any of them.
    """

    title: str
    source: Image | None
    truth: Image
    predicted: Mapping[str, Image]
    captions: Mapping[str, str]
    objects: Mapping[str, NDArray[np.int32]]


def field_figure(views: Sequence[FieldView]) -> Figure:
    """Show fields in rows: source, truth and predictions in the display window of the truth, with object outlines."""
    methods = list(views[0].predicted)
    with_source = any(view.source is not None for view in views)
    columns = with_source + 1 + len(methods)
    height, width = views[0].truth.shape
    side = min(FIGURE_WIDTH / columns, FIGURE_WIDTH / 3)
    row_height = side * min(max(height / width, 0.1), 4)  # bounded for very long or wide fields
    figure = Figure(figsize=(columns * side, (row_height + 0.24) * len(views)), layout="constrained")
    for row, view in zip(figure.subplots(len(views), columns, squeeze=False), views, strict=True):
        window = display_window([view.truth])
        panels = iter(row)
        if with_source:
            axes = next(panels)
            _title(axes, view.title, side)
            if view.source is not None:
                show_image(axes, view.source, display_window([view.source]), PHASE_CMAP)
        images = {"": view.truth, **view.predicted}
        captions = {"": "truth" if with_source else f"{view.title}: truth", **view.captions}
        for name, image in images.items():
            axes = next(panels)
            show_image(axes, image, window, STAIN_CMAP)
            if name in view.objects:
                _outline(axes, view.objects[name])
            _title(axes, captions[name], side)
        for axes in row:
            axes.set_axis_off()
    return figure


def _legend_patch(label: str, colour: str) -> Patch:
    return Patch(facecolor=colour, alpha=0.5, edgecolor=colour, label=label.replace("$", r"\$"))


def _values(rows: Sequence[Row], channel: str, method: str, name: str) -> list[float]:
    return [row.value for row in rows if (row.channel, row.method, row.metric) == (channel, method, name)]


def _boxes(axes: Axes, values: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> None:
    rng = np.random.default_rng(0)
    for place, (method, scores) in enumerate(values.items()):
        known = [value for value in scores if isfinite(value)]  # identical images have an infinite PSNR
        if not known:
            continue
        box = axes.boxplot(known, positions=[place], widths=0.6, patch_artist=True, showfliers=len(known) > _MAX_POINTS)
        for patch in box["boxes"]:
            patch.set(facecolor=colours[method], alpha=0.3, edgecolor=colours[method])
        for line in (*box["medians"], *box["whiskers"], *box["caps"]):
            line.set(color=colours[method], linewidth=1.0)
        if len(known) <= _MAX_POINTS:
            places = place + rng.uniform(-0.18, 0.18, len(known))
            axes.plot(places, known, ".", color=colours[method], markersize=3, alpha=0.8)
    axes.set_xticks([])
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.margins(y=0.16)
    axes.grid(visible=True, axis="y", linewidth=0.3, alpha=0.6)


def _title(axes: Axes, text: str, width: float) -> None:
    axes.set_title("\n".join(wrap_text(text, 0.94 * width, TEXT_SIZE, 3)), **PLAIN_TEXT)


def _outline(axes: Axes, objects: NDArray[np.int32]) -> None:
    edges = find_boundaries(objects, mode="inner")
    overlay = np.zeros((*objects.shape, 4), np.float32)
    overlay[edges] = (0.35, 1.0, 0.6, 0.9)
    axes.imshow(overlay, interpolation="nearest")
