"""Range of validity of a network: accuracy of its prediction as the input is perturbed, and figures of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.explorer.perturbation import PERTURBATIONS, Perturbation
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
from image_translation.metrics.correlation import describe, pearson

if TYPE_CHECKING:
    from image_translation.explorer.inspector import Inspector, NetworkInput

_PANELS_PER_ROW = 3
_CHANNEL_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")


@dataclass(frozen=True, eq=False)
class Trial:
    """Prediction of a network for a perturbed input.

    Attributes
    ----------
    strength
        In the unit of the perturbation.
    image, truth, prediction
        Shape (C, Y, X), float32; the truth is transformed with the image if the perturbation is geometric.
    pearson
        Correlation of the prediction with the truth, one value per channel.
    """

    strength: float
    image: NDArray[np.float32]
    truth: NDArray[np.float32]
    prediction: NDArray[np.float32]
    pearson: tuple[float, ...]


def sample_strengths(perturbation: Perturbation, count: int = 7) -> tuple[float, ...]:
    """Return `count` equidistant strengths over the range of a perturbation, and the neutral one."""
    strengths = np.linspace(perturbation.minimum, perturbation.maximum, count)
    return tuple(sorted({*strengths.round(6).tolist(), perturbation.neutral}))


def sweep(
    inspector: "Inspector",
    network_input: "NetworkInput",
    perturbation: Perturbation,
    strengths: Iterable[float] | None = None,
) -> list[Trial]:
    """Run a network on an image perturbed at several strengths, and correlate its predictions with the truth.

    Parameters
    ----------
    inspector
        The network.
    network_input
        Unperturbed input, with the truth.
    perturbation
        Perturbation of the input.
    strengths
        Strengths; None takes those of `sample_strengths`.

    Raises
    ------
    UsageError
        There is no truth, or a strength is out of range.
    """
    if network_input.truth is None:
        channels = ", ".join(inspector.spec.output_channels)
        raise UsageError(f"there is no truth: the movie lacks the channels {channels} that the network predicts")
    trials = []
    for strength in sample_strengths(perturbation) if strengths is None else strengths:
        perturbed = network_input.perturbed(partial(perturbation.apply, strength=strength))
        truth = network_input.truth
        if perturbation.geometric:
            truth = perturbation.apply(truth, strength)
        prediction = inspector.run(perturbed).prediction
        found = pearson(describe(prediction), describe(truth))
        trials.append(Trial(strength, perturbed.image, truth, prediction, tuple(found.tolist())))
    return trials


def range_of_validity(trials: Sequence[Trial], channel: int, neutral: float, kept: float = 0.95) -> tuple[float, float]:
    """Return the contiguous range of strengths over which a channel keeps a share of its unperturbed correlation.

    Parameters
    ----------
    trials
        In the order of their strengths, including the neutral one.
    channel
        Index of the channel.
    neutral
        Strength that leaves the image unchanged.
    kept
        The share.
    """
    centre = next(index for index, trial in enumerate(trials) if trial.strength == neutral)
    threshold = kept * trials[centre].pearson[channel]

    def last_valid(step: int) -> float:
        index = centre
        while 0 <= index + step < len(trials) and trials[index + step].pearson[channel] >= threshold:
            index += step
        return trials[index].strength

    return last_valid(-1), last_valid(1)


def validity_figure(trials: Mapping[str, Sequence[Trial]], channels: Sequence[str]) -> Figure:
    """Plot the correlation with the truth over the strength of each perturbation.

    The band is the range in which the first channel keeps 95 % of its unperturbed correlation; a dotted line marks the
    neutral strength.

    Parameters
    ----------
    trials
        By name of the perturbation, in the order of their strengths.
    channels
        Names of the channels.
    """
    rows = -(-len(trials) // _PANELS_PER_ROW)
    figure = Figure(figsize=(FIGURE_WIDTH, 0.29 * FIGURE_WIDTH * rows + 0.2), layout="constrained")
    panels = figure.subplots(rows, _PANELS_PER_ROW, squeeze=False, sharey=True).ravel()
    for axes, (name, series) in zip(panels, trials.items(), strict=False):
        perturbation = PERTURBATIONS[name]
        axes.axvspan(*range_of_validity(series, 0, perturbation.neutral), color="#D9EBDD", linewidth=0)
        axes.axvline(perturbation.neutral, color="0.4", linestyle=":", linewidth=0.9)
        for channel, (label, colour) in enumerate(zip(channels, _CHANNEL_COLOURS, strict=False)):
            axes.plot(
                [trial.strength for trial in series], [trial.pearson[channel] for trial in series],
                marker=".", markersize=4, linewidth=1.2, color=colour, label=label.replace("$", r"\$"),
            )  # fmt: skip
        axes.set_title(name, **PLAIN_TEXT)
        axes.set_xlabel(perturbation.unit, fontsize=SMALL_SIZE)
        axes.grid(visible=True, linewidth=0.3, alpha=0.6)
        style_axes(axes)
    for axes in panels[len(trials) :]:
        axes.set_axis_off()
    for axes in panels[::_PANELS_PER_ROW]:
        axes.set_ylabel("Pearson with the truth", fontsize=TEXT_SIZE)
    panels[0].legend(fontsize=SMALL_SIZE, frameon=False)
    return figure


def trial_figure(trials: Sequence[Trial], channel: int, name: str) -> Figure:
    """Show input, prediction and truth, one column per strength.

    Parameters
    ----------
    trials
        Trials to show.
    channel
        Index of the predicted channel.
    name
        Name of the predicted channel.
    """
    side = FIGURE_WIDTH / len(trials)
    height, width = trials[0].image.shape[1:]
    figure = Figure(figsize=(FIGURE_WIDTH, 3 * side * height / width + 0.5), layout="constrained")
    grid = figure.subplots(3, len(trials), squeeze=False)
    inputs = display_window([trial.image[0] for trial in trials if np.isfinite(trial.image).all()][:1])
    predicted = display_window([trial.prediction[channel] for trial in trials])  # in the units of the network
    true = display_window([trial.truth[channel] for trial in trials])
    for column, trial in enumerate(trials):
        show_image(grid[0, column], trial.image[0], inputs, PHASE_CMAP)
        show_image(grid[1, column], trial.prediction[channel], predicted, STAIN_CMAP)
        show_image(grid[2, column], trial.truth[channel], true, STAIN_CMAP)
        grid[0, column].set_title(f"{trial.strength:.3g}", **PLAIN_TEXT)
        grid[1, column].set_title(f"r = {trial.pearson[channel]:.3f}", **PLAIN_TEXT)
    for axes, label in zip(grid[:, 0], ("input", f"{name}, predicted", f"{name}, true"), strict=True):
        axes.set_ylabel(label, **PLAIN_TEXT)
    for axes in grid.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure
