"""Quantitative phase reconstructed from one defocused image, by inversion of its weak-object transfer function.

The intensity of a defocused image of a weak phase object is the phase filtered by ``P(k) sin(pi d k^2 / sigma^2)``,
with the pupil P of width sigma and the defocus d in depths of field (Streibl, Phase imaging by the transport equation
of intensity, Opt. Commun. 49, 6-10, 1984). The phase is reconstructed by the Tikhonov-regularised inverse of that
function for the nominal defocus (Jenkins and Gaylord, Quantitative phase microscopy via optimized inversion of the
phase optical transfer function, Appl. Opt. 54, 8566-8579, 2015). A focus error thus changes the contrast of all
scales, low frequencies are lost, and the noise of the intensity becomes clouds.
"""

import numpy as np
from numpy.typing import NDArray

NOMINAL_DEFOCUS = 0.6
"""Defocus of the intensity image that the reconstruction assumes, in depths of field."""

_MIN_HALO = 0.02
_TAPER = 0.3  # of the first zone of the transfer function, over which the reconstruction is tapered to zero

Spectrum = NDArray[np.float32]


def intensity_transfer(pupil: Spectrum, wave: Spectrum, defocus_error: float) -> Spectrum:
    """Return the transfer function from phase to intensity.

    Parameters
    ----------
    pupil
        Pupil P(k).
    wave
        Phase of the pupil function per depth of field of defocus, pi k^2 / sigma^2, of the same shape.
    defocus_error
        Difference of the defocus from the nominal one, in depths of field.
    """
    return np.asarray(pupil * np.sin(wave * np.float32(NOMINAL_DEFOCUS + defocus_error)), np.float32)


def difference_transfer(pupil: Spectrum, wave: Spectrum, distance: float) -> Spectrum:
    """Return the transfer function from phase to half the difference of two intensities, which a stack allows.

    One is taken at the nominal defocus above a plane, one below it: matter in the plane contributes as to
    `intensity_transfer` without error, and what is above and below it alike.

    Parameters
    ----------
    pupil, wave
        As of `intensity_transfer`.
    distance
        Distance of the matter from the plane, in depths of field.
    """
    return np.asarray(intensity_transfer(pupil, wave, 0.0) * np.cos(wave * np.float32(distance)), np.float32)


def inverse_transfer(pupil: Spectrum, wave: Spectrum, cutoff: float) -> Spectrum:
    """Return the regularised inverse filter from intensity to phase, with the resolution of the pupil.

    Frequencies beyond the first zero of the transfer function, where it cannot be inverted, are left out.

    Parameters
    ----------
    pupil, wave
        As of `intensity_transfer`.
    cutoff
        Value of `wave` at the low spatial frequency of which half the contrast is lost; larger than 0.
    """
    transfer = intensity_transfer(pupil, wave, 0.0)
    regularisation = np.sin(NOMINAL_DEFOCUS * cutoff) ** 2
    band = np.clip((np.pi - NOMINAL_DEFOCUS * wave) / (_TAPER * np.pi), 0, 1)
    return np.asarray(pupil * band * transfer / (transfer**2 + regularisation), np.float32)


def cutoff_frequency(halo: float, cell_radius: float) -> float:
    """Return the spatial frequency in cycles per pixel of which half the contrast is lost, higher with more halo."""
    return max(halo, _MIN_HALO) / (2 * cell_radius)
