"""Where a network stops being valid: its image disturbed more and more, and how far the prediction still holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.explorer.perturbation import Disturbance
from image_translation.metrics.correlation import describe, pearson

if TYPE_CHECKING:
    from image_translation.explorer.inspector import Inspector, NetworkInput


@dataclass(frozen=True, eq=False)
class Trial:
    """What a network makes of an image that is disturbed.

    Attributes
    ----------
    strength
        In the unit of the disturbance.
    image, truth, prediction
        Shape (C, Y, X), float32; the truth is moved with the image.
    pearson
        Correlation of the prediction with the truth, one number a channel.
    """

    strength: float
    image: NDArray[np.float32]
    truth: NDArray[np.float32]
    prediction: NDArray[np.float32]
    pearson: tuple[float, ...]


def strengths(disturbance: Disturbance, count: int = 7) -> tuple[float, ...]:
    """Spread strengths over all that make sense, with the one that leaves the image as it is among them."""
    spread = np.linspace(disturbance.least, disturbance.most, count)
    return tuple(sorted({*spread.round(6).tolist(), disturbance.neutral}))


def sweep(
    inspector: "Inspector", shown: "NetworkInput", disturbance: Disturbance, wanted: Iterable[float] | None = None
) -> list[Trial]:
    """Disturb an image step by step, and look what the network makes of it.

    Parameters
    ----------
    inspector
        The network.
    shown
        What it is shown undisturbed, with the truth.
    disturbance
        What is done to the image.
    wanted
        Strengths, as of `strengths` if None.

    Raises
    ------
    UsageError
        The truth is not known, or a strength makes no sense.
    """
    if shown.truth is None:
        channels = ", ".join(inspector.spec.output_channels)
        raise UsageError(f"the truth is not known: the movie has no channels {channels}, which the network predicts")
    trials = []
    for strength in strengths(disturbance) if wanted is None else wanted:
        image = disturbance.apply(shown.image, strength)
        truth = disturbance.apply(shown.truth, strength) if disturbance.moves else shown.truth
        prediction = inspector.see(replace(shown, image=image)).prediction
        found = pearson(describe(prediction), describe(truth))
        trials.append(Trial(strength, image, truth, prediction, tuple(found.tolist())))
    return trials


def range_of_validity(trials: Sequence[Trial], channel: int, neutral: float, kept: float = 0.95) -> tuple[float, float]:
    """Return between which strengths a channel keeps a share of its undisturbed correlation, without interruption.

    Parameters
    ----------
    trials
        In the order of their strengths, the neutral one among them.
    channel
        Index of the channel.
    neutral
        Strength that leaves the image as it is.
    kept
        The share.
    """
    here = next(index for index, trial in enumerate(trials) if trial.strength == neutral)
    least = kept * trials[here].pearson[channel]

    def reach(step: int) -> float:
        index = here
        while 0 <= index + step < len(trials) and trials[index + step].pearson[channel] >= least:
            index += step
        return trials[index].strength

    return reach(-1), reach(1)
