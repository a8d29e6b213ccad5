import weakref
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from support.cells import CHANNELS, cells_movie

from image_translation.frame import Frame
from image_translation.metrics.evaluator import Evaluator
from image_translation.metrics.flicker import change
from image_translation.metrics.score_card import score_cards
from image_translation.temporal.filter import apply
from image_translation.temporal.linear import SavitzkyGolay, moving_average


def random_movie(n_frames, seed=0):
    return np.random.default_rng(seed).normal(size=(n_frames, 2, 24, 30)).astype(np.float32)


def drifting_movie(n_frames):
    still = gaussian_filter(random_movie(1)[0], (0, 1, 1)) * 5
    return np.stack([np.roll(still, index, axis=2) for index in range(n_frames)])


def frames_of(movie, invalid=()):
    return [
        Frame(index, data if index not in invalid else np.full_like(data, np.nan), index not in invalid)
        for index, data in enumerate(movie)
    ]


def evaluate(movies, delays=None, first="raw"):
    """Score complete movies, given as lists of frames, one movie after the other."""
    methods = [name for name in movies if name not in {"raw", "truth"}]
    evaluator = Evaluator("0", CHANNELS, dict.fromkeys(methods, 0) | (delays or {}), truth="truth" in movies)
    order = sorted(movies, key=lambda name: name != first)
    rows = [row for name in order for frame in movies[name] for row in evaluator.add(name, frame)]
    return rows + evaluator.finish()


def values(rows, method, metric, channel="Nuclei"):
    wanted = [row for row in rows if (row.method, row.metric, row.channel) == (method, metric, channel)]
    return {row.frame: row.value for row in wanted}


def correlation(first, second):
    return np.corrcoef(first.ravel().astype(np.float64), second.ravel().astype(np.float64))[0, 1]


def table(rows):
    return {(row.position, row.method, row.channel, row.frame, row.metric): row.value for row in rows}


def cells_rows(*, stain=1.0, truth=1.0, phase=1.0, hot=()):
    m = cells_movie()
    movies = {"raw": m.raw * np.float32(stain), "steady": m.steady * np.float32(stain)}
    true, light = m.truth * np.float32(truth), m.phase * np.float32(phase)
    for t, value in hot:
        true[t, 0, 3, 3] = light[t, 5, 5] = value
    evaluator = Evaluator("0", CHANNELS, {"steady": 0.0}, truth=bool(truth))
    rows = []
    for t in range(6):
        rows += evaluator.add("truth", Frame(t, true[t])) if truth else []
        for name, movie in movies.items():
            rows += evaluator.add(name, Frame(t, movie[t], phase=light[t]))
    return table(rows + evaluator.finish())


@pytest.mark.parametrize("truth", [1.0, 0.0])
@pytest.mark.parametrize("unit", [2.0**70, 2.0**-70])
def test_metrics_do_not_depend_on_an_extreme_unit(unit, truth):
    usual = cells_rows(truth=truth)
    extreme = cells_rows(stain=unit, truth=truth * unit, phase=unit)
    assert extreme.keys() == usual.keys()
    for key, value in usual.items():
        factor = unit if key[-1].startswith("change") else 1
        assert_allclose(extreme[key], value * factor, rtol=2e-3, atol=2e-3 * factor, err_msg=str(key))


@pytest.mark.parametrize("value", [1e30, -3e38])
@pytest.mark.parametrize("truth", [1.0, 0.0])
def test_broken_pixels_overflow_nowhere(value, truth):
    """A NumPy warning would be an error here."""
    rows, usual = cells_rows(truth=truth, hot=[(3, value)]), cells_rows(truth=truth)
    assert rows.keys() >= usual.keys()
    undefined = {key[-1] for key, found in rows.items() if not np.isfinite(found)}
    # Relative to raw, which has nothing in common with a broken truth.
    assert undefined <= {f"detail_{band}" for band in ("fine", "medium", "coarse")}
    untouched = [key for key in usual if key[3] == 0 and "sharpness" not in key[4]]
    assert untouched
    for key in untouched:
        assert_allclose(rows[key], usual[key], err_msg=str(key))


