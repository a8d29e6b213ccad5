"""Reconstructed phase: the inverse of the transfer function, its mean, its noise, and its focus errors."""

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from image_translation.simulation.movie import Movie
from image_translation.simulation.reconstruction import (
    NOMINAL_DEFOCUS,
    cutoff_frequency,
    intensity_transfer,
    inverse_transfer,
)
from image_translation.simulation.spec import MovieSpec

SIGMA = 0.2  # cycles per pixel, width of the pupil
SPEC = MovieSpec(shape=(128, 128), frames=4, seed=7, density=0.4, noise=0.0, background=0.0, optics="reconstructed")


def response(frequency: float, cutoff: float, error: float = 0.0) -> float:
    """Return the contrast of a wave of this frequency after imaging and reconstruction, relative to the pupil."""
    k2 = np.array([frequency**2], np.float32)
    pupil, wave = np.exp(-k2 / (2 * SIGMA**2)), np.pi * k2 / SIGMA**2
    inverse = inverse_transfer(pupil, wave, np.pi * cutoff**2 / SIGMA**2)
    return float((intensity_transfer(pupil, wave, error) * inverse / pupil)[0])


def test_in_focus_all_but_low_frequencies_are_reconstructed_and_half_at_the_cutoff() -> None:
    assert response(0.0, cutoff=0.01) == 0
    assert response(0.01, cutoff=0.01) == pytest.approx(0.5, abs=0.01)
    for frequency in (0.04, 0.1, 0.17):
        assert response(frequency, cutoff=0.01) == pytest.approx(1, abs=0.01)


def test_a_focus_error_scales_low_frequencies_by_the_relative_defocus() -> None:
    for error in (-0.3, 0.3):
        expected = 1 + error / NOMINAL_DEFOCUS
        assert response(0.05, cutoff=0.005, error=error) == pytest.approx(expected, rel=0.03)
    assert response(0.05, cutoff=0.005, error=-NOMINAL_DEFOCUS) == 0


def test_more_halo_loses_more_low_frequencies() -> None:
    assert cutoff_frequency(0.5, 20.0) == 0.5 / 40
    assert 0 < cutoff_frequency(0.0, 20.0) < cutoff_frequency(0.1, 20.0)


def test_phase_has_zero_mean_and_resembles_the_optical_path() -> None:
    for spec in (SPEC, dataclasses.replace(SPEC, noise=0.1, background=0.5, flicker=1.0)):
        assert abs(Movie(spec).phase(2).mean()) < 1e-6
    phase = Movie(SPEC).phase(2)
    path = Movie(dataclasses.replace(SPEC, optics="path")).phase(2)
    assert np.corrcoef(phase.ravel(), path.ravel())[0, 1] > 0.8
    np.testing.assert_array_equal(
        Movie(SPEC).fluorescence(2), Movie(dataclasses.replace(SPEC, optics="path")).fluorescence(2)
    )


def test_noise_has_the_stated_strength_and_is_amplified_at_low_frequencies() -> None:
    plain, noisy = (Movie(dataclasses.replace(SPEC, noise=noise, shape=(256, 256))).phase(1) for noise in (0.0, 0.1))
    noise = noisy - plain
    assert noise.std() == pytest.approx(0.1, rel=0.3)
    spectrum = np.abs(np.fft.rfft2(noise)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
    low, high = (spectrum[(frequency > a) & (frequency < b)].mean() for a, b in ((0.008, 0.03), (0.1, 0.2)))
    assert low > 50 * high
    white = Movie(dataclasses.replace(SPEC, optics="path", noise=0.1, shape=(256, 256))).phase(1)
    assert (
        gaussian_filter(noise, 4).std()
        > 2
        * gaussian_filter(white - Movie(dataclasses.replace(SPEC, optics="path", shape=(256, 256))).phase(1), 4).std()
    )


def test_dropped_frames_are_zero() -> None:
    assert not Movie(dataclasses.replace(SPEC, dropped=(1,), noise=0.1)).phase(1).any()
