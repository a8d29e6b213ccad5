import subprocess
import sys
import warnings

import numpy as np
import pytest

from image_translation import normalize
from image_translation.errors import DataError
from image_translation.normalize import Statistics

BLOCK = {"mean": 10.0, "std": 2.0, "median": 9.0, "iqr": 3.0}


def attributes(block: object) -> dict[str, object]:
    return {"normalization": {"Phase3D": {"fov_statistics": block, "dataset_statistics": {}}}}


def test_statistics_are_read_from_metadata_for_each_method() -> None:
    assert normalize.from_metadata(attributes(BLOCK), "Phase3D", "median_iqr") == Statistics(9.0, 3.0, "metadata")
    assert normalize.from_metadata(attributes(BLOCK), "Phase3D", "mean_std") == Statistics(10.0, 2.0, "metadata")
    assert normalize.from_metadata({}, "Phase3D", "none") == Statistics(0.0, 1.0, "none")


def test_statistics_are_read_over_frames_and_over_the_dataset() -> None:
    percentiles = {"p1": 2.0, "p99": 12.0, "p99_p1": 10.0}
    levels = {"timepoint_statistics": {"0": BLOCK, "1": percentiles}, "dataset_statistics": BLOCK | {"mean": 7.0}}
    found = {"normalization": {"Phase3D": levels}}
    assert normalize.from_metadata(found, "Phase3D", "mean_std") is None  # nothing over the field of view
    assert normalize.from_metadata(found, "Phase3D", "mean_std", "dataset") == Statistics(7.0, 2.0, "metadata")
    assert normalize.from_metadata(found, "Phase3D", "mean_std", "timepoint", 0) == Statistics(10.0, 2.0, "metadata")
    assert normalize.from_metadata(found, "Phase3D", "mean_std", "timepoint", 1) is None
    assert normalize.from_metadata(found, "Phase3D", "mean_std", "timepoint", 2) is None
    known = normalize.from_metadata(found, "Phase3D", "percentiles", "timepoint", 1)
    assert known == Statistics(2.0, 10.0, "metadata")
    assert normalize.apply(np.array([2.0, 12.0]), known).tolist() == [0.0, 1.0]


def test_percentiles_1_and_99_become_0_and_1() -> None:
    values = np.random.default_rng(1).gamma(2.0, 3.0, (200, 200))
    found = normalize.estimate([values.ravel()], "percentiles")
    assert np.percentile(normalize.apply(values, found), (1, 99)) == pytest.approx([0, 1], abs=1e-5)
    sparse = np.zeros(10_000)
    sparse[:50] = 4.0  # less than a hundredth
    assert normalize.estimate([sparse], "percentiles") == Statistics(
        0.0, pytest.approx(4.653 * sparse.std()), "estimated", degenerate=True
    )


def test_what_float32_cannot_hold_is_infinite_without_a_warning() -> None:
    image = np.array([[3e38, 0.0], [-3e38, 1.0]], np.float32)
    found = normalize.apply(image, Statistics(0.0, 0.1, "estimated"))
    np.testing.assert_allclose(found, [[np.inf, 0], [-np.inf, 10]])


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"normalization": None},
        {"normalization": ["Phase3D"]},
        {"normalization": {"GFP": {"fov_statistics": BLOCK}}},
        {"normalization": {"Phase3D": {"dataset_statistics": BLOCK}}},
        attributes({"median": 1.0}),
        attributes({"median": 1.0, "iqr": 0.0}),
        attributes({"median": 1.0, "iqr": -1.0}),
        attributes({"median": float("nan"), "iqr": 1.0}),
        attributes({"median": 1.0, "iqr": float("inf")}),
        attributes({"median": "much", "iqr": 1.0}),
        attributes({"median": None, "iqr": 1.0}),
    ],
)
def test_malformed_metadata_are_ignored(found: dict[str, object]) -> None:
    assert normalize.from_metadata(found, "Phase3D", "median_iqr") is None


def test_estimate_finds_the_parameters_of_a_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    samples = [normalize.grid_sample(rng.normal(5.0, 2.0, (256, 300))) for _ in range(50)]
    median_iqr = normalize.estimate(samples, "median_iqr")
    mean_std = normalize.estimate(samples, "mean_std")
    assert median_iqr.center == pytest.approx(5.0, abs=0.05)
    assert median_iqr.scale == pytest.approx(2.0 * 1.349, rel=0.02)
    assert (mean_std.center, mean_std.scale) == (pytest.approx(5.0, abs=0.05), pytest.approx(2.0, rel=0.02))
    assert median_iqr.source == "estimated"
    assert not median_iqr.degenerate


def test_estimate_is_exact_on_known_values() -> None:
    samples = [np.arange(5.0), np.arange(5.0, 9.0)]
    assert normalize.estimate(samples, "median_iqr") == Statistics(4.0, 4.0, "estimated")
    assert normalize.estimate(iter(samples), "mean_std") == Statistics(4.0, np.sqrt(60 / 9), "estimated")
    assert normalize.estimate([], "none") == Statistics(0.0, 1.0, "none")


