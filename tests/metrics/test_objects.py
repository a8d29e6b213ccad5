import sys
from importlib.machinery import ModuleSpec
from itertools import permutations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from skimage.measure import label
from support.discs import discs

from image_translation.errors import UsageError
from image_translation.evaluation.options import EvaluationOptions
from image_translation.evaluation.paired_scores import SEGMENTERS
from image_translation.metrics.objects import (
    compare_objects,
    debris_area,
    find_objects,
    is_nuclear,
    movie_threshold,
    typical_diameter,
)
from image_translation.metrics.rows import AP_THRESHOLDS

CENTRES = [(20, 20), (20, 70), (64, 44), (100, 100), (3, 104)]


def boxes(*corners, size=(40, 60)):
    """Draw boxes of 10 x 10 pixels, numbered in their order."""
    labels = np.zeros(size, np.int32)
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + 10, x : x + 10] = number
    return labels


@pytest.mark.parametrize("count", range(6))
@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (300, 1e4), (1e-4, -1)])
def test_discs_are_counted_independently_of_gain_and_offset(count, gain, offset):
    found = find_objects(np.float32(gain) * discs((128, 128), CENTRES[:count], 9) + np.float32(offset), 18)
    assert found.dtype == np.int32
    assert_array_equal(np.unique(found), np.arange(count + 1))
    assert {found[centre] for centre in CENTRES[:count]} == set(range(1, count + 1))


def test_discs_are_segmented_accurately():
    image = discs((128, 128), CENTRES, 9)
    agreement = compare_objects(label(image).astype(np.int32), find_objects(image, 18))
    assert agreement.jaccard > 0.93
    assert agreement.ap == (1, 1)


@pytest.mark.parametrize("distance", [15, 18, 20])
def test_touching_discs_are_split(distance):
    found = find_objects(discs((60, 80), [(30, 28), (30, 28 + distance)], 10), 20)
    assert found.max() == 2
    assert found[30, 26] != found[30, 30 + distance]
    sizes = np.bincount(found.ravel())[1:]
    assert sizes.max() < 1.2 * sizes.min()


def test_noise_specks_and_holes_do_not_change_the_number_of_objects():
    rng = np.random.default_rng(0)
    image = discs((128, 128), CENTRES, 9) + 0.15 * rng.normal(size=(128, 128)).astype(np.float32)
    image[60:65, 100:105] = 1.2
    image[rng.integers(128, size=30), rng.integers(128, size=30)] = 1.5
    image[18:23, 18:23] = -0.5
    assert find_objects(image, 18).max() == len(CENTRES)


@pytest.mark.parametrize("image", [np.zeros((40, 50)), np.full((40, 50), 0.1), np.full((1, 1), 7.0)])
def test_an_image_without_contrast_has_no_objects(image):
    image = image.astype(np.float32)
    assert_array_equal(find_objects(image, 10), np.zeros(image.shape, np.int32))
    assert np.isnan(typical_diameter([image]))
    assert np.isnan(typical_diameter([]))


def test_contrast_of_one_rounding_step_is_enough():
    image = np.float32(1e4) + np.float32(1e-3) * discs((64, 64), [(20, 20), (44, 40)], 8)
    assert len(np.unique(image)) == 2
    assert find_objects(image, 16).max() == 2
    assert typical_diameter([image]) == pytest.approx(16, rel=0.1)


def test_images_may_be_one_pixel_wide():
    image = np.zeros((1, 200), np.float32)
    image[0, 20:50] = image[0, 100:130] = 1
    assert find_objects(image, 6).max() == 2
    assert find_objects(image.T, 6).max() == 2
    assert typical_diameter([image]) == pytest.approx(2 * np.sqrt(30 / np.pi), rel=0.1)


@pytest.mark.parametrize("radius", [5, 9, 16])
def test_diameter_of_discs_is_measured(radius):
    image = discs((160, 160), [(30, 30), (100, 40), (60, 110), (130, 120)], radius)
    image[0, 0] = 1  # a speck is ignored
    assert typical_diameter([image, np.zeros((9, 9), np.float32)]) == pytest.approx(2 * radius, rel=0.06)


ONE, TWO = boxes((5, 5)), boxes((5, 5), (5, 40))


@pytest.mark.parametrize(
    ("true", "predicted", "jaccard", "ap", "count_error"),
    [
        (TWO, TWO, 1, (1, 1), 0),
        (TWO, ONE, 0.5, (0.5, 0.5), -0.5),
        (ONE, TWO, 1, (0.5, 0.5), 1),
        (ONE, boxes((5, 8)), 7 / 13, (1, 0), 0),
        (ONE, boxes((5, 9)), 6 / 14, (0, 0), 0),
        (ONE, boxes((5, 6)), 9 / 11, (1, 1), 0),
        (ONE, np.maximum(ONE, boxes((15, 5))), 0.5, (1, 0), 0),  # twice the size: just a match
        (ONE, boxes((25, 40)), 0, (0, 0), 0),
        (TWO, np.zeros_like(TWO), 0, (0, 0), -1),
        (np.minimum(boxes((5, 5), (5, 15)), 1), boxes((5, 5), (5, 15)), 0.5, (0.5, 0), 1),  # one split in two
        (boxes((5, 5), (5, 15)), np.minimum(boxes((5, 5), (5, 15)), 1), 0.25, (0.5, 0), -0.5),  # two merged into one
    ],
)
def test_agreement_of_known_objects(true, predicted, jaccard, ap, count_error):
    agreement = compare_objects(true, predicted)
    assert agreement.jaccard == pytest.approx(jaccard)
    assert agreement.ap == pytest.approx(ap)
    assert agreement.count_error == count_error
    assert (agreement.true, agreement.predicted) == (true.max(), predicted.max())


