"""Figures of a training run: learning curves, and predictions of validation fields."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from image_translation.figures.style import (
    FIGURE_WIDTH,
    PHASE_CMAP,
    PLAIN_TEXT,
    SMALL_SIZE,
    STAIN_CMAP,
    TEXT_SIZE,
    display_window,
    show_image,
    style_axes,
)

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
_PEARSON = "pearson/"


def learning_curve_figure(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Plot the learning curves.

    Parameters
    ----------
    rows
        One per validation: ``step``, ``loss/train``, ``loss/validation``, ``pearson/CHANNEL``, ``rate``.

    Returns
    -------
    Figure
        Loss, Pearson correlation of the validation fields, and learning rate, over the steps.
    """
    figure = Figure(figsize=(FIGURE_WIDTH, 0.36 * FIGURE_WIDTH), layout="constrained")
    losses, scores, rates = figure.subplots(1, 3)
    steps = [row["step"] for row in rows]
    points = {"marker": ".", "markersize": 3, "linewidth": 1.2}
    for name, label, colour, line in (
        ("loss/train", "training patches", "#7F7F7F", "--"),
        ("loss/validation", "validation fields", "#000000", "-"),
    ):
        losses.plot(steps, [row[name] for row in rows], color=colour, linestyle=line, label=label, **points)
    best = min(rows, key=lambda row: row["loss/validation"])
    losses.plot(
        best["step"], best["loss/validation"], marker="o", markersize=6, fillstyle="none", color="#D55E00",
        linestyle="none", label="best",
    )  # fmt: skip
    values = [row[name] for row in rows for name in ("loss/train", "loss/validation")]
    if max(values) > 10 * min(values):
        losses.set_yscale("log")
    names = [name for name in rows[0] if name.startswith(_PEARSON)]
    for name, colour in zip(names, _COLOURS * len(names), strict=False):
        values = [row[name] for row in rows]
        label = f"{name.removeprefix(_PEARSON)} {values[-1]:.3f}".replace("$", r"\$")
        scores.plot(steps, values, color=colour, label=label, **points)
    rates.plot(steps, [row["rate"] for row in rows], color="#000000", **points)
    for axes, title in ((losses, "Loss"), (scores, "Pearson, validation fields"), (rates, "Learning rate")):
        axes.set_title(title, **PLAIN_TEXT)
        axes.set_xlabel("step", fontsize=TEXT_SIZE)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(visible=True, linewidth=0.3, which="both", alpha=0.6)
        style_axes(axes)
    for axes in (losses, scores):
        axes.legend(fontsize=SMALL_SIZE, frameon=False)
    rates.ticklabel_format(axis="y", scilimits=(-3, 3))
    rates.yaxis.get_offset_text().set_fontsize(SMALL_SIZE)
    return figure


def example_figure(
    examples: Sequence[Mapping[str, NDArray[np.float32]]], source: Sequence[str], target: Sequence[str]
) -> Figure:
    """Show sources, truth and predictions side by side, one row per field.

    Parameters
    ----------
    examples
        ``source``, ``target`` and ``predicted`` of each field, (C, Y, X) float32; truth and prediction share a display
        window.
    source, target
        Names of the channels.
    """
    columns = len(source) + 2 * len(target)
    side = FIGURE_WIDTH / columns
    figure = Figure(figsize=(FIGURE_WIDTH, (side + 0.22) * len(examples)), layout="constrained")
    panels = figure.subplots(len(examples), columns, squeeze=False)
    for row, example in zip(panels, examples, strict=True):
        axes_of_row = iter(row)
        for name, image in zip(source, example["source"], strict=True):
            axes = next(axes_of_row)
            show_image(axes, image, display_window([image]), PHASE_CMAP)
            axes.set_title(name, **PLAIN_TEXT)
        for name, truth, predicted in zip(target, example["target"], example["predicted"], strict=True):
            window = display_window([truth])
            correlation = np.corrcoef(truth.ravel(), predicted.ravel())[0, 1]
            for image, title in ((truth, f"{name}, true"), (predicted, f"predicted, r = {correlation:.3f}")):
                axes = next(axes_of_row)
                show_image(axes, image, window, STAIN_CMAP)
                axes.set_title(title, **PLAIN_TEXT)
    for axes in panels.ravel():
        axes.set_axis_off()
    return figure
