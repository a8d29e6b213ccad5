import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from image_translation.errors import UsageError
from image_translation.explorer.perturbation import PERTURBATIONS

BLOB = np.exp(-(np.square(np.indices((41, 61)) - np.array([20, 30])[:, None, None]).sum(axis=0)) / 50)


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 41, 61)).astype(np.float32)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_neutral_strength_has_no_effect_and_the_default_one_has(name: str) -> None:
    perturbation, picture = PERTURBATIONS[name], image()
    assert perturbation.minimum <= perturbation.neutral <= perturbation.maximum
    assert perturbation.apply(picture, perturbation.neutral) is picture
    kept = picture.copy()
    perturbed = perturbation.apply(picture, perturbation.default)
    assert perturbed.shape == picture.shape
    assert perturbed.dtype == np.float32
    assert np.abs(perturbed - picture).mean() > 0.05
    np.testing.assert_array_equal(picture, kept)
    for strength in (perturbation.minimum, perturbation.maximum):
        assert np.isfinite(perturbation.apply(picture, strength)).all()


def test_a_blur_is_gaussian() -> None:
    blurred = PERTURBATIONS["blur"].apply(image(), 2)
    expected = np.stack([gaussian_filter(plane.astype(float), 2, mode="mirror") for plane in image()])
    np.testing.assert_allclose(blurred, expected, atol=1e-3)


def test_a_shift_moves_right_and_down_and_mirrors_the_edge() -> None:
    shifted = PERTURBATIONS["shift"].apply(image(), 3)
    np.testing.assert_allclose(shifted[:, 3:, 3:], image()[:, :-3, :-3], atol=1e-6)
    np.testing.assert_allclose(shifted[:, 3:, 2], image()[:, :-3, 1], atol=1e-6)


def test_a_magnification_is_about_the_centre() -> None:
    blob = BLOB[np.newaxis].astype(np.float32)
    enlarged = PERTURBATIONS["magnification"].apply(blob, 1.5)[0]
    assert np.unravel_index(enlarged.argmax(), enlarged.shape) == (20, 30)
    expected = np.exp(
        -(np.square(np.indices(BLOB.shape) - np.array([20, 30])[:, None, None]).sum(axis=0)) / 1.5**2 / 50
    )
    np.testing.assert_allclose(enlarged[5:-5, 5:-5], expected[5:-5, 5:-5], atol=0.01)


def test_a_reduction_has_no_aliasing() -> None:
    stripes = np.tile(np.array([1.0, -1.0], np.float32), (1, 40, 30))
    assert np.abs(PERTURBATIONS["magnification"].apply(stripes, 0.5)).max() < 0.1
    blob = BLOB[np.newaxis].astype(np.float32)
    small = PERTURBATIONS["magnification"].apply(blob, 0.5)[0]
    assert small[20, 30] == small[10:31, 15:46].max()
    assert small[10:31, 15:46].sum() == pytest.approx(blob.sum() / 4, rel=0.03)


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("shape", [(1, 1, 70), (1, 70, 1), (1, 1, 1), (1, 2, 70)])
def test_narrow_images_are_perturbed(name: str, shape: tuple[int, ...]) -> None:
    perturbation = PERTURBATIONS[name]
    for strength in (perturbation.minimum, perturbation.default, perturbation.maximum):
        assert perturbation.apply(np.ones(shape, np.float32), strength).shape == shape


def test_contrast_brightness_and_noise() -> None:
    np.testing.assert_allclose(PERTURBATIONS["contrast"].apply(image(), 0.5), image() / 2, rtol=1e-6)
    np.testing.assert_allclose(PERTURBATIONS["brightness"].apply(image(), -1), image() - 1, atol=1e-6)
    noise = PERTURBATIONS["noise"].apply(np.zeros((1, 200, 200), np.float32), 0.5)
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    np.testing.assert_array_equal(noise, PERTURBATIONS["noise"].apply(np.zeros((1, 200, 200), np.float32), 0.5))


def test_a_strength_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match=r"blur 9 px .*: must be from 0 to 8"):
        PERTURBATIONS["blur"].apply(image(), 9)


def test_defocus_inverts_fine_structure_and_keeps_coarse_structure() -> None:
    columns = np.arange(128, dtype=np.float32)
    fine, coarse = (np.broadcast_to(np.cos(2 * np.pi * f * (columns + 0.5)), (1, 128, 128)) for f in (0.25, 1 / 64))
    defocus = PERTURBATIONS["defocus"]
    expected = np.cos(np.pi * 0.6 * 1.25**2) - 0.4 * np.sin(np.pi * 0.6 * 1.25**2)
    np.testing.assert_allclose(defocus.apply(fine.astype(np.float32), 0.6), expected * fine, atol=1e-4)
    assert np.abs(defocus.apply(coarse.astype(np.float32), 0.6) - coarse).max() < 0.01