def test_correlations_equal_numpy_for_every_frame_and_channel():
    raw, truth = drifting_movie(9) + random_movie(9, 1), drifting_movie(9)
    smoothed = apply(moving_average(3), raw)
    rows = evaluate({"raw": frames_of(raw), "truth": frames_of(truth), "mean": frames_of(smoothed)})
    for number, channel in enumerate(CHANNELS):
        for name, movie in {"raw": raw, "truth": truth, "mean": smoothed}.items():
            images = movie[:, number]
            expected = [correlation(a, b) for a, b in pairwise(images)]
            assert_allclose(list(values(rows, name, "adjacent_pearson", channel).values()), expected, atol=1e-6)
            for reference, others in {"pearson_raw": raw, "pearson_truth": truth}.items():
                expected = [correlation(a, b) for a, b in zip(images, others[:, number], strict=True)]
                assert_allclose(list(values(rows, name, reference, channel).values()), expected, atol=1e-6)


def test_identical_frames_score_one_and_noise_scores_about_zero():
    movie = random_movie(1).repeat(6, axis=0)
    rows = evaluate({"raw": frames_of(movie), "same": frames_of(movie), "noise": frames_of(random_movie(6, 1))})
    for metric in ("adjacent_pearson", "pearson_raw", "sharpness"):
        assert_allclose(list(values(rows, "same", metric).values()), 1, atol=1e-6)
    assert_allclose(list(values(rows, "noise", "adjacent_pearson").values()), 0, atol=0.15)
    assert_allclose(list(values(rows, "noise", "pearson_raw").values()), 0, atol=0.15)


def test_frozen_movie_is_steady_but_has_low_fidelity_and_sharpness():
    raw = random_movie(12)
    frozen = raw.mean(axis=0, keepdims=True).repeat(12, axis=0)
    rows = evaluate({"raw": frames_of(raw), "frozen": frames_of(frozen)})
    assert_allclose(list(values(rows, "frozen", "adjacent_pearson").values()), 1, atol=1e-6)
    assert max(values(rows, "frozen", "pearson_raw").values()) < 0.5
    assert max(values(rows, "frozen", "sharpness").values()) < 0.2


def test_lag_of_a_delayed_movie_and_of_filters():
    raw = drifting_movie(20)
    movies = {
        "raw": frames_of(raw),
        "late": frames_of(np.concatenate([raw[:1], raw[:-1]])),
        "mean": frames_of(apply(moving_average(5), raw)),
        "savgol": frames_of(apply(SavitzkyGolay(), raw)),
        "window": frames_of(apply(moving_average(2), raw)),
    }
    rows = evaluate(movies, {"window": 0.5})
    lags = {name: values(rows, name, "lag")[None] for name in movies}
    assert_allclose(list(lags.values()), [0, 1, 0, 0, -0.5], atol=0.02)


def test_delayed_frames_are_compared_with_both_reference_frames():
    raw, truth = random_movie(5), random_movie(5, 1)
    pairs = apply(moving_average(2), raw)
    movies = {"raw": frames_of(raw), "truth": frames_of(truth), "window": frames_of(pairs)}
    rows = evaluate(movies, {"window": 0.5})
    for metric, others in {"pearson_raw": raw[:, 0], "pearson_truth": truth[:, 0]}.items():
        expected = [
            (correlation(pair, before) + correlation(pair, after)) / 2
            for pair, (before, after) in zip(pairs[:, 0], pairwise(others), strict=True)
        ]
        assert_allclose(list(values(rows, "window", metric).values()), expected, atol=1e-6)
    assert_allclose(list(values(rows, "window", "sharpness").values()), 0.5, atol=0.1)


def test_invalid_frames_get_no_row_and_affect_no_value():
    raw, invalid = random_movie(8), {0, 3, 4}
    smoothed = apply(moving_average(3), raw)
    movies = {"raw": frames_of(raw, invalid), "mean": frames_of(smoothed, invalid)}
    movies["window"] = frames_of(smoothed[:-1], {0, 2, 3, 4})
    rows = evaluate(movies, {"window": 0.5})
    valid = {"raw": frames_of(raw), "mean": frames_of(smoothed), "window": frames_of(smoothed[:-1])}
    complete = table(evaluate(valid, {"window": 0.5}))
    per_frame = [row for row in rows if row.frame is not None]
    assert all(row.value == complete[row.position, row.method, row.channel, row.frame, row.metric] for row in per_frame)
    for name in ("raw", "mean"):
        assert list(values(rows, name, "pearson_raw")) == [1, 2, 5, 6, 7]
        assert list(values(rows, name, "sharpness")) == [1, 2, 5, 6, 7]
        assert list(values(rows, name, "adjacent_pearson")) == [1, 5, 6]
    assert list(values(rows, "window", "pearson_raw")) == [1, 5, 6]