def test_without_true_objects_only_the_counts_are_defined():
    agreement = compare_objects(np.zeros_like(TWO), TWO)
    assert np.isnan([agreement.jaccard, agreement.dice, agreement.count_error, *agreement.ap]).all()
    assert (agreement.true, agreement.predicted) == (0, 2)


def test_agreement_equals_an_exhaustive_search_of_matches():
    rng = np.random.default_rng(1)
    for _ in range(20):
        true, predicted = (boxes(*rng.integers(0, (30, 50), (4, 2))) for _ in range(2))
        true, predicted = (np.unique(labels, return_inverse=True)[1].astype(np.int32) for labels in (true, predicted))
        true_masks, masks = ([labels == n for n in range(1, labels.max() + 1)] for labels in (true, predicted))
        overlap = np.zeros((4, 4))
        for i, a in enumerate(true_masks):
            for j, b in enumerate(masks):
                overlap[i, j] = (a & b).sum() / (a | b).sum()
        best = max(permutations(range(4)), key=lambda order: overlap[range(4), order].sum())
        matched = overlap[range(4), best]
        agreement = compare_objects(true, predicted)
        assert agreement.jaccard == pytest.approx(matched.sum() / len(true_masks))
        assert agreement.dice == pytest.approx((2 * matched / (1 + matched)).sum() / len(true_masks))
        hits = [(overlap >= threshold).sum() for threshold in AP_THRESHOLDS]  # matches above one half are unique
        assert agreement.ap == pytest.approx([hit / (len(true_masks) + len(masks) - hit) for hit in hits])


def test_agreement_is_independent_of_the_labels():
    rng = np.random.default_rng(2)
    true, predicted = boxes((2, 2), (2, 30), (20, 10)), boxes((3, 4), (1, 27), (26, 12), (25, 45))
    shuffled = np.append(0, 1 + rng.permutation(4)).astype(np.int32)[predicted]
    assert compare_objects(true, shuffled) == compare_objects(true, predicted)


def test_cellpose_is_used_if_it_is_installed(monkeypatch):
    calls = []

    class CellposeModel:
        def __init__(self, gpu):
            calls.append(gpu)

        def eval(self, image, diameter):
            calls.append(diameter)
            return TWO.astype(np.uint16), "flows", "styles"

    package, models = ModuleType("cellpose"), ModuleType("cellpose.models")
    package.__spec__ = ModuleSpec("cellpose", None)
    models.CellposeModel = CellposeModel
    monkeypatch.setitem(sys.modules, "cellpose", package)
    monkeypatch.setitem(sys.modules, "cellpose.models", models)
    EvaluationOptions((), truth=Path(__file__), segmenter="cellpose").check()
    found = SEGMENTERS["cellpose"](TWO.astype(np.float32), 11.5)
    assert found.dtype == np.int32
    assert_array_equal(found, TWO)
    assert calls == [True, 11.5]


def test_missing_cellpose_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "cellpose", None)
    with pytest.raises(UsageError, match=r"^--segmenter cellpose: is not installed; install it with [\w ]+$"):
        EvaluationOptions((), truth=Path(__file__), segmenter="cellpose").check()


def test_one_threshold_for_a_movie_shows_a_change_of_gain():
    image = discs((60, 60), [(20, 20), (40, 40)], 8)
    threshold = movie_threshold([image, 0.4 * image], 16)
    assert 0.2 < threshold < 0.8
    assert find_objects(image, 16, threshold).max() == 2
    assert find_objects(0.1 * image, 16).max() == 2
    assert find_objects(0.1 * image, 16, threshold).max() == 0
    assert np.isnan(movie_threshold([np.ones_like(image)], 16))


def test_regions_up_to_the_area_of_debris_are_no_objects():
    image = np.zeros((40, 40), np.float32)
    side = int(debris_area(20) ** 0.5)
    image[10 : 10 + side, 10 : 10 + side] = 1  # the Gaussian has the same threshold at a straight edge
    assert find_objects(image, 20, 0.5).max() == 0
    image[8 : 12 + side, 8 : 12 + side] = 1
    assert find_objects(image, 20, 0.5).max() == 1


@pytest.mark.parametrize(
    ("channel", "expected"), [("Nuclei", True), ("DAPI", True), ("my H2B", True), ("Membrane", False)]
)
def test_channels_of_nuclei_are_known_by_their_names(channel, expected):
    assert is_nuclear(channel) == expected
