import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import savgol_filter

from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.temporal.filter import apply
from image_translation.temporal.linear import LinearFilter, SavitzkyGolay, moving_average, weighted_sums

ODD_FILTERS = [
    pytest.param(lambda: moving_average(1), id="mean1"),
    pytest.param(lambda: moving_average(3), id="mean3"),
    pytest.param(lambda: moving_average(7), id="mean7"),
    pytest.param(lambda: SavitzkyGolay(5, 2), id="savgol5-2"),
    pytest.param(SavitzkyGolay, id="savgol11-3"),
]


class CountedFrame(Frame):
    """Frame that supports weak references."""


def random_movie(n_frames, shape=(2, 5, 7)):
    return np.random.default_rng(n_frames).normal(size=(n_frames, *shape)).astype(np.float32)


def ramp(n_frames):
    return np.broadcast_to(np.arange(n_frames, dtype=np.float32)[:, None, None, None], (n_frames, 1, 2, 3))


def stream(temporal_filter, movie, valid=None, first=0):
    frames = []
    for offset, data in enumerate(movie):
        frames += temporal_filter.push(Frame(first + offset, data, valid is None or valid[offset]))
    return frames + temporal_filter.flush()


def with_invalid(movie, *indices):
    valid = np.ones(len(movie), dtype=bool)
    valid[list(indices)] = False
    broken = movie.copy()
    broken[~valid] = np.nan
    return broken, valid


@pytest.mark.parametrize("make", [*ODD_FILTERS, pytest.param(lambda: moving_average(2), id="mean2")])
def test_constant_movie_is_unchanged(make):
    movie = np.full((17, 2, 3, 3), 37.5, dtype=np.float32)
    assert_allclose(apply(make(), movie), movie[: make().length(17)], rtol=1e-6)


@pytest.mark.parametrize("make", ODD_FILTERS)
def test_linear_ramp_has_no_lag(make):
    assert_allclose(apply(make(), ramp(20)), ramp(20), atol=1e-5)


@pytest.mark.parametrize("make", ODD_FILTERS)
def test_impulse_response_has_sum_one_and_no_shift(make):
    movie = np.zeros((31, 1, 1, 1), dtype=np.float32)
    movie[15] = 1
    response = apply(make(), movie).ravel().astype(np.float64)
    assert_allclose(response.sum(), 1, atol=1e-6)
    assert_allclose((response * np.arange(31)).sum(), 15, atol=1e-5)


@pytest.mark.parametrize("make", ODD_FILTERS)
@pytest.mark.parametrize("first", [0, 3])
def test_output_frames_have_the_indices_of_the_input_frames(make, first):
    movie = random_movie(23)
    frames = stream(make(), movie, first=first)
    assert [frame.index for frame in frames] == list(range(first, first + 23))
    assert all(frame.valid and frame.data.dtype == np.float32 for frame in frames)
    assert make().length(23) == 23
    assert make().delay == 0


@pytest.mark.parametrize("first", range(1, 5))
def test_result_does_not_depend_on_the_first_index(first):
    movie = random_movie(30)
    late = [frame.data for frame in stream(SavitzkyGolay(), movie, first=first)]
    assert_allclose(late, apply(SavitzkyGolay(), movie), atol=1e-6)


@pytest.mark.parametrize(
    ("window", "polyorder"),
    [(1, 0), (3, 0), (3, 1), (3, 2), (5, 2), (5, 4), (7, 3), (9, 5), (11, 3), (11, 10), (21, 2), (21, 9)],
)
@pytest.mark.parametrize("extra", [0, 1, 2, 3, 4, 14])
def test_savitzky_golay_equals_scipy(window, polyorder, extra):
    movie = random_movie(window + extra)
    # In float64: SciPy's own fit at the ends is only good to 2e-5 in float32.
    expected = savgol_filter(movie.astype(np.float64), window, polyorder, axis=0, mode="interp")
    assert_allclose(apply(SavitzkyGolay(window, polyorder), movie), expected, atol=1e-5)


