"""One sentence about each column of a score card, for tooltips; ``docs/metrics.md`` says more."""

from image_translation.metrics.rows import AGREEMENT_WITH_RAW

_REFERENCE = "the true stain, or without one to the raw prediction"
_EXPLANATIONS = {
    "flicker": "Change from frame to frame that motion does not explain, relative to that of raw.",
    "flicker_fast": "Flicker of the fastest quarter of the pixels of cells.",
    "pearson": f"Pearson correlation with {_REFERENCE}: mean over the frames.",
    "pearson_worst": "Correlation in the worst frames: 5th percentile.",
    "pearson_min": "Correlation in the worst frame.",
    "pearson_ends": "Correlation in the first and the last three frames.",
    "pearson_events": "Correlation where cells divide, appear or detach.",
    "pearson_fast": "Correlation where cells are fast.",
    "ssim": "Structural similarity to the true stain.",
    "coherence": f"Correlation of fine, medium and coarse detail with {_REFERENCE}: mean of the three.",
    "displacement": "Shift against the raw prediction, and so against the phase, in pixels.",
    "displacement_local": "Shift of tiles of 64 pixels against the raw prediction, in pixels.",
    "detail": "Part of the real detail of raw that is kept; blur and ghosts lower it.",
    "sharpness": "Energy of edges, relative to raw, whose noise counts; much above 1 means artefacts.",
    "over_smoothing": "Adjacent-frame correlation above that of the true stain, or without one of the phase.",
    "lag": "Delay against the raw prediction, in frames.",
    "drift": "Change of the mean brightness against raw over the movie, in units of raw's contrast.",
    "gain_flicker": "Change of contrast from frame to frame; 0.05 is 5 %.",
    "count_jitter": "Relative change of the number of nuclei from frame to frame.",
    "area_jitter": "Relative change of the area of a nucleus from frame to frame.",
    "intensity_jitter": "Relative change of the intensity of a nucleus from frame to frame.",
    "tracking_tra": "TRA of the Cell Tracking Challenge: how few edits turn the tracks into the true ones.",
    "tracking_seg": "SEG of the Cell Tracking Challenge: overlap of the segmented nuclei with the true ones.",
    "complete_tracks": "Part of the true tracks that were found from their first to their last frame.",
    "identity_switches": "How often a nucleus goes on as another one.",
    "missed_links": "True links from frame to frame that were not found.",
    "false_links": "Links from frame to frame that are not true.",
}


def explain(column: str) -> str:
    """Return a sentence about a column of `criteria.COLUMNS`.

    Raises
    ------
    KeyError
        If there is no such column.
    """
    text = _EXPLANATIONS[column.removesuffix(AGREEMENT_WITH_RAW)]
    return f"{text} Measured against the tracks of raw." if column.endswith(AGREEMENT_WITH_RAW) else text
