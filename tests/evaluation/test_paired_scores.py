from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.discs import discs
from support.stores import write_image, write_plate

from image_translation.errors import UsageError
from image_translation.evaluation.paired_scores import score_pairs
from image_translation.evaluation.pairs import Pairing, find_pairs
from image_translation.evaluation.report import format_scores
from image_translation.metrics.rows import COUNT_METRICS, MEAN_OF_TRUTH, OBJECT_METRICS, PIXEL_METRICS
from image_translation.omezarr.store import open_store

SHAPE = (4, 2, 1, 20, 24)
CHANNELS = ("DNA", "Membrane")
ALL = Pairing()


def movie(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def pairs_of(predicted, truth, wanted=ALL, name="net", request=None):
    return find_pairs(name, open_store(predicted), request or {}, open_store(truth), wanted)


@pytest.fixture
def score(tmp_path):
    """Write a prediction and a truth, and score them."""

    def run(predicted, truth, wanted=ALL, channels=CHANNELS, true_channels=CHANNELS, **options: Any):
        write_image(tmp_path / "p", predicted, channels=channels)
        write_image(tmp_path / "t", truth, channels=true_channels)
        return score_pairs(pairs_of(tmp_path / "p", tmp_path / "t", wanted), **options).rows

    return run


def values(rows, metric, method="net", channel="DNA"):
    found = [row for row in rows if (row.metric, row.method, row.channel) == (metric, method, channel)]
    return {(row.position, row.frame): row.value for row in found}


def test_each_field_and_channel_has_all_scores(score):
    truth, noise = movie(0), movie(1)
    rows = score(truth + noise, truth)
    for c, channel in enumerate(CHANNELS):
        for method in ("net", MEAN_OF_TRUTH):
            for metric in PIXEL_METRICS:
                assert list(values(rows, metric, method, channel)) == [("fov", t) for t in range(4)]
        expected = [np.corrcoef(truth[t, c].ravel(), (truth + noise)[t, c].ravel())[0, 1] for t in range(4)]
        assert list(values(rows, "pearson", channel=channel).values()) == pytest.approx(expected, abs=1e-6)
    assert {row.method for row in rows} == {"net", MEAN_OF_TRUTH, "truth"}
    assert {row.metric for row in rows} == {*PIXEL_METRICS, "gain", "offset", "data_range"}


def test_what_all_images_share_is_stated(score):
    truth = movie()
    rows = score((truth - 5) / 2, truth)
    assert values(rows, "gain") == {("*", None): pytest.approx(2)}
    assert values(rows, "offset") == {("*", None): pytest.approx(5)}
    low, high = np.percentile(truth[:, 0].astype(float), (0.1, 99.9))
    assert values(rows, "data_range", "truth") == {("*", None): pytest.approx(high - low)}
    assert_allclose(list(values(rows, "mae").values()), 0, atol=1e-6)
    assert_allclose(list(values(rows, "ssim").values()), 1, atol=1e-6)


def test_predictions_can_be_scored_without_rescaling(score):
    truth = movie()
    rows = score(truth + 5, truth, rescale=False)
    assert (values(rows, "gain"), values(rows, "offset")) == ({("*", None): 1}, {("*", None): 0})
    assert list(values(rows, "mae").values()) == pytest.approx([5] * 4, rel=1e-6)
    span = values(rows, "data_range", "truth")["*", None]
    assert list(values(rows, "psnr").values()) == pytest.approx([20 * np.log10(span / 5)] * 4, abs=1e-4)


def test_the_trivial_prediction_is_the_mean_of_the_truth(score):
    truth = movie() + np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1, 1)
    rows = score(movie(1), truth)
    expected = [np.abs(truth[t, 0] - truth[:, 0].mean(dtype=float)).mean() for t in range(4)]
    assert list(values(rows, "mae", MEAN_OF_TRUTH).values()) == pytest.approx(expected, rel=1e-5)
    assert np.isnan(list(values(rows, "pearson", MEAN_OF_TRUTH).values())).all()
    assert values(rows, "gain", MEAN_OF_TRUTH) == {}


def test_invalid_images_are_skipped(score):
    truth, predicted = movie(0), movie(1)
    predicted[1] = np.nan
    predicted[0, 1, 0, 3, 4] = np.inf
    truth[2] = 0
    rows = score(predicted, truth)
    for method in ("net", MEAN_OF_TRUTH):
        assert list(values(rows, "mae", method)) == [("fov", 0), ("fov", 3)]
        assert list(values(rows, "mae", method, "Membrane")) == [("fov", 3)]


def test_a_prediction_without_valid_images_is_an_error(score):
    with pytest.raises(UsageError, match="net: no valid image of DNA lies beside a valid one of the truth"):
        score(np.full(SHAPE, np.nan, np.float32), movie())
    with pytest.raises(UsageError, match="net: no valid image of DNA"):
        score(movie(), np.zeros(SHAPE, np.float32))