def test_large_images_are_processed_in_blocks():
    movie = random_movie(14, shape=(1, 203, 251))
    expected = savgol_filter(movie.astype(np.float64), 11, 3, axis=0, mode="interp")
    assert_allclose(apply(SavitzkyGolay(), movie), expected, atol=1e-5)


def test_non_contiguous_frames():
    movie = random_movie(6, shape=(4, 6, 2)).transpose(0, 3, 2, 1)
    assert_allclose(apply(moving_average(2), movie), (movie[:-1] + movie[1:]) / 2, atol=1e-6)


def test_moving_average_shrinks_symmetrically_at_the_ends():
    movie = random_movie(9)
    smoothed = apply(moving_average(5), movie)
    for index, reach in enumerate([0, 1, 2, 2, 2, 2, 2, 1, 0]):
        assert_allclose(smoothed[index], movie[index - reach : index + reach + 1].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4])
def test_moving_average_of_a_movie_shorter_than_its_window(n_frames):
    assert_allclose(apply(moving_average(9), ramp(n_frames)), ramp(n_frames), atol=1e-6)


@pytest.mark.parametrize("n_frames", [0, 1, 2, 3, 10])
def test_window_of_two_averages_each_frame_and_the_next(n_frames):
    movie = random_movie(n_frames)
    smoothed = apply(moving_average(2), movie)
    assert smoothed.shape == (max(0, n_frames - 1), 2, 5, 7)
    assert_allclose(smoothed, (movie[:-1] + movie[1:]) / 2, atol=1e-6)
    assert moving_average(2).delay == 0.5


def test_window_of_two_with_an_invalid_frame_is_invalid():
    movie, valid = with_invalid(random_movie(6), 2)
    frames = stream(moving_average(2), movie, valid)
    assert [frame.valid for frame in frames] == [True, False, False, True, True]
    assert all(np.isnan(frame.data).all() for frame in frames if not frame.valid)
    assert all(np.isfinite(frame.data).all() for frame in frames if frame.valid)


@pytest.mark.parametrize("make", ODD_FILTERS)
@pytest.mark.parametrize(
    "missing", [(0,), (1,), (0, 1, 2), (12,), (11, 13), (10, 11, 12), tuple(range(6, 14)), (23,), (21, 22, 23)]
)
def test_invalid_frames_stay_invalid_and_do_not_affect_others(make, missing):
    movie, valid = with_invalid(ramp(24), *missing)
    frames = stream(make(), movie, valid)
    assert_array_equal([frame.valid for frame in frames], valid)
    for frame in frames:
        expected = ramp(24)[frame.index] if frame.valid else np.nan
        assert_allclose(frame.data, np.broadcast_to(expected, frame.data.shape), atol=1e-4)


def test_moving_average_uses_symmetric_pairs_around_an_invalid_frame():
    movie, valid = with_invalid(random_movie(9), 3)
    smoothed = apply(moving_average(5), movie, valid)
    assert_allclose(smoothed[4], movie[[2, 4, 6]].mean(axis=0), atol=1e-6)
    assert_allclose(smoothed[5], movie[[4, 5, 6]].mean(axis=0), atol=1e-6)


def test_savitzky_golay_fits_the_valid_frames_of_the_window():
    movie, valid = with_invalid(random_movie(25), 10, 13)
    smoothed = apply(SavitzkyGolay(), movie, valid)
    times = np.array([7, 8, 9, 11, 12, 14, 15, 16, 17])
    expected = np.polynomial.polynomial.polyfit(times - 12, movie[times].reshape(len(times), -1), 3)[0]
    assert_allclose(smoothed[12].ravel(), expected, atol=1e-5)
    untouched = apply(SavitzkyGolay(), random_movie(25))
    assert_allclose(smoothed[[19, 24]], untouched[[19, 24]], atol=1e-6)


def test_savitzky_golay_lowers_its_order_for_few_frames():
    movie, valid = with_invalid(random_movie(11), *range(1, 10))
    smoothed = apply(SavitzkyGolay(), movie, valid)
    assert_allclose(smoothed[[0, 10]], movie[[0, 10]], atol=1e-5)


