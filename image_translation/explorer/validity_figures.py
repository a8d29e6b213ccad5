"""Figures of the regime of validity: trials in, curves and pictures out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from image_translation.explorer.perturbation import DISTURBANCES
from image_translation.explorer.validity import Trial, range_of_validity
from image_translation.figures.style import (
    PHASE_COLOURS,
    PLAIN,
    SMALL,
    STAIN_COLOURS,
    TEXT,
    WIDTH,
    display_window,
    show,
    style,
)

_ACROSS = 3
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")


def plot_validity(trials: Mapping[str, Sequence[Trial]], channels: Sequence[str]) -> Figure:
    """Plot the correlation with the truth over the strength of each disturbance.

    The band is where the first channel keeps 95 % of what it has undisturbed, which a dotted line marks.

    Parameters
    ----------
    trials
        By the name of the disturbance, in the order of their strengths.
    channels
        Names of the channels.
    """
    rows = -(-len(trials) // _ACROSS)
    figure = Figure(figsize=(WIDTH, 0.29 * WIDTH * rows + 0.2), layout="constrained")
    panels = figure.subplots(rows, _ACROSS, squeeze=False, sharey=True).ravel()
    for axes, (name, tried) in zip(panels, trials.items(), strict=False):
        disturbance = DISTURBANCES[name]
        axes.axvspan(*range_of_validity(tried, 0, disturbance.neutral), color="#D9EBDD", linewidth=0)
        axes.axvline(disturbance.neutral, color="0.4", linestyle=":", linewidth=0.9)
        for channel, (label, colour) in enumerate(zip(channels, _COLOURS, strict=False)):
            axes.plot(
                [trial.strength for trial in tried], [trial.pearson[channel] for trial in tried],
                marker=".", markersize=4, linewidth=1.2, color=colour, label=label.replace("$", r"\$"),
            )  # fmt: skip
        axes.set_title(name, **PLAIN)
        axes.set_xlabel(disturbance.unit, fontsize=SMALL)
        axes.grid(visible=True, linewidth=0.3, alpha=0.6)
        style(axes)
    for axes in panels[len(trials) :]:
        axes.set_axis_off()
    for axes in panels[::_ACROSS]:
        axes.set_ylabel("Pearson with the truth", fontsize=TEXT)
    panels[0].legend(fontsize=SMALL, frameon=False)
    return figure


def plot_trials(trials: Sequence[Trial], channel: int, name: str) -> Figure:
    """Show what goes in, what comes out and the truth, one column a strength.

    Parameters
    ----------
    trials
        What is shown.
    channel
        Index of the predicted channel.
    name
        Its name.
    """
    side = WIDTH / len(trials)
    height, width = trials[0].image.shape[1:]
    figure = Figure(figsize=(WIDTH, 3 * side * height / width + 0.5), layout="constrained")
    grid = figure.subplots(3, len(trials), squeeze=False)
    inputs = display_window([trial.image[0] for trial in trials if np.isfinite(trial.image).all()][:1])
    predicted = display_window([trial.prediction[channel] for trial in trials])  # in the network's own unit
    true = display_window([trial.truth[channel] for trial in trials])
    for column, trial in enumerate(trials):
        show(grid[0, column], trial.image[0], inputs, PHASE_COLOURS)
        show(grid[1, column], trial.prediction[channel], predicted, STAIN_COLOURS)
        show(grid[2, column], trial.truth[channel], true, STAIN_COLOURS)
        grid[0, column].set_title(f"{trial.strength:.3g}", **PLAIN)
        grid[1, column].set_title(f"r = {trial.pearson[channel]:.3f}", **PLAIN)
    for axes, label in zip(grid[:, 0], ("input", f"{name}, predicted", f"{name}, true"), strict=True):
        axes.set_ylabel(label, **PLAIN)
    for axes in grid.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure
