import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA

from image_translation.errors import UsageError
from image_translation.explorer.colours import contrast_limits, to_rgb
from image_translation.explorer.principal_components import fit_basis, project, spectrum


def random(seed):
    return np.random.default_rng(seed)


def directions(n, channels, seed=0):
    return np.linalg.qr(random(seed).normal(size=(channels, channels)))[0][:n]


def planted(side=(40, 50), *, noise=0.0, seed=0, offset=5.0):
    """Return a map (C, H, W) with skewed scores along three random directions, and the directions."""
    rng = random(seed)
    axes = directions(3, 12)
    scores = (rng.exponential(size=(3, side[0] * side[1])) - 1) * np.array([[6.0], [3.0], [2.0]])
    pixels = axes.T @ scores + noise * rng.normal(size=(12, scores.shape[1])) + offset
    return pixels.reshape(12, *side).astype(np.float32), axes


def angles(first, second):
    """Return the angle between each pair of directions, in radians."""
    cosines = np.vecdot(first, second)
    return 2 * np.arcsin(np.linalg.norm(first - np.sign(cosines)[:, np.newaxis] * second, axis=1) / 2)


def rgb_of(features, basis):
    scores = project(features, basis)
    return to_rgb(scores, contrast_limits([scores]))


def test_planted_components_are_recovered():
    features, axes = planted(noise=0.05)
    basis = fit_basis([features])
    sines = np.linalg.svd(axes - (axes @ basis.components.T) @ basis.components, compute_uv=False)
    assert sines.max() < 0.01  # the subspace
    assert angles(basis.components, axes).max() < 0.1  # and each: its scores correlate by chance
    assert_allclose(basis.explained, np.array([36, 9, 4]) / 49, atol=0.06)
    assert basis.variance == pytest.approx(features.reshape(12, -1).var(axis=1, ddof=1).sum(), rel=1e-5)
    assert basis.pixels == 2000
    assert basis.channels == 12


