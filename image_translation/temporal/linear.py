"""Temporal filters as streaming operators: frames go in one by one, and come out smoothed when their window is full.

The filters here are linear: an output frame is a weighted sum of the frames of its window. `LinearFilter` holds
the window and does the sums; a rule says which weights the frames get, given which of them are there.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.frame import Frame

# Output frames that are computed together: each input frame is then read once for several outputs, which is what
# makes a window of 11 frames cheap. Groups are aligned to absolute frame numbers.
_GROUP = 4

Rule = Callable[[tuple[int, ...]], tuple[float, ...]]
"""Offsets in time of the valid frames of a window -> their weights; none if the output frame is invalid."""


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


# Multiplications in one matrix product. BLAS libraries use threads above about this size, and those would compete with
# the network for the processor.
_PRODUCT = 2**18
_PRODUCTS_PER_BLOCK = 8


def weighted_sums(weights: NDArray[np.float32], images: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return several weighted sums of the same images, made block by block in the processor's cache.

    Parameters
    ----------
    weights
        Weights of shape (K, N), float32.
    images
        N images of one shape, float32.

    Returns
    -------
    list[NDArray[np.float32]]
        K new images of the same shape, float32.
    """
    if not weights.size:
        return []
    n_sums, n_images = weights.shape
    sums = [np.empty(images[0].shape, dtype=np.float32) for _ in range(n_sums)]
    columns = max(1, _PRODUCT // weights.size)
    inputs = np.empty((_PRODUCTS_PER_BLOCK, n_images, columns), dtype=np.float32)
    outputs = np.empty((_PRODUCTS_PER_BLOCK, n_sums, columns), dtype=np.float32)
    whole = images[0].size - images[0].size % columns
    sources = [image.reshape(-1) for image in images]
    targets = [image.reshape(-1) for image in sums]
    source_rows = [source[:whole].reshape(-1, columns) for source in sources]
    target_rows = [target[:whole].reshape(-1, columns) for target in targets]
    for start in range(0, whole // columns, _PRODUCTS_PER_BLOCK):
        rows = slice(start, start + _PRODUCTS_PER_BLOCK)
        n_rows = len(source_rows[0][rows])
        for k, source_row in enumerate(source_rows):
            inputs[:n_rows, k] = source_row[rows]
        np.matmul(weights, inputs[:n_rows], out=outputs[:n_rows])
        for k, target_row in enumerate(target_rows):
            target_row[rows] = outputs[:n_rows, k]
    rest = weights @ np.stack([source[whole:] for source in sources])
    for k, target in enumerate(targets):
        target[whole:] = rest[k]
    return sums
