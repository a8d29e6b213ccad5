from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from image_translation.metrics.frame_scores import describe_frame, score_adjacent, score_frame
from image_translation.metrics.reference import match_intensity


def image(seed=0, shape=(2, 48, 60)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_sharpness_decreases_with_blur():
    raw = image()
    references = {"raw": [describe_frame(raw)]}
    frames = [describe_frame(gaussian_filter(raw, (0, s, s))) for s in (0, 0.4, 0.8, 1.6)]
    for channel in range(2):
        sharpness = [score_frame(frame, references, None)["sharpness"][channel] for frame in frames]
        assert sharpness[0] == 1
        assert all(after < before for before, after in pairwise(sharpness))


def test_scores_of_a_delayed_frame_are_means_over_its_references():
    frame, *others = (describe_frame(image(seed)) for seed in range(3))
    both = score_frame(frame, {"raw": others}, None)
    single = [score_frame(frame, {"raw": [other]}, None) for other in others]
    for metric in ("pearson_raw", "coherence_raw_fine"):
        assert_allclose(both[metric], (single[0][metric] + single[1][metric]) / 2)


def test_metrics_depend_on_the_references():
    raw, truth = describe_frame(image()), describe_frame(image(1))
    scale = match_intensity(raw.image, truth.image)
    bands = ("fine", "medium", "coarse")
    sharpness = {"sharpness", *(f"sharpness_{band}" for band in bands)}
    displacement = {"displacement", "displacement_local"}
    without_truth = {"pearson_raw", *displacement, *sharpness, *(f"coherence_raw_{band}" for band in bands)}
    with_truth = {"pearson_raw", "pearson_truth", "ssim_truth", *displacement, *sharpness}
    with_truth |= {f"{metric}_{band}" for metric in ("coherence_truth", "detail") for band in bands}
    assert set(score_frame(raw, {"raw": [raw]}, None)) == without_truth
    assert set(score_frame(raw, {"raw": [raw], "truth": [truth]}, scale)) == with_truth
    assert set(score_frame(raw, {"raw": [raw], "truth": []}, scale)) == {"pearson_raw", *displacement, *sharpness}
    found = score_frame(truth, {"raw": [raw], "truth": [truth]}, scale, is_truth=True)
    assert set(found) == {"pearson_raw", "pearson_truth", *sharpness}


@pytest.mark.parametrize("gain", [0.8, 1, 1.25])
def test_gain_flicker_is_the_absolute_logarithm_of_the_gain(gain):
    smooth = gaussian_filter(image(), (0, 6, 6))
    scores = score_adjacent(describe_frame(smooth), describe_frame(np.float32(gain) * smooth))
    assert_allclose(scores["gain_flicker"], abs(np.log(gain)), atol=1e-5)
    assert_allclose(scores["adjacent_pearson"], 1, atol=1e-6)


def test_scores_of_constant_images_are_nan():
    frame = describe_frame(np.full((2, 5, 5), 0.1, np.float32))
    assert all(np.isnan(values).all() for values in score_frame(frame, {"raw": [frame]}, None).values())
    assert np.isnan(score_adjacent(frame, frame)["adjacent_pearson"]).all()
