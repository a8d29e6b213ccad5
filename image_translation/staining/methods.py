"""Smoothing methods by name: the temporal filter behind each, and the options that decide its pixels.

To add a method: an entry here, its options in ``SmoothOptions`` and ``cli.smooth``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from image_translation.metrics.rows import RAW
from image_translation.temporal.filter import TemporalFilter
from image_translation.temporal.linear import SavitzkyGolay, moving_average
from image_translation.temporal.median import MedianFilter
from image_translation.temporal.motion_filter import causal, centred


@dataclass(frozen=True)
class Method:
    """One way of smoothing.

    Attributes
    ----------
    make
        Returns a new filter, given its parameters by keyword.
    options
        Name of each parameter, as it is stored in the provenance, -> the field of ``SmoothOptions`` that sets it.
    version
        Version of the algorithm, which is stored with the parameters from the second on. A change of the algorithm that
        changes pixels gets a new one, so that results of two versions are not taken for each other.
    """

    make: Callable[..., TemporalFilter]
    options: Mapping[str, str]
    version: int = 1


SMOOTHING: dict[str, Method] = {
    "window": Method(moving_average, {"window": "window"}),
    "savgol": Method(SavitzkyGolay, {"window": "savgol_window", "polyorder": "savgol_polyorder"}),
    "median": Method(MedianFilter, {"window": "median_window"}),
    "motion": Method(centred, {"window": "motion_window"}, version=3),
    "causal": Method(causal, {"lag": "causal_lag"}, version=3),
}
METHODS = (RAW, *SMOOTHING)
"""Names of all results that a run can write; ``raw`` is the prediction itself."""

RECOMMENDED = "motion"
DEFAULT_METHODS = (RAW, "window", "savgol", RECOMMENDED)


def options_of(method: str) -> Mapping[str, str]:
    """Return the parameters of a method and the options that set them; none for ``raw``."""
    return SMOOTHING[method].options if method in SMOOTHING else {}


def version_of(method: str) -> dict[str, int]:
    """Return the version of a method as it is stored with its parameters; empty for the first one."""
    version = SMOOTHING[method].version if method in SMOOTHING else 1
    return {"version": version} if version > 1 else {}