def test_estimate_of_a_sparse_field_falls_back_to_the_standard_deviation() -> None:
    sample = np.zeros(100)
    sample[:10] = 1.0
    found = normalize.estimate([sample], "median_iqr")
    assert found == Statistics(0.0, pytest.approx(1.349 * 0.3), "estimated", degenerate=True)


@pytest.mark.parametrize("method", ["median_iqr", "mean_std"])
def test_estimate_of_a_constant_movie_has_scale_one(method: normalize.Method) -> None:
    assert normalize.estimate([np.full(9, 7.0)], method) == Statistics(7.0, 1.0, "estimated", degenerate=True)


def test_estimate_without_samples_is_an_error() -> None:
    with pytest.raises(DataError, match="no valid frame"):
        normalize.estimate([], "median_iqr")


def test_estimate_of_a_long_movie_subsamples_all_frames_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalize, "_MAX_SAMPLES", 1000)
    drift = [np.full(128, float(t)) for t in range(101)]
    assert sum(part.size for part in normalize._gather(drift).reshape(101, -1)) <= 1000
    assert normalize.estimate(drift, "median_iqr") == Statistics(50.0, 50.0, "estimated")


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ((1, 1), 1),
        ((17, 33), 17 * 33),
        ((64, 64), 32 * 32),
        ((256, 256), 1024),
        ((1000, 1100), 32 * 35),
        ((2048, 2048), 4096),
    ],
)
def test_grid_sample_has_enough_points_for_any_shape(shape: tuple[int, int], count: int) -> None:
    assert abs(normalize.grid_sample(np.zeros(shape)).size - count) <= 40


def test_grid_sample_preserves_precision() -> None:
    image = (np.arange(256 * 256, dtype=">f8").reshape(256, 256) + 1e9) / 3
    sample = normalize.grid_sample(image)
    assert sample.dtype == np.float64
    assert np.isin(sample, image).all()


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<i2", ">i4", "i8", "f2", ">f4", "f4", ">f8", "f8"])
def test_apply_accepts_any_dtype(dtype: str) -> None:
    image = np.arange(100).reshape(1, 10, 10).astype(dtype)
    out = normalize.apply(image, Statistics(50.0, 4.0, "estimated"))
    assert out.dtype == np.float32
    assert out.dtype.isnative
    np.testing.assert_array_equal(out, (np.arange(100).reshape(1, 10, 10) - 50.0) / 4.0)


def test_apply_preserves_small_contrast_at_a_large_offset() -> None:
    image = 1e9 + np.linspace(0.0, 1.0, 11).reshape(1, 11)
    out = normalize.apply(image, Statistics(1e9, 1.0, "estimated"))
    np.testing.assert_allclose(out, np.linspace(0.0, 1.0, 11).reshape(1, 11), atol=1e-6)


def test_apply_does_not_modify_its_input() -> None:
    image = np.ones((2, 2), np.float32)
    normalize.apply(image, Statistics(1.0, 2.0, "estimated"))
    assert (image == 1).all()


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "f2", ">f4", "f8"])
def test_constant_images_are_invalid(dtype: str) -> None:
    for value in (0, 7):
        image = np.full((5, 6), value, dtype)
        assert not normalize.is_valid(image)
        image[4, 5] = 9
        assert normalize.is_valid(image)


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_with_non_finite_pixels_are_invalid(dtype: str, value: float) -> None:
    image = np.arange(30).reshape(5, 6).astype(dtype)
    image[2, 3] = value
    assert not normalize.is_valid(image)
    assert not normalize.is_valid(np.full((5, 6), value, dtype))


def test_float64_beyond_float32_is_invalid() -> None:
    image = np.arange(4.0).reshape(2, 2)
    image[0, 0] = -1e39
    assert not normalize.is_valid(image)


def test_single_pixel_is_invalid_only_if_zero_or_not_finite() -> None:
    assert [normalize.is_valid(np.array([[value]])) for value in (3.0, 0.0, np.nan)] == [True, False, False]


def test_image_is_invalid_if_any_channel_is() -> None:
    image = np.arange(18).reshape(2, 3, 3)
    assert normalize.is_valid(image)
    image[1] = 0
    assert not normalize.is_valid(image)


def test_extreme_values_cause_no_warning() -> None:
    image = np.array([[np.finfo(np.float32).max, -np.finfo(np.float32).max]], dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert normalize.is_valid(image)
        assert np.isfinite(normalize.apply(image, Statistics(0.0, 1.0, "none"))).all()


def test_import_loads_no_heavy_library() -> None:
    code = (
        "import sys, image_translation.normalize; print(sorted({'torch', 'viscy', 'zarr', 'pooch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
