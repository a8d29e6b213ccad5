"""Names of the scores against the truth, and of what they are of."""

PIXELS = ("pearson", "ssim", "psnr", "mae")
AP_THRESHOLDS = (0.5, 0.75)
OBJECTS = ("dice", "jaccard", *(f"ap_{round(100 * least)}" for least in AP_THRESHOLDS), "count_error")
COUNTS = ("count_true", "count_predicted")

MEAN = "mean of the truth"
"""Name of a prediction that knows nothing: everywhere the mean of all true images."""

EVERYWHERE = "*"
"""Position of a row that is of all images together."""
