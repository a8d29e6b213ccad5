import numpy as np
import pytest
from numpy.testing import assert_allclose

from image_translation.metrics.tracks import NucleusScorer, NucleusVariation, find_criteria, find_nuclei, link

CENTRES = np.array([[20.0, 20], [20, 60], [20, 100], [60, 40], [60, 80], [100, 20], [100, 60]])
CENTRES += np.random.default_rng(0).uniform(-0.4, 0.4, CENTRES.shape)  # so that no two discs are sampled alike


def nuclei(centres=CENTRES, radius=6.0, gain=1.0):
    y, x = np.indices((124, 124))
    image = np.full(y.shape, 0.1)
    for cy, cx in centres:
        image += gain / (1 + np.exp(3 * (np.hypot(y - cy, x - cx) - radius)))
    return image.astype(np.float32)


def scores_of(frames, indices=None):
    scorer = NucleusScorer(["nucleus", "Membrane"])
    for index, frame in zip(indices or range(len(frames)), frames, strict=True):
        scorer.add("raw", index, np.stack([frame, frame]), "raw")
    found = list(scorer.scores())
    assert {channel for _, channel, _, _ in found} <= {"nucleus"}
    return {metric: value for _, _, metric, value in found}


def test_nuclei_have_the_right_centres_areas_and_intensities():
    image = nuclei()
    found = find_nuclei(image, find_criteria(image))
    order = np.lexsort(found.centres.round(-1).T)
    assert_allclose(found.centres[order, ::-1], CENTRES, atol=0.3)
    assert_allclose(found.areas, np.pi * 6**2, rtol=0.15)
    assert_allclose(found.intensities, 0.9, atol=0.1)


def test_specks_are_not_nuclei():
    image = nuclei()
    image[110:112, 110:112] = 2
    criteria = find_criteria(image)
    assert len(find_nuclei(image, criteria).areas) == 7
    assert find_criteria(np.ones((20, 20), np.float32)) is None


def test_nuclei_are_linked_along_their_motion():
    first, second = nuclei(), nuclei(CENTRES[::-1] + 3)
    criteria = find_criteria(first)
    before, after = find_nuclei(first, criteria), find_nuclei(second, criteria)
    earlier, later = link(before, after)
    assert len(earlier) == 7
    assert_allclose(after.centres[later] - before.centres[earlier], 3, atol=0.3)
    far = find_nuclei(nuclei(CENTRES + 20), criteria)
    assert len(link(before, far)[0]) < 7
    none = find_nuclei(nuclei(CENTRES[:0]), criteria)
    assert len(link(before, none)[0]) == len(link(none, before)[0]) == 0


def test_static_nuclei_do_not_vary():
    assert scores_of([nuclei()] * 4) == {"count_jitter": 0, "area_jitter": 0, "intensity_jitter": 0}


def test_each_metric_detects_its_own_variation():
    count = scores_of([nuclei(), nuclei(CENTRES[:6])] * 3)
    assert count["count_jitter"] == pytest.approx(1 / 6.5)
    area = scores_of([nuclei(), nuclei(radius=6.6)] * 3)
    assert area["area_jitter"] == pytest.approx(2 * np.log(1.1), rel=0.2)
    gain = scores_of([nuclei(), nuclei(gain=1.1)] * 3)
    assert gain["intensity_jitter"] == pytest.approx(np.log(1.1), rel=0.2)
    assert gain["area_jitter"] < gain["intensity_jitter"]


def test_nothing_is_linked_across_a_gap():
    assert scores_of([nuclei(), nuclei(gain=2)], indices=[0, 2]) == {}
    assert scores_of([nuclei()]) == {}


def test_few_nuclei_have_only_a_count():
    assert scores_of([nuclei(CENTRES[:3])] * 2).keys() == {"count_jitter"}
    assert NucleusVariation().scores() == {}


def test_frames_before_the_criteria_are_known_are_ignored():
    scorer = NucleusScorer(["Nuclei"])
    scorer.add("smoothed", 0, nuclei()[np.newaxis], "raw")
    scorer.add("raw", 0, nuclei()[np.newaxis], "raw")
    scorer.add("smoothed", 1, nuclei()[np.newaxis], "raw")
    assert not list(scorer.scores())
