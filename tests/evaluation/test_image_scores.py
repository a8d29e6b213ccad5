import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from skimage import metrics
from support.discs import discs
from torchmetrics.functional.image import structural_similarity_index_measure

from image_translation.evaluation.image_scores import Scale, ScaleFit, object_scores, pixel_scores
from image_translation.metrics.objects import find_objects
from image_translation.metrics.rows import COUNT_METRICS, OBJECT_METRICS, PIXEL_METRICS


def image(seed, shape=(40, 51)):
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1).astype(np.float32)


def fit(*pairs):
    found = ScaleFit()
    for predicted, truth in pairs:
        found.add(predicted, truth)
    return found.scale()


def test_gain_and_offset_are_fitted_over_images_of_several_sizes():
    predictions = [image(0), image(1, (13, 200)), image(2, (1, 7))]
    scale = fit(*((p, np.float32(2.5) * p - np.float32(40)) for p in predictions))
    assert (scale.gain, scale.offset) == (pytest.approx(2.5, rel=1e-5), pytest.approx(-40, rel=1e-6))
    for p in predictions:
        applied = scale.apply(p)
        assert applied.dtype == np.float32
        assert_allclose(applied, 2.5 * p - 40, atol=1e-5)


def test_scale_is_the_least_squares_fit_over_all_images():
    pairs = [(image(0) + 1, 3 * image(0) + image(1)), (image(2), image(3) + image(2) - 5)]
    slope, intercept = np.polyfit(*(np.concatenate([p[i].ravel() for p in pairs]).astype(float) for i in (0, 1)), 1)
    scale = fit(*pairs)
    assert (scale.gain, scale.offset) == (pytest.approx(slope), pytest.approx(intercept))
    assert fit(*pairs[::-1]).gain == pytest.approx(slope)


def test_a_field_that_is_too_bright_stays_so():
    scale = fit((image(0) + 2, image(0)), (image(1), image(1)))
    assert scale.apply(image(0) + 2).mean() - scale.apply(image(0)).mean() == pytest.approx(2 * scale.gain, abs=1e-3)
    assert scale.gain < 0.5


@pytest.mark.parametrize("sign", [-1, 0])
def test_the_gain_is_never_negative(sign):
    truth = image(0)
    scale = fit((sign * truth, truth))
    assert scale.gain == 0
    assert scale.offset == pytest.approx(truth.mean(dtype=float))


@pytest.mark.parametrize("value", [0, 0.1, 1e4 / 3])
def test_a_constant_prediction_becomes_the_mean_of_the_truth(value):
    truths = [image(0), image(1) + 3]
    scale = fit(*((np.full_like(truth, value), truth) for truth in truths))
    assert (scale.gain, scale.offset) == (0, pytest.approx(np.mean(truths, dtype=float)))


@pytest.mark.parametrize(("mine", "others"), [(1e4, 0), (0, 1e4), (1e4, -1e4), (1e4, 1e4)])
def test_large_offsets_cost_no_precision(mine, others):
    base = np.round(1024 * image(0) / image(0).std()) / 1024  # exact in float32 also with the offset
    predicted, truth = (base + mine).astype(np.float32), (3 * base + others).astype(np.float32)
    scale = fit((predicted, truth), (predicted, truth))
    assert scale.gain == pytest.approx(3, rel=1e-9)
    assert scale.offset == pytest.approx(others - 3 * mine, rel=1e-9, abs=1e-6)
    assert_allclose(scale.apply(predicted), truth, rtol=1e-7, atol=1e-6)


def test_the_scale_that_changes_nothing_is_the_default():
    assert_allclose(Scale().apply(image(0)), image(0), rtol=0, atol=0)


@pytest.mark.parametrize("offset", [0, 500, 1e4])
def test_pixel_scores_equal_those_of_other_libraries(offset):
    truth = image(0) + np.float32(offset)
    predicted = truth + 0.5 * image(1)
    a, b = predicted.astype(float), truth.astype(float)
    span = 1.7
    tensors = (torch.from_numpy(values)[None, None] for values in (a, b))
    expected = {
        "pearson": np.corrcoef(a.ravel(), b.ravel())[0, 1],
        "ssim": float(structural_similarity_index_measure(*tensors, data_range=span)),
        "psnr": metrics.peak_signal_noise_ratio(b, a, data_range=span),
        "mae": np.abs(a - b).mean(),
    }
    found = pixel_scores(predicted, truth, span)
    assert tuple(found) == PIXEL_METRICS
    assert found == pytest.approx(expected, abs=1e-6)


def test_ssim_equals_scikit_image_except_at_the_edges():
    truth = image(0, (200, 220))
    predicted = truth + 0.5 * image(1, (200, 220))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.7}
    inside = metrics.structural_similarity(predicted.astype(float), truth.astype(float), **options)
    assert pixel_scores(predicted, truth, 1.7)["ssim"] == pytest.approx(inside, abs=0.01)


def test_known_answers():
    truth = image(0)
    assert pixel_scores(truth, truth, 2.0) == pytest.approx({"pearson": 1, "ssim": 1, "psnr": np.inf, "mae": 0})
    assert pixel_scores(truth + 3, truth, 3.0) | {"ssim": 0} == pytest.approx(
        {"pearson": 1, "ssim": 0, "psnr": 0, "mae": 3}, abs=1e-5
    )
    assert pixel_scores(-truth, truth, 1.0)["pearson"] == pytest.approx(-1)


@pytest.mark.parametrize("value", [0, 0.1, 1e4 / 3])
@pytest.mark.parametrize("shape", [(40, 51), (701, 703)])
def test_a_constant_image_has_no_correlation(value, shape):
    truth = image(0, shape)
    constant = np.full_like(truth, value)
    for pair in ((constant, truth), (truth, constant), (constant, constant)):
        found = pixel_scores(*pair, 2.0)
        assert np.isnan([found[name] for name in PIXEL_METRICS]).tolist() == [True, False, False, False]


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (10, 300), (300, 10)])
def test_images_smaller_than_the_window_have_no_ssim(shape):
    truth = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = pixel_scores(truth + 1, truth, 2.0)
    assert np.isnan(found["ssim"])
    assert found["mae"] == pytest.approx(1)
    assert found["psnr"] == pytest.approx(20 * np.log10(2), abs=1e-4)
    assert np.isnan(found["pearson"]) == (truth.size == 1)


def test_the_smallest_image_with_ssim_is_one_window():
    assert pixel_scores(image(0, (11, 11)), image(0, (11, 11)), 1.0)["ssim"] == pytest.approx(1)


def test_without_a_data_range_ssim_and_psnr_are_undefined():
    found = pixel_scores(image(0), image(1), 0.0)
    assert np.isnan([found["ssim"], found["psnr"]]).all()
    assert np.isfinite([found["pearson"], found["mae"]]).all()


def test_objects_are_found_in_both_images_by_the_same_method():
    truth = discs((80, 80), [(20, 20), (20, 60), (60, 40)], 9)
    predicted = 7 * discs((80, 80), [(20, 20), (60, 40)], 9) - 2
    asked = []

    def segment(shown, diameter):
        asked.append((shown.max(), diameter))
        return find_objects(shown, diameter)

    scores, found, true = object_scores(predicted, truth, 18.0, segment)
    assert asked == [(5, 18), (1, 18)]
    assert (found.max(), true.max()) == (2, 3)
    assert tuple(scores) == (*OBJECT_METRICS, *COUNT_METRICS)
    assert list(scores.values()) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2 / 3, -1 / 3, 3, 2])