def test_invalid_true_frame_has_no_rows_and_affects_no_others():
    movie = random_movie(4)
    rows = evaluate({"raw": frames_of(movie), "truth": frames_of(movie, {1})})
    assert list(values(rows, "raw", "pearson_truth")) == [0, 2, 3]
    assert list(values(rows, "raw", "adjacent_pearson")) == [0, 1, 2]


@pytest.mark.parametrize("first", ["raw", "truth", "window", "savgol"])
def test_result_is_independent_of_the_order_of_the_movies(first):
    raw = random_movie(14)
    movies = {
        "raw": frames_of(raw),
        "truth": frames_of(random_movie(14, 1)),
        "window": frames_of(apply(moving_average(2), raw)),
        "savgol": frames_of(apply(SavitzkyGolay(), raw)),
    }
    rows = evaluate(movies, {"window": 0.5}, first=first)
    metrics = {"adjacent_pearson", "pearson_raw", "pearson_truth", "sharpness", "lag"}
    assert len([row for row in rows if row.metric in metrics]) == 2 * (4 * (13 + 3 * 14 + 1) - 4)
    expected = table(stream(raw, random_movie(14, 1))[0])
    assert table(rows).keys() == expected.keys()
    assert_allclose([expected[key] for key in table(rows)], list(table(rows).values()), atol=1e-6)


def stream(raw, truth=None):
    """Filter and score a movie frame by frame; return the rows, and the number of images in memory after each frame."""
    filters = {"window": moving_average(2), "savgol": SavitzkyGolay()}
    evaluator = Evaluator("0", CHANNELS, {name: f.delay for name, f in filters.items()}, truth=truth is not None)
    rows, alive, held = [], [], []

    def add(name, frame):
        alive.append(weakref.ref(frame.data))
        rows.extend(evaluator.add(name, frame))

    for index in range(len(raw)):
        if truth is not None:
            add("truth", Frame(index, truth[index].copy()))
        frame = Frame(index, raw[index].copy())
        add("raw", frame)
        for name, temporal_filter in filters.items():
            for smoothed in temporal_filter.push(frame):
                add(name, smoothed)
        held.append(sum(reference() is not None for reference in alive))
    for name, temporal_filter in filters.items():
        for smoothed in temporal_filter.flush():
            add(name, smoothed)
    return rows + evaluator.finish(), held


def test_images_are_kept_only_as_long_as_they_are_needed():
    held = stream(random_movie(60), random_movie(60, 1))[1]
    assert max(held) <= 13 + 10 + 6
    assert max(held[40:]) == max(held)


def test_constant_images_have_no_correlation_and_no_sharpness():
    movie = np.full((6, 2, 5, 5), 0.1, dtype=np.float32)
    rows = evaluate({"raw": frames_of(movie), "same": frames_of(movie)})
    assert np.isnan(list(values(rows, "same", "adjacent_pearson").values())).all()
    assert np.isnan(list(values(rows, "same", "sharpness").values())).all()
    assert not values(rows, "same", "lag")


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (17, 33)])
@pytest.mark.parametrize("n_frames", [1, 2])
def test_tiny_movies_are_scored(shape, n_frames):
    movie = random_movie(n_frames)[..., : shape[0], : shape[1]]
    rows = evaluate({"raw": frames_of(movie), "same": frames_of(movie)})
    assert len(values(rows, "same", "pearson_raw")) == n_frames
    assert len(values(rows, "same", "adjacent_pearson")) == n_frames - 1