def test_components_equal_those_of_the_covariance_in_float64():
    features, _ = planted(noise=1.0, offset=1000)
    pixels = features.reshape(12, -1).astype(np.float64)
    variances, vectors = np.linalg.eigh(np.cov(pixels))
    basis = fit_basis([features])
    assert angles(basis.components, vectors.T[:-4:-1]).max() < 1e-4
    assert_allclose(basis.explained, variances[:-4:-1] / variances.sum(), rtol=1e-5)
    assert_allclose(basis.mean, pixels.mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("offset", [30, 1000])
def test_an_outlying_pixel_costs_no_precision(offset):
    features, _ = planted(noise=0.01)
    features[:, 0, 0] += offset
    pixels = features.reshape(12, -1).astype(np.float64)
    variances = np.linalg.eigvalsh(np.cov(pixels))[::-1]
    basis = fit_basis([features], 12)
    assert_allclose(basis.explained, variances / variances.sum(), atol=1e-6)
    assert basis.explained.max() <= 1


def test_three_scores_reconstruct_a_map_of_rank_three():
    features, _ = planted()
    basis = fit_basis([features])
    scores = project(features, basis)
    assert scores.shape == (3, 40, 50)
    assert scores.dtype == np.float32
    back = np.tensordot(basis.components.T, scores, axes=1) + basis.mean[:, np.newaxis, np.newaxis]
    assert_allclose(back, features, atol=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_the_channels_does_not_change_the_rgb_of(seed):
    features, _ = planted(noise=0.5, seed=seed)
    shuffled = features[random(seed).permutation(12)]
    assert_array_equal(rgb_of(shuffled, fit_basis([shuffled])), rgb_of(features, fit_basis([features])))


def test_equal_maps_give_equal_bases():
    features, _ = planted(noise=0.5)
    first, second = (fit_basis([features.copy()]) for _ in range(2))
    assert_array_equal(first.components, second.components)
    assert_array_equal(first.mean, second.mean)


def test_components_equal_those_of_scikit_learn_over_many_blocks():
    features, _ = planted((500, 400), noise=2.0, offset=30)
    expected = PCA(3, svd_solver="full").fit(features.reshape(12, -1).T.astype(np.float64))
    basis = fit_basis([features])
    assert angles(basis.components, expected.components_).max() < 1e-5
    assert_allclose(basis.explained, expected.explained_variance_ratio_, rtol=1e-5)
    assert_allclose(basis.mean, expected.mean_, rtol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_component_with_a_sum_is_turned_to_high_activity(sign):
    scores = sign * (random(0).exponential(size=(30, 30)) - 1)
    features = np.stack([scores, 0.9 * scores, 0.1 * scores])
    assert fit_basis([features]).components[0].sum() > 1
    assert fit_basis([features[:1]]).components[0] == [1]  # one channel is shown as it is


@pytest.mark.parametrize("sign", [1, -1])
def test_a_component_without_a_sum_is_turned_to_few_bright_pixels(sign):
    scores = sign * random(0).exponential(size=(30, 30))
    features = np.stack([scores, -scores, np.zeros_like(scores)])
    basis = fit_basis([features])
    assert abs(basis.components[0].sum()) < 1e-6
    above = project(features, basis)[0]
    assert (above**3).mean() > 0


def test_a_symmetric_component_without_a_sum_is_turned_to_its_largest_entry():
    scores = np.array([[-1.0, 1.0, -1.0, 1.0]])
    for features in (np.stack([2 * scores, -scores, -scores]), np.stack([-2 * scores, scores, scores])):
        assert fit_basis([features]).components[0, 0] == pytest.approx(np.sqrt(2 / 3))


def test_equal_features_have_equal_colours_in_a_common_basis():
    first, _ = planted(noise=0.3)
    second = first[:, ::-1, :].copy()
    second[:, :10] += 4
    basis = fit_basis([first, second])
    scores = [project(features, basis) for features in (first, second)]
    shown = [to_rgb(one, contrast_limits(scores)) for one in scores]
    assert_array_equal(shown[0][::-1][10:], shown[1][10:])
    assert (shown[0][::-1][:10] != shown[1][:10]).any(axis=-1).mean() > 0.9
    assert basis.pixels == 4000
    whole = fit_basis([np.concatenate([first, second], axis=1)])
    assert angles(basis.components, whole.components).max() < 1e-5


def test_maps_are_weighted_by_their_pixels():
    small, large = np.zeros((2, 10, 10)), np.ones((2, 10, 30))
    assert_allclose(fit_basis([small, large]).mean, 0.75)
    assert fit_basis([small, large]).pixels == 400


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_dtype_is_accepted(dtype):
    features = planted(noise=0.05)[0].astype(dtype)
    basis = fit_basis([features])
    assert basis.components.dtype == basis.mean.dtype == np.float64
    assert angles(basis.components, fit_basis([features.astype(np.float64)]).components).max() < 1e-4
    assert project(features, basis).dtype == np.float32
    assert rgb_of(features, basis).dtype == np.uint8
    assert_allclose(spectrum(features)[:3], basis.explained, rtol=1e-3)


@pytest.mark.parametrize("layout", [np.ascontiguousarray, lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0)])
def test_any_memory_layout_is_accepted_and_inputs_are_not_written_to(layout):
    features, _ = planted(noise=0.5)
    given = layout(features)
    given.flags.writeable = False
    assert_array_equal(rgb_of(given, fit_basis([given])), rgb_of(features, fit_basis([features])))


def test_pixels_that_are_not_finite_are_ignored():
    features, _ = planted(noise=0.1)
    broken = features.copy()
    broken[3, :20] = np.nan
    broken[0, 20, 0], broken[0, 20, 1] = np.inf, -np.inf
    basis = fit_basis([broken])
    rest = fit_basis([features[:, 20:21, 2:], features[:, 21:]])
    assert basis.pixels == rest.pixels == 20 * 50 - 2
    assert angles(basis.components, rest.components).max() < 1e-5
    scores = project(broken, basis)
    assert_array_equal(np.isnan(scores[0]), ~np.isfinite(broken).all(axis=0))
    rgb = to_rgb(scores, contrast_limits([scores]))
    assert (rgb[:20] == 0).all()
    assert (rgb[21:] > 0).any()


@pytest.mark.parametrize(
    "features",
    [
        np.full((5, 4, 6), 0.1, np.float32),
        np.full((5, 4, 6), np.nan, np.float32),
        np.zeros((1, 3, 3)),
        np.arange(5.0).reshape(5, 1, 1),
    ],
)
def test_a_map_without_variance_has_zero_components_and_is_gray(features):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        basis = fit_basis([features])
        rgb = rgb_of(features, basis)
        shares = spectrum(features)
    assert (basis.components == 0).all()
    assert (basis.explained == 0).all()
    assert basis.variance == 0
    assert (shares == 0).all()
    assert rgb.shape == (*features.shape[1:], 3)
    assert (rgb == (0 if np.isnan(features).any() else 128)).all()


@pytest.mark.parametrize("pixels", [2, 3])
def test_a_few_pixels_have_fewer_components(pixels):
    features = random(0).normal(size=(6, 1, pixels))
    basis = fit_basis([features])
    assert (basis.explained > 0).sum() == pixels - 1
    assert basis.components.shape == (3, 6)
    assert basis.explained.sum() == pytest.approx(1)


def test_a_map_of_rank_one_is_gray_and_brighter_where_its_feature_is():
    scores = random(0).exponential(size=(20, 20))
    features = np.stack([scores, 2 * scores, 3 * scores, 4 * scores]).astype(np.float32)
    basis = fit_basis([features])
    assert (basis.components[1:] == 0).all()
    rgb = rgb_of(features, basis)
    assert (rgb[..., 0] == rgb[..., 2]).all()
    assert rgb[np.unravel_index(scores.argmax(), scores.shape)].tolist() == [255, 255, 255]


def test_one_channel_is_gray_and_two_are_orange_and_blue():
    one = random(0).normal(size=(1, 30, 30))
    basis = fit_basis([one])
    rgb = rgb_of(one, basis)
    assert basis.components.tolist() == [[1]]
    assert np.corrcoef(rgb[..., 1].ravel(), one.ravel())[0, 1] > 0.98
    scores = np.array([[[1.0, 0.0, 1.0, 0.0]], [[0.0, 1.0, 1.0, 0.0]]])
    contrast = np.array([[0.0, 1.0], [0.0, 1.0]])
    assert to_rgb(scores, contrast).tolist() == [[[255, 128, 0], [0, 128, 255], [255, 255, 255], [0, 0, 0]]]
    assert fit_basis([random(0).normal(size=(2, 30, 30))]).components.shape == (2, 2)


def test_the_spectrum_has_the_planted_shares():
    features, _ = planted(noise=0.3, side=(300, 300), offset=1e3)  # more than one block of pixels
    shares = spectrum(features)
    exact = np.linalg.eigvalsh(np.cov(features.reshape(12, -1).astype(np.float64)))[::-1]
    assert_allclose(shares, exact / exact.sum(), rtol=1e-6)
    assert shares.sum() == pytest.approx(1)
    broken = np.concatenate([features, np.full((12, 5, 300), np.nan, np.float32)], axis=1)
    assert_allclose(spectrum(broken), shares, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: project(np.zeros((4, 2, 2)), fit_basis([np.zeros((5, 2, 2))])), "4 channels; it must have 5"),
        (lambda: fit_basis([np.zeros((4, 2, 2)), np.zeros((6, 2, 2))]), "6 channels; it must have 4"),
        (lambda: fit_basis([]), "0 maps"),
        (lambda: fit_basis([np.zeros((4, 2, 2))], 0), "0 components"),
        (lambda: fit_basis([np.zeros((4, 2))]), r"\(C, H, W\).*\(4, 2\)"),
        (lambda: spectrum(np.zeros((4, 0, 2))), r"\(4, 0, 2\)"),
    ],
)
def test_errors_name_both_shapes(call, words):
    with pytest.raises(UsageError, match=words):
        call()
