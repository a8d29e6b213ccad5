"""Temporal filters as streaming operators: frames go in one by one, and come out smoothed when their window is full.

The filters here are linear: an output frame is a weighted sum of the frames of its window. `LinearFilter` holds
the window and does the sums; a rule says which weights the frames get, given which of them are there.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.temporal.weighted_sums import weighted_sums

# Output frames that are computed together: each input frame is then read once for several outputs, which is what
# makes a window of 11 frames cheap. Groups are aligned to absolute frame numbers.
_GROUP = 4

Rule = Callable[[tuple[int, ...]], tuple[float, ...]]
"""Offsets in time of the valid frames of a window -> their weights; none if the output frame is invalid."""


class TemporalFilter(Protocol):
    """A filter along time that takes the frames of one movie in order.

    Attributes
    ----------
    name
        Name of the method, which the output store and the metrics bear.
    delay
        How much later than its index an output frame lies in time, in frames.
    minimum
        Number of valid frames that a movie must have.
    """

    name: str
    delay: float
    minimum: int

    def length(self, n_frames: int) -> int:
        """Return the number of output frames of a movie of `n_frames` frames."""

    def planes(self, n_channels: int) -> int:
        """Return how many images of one channel (Y, X), float32, it has in memory at a time."""

    def push(self, frame: Frame) -> list[Frame]:
        """Take the next frame, (C, Y, X) float32; return the output frames that became ready, in order."""

    def flush(self) -> list[Frame]:
        """End the movie: return the output frames that are left. The filter is then ready for another movie."""


class LinearFilter:
    """Weighted sum of the frames of a window that moves along time.

    At the two ends of the movie the window is shifted, or cut if the movie is shorter, to lie within it. Pushed
    frames are held by reference, never copied and never written to; output frames are fresh arrays that belong to the
    receiver.

    Parameters
    ----------
    name
        Name of the method.
    window
        Number of frames in the window.
    before
        How many of them come before the frame that the output is named after.
    rule
        Weights of the valid frames of a window. An invalid frame is never read.
    minimum
        Number of valid frames that a movie must have.
    """

    def __init__(self, name: str, window: int, before: int, rule: Rule, minimum: int) -> None:
        self.name = name
        self.window = window
        self.minimum = minimum
        self._before = before
        self._after = window - 1 - before
        self.delay = (self._after - before) / 2
        self._rule = rule
        self._first = 0
        self._next = 0
        self._end = 0
        self._held: dict[int, Frame] = {}

    def length(self, n_frames: int) -> int:
        """Return the number of output frames of a movie of `n_frames` frames."""
        return max(0, n_frames - (self._after - self._before))

    def planes(self, n_channels: int) -> int:
        """Return how many images of one channel are in memory at a time."""
        return (self.window + 2 * _GROUP) * n_channels

    def push(self, frame: Frame) -> list[Frame]:
        """Take the next frame, and return the output frames that became ready.

        Parameters
        ----------
        frame
            Frame of shape (C, Y, X), float32. The first one begins the movie, whatever its index; its data may be
            anything if it is invalid.

        Returns
        -------
        list[Frame]
            Frames of shape (C, Y, X), float32, in order. Frames without an answer are invalid and all NaN.

        Raises
        ------
        ValueError
            If the frame is not the one that follows the last.
        """
        if not self._held:
            self._first = self._next = self._end = frame.index
        if frame.index != self._end:
            raise ValueError(f"frame {frame.index} came where frame {self._end} was due: frames must come in order")
        self._held[frame.index] = frame
        self._end += 1
        if self._end - self._first < self.window:
            return []
        ready = self._end - self._after
        results = self._emit(ready - ready % _GROUP)
        keep = min(self._next - self._before, self._end - self.window)
        self._held = {index: held for index, held in self._held.items() if index >= keep}
        return results

    def flush(self) -> list[Frame]:
        """End the movie: return the output frames that are left, as `push` does. Another movie may follow."""
        if not self._held:
            return []
        results = self._emit(self._first + self.length(self._end - self._first))
        self._held = {}
        return results

    def _emit(self, stop: int) -> list[Frame]:
        results = []
        while self._next < stop:
            group_stop = min(stop, self._next - self._next % _GROUP + _GROUP)
            results += self._combine(range(self._next, group_stop))
            self._next = group_stop
        return results

    def _combine(self, indices: range) -> list[Frame]:
        weights = {index: self._weights(index) for index in indices}
        sources = sorted(set().union(*weights.values()))
        matrix = [[row.get(source, 0.0) for source in sources] for row in weights.values() if row]
        sums = iter(weighted_sums(np.array(matrix, dtype=np.float32), [self._held[source].data for source in sources]))
        return [Frame(index, next(sums)) if row else self._invalid(index) for index, row in weights.items()]

    def _weights(self, index: int) -> dict[int, float]:
        """Return the weights of the frames that output frame `index` is made of, by frame index."""
        start = max(self._first, min(index - self._before, self._end - self.window))
        window = range(start, min(start + self.window, self._end))
        valid = [source for source in window if self._held[source].valid]
        weights = self._rule(tuple(source - index for source in valid))
        return {source: weight for source, weight in zip(valid, weights, strict=False) if weight}

    def _invalid(self, index: int) -> Frame:
        return Frame(index, np.full(self._held[index].data.shape, np.nan, dtype=np.float32), valid=False)


class SavitzkyGolay(LinearFilter):
    """Fit of a polynomial to the frames of a centred window, by least squares, read at the centre [1]_.

    At the two ends the fit of the last full window is read off the centre [2]_, as `scipy.signal.savgol_filter` does
    with ``mode="interp"``. Around an invalid frame the fit uses the valid frames of the window, with a lower order if
    they are too few.

    Parameters
    ----------
    window
        Number of frames in the window, odd.
    polyorder
        Order of the polynomial, less than `window`.

    Raises
    ------
    UsageError
        If there is no such window or polynomial.

    References
    ----------
    .. [1] Savitzky and Golay (1964), Smoothing and differentiation of data by simplified least squares procedures,
       Analytical Chemistry 36(8), 1627-1639.
    .. [2] Gorry (1990), General least-squares smoothing and differentiation by the convolution (Savitzky-Golay)
       method, Analytical Chemistry 62(6), 570-573.
    """

    def __init__(self, window: int = 11, polyorder: int = 3) -> None:
        if window < 1 or window % 2 == 0:
            raise UsageError(f"--savgol-window {window}: must be an odd number of frames, 1 or more")
        if not 0 <= polyorder < window:
            raise UsageError(
                f"--savgol-polyorder {polyorder}: must be 0 to {window - 1}, less than --savgol-window {window}"
            )
        rule = partial(polynomial_weights, polyorder=polyorder)
        super().__init__("savgol", window, window // 2, rule, minimum=window)
        self.polyorder = polyorder

    def flush(self) -> list[Frame]:
        """End the movie as any linear filter does, with a `UsageError` if it was shorter than the window."""
        if self._held and (n_frames := self._end - self._first) < self.window:
            self._held = {}
            raise UsageError(
                f"--savgol-window {self.window}: is longer than the movie (frames: {n_frames}); choose a smaller one"
            )
        return super().flush()


def moving_average(window: int) -> LinearFilter:
    """Return the mean over a window of equal weights.

    An odd window is centred. It shortens symmetrically at the two ends of the movie and around invalid frames, so that
    a steady change is not delayed. The window of 2 is the naive baseline: output frame i is the mean of frames i and
    i + 1, so there is one frame fewer and each lies half an interval later; it is invalid if one of the two is.

    Parameters
    ----------
    window
        Number of frames: 2, or odd.

    Raises
    ------
    UsageError
        If the window is another number.
    """
    if window == 2:
        return LinearFilter("window", window, 0, pair_weights, minimum=2)
    if window < 1 or window % 2 == 0:
        raise UsageError(f"--window {window}: must be 2 (mean of each frame and the next) or an odd number of frames")
    return LinearFilter("window", window, window // 2, symmetric_weights, minimum=min(window, 2))


def apply(
    temporal_filter: TemporalFilter,
    movie: NDArray[np.float32],
    valid: Sequence[bool] | None = None,
    *,
    phase: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Filter a whole movie in memory, with the same arithmetic as the stream.

    Parameters
    ----------
    temporal_filter
        Filter to use, between two movies.
    movie
        Movie of shape (T, C, Y, X), float32.
    valid
        Which of the T frames are valid; all by default.
    phase
        What the movie was predicted from, (T, Y, X) float32; the filters that follow motion need it.

    Returns
    -------
    NDArray[np.float32]
        Movie of shape (T', C, Y, X), with T' = ``temporal_filter.length(T)``; invalid frames are NaN.
    """
    smoothed = np.empty((temporal_filter.length(len(movie)), *movie.shape[1:]), dtype=np.float32)
    for index, data in enumerate(movie):
        known = None if phase is None else phase[index]
        for frame in temporal_filter.push(Frame(index, data, valid is None or bool(valid[index]), known)):
            smoothed[frame.index] = frame.data
    for frame in temporal_filter.flush():
        smoothed[frame.index] = frame.data
    return smoothed


def pair_weights(offsets: tuple[int, ...]) -> tuple[float, ...]:
    """Return equal weights for a frame and the next, none if one of them is missing."""
    return (0.5, 0.5) if offsets == (0, 1) else ()


@lru_cache(maxsize=256)
def symmetric_weights(offsets: tuple[int, ...]) -> tuple[float, ...]:
    """Return equal weights for the offsets whose opposite is there too, none if the centre is missing."""
    if 0 not in offsets:
        return ()
    paired = [-offset in offsets for offset in offsets]
    return tuple(is_paired / sum(paired) for is_paired in paired)


@lru_cache(maxsize=256)
def polynomial_weights(offsets: tuple[int, ...], polyorder: int) -> tuple[float, ...]:
    """Return the weights of a least-squares polynomial fit read at offset 0, none if the centre is missing.

    The order is lowered to what the number of offsets can determine.
    """
    if 0 not in offsets:
        return ()
    order = min(polyorder, len(offsets) - 1)
    times = np.array(offsets) / max(1, *np.abs(offsets))
    powers = np.vander(times, order + 1, increasing=True)
    return tuple(np.linalg.pinv(powers)[0].tolist())
