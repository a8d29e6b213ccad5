import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from image_translation.errors import UsageError
from image_translation.explorer.perturbation import DISTURBANCES

BLOB = np.exp(-(np.square(np.indices((41, 61)) - np.array([20, 30])[:, None, None]).sum(axis=0)) / 50)


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 41, 61)).astype(np.float32)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_nothing_is_done_at_the_neutral_strength_and_something_at_the_usual_one(name: str) -> None:
    disturbance, picture = DISTURBANCES[name], image()
    assert disturbance.least <= disturbance.neutral <= disturbance.most
    assert disturbance.apply(picture, disturbance.neutral) is picture
    kept = picture.copy()
    disturbed = disturbance.apply(picture, disturbance.usual)
    assert disturbed.shape == picture.shape
    assert disturbed.dtype == np.float32
    assert np.abs(disturbed - picture).mean() > 0.05
    np.testing.assert_array_equal(picture, kept)
    for strength in (disturbance.least, disturbance.most):
        assert np.isfinite(disturbance.apply(picture, strength)).all()


def test_a_blur_is_gaussian() -> None:
    blurred = DISTURBANCES["blur"].apply(image(), 2)
    expected = np.stack([gaussian_filter(plane.astype(float), 2, mode="mirror") for plane in image()])
    np.testing.assert_allclose(blurred, expected, atol=1e-3)


def test_a_shift_moves_right_and_down_and_mirrors_the_edge() -> None:
    shifted = DISTURBANCES["shift"].apply(image(), 3)
    np.testing.assert_allclose(shifted[:, 3:, 3:], image()[:, :-3, :-3], atol=1e-6)
    np.testing.assert_allclose(shifted[:, 3:, 2], image()[:, :-3, 1], atol=1e-6)


def test_a_magnification_enlarges_about_the_middle() -> None:
    blob = BLOB[np.newaxis].astype(np.float32)
    enlarged = DISTURBANCES["magnification"].apply(blob, 1.5)[0]
    assert np.unravel_index(enlarged.argmax(), enlarged.shape) == (20, 30)
    expected = np.exp(
        -(np.square(np.indices(BLOB.shape) - np.array([20, 30])[:, None, None]).sum(axis=0)) / 1.5**2 / 50
    )
    np.testing.assert_allclose(enlarged[5:-5, 5:-5], expected[5:-5, 5:-5], atol=0.01)


def test_a_reduction_folds_nothing_fine_into_the_image() -> None:
    stripes = np.tile(np.array([1.0, -1.0], np.float32), (1, 40, 30))
    assert np.abs(DISTURBANCES["magnification"].apply(stripes, 0.5)).max() < 0.1
    blob = BLOB[np.newaxis].astype(np.float32)
    small = DISTURBANCES["magnification"].apply(blob, 0.5)[0]
    assert small[20, 30] == small[10:31, 15:46].max()
    assert small[10:31, 15:46].sum() == pytest.approx(blob.sum() / 4, rel=0.03)


@pytest.mark.parametrize("name", DISTURBANCES)
@pytest.mark.parametrize("shape", [(1, 1, 70), (1, 70, 1), (1, 1, 1), (1, 2, 70)])
def test_narrow_images_are_disturbed_too(name: str, shape: tuple[int, ...]) -> None:
    disturbance = DISTURBANCES[name]
    for strength in (disturbance.least, disturbance.usual, disturbance.most):
        assert disturbance.apply(np.ones(shape, np.float32), strength).shape == shape


def test_contrast_brightness_and_noise() -> None:
    np.testing.assert_allclose(DISTURBANCES["contrast"].apply(image(), 0.5), image() / 2, rtol=1e-6)
    np.testing.assert_allclose(DISTURBANCES["brightness"].apply(image(), -1), image() - 1, atol=1e-6)
    noise = DISTURBANCES["noise"].apply(np.zeros((1, 200, 200), np.float32), 0.5)
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    np.testing.assert_array_equal(noise, DISTURBANCES["noise"].apply(np.zeros((1, 200, 200), np.float32), 0.5))


def test_a_strength_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match=r"blur 9 px .*: must be from 0 to 8"):
        DISTURBANCES["blur"].apply(image(), 9)


def test_defocus_turns_over_what_is_fine_and_leaves_what_is_coarse() -> None:
    columns = np.arange(128, dtype=np.float32)
    fine, coarse = (np.broadcast_to(np.cos(2 * np.pi * f * (columns + 0.5)), (1, 128, 128)) for f in (0.25, 1 / 64))
    defocus = DISTURBANCES["defocus"]
    expected = np.cos(np.pi * 0.6 * 1.25**2) - 0.4 * np.sin(np.pi * 0.6 * 1.25**2)
    np.testing.assert_allclose(defocus.apply(fine.astype(np.float32), 0.6), expected * fine, atol=1e-4)
    assert np.abs(defocus.apply(coarse.astype(np.float32), 0.6) - coarse).max() < 0.01