def test_one_empty_prediction_of_two_is_named(tmp_path):
    write_image(tmp_path / "t", movie(), channels=CHANNELS)
    write_image(tmp_path / "good", movie(1), channels=CHANNELS)
    write_image(tmp_path / "nan", np.full_like(movie(), np.nan), channels=CHANNELS)
    pairs = [pair for name in ("good", "nan") for pair in pairs_of(tmp_path / name, tmp_path / "t", name=name)]
    with pytest.raises(UsageError, match="nan: no valid image"):
        score_pairs(pairs)


def test_channels_of_objects_must_be_among_those_that_are_scored(score):
    with pytest.raises(UsageError, match="--objects DAPI: is not among the channels that are scored: DNA, Membrane"):
        score(movie(), movie(), objects=["Membrane", "DAPI"])


def test_positions_of_a_plate_may_differ_in_size(tmp_path):
    fields = {"A/1/0": movie(0), "A/2/0": movie(1, (2, 2, 1, 31, 12)), "B/1/0": movie(2)}
    write_plate(tmp_path / "t", fields, channels=CHANNELS)
    write_plate(tmp_path / "p", {name: 2 * field for name, field in fields.items()}, channels=CHANNELS)
    rows = score_pairs(pairs_of(tmp_path / "p", tmp_path / "t", Pairing(positions=("A/*",)))).rows
    assert list(values(rows, "mae")) == [*(("A/1/0", t) for t in range(4)), ("A/2/0", 0), ("A/2/0", 1)]
    assert values(rows, "gain") == {("*", None): pytest.approx(0.5)}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float64"])
def test_stores_of_any_number_are_scored(score, dtype):
    truth = np.random.default_rng(0).integers(0, 255, SHAPE).astype(dtype)
    rows = score(255 - truth, truth)
    assert list(values(rows, "pearson").values()) == pytest.approx([-1] * 4)
    assert values(rows, "gain") == {("*", None): 0}
    assert list(values(rows, "psnr").values()) == pytest.approx(list(values(rows, "psnr", MEAN_OF_TRUTH).values()))


def test_single_rows_have_all_scores_but_ssim(score):
    truth = movie(shape=(2, 2, 1, 1, 90))
    rows = score(truth, truth, objects=["DNA"])
    assert list(values(rows, "pearson").values()) == pytest.approx([1, 1])
    assert np.isnan(list(values(rows, "ssim").values())).all()


def test_reserved_words_can_be_names(tmp_path):
    channels = ("raw", "truth", "data_range", "$x$", MEAN_OF_TRUTH)
    truth = movie(shape=(2, 5, 1, 20, 24))
    write_image(tmp_path / "t", truth, channels=channels)
    pairs = [
        pair
        for name, c in (("raw", 2), ("truth", 4), ("$a", 8))
        for pair in pairs_of(write_image(tmp_path / name, c * truth, channels=channels), tmp_path / "t", name=name)
    ]
    rows = score_pairs(pairs).rows
    for channel in channels:
        for name, c in (("raw", 2), ("truth", 4), ("$a", 8)):
            assert list(values(rows, "pearson", name, channel).values()) == pytest.approx([1, 1])
            assert values(rows, "gain", name, channel)["*", None] == pytest.approx(1 / c)
    assert [line.split(":")[0] for line in format_scores(rows).split("\n") if "images" in line] == list(channels)


def nuclei(*counts):
    centres = [(20, 20), (20, 60), (60, 20), (60, 60)]
    return np.stack([discs((80, 80), centres[:count], 9) for count in counts])[:, None, None].repeat(2, axis=1)


@pytest.mark.parametrize(
    ("objects", "found"),
    [(None, {"DAPI"}), ([], set()), (["Membrane"], {"Membrane"}), (["DAPI", "Membrane"], {"DAPI", "Membrane"})],
)
def test_objects_are_found_in_nuclear_or_requested_channels(score, objects, found):
    rows = score(nuclei(3, 2), nuclei(3, 4), channels=("DAPI", "Membrane"), true_channels=("DAPI", "Membrane"),
                 objects=objects)  # fmt: skip
    of_objects = [row for row in rows if row.metric in {*OBJECT_METRICS, *COUNT_METRICS, "diameter"}]
    assert {row.channel for row in of_objects} == found
    for channel in found:
        assert values(of_objects, "diameter", "truth", channel)["*", None] == pytest.approx(18, rel=0.1)
        assert values(of_objects, "count_true", channel=channel) == {("fov", 0): 3, ("fov", 1): 4}
        assert values(of_objects, "ap_50", channel=channel) == {("fov", 0): 1, ("fov", 1): 0.5}
    assert {row.method for row in of_objects} == ({"net", "truth"} if found else set())


def test_an_uncorrelated_prediction_is_scored(score):
    truth = nuclei(3, 4)[:, :1] + 1e4
    noise = np.random.default_rng(0).normal(size=truth.shape).astype(np.float32)
    rows = score(noise, truth, channels=("DAPI",), true_channels=("DAPI",))
    expected = [np.corrcoef(noise[t].ravel(), truth[t].ravel())[0, 1] for t in range(2)]
    assert list(values(rows, "pearson", channel="DAPI").values()) == pytest.approx(expected, abs=1e-6)
    assert np.isfinite([row.value for row in rows if row.metric in OBJECT_METRICS]).all()
