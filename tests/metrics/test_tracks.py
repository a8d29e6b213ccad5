import numpy as np
import pytest
from numpy.testing import assert_allclose

from image_translation.metrics.tracks import JitterMeter, NucleiMeter, find_nuclei, find_scale, link

CENTRES = np.array([[20.0, 20], [20, 60], [20, 100], [60, 40], [60, 80], [100, 20], [100, 60]])
CENTRES += np.random.default_rng(0).uniform(-0.4, 0.4, CENTRES.shape)  # no disc is cut by the pixels as another is


def nuclei(centres=CENTRES, radius=6.0, gain=1.0):
    y, x = np.indices((124, 124))
    image = np.full(y.shape, 0.1)
    for cy, cx in centres:
        image += gain / (1 + np.exp(3 * (np.hypot(y - cy, x - cx) - radius)))
    return image.astype(np.float32)


def jitters(frames, indices=None):
    meter = NucleiMeter(["nucleus", "Membrane"])
    for index, frame in zip(indices or range(len(frames)), frames, strict=True):
        meter.add("raw", index, np.stack([frame, frame]), "raw")
    found = list(meter.jitters())
    assert {channel for _, channel, _, _ in found} <= {"nucleus"}
    return {metric: value for _, _, metric, value in found}


def test_nuclei_are_found_where_and_as_large_as_they_are():
    image = nuclei()
    found = find_nuclei(image, find_scale(image))
    order = np.lexsort(found.centres.round(-1).T)
    assert_allclose(found.centres[order, ::-1], CENTRES, atol=0.3)
    assert_allclose(found.areas, np.pi * 6**2, rtol=0.15)
    assert_allclose(found.intensities, 0.9, atol=0.1)


def test_specks_are_no_nuclei():
    image = nuclei()
    image[110:112, 110:112] = 2
    scale = find_scale(image)
    assert len(find_nuclei(image, scale).areas) == 7
    assert find_scale(np.ones((20, 20), np.float32)) is None


def test_nuclei_are_linked_along_their_motion():
    first, second = nuclei(), nuclei(CENTRES[::-1] + 3)
    scale = find_scale(first)
    before, after = find_nuclei(first, scale), find_nuclei(second, scale)
    ours, theirs = link(before, after)
    assert len(ours) == 7
    assert_allclose(after.centres[theirs] - before.centres[ours], 3, atol=0.3)
    far = find_nuclei(nuclei(CENTRES + 20), scale)
    assert len(link(before, far)[0]) < 7
    nothing = find_nuclei(nuclei(CENTRES[:0]), scale)
    assert len(link(before, nothing)[0]) == len(link(nothing, before)[0]) == 0


def test_still_nuclei_do_not_jitter():
    assert jitters([nuclei()] * 4) == {"count_jitter": 0, "area_jitter": 0, "intensity_jitter": 0}


def test_each_jitter_sees_its_own_fault():
    count = jitters([nuclei(), nuclei(CENTRES[:6])] * 3)
    assert count["count_jitter"] == pytest.approx(1 / 6.5)
    area = jitters([nuclei(), nuclei(radius=6.6)] * 3)
    assert area["area_jitter"] == pytest.approx(2 * np.log(1.1), rel=0.2)
    gain = jitters([nuclei(), nuclei(gain=1.1)] * 3)
    assert gain["intensity_jitter"] == pytest.approx(np.log(1.1), rel=0.2)
    assert gain["area_jitter"] < gain["intensity_jitter"]


def test_nothing_is_linked_across_a_gap():
    assert jitters([nuclei(), nuclei(gain=2)], indices=[0, 2]) == {}
    assert jitters([nuclei()]) == {}


def test_few_nuclei_have_a_count_only():
    assert jitters([nuclei(CENTRES[:3])] * 2).keys() == {"count_jitter"}
    meter = JitterMeter()
    assert meter.jitter() == {}


def test_frames_before_the_scale_is_known_count_nowhere():
    meter = NucleiMeter(["Nuclei"])
    meter.add("smoothed", 0, nuclei()[np.newaxis], "raw")
    meter.add("raw", 0, nuclei()[np.newaxis], "raw")
    meter.add("smoothed", 1, nuclei()[np.newaxis], "raw")
    assert not list(meter.jitters())