def test_movie_without_valid_frames_is_invalid():
    movie, valid = with_invalid(random_movie(12), *range(12))
    assert not any(frame.valid for frame in stream(SavitzkyGolay(), movie, valid))


@pytest.mark.parametrize(
    ("make", "bound"),
    [
        (lambda: moving_average(2), 4),
        (lambda: moving_average(7), 9),
        (SavitzkyGolay, 13),
    ],
)
def test_only_a_window_of_frames_is_held(make, bound):
    temporal_filter = make()
    pushed, held = [], []
    for index in range(60):
        frame = CountedFrame(index, np.zeros((1, 2, 2), dtype=np.float32))
        pushed.append(weakref.ref(frame))
        temporal_filter.push(frame)
        del frame
        held.append(sum(reference() is not None for reference in pushed))
    assert max(held) == bound
    temporal_filter.flush()
    assert not any(reference() for reference in pushed)


def test_input_is_not_modified_and_output_is_new():
    movie = random_movie(5)
    movie.flags.writeable = False
    for frame in stream(moving_average(1), movie):
        assert not np.shares_memory(frame.data, movie)
        assert frame.data.flags.writeable
        assert frame.data.flags.owndata


def test_filter_can_be_reused_for_another_movie():
    temporal_filter = SavitzkyGolay(5, 2)
    first, second = random_movie(8), random_movie(9)
    apply(temporal_filter, first)
    assert_array_equal(apply(temporal_filter, second), apply(SavitzkyGolay(5, 2), second))


@pytest.mark.parametrize("index", [0, 1, 3])
def test_frames_out_of_order_are_an_error(index):
    temporal_filter = moving_average(3)
    image = np.zeros((1, 2, 2), dtype=np.float32)
    temporal_filter.push(Frame(0, image))
    temporal_filter.push(Frame(1, image))
    with pytest.raises(ValueError, match=f"frame {index} was pushed instead of frame 2"):
        temporal_filter.push(Frame(index, image))


@pytest.mark.parametrize("window", [-1, 0, 4, 10])
def test_window_must_be_two_or_odd(window):
    with pytest.raises(UsageError, match=f"--window {window}: must be 2 .* odd"):
        moving_average(window)


@pytest.mark.parametrize("window", [-3, 0, 2, 10])
def test_savitzky_golay_window_must_be_odd(window):
    with pytest.raises(UsageError, match=f"--savgol-window {window}: must be an odd number"):
        SavitzkyGolay(window)


@pytest.mark.parametrize("polyorder", [-1, 5, 6])
def test_polynomial_order_must_be_less_than_the_window(polyorder):
    with pytest.raises(
        UsageError, match=f"--savgol-polyorder {polyorder}: must be 0 to 4, less than --savgol-window 5"
    ):
        SavitzkyGolay(5, polyorder)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 10])
def test_movie_shorter_than_the_savitzky_golay_window_is_an_error(n_frames):
    with pytest.raises(UsageError, match=rf"--savgol-window 11: .* movie \(frames: {n_frames}\)"):
        apply(SavitzkyGolay(), random_movie(n_frames))


def test_minimum_number_of_frames():
    filters: list[LinearFilter] = [moving_average(2), moving_average(5), SavitzkyGolay(7, 2)]
    assert [temporal_filter.min_frames for temporal_filter in filters] == [2, 2, 7]
    assert [temporal_filter.name for temporal_filter in filters] == ["window", "window", "savgol"]


@pytest.mark.parametrize("size", [1, 100, 2**15, 2**15 * 8, 2**15 * 17 + 5])
def test_weighted_sums_equal_a_matrix_product(size):
    images = np.random.default_rng(0).normal(size=(2, size)).astype(np.float32)
    weights = np.array([[0.5, 0.5], [1, -2], [0, 3]], dtype=np.float32)
    assert_allclose(weighted_sums(weights, list(images)), weights @ images, atol=1e-5)


def test_weighted_sums_of_no_images():
    assert weighted_sums(np.empty((0, 0), dtype=np.float32), []) == []