def cell_rows(delays=None, *, truth=True, phase=True, invalid=(), first="raw", start=0, **movies):
    m = cells_movie()
    evaluator = Evaluator("0", CHANNELS, dict.fromkeys(movies, 0) | (delays or {}), truth=truth)
    everything = {"raw": m.raw, **movies} | ({"truth": m.truth} if truth else {})
    rows = []
    for name in sorted(everything, key=lambda name: name != first):
        for t, data in enumerate(everything[name]):
            shown = m.phase[t] if phase and name == "raw" else None
            rows += evaluator.add(name, Frame(t + start, data, t not in invalid or name == "truth", shown))
    return rows + evaluator.finish()


@pytest.mark.parametrize("truth", [True, False])
def test_metrics_along_the_motion_are_independent_of_the_order(truth):
    m = cells_movie()
    movies = {"steady": m.steady, "pairs": (m.raw[:-1] + m.raw[1:]) / 2}
    orders = ["raw", "steady", "pairs", *(["truth"] if truth else [])]
    tables = [table(cell_rows({"pairs": 0.5}, truth=truth, first=first, **movies)) for first in orders]
    assert len({key[-1] for key in tables[0]}) > 20
    for other in tables[1:]:
        assert other.keys() == tables[0].keys()
        assert_allclose([other[key] for key in tables[0]], list(tables[0].values()), rtol=1e-9)


def test_flicker_agrees_with_flicker_along_the_true_motion():
    m = cells_movie()
    for truth in (True, False):
        rows = cell_rows(truth=truth, steady=m.steady)
        for c, channel in enumerate(CHANNELS):
            movies = [movie - m.truth if truth else movie for movie in (m.steady, m.raw)]
            changes = [
                np.mean(
                    [change(a[[c]], b[[c]], flow, np.ones(a.shape[1:], bool)) for a, b, flow in zip(*pair, strict=True)]
                )
                for pair in ((movie[:-1], movie[1:], m.flow) for movie in movies)
            ]
            found = [np.mean(list(values(rows, name, "change", channel).values())) for name in ("steady", "raw")]
            assert found[0] / found[1] == pytest.approx(changes[0] / changes[1], abs=0.12)
        assert_allclose(list(values(rows, "raw", "flicker").values()), 1)


def test_the_phase_has_an_adjacent_pearson_for_each_channel():
    m = cells_movie()
    rows = cell_rows(truth=False)
    for channel in CHANNELS:
        found = list(values(rows, "phase", "adjacent_pearson", channel).values())
        assert_allclose(found, [correlation(a, b) for a, b in pairwise(m.phase)], atol=1e-5)
    assert not values(cell_rows(truth=False, phase=False), "phase", "adjacent_pearson")
    assert not values(cell_rows(truth=False, phase=False), "raw", "flicker")


def test_invalid_frames_interrupt_only_the_motion():
    complete, broken = cell_rows(truth=False), cell_rows(truth=False, invalid={5})
    assert set(values(complete, "raw", "change")) - set(values(broken, "raw", "change")) == {4, 5}
    steps = values(broken, "raw", "change")
    assert [steps[t] for t in range(4)] == [values(complete, "raw", "change")[t] for t in range(4)]


def test_delayed_frames_are_scored_along_both_steps():
    m = cells_movie()
    pairs = (m.raw[:-1] + m.raw[1:]) / 2
    rows = cell_rows({"pairs": 0.5}, truth=False, pairs=pairs)
    assert list(values(rows, "pairs", "flicker")) == list(range(len(m.raw) - 2))
    assert list(values(rows, "pairs", "pearson_raw_fast")) == list(range(len(m.raw) - 2))


def test_gain_flicker_is_detected_where_pearson_is_one():
    m = cells_movie()
    gain = np.where(np.arange(len(m.truth)) % 2, 1.1, 1.0)[:, None, None, None].astype(np.float32)
    rows = cell_rows(gain=m.truth * gain)
    assert min(values(rows, "gain", "pearson_truth").values()) > 0.9999
    assert_allclose(list(values(rows, "gain", "gain_flicker").values()), np.log(1.1), atol=0.02)
    assert max(values(rows, "truth", "gain_flicker").values()) < 0.05
    assert values(rows, "gain", "intensity_jitter")[None] == pytest.approx(np.log(1.1), abs=0.05)


