"""Flicker by cause: how focus, texture, illumination, gain and position fluctuate from frame to frame.

Each cause has random numbers of its own, so that adding one changes nothing else in a frame. A fluctuation depends on
the specification and the index of the frame only.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from image_translation.simulation.spec import MovieSpec

Cause = Literal["defocus", "focal_tilt", "texture", "gain", "background", "halo", "lateral", "stage"]

FLICKER_PRESET: Mapping[Cause, float] = MappingProxyType({
    "defocus": 0.05,
    "focal_tilt": 0.0,
    "texture": 0.0,
    "gain": 0.01,
    "background": 0.0,
    "halo": 0.05,
    "lateral": 0.3,
    "stage": 0.0,
})  # fmt: skip
"""Strength of each cause in a movie of `flicker` 1, in the unit of its field of `MovieSpec`.

As measured in a movie of quantitative phase, rounded (``benchmarks.flicker_causes``). The movie does not show whether
the stage moves or the phase only; its shift is counted as that of the phase.
"""

_FIELDS: Mapping[Cause, str] = {cause: f"{cause}_jitter" for cause in FLICKER_PRESET} | {
    "defocus": "focus_jitter",
    "focal_tilt": "focus_jitter",
}
_STREAMS: Mapping[Cause, int] = {cause: number for number, cause in enumerate(FLICKER_PRESET)}
_DRIFT_PERIOD = 60.0  # frames, typical period of slow drifts


def strength(spec: MovieSpec, cause: Cause) -> float:
    """Return the strength of a cause: its own field plus its share of `flicker`."""
    return float(getattr(spec, _FIELDS[cause]) + FLICKER_PRESET[cause] * spec.flicker)


def fluctuation(
    spec: MovieSpec, cause: Cause, t: int, count: int = 1, *, common_drift: bool = False
) -> NDArray[np.float64]:
    """Draw numbers of mean 0 and the strength of a cause as standard deviation, all zero without the cause.

    Half of their variance is independent in each frame, half a slow drift.

    Parameters
    ----------
    spec
        Parameters of the movie.
    cause
        The cause of flicker.
    t
        Index of the frame.
    count
        Number of independent fluctuations.
    common_drift
        Whether they have the same slow drift.

    Returns
    -------
    NDArray[np.float64]
        Shape (count,).
    """
    scale = strength(spec, cause)
    if not scale:
        return np.zeros(count)
    slow = np.random.default_rng([spec.seed, 6, _STREAMS[cause]])
    drifts = 1 if common_drift else count
    phase, rate = slow.uniform(0, 2 * np.pi, drifts), slow.uniform(0.6, 1.4, drifts) * 2 * np.pi / _DRIFT_PERIOD
    fast = frame_generator(spec, cause, t).standard_normal(count)
    return np.asarray(scale * (np.sqrt(0.5) * fast + np.sin(phase + rate * t)))


def stage_shift(spec: MovieSpec, t: int) -> NDArray[np.float64]:
    """Return the shift (dy, dx) of frame `t` by stage jitter, in pixels: (2,), independent from frame to frame."""
    return np.asarray(strength(spec, "stage") * frame_generator(spec, "stage", t).standard_normal(2))


def lateral_shift(spec: MovieSpec, t: int) -> NDArray[np.float64]:
    """Return the shift (dy, dx) of the phase of frame `t` against the truth, in pixels: (2,)."""
    return fluctuation(spec, "lateral", t, 2)


def frame_generator(spec: MovieSpec, cause: Cause, t: int) -> np.random.Generator:
    """Return the generator of the random numbers of a cause that are independent in each frame."""
    return np.random.default_rng([spec.seed, 7, _STREAMS[cause], t])
