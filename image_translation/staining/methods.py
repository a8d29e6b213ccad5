"""The temporal methods by name, and the options that decide the pixels of each."""

from image_translation.metrics.rows import RAW

METHODS = (RAW, "window", "savgol", "median", "motion", "causal")


RECOMMENDED = "motion"


DEFAULT_METHODS = (RAW, "window", "savgol", RECOMMENDED)


PARAMETERS: dict[str, dict[str, str]] = {
    RAW: {},
    "window": {"window": "window"},
    "savgol": {"window": "savgol_window", "polyorder": "savgol_polyorder"},
    "median": {"window": "median_window"},
    "motion": {"window": "motion_window", "keep_shake": "keep_shake"},
    "causal": {"lag": "causal_lag", "keep_shake": "keep_shake"},
}
"""Of each method the parameters that decide its pixels, and the options that they come from."""
