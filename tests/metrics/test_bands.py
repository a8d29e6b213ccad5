import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from image_translation.metrics.bands import coherence, decompose
from image_translation.metrics.motion import reduce


def bands_of(image):
    return decompose(reduce(image.astype(np.float32)), image.std(axis=(1, 2)) > 0)


def noise(seed=0, shape=(2, 160, 200)):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize(("period", "band"), [(9, 0), (18, 1), (36, 2)])
def test_a_sine_wave_is_in_the_band_of_its_period(period, band):
    wave = np.sin(2 * np.pi * np.indices((256, 256))[1] / period)[np.newaxis]
    size = np.array([(samples[0, 4:-4, 4:-4] ** 2).mean() for samples in bands_of(wave).samples])
    assert size.argmax() == band


def test_coherence_is_independent_of_gain_and_offset():
    image = bands_of(noise())
    assert_allclose(coherence(image, image), 1, atol=1e-6)
    assert_allclose(coherence(image, bands_of(3 * noise() + 5)), 1, atol=1e-5)
    assert_allclose(coherence(image, bands_of(-noise())), -1, atol=1e-6)
    assert_allclose(coherence(image, bands_of(noise(1))), 0, atol=0.15)


def test_blur_removes_the_fine_band_first():
    sharp, blurred = bands_of(noise()), bands_of(gaussian_filter(noise(), (0, 1, 1)))
    kept = (blurred.energy / sharp.energy)[:, 0]
    assert kept[0] < 0.5 < kept[1] < 0.9 < kept[2]


def test_ghosting_keeps_the_energy_but_not_the_coherence():
    image = gaussian_filter(noise(), (0, 1, 1))
    moved = np.roll(image, 5, axis=2)
    original, shifted = bands_of(image), bands_of(moved)
    assert_allclose(shifted.energy / original.energy, 1, atol=0.15)
    assert coherence(original, shifted)[0].max() < 0.2
    ghost = bands_of((image + moved) / np.sqrt(2))
    assert ghost.energy[0, 0] == pytest.approx(original.energy[0, 0], rel=0.2)
    assert coherence(original, ghost)[0, 0] == pytest.approx(np.sqrt(0.5), abs=0.08)


def test_a_constant_image_has_no_energy_and_no_coherence():
    constant = bands_of(np.full((1, 40, 40), 0.1))
    assert (constant.energy == 0).all()
    assert np.isnan(coherence(constant, bands_of(noise(shape=(1, 40, 40))))).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 3), (1, 9, 1)])
def test_tiny_images_are_decomposed(shape):
    assert bands_of(noise(shape=shape)).energy.shape == (3, 1)