def test_truth_in_another_unit_is_converted_to_that_of_the_prediction():
    m = cells_movie()
    plain = cell_rows(steady=m.steady)
    evaluator = Evaluator("0", CHANNELS, {"steady": 0}, truth=True)
    rows = []
    for t in range(len(m.raw)):
        rows += evaluator.add("truth", Frame(t, 1000 * m.truth[t] + 100))
        rows += evaluator.add("raw", Frame(t, m.raw[t]))
        rows += evaluator.add("steady", Frame(t, m.steady[t]))
    for metric, tolerance in {"pearson_truth": 1e-3, "flicker": 0.15, "ssim_truth": 0.1}.items():
        numbers = [np.mean(list(values(found, "steady", metric).values())) for found in (rows, plain)]
        assert numbers[0] == pytest.approx(numbers[1], abs=tolerance)


def test_a_stain_that_leaves_its_phase_is_displaced_and_flickers():
    """The stage jitters, phase and prediction follow, and a method that holds the stain still parts from both."""
    m = cells_movie()
    shift = [2 * (-1) ** t for t in range(len(m.truth))]
    jittered = np.stack([np.roll(frame, dx, axis=2) for frame, dx in zip(m.truth, shift, strict=True)])
    phase = np.stack([np.roll(frame, dx, axis=1) for frame, dx in zip(m.phase, shift, strict=True)])
    for truth in (False, True):
        evaluator = Evaluator("0", CHANNELS, {"still": 0, "same": 0}, truth=truth)
        rows = []
        for t in range(len(jittered)):
            if truth:
                rows += evaluator.add("truth", Frame(t, jittered[t]))
            rows += evaluator.add("raw", Frame(t, jittered[t], phase=phase[t]))
            rows += evaluator.add("still", Frame(t, m.truth[t]))
            rows += evaluator.add("same", Frame(t, jittered[t]))
        for channel in CHANNELS:
            assert min(values(rows, "still", "displacement", channel).values()) > 1
            assert min(values(rows, "still", "displacement_local", channel).values()) > 1
            assert max(values(rows, "same", "displacement", channel).values()) < 1e-6
            if not truth:
                assert min(values(rows, "still", "flicker", channel).values()) > 1.5
        (card,) = score_cards(rows)
        assert card.ranking[-1] == "still"
        assert all("displacement" in entry.failures for entry in card.entries if entry.method == "still")


def test_only_channels_of_nuclei_have_tracks():
    rows = cell_rows()
    assert values(rows, "raw", "count_jitter", "Nuclei")[None] == 0
    assert not values(rows, "raw", "count_jitter", "Membrane")


@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_short_movies_have_the_metrics_that_are_defined(n_frames):
    m = cells_movie()
    evaluator = Evaluator("0", CHANNELS, {"same": 0}, truth=True)
    rows = []
    for t in range(n_frames):
        rows += evaluator.add("truth", Frame(t, m.truth[t]))
        for name in ("raw", "same"):
            rows += evaluator.add(name, Frame(t, m.raw[t], phase=m.phase[t]))
    rows += evaluator.finish()
    assert len(values(rows, "same", "flicker")) == n_frames - 1
    assert len(values(rows, "same", "ssim_truth")) == n_frames
    assert not values(rows, "same", "drift")
    assert np.isfinite(
        [row.value for row in rows if row.metric in {"flicker", "sharpness", "coherence_truth_fine"}]
    ).all()


def test_first_index_is_arbitrary():
    frames = frames_of(random_movie(7))
    late = [Frame(frame.index + 5, frame.data) for frame in frames]
    for metric in ("adjacent_pearson", "pearson_raw", "lag"):
        numbers = values(evaluate({"raw": frames, "same": frames}), "same", metric)
        shifted = {None if frame is None else frame + 5: number for frame, number in numbers.items()}
        assert values(evaluate({"raw": late, "same": late}), "same", metric) == shifted


def test_frames_out_of_order_and_unknown_movies_are_rejected():
    evaluator = Evaluator("0", CHANNELS, {"window": 0.5})
    frame = frames_of(random_movie(1))[0]
    evaluator.add("raw", frame)
    with pytest.raises(ValueError, match="raw: got frame 0, expected frame 1: add frames in order"):
        evaluator.add("raw", frame)
    with pytest.raises(KeyError, match="truth"):
        evaluator.add("truth", frame)
