"""Linear temporal filters: moving averages and the Savitzky-Golay filter.

An output frame is a weighted sum of the valid frames in its window. `LinearFilter` holds the window and computes the
sums; a `WeightFunction` gives the weights, depending on which frames of the window are valid.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import UsageError
from image_translation.frame import Frame
from image_translation.temporal.filter import check_order, invalid_frame

# Number of output frames computed together: each input frame is then read once for several outputs, which makes a
# window of 11 frames cheap. Groups are aligned to absolute frame numbers.
_GROUP_SIZE = 4

WeightFunction = Callable[[tuple[int, ...]], tuple[float, ...]]
"""Maps the time offsets of the valid frames in a window to their weights; empty if the output frame is invalid."""


class LinearFilter:
    """Weighted sum over a sliding window of frames.

    At both ends of the movie the window is shifted to lie within it, or truncated if the movie is shorter.

    Parameters
    ----------
    name
        Name of the method.
    window
        Number of frames in the window.
    before
        Number of window frames before the frame whose index the output has.
    weight_function
        Gives the weights of the valid frames of a window.
    min_frames
        Least number of valid frames in a movie.
    """

    def __init__(self, name: str, window: int, before: int, weight_function: WeightFunction, min_frames: int) -> None:
        self.name = name
        self.window = window
        self.min_frames = min_frames
        self._before = before
        self._after = window - 1 - before
        self.delay = (self._after - before) / 2
        self._weight_function = weight_function
        self._first = 0
        self._next = 0
        self._end = 0
        self._held: dict[int, Frame] = {}

    def length(self, n_frames: int) -> int:
        """Return the number of output frames for a movie of `n_frames` frames."""
        return max(0, n_frames - (self._after - self._before))

    def images_held(self, n_channels: int) -> int:
        """Return the largest number of single-channel images in memory."""
        return (self.window + 2 * _GROUP_SIZE) * n_channels

    def push(self, frame: Frame) -> list[Frame]:
        """Add the next frame, and return the output frames that are complete; see `TemporalFilter.push`.

        An output frame for which the weight function returns no weights is invalid.
        """
        if not self._held:
            self._first = self._next = self._end = frame.index
        check_order(frame, self._end)
        self._held[frame.index] = frame
        self._end += 1
        if self._end - self._first < self.window:
            return []
        ready = self._end - self._after
        results = self._emit(ready - ready % _GROUP_SIZE)
        keep = min(self._next - self._before, self._end - self.window)
        self._held = {index: held for index, held in self._held.items() if index >= keep}
        return results

    def flush(self) -> list[Frame]:
        """End the movie, return the remaining output frames, and reset the filter."""
        if not self._held:
            return []
        results = self._emit(self._first + self.length(self._end - self._first))
        self._held = {}
        return results

    def _emit(self, stop: int) -> list[Frame]:
        results = []
        while self._next < stop:
            group_stop = min(stop, self._next - self._next % _GROUP_SIZE + _GROUP_SIZE)
            results += self._combine(range(self._next, group_stop))
            self._next = group_stop
        return results

    def _combine(self, indices: range) -> list[Frame]:
        weights = {index: self._weights(index) for index in indices}
        sources = sorted(set().union(*weights.values()))
        matrix = [[row.get(source, 0.0) for source in sources] for row in weights.values() if row]
        sums = iter(weighted_sums(np.array(matrix, dtype=np.float32), [self._held[source].data for source in sources]))
        return [Frame(index, next(sums)) if row else invalid_frame(self._held[index]) for index, row in weights.items()]

    def _weights(self, index: int) -> dict[int, float]:
        """Return the weights of the input frames of output frame `index`, by frame index."""
        start = max(self._first, min(index - self._before, self._end - self.window))
        window = range(start, min(start + self.window, self._end))
        valid = [source for source in window if self._held[source].valid]
        weights = self._weight_function(tuple(source - index for source in valid))
        return {source: weight for source, weight in zip(valid, weights, strict=False) if weight}


class SavitzkyGolay(LinearFilter):
    """Savitzky-Golay filter: least-squares polynomial fit over a centred window, evaluated at its centre [1]_.

    Near both ends the fit over the last full window is evaluated off its centre [2]_, as in
    `scipy.signal.savgol_filter` with ``mode="interp"``. Around an invalid frame the fit uses the valid frames of the
    window, with a lower order if there are too few.

    Parameters
    ----------
    window
        Number of frames in the window, odd.
    polyorder
        Order of the polynomial, less than `window`.

    Raises
    ------
    UsageError
        If the window is not odd and positive, or the order is out of range.

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
        weight_function = partial(polynomial_weights, polyorder=polyorder)
        super().__init__("savgol", window, window // 2, weight_function, min_frames=window)
        self.polyorder = polyorder

    def flush(self) -> list[Frame]:
        """End the movie as `LinearFilter.flush` does; raise a `UsageError` if it was shorter than the window."""
        if self._held and (n_frames := self._end - self._first) < self.window:
            self._held = {}
            raise UsageError(
                f"--savgol-window {self.window}: is longer than the movie (frames: {n_frames}); choose a smaller one"
            )
        return super().flush()


def moving_average(window: int) -> LinearFilter:
    """Return a moving-average filter.

    An odd window is centred and shrinks symmetrically at both ends of the movie and around invalid frames, so that
    linear changes are not delayed. A window of 2 is the naive baseline: output frame i is the mean of frames i and
    i + 1 and shows the time i + 1/2, so the movie is one frame shorter and, overlaid by index, half a frame early; it
    is invalid if either frame is.

    Parameters
    ----------
    window
        Number of frames: 2, or an odd number.

    Raises
    ------
    UsageError
        If the window has another value.
    """
    if window == 2:
        return LinearFilter("window", window, 0, pair_weights, min_frames=2)
    if window < 1 or window % 2 == 0:
        raise UsageError(f"--window {window}: must be 2 (mean of each frame and the next) or an odd number of frames")
    return LinearFilter("window", window, window // 2, symmetric_weights, min_frames=min(window, 2))


def pair_weights(offsets: tuple[int, ...]) -> tuple[float, ...]:
    """Return equal weights for a frame and the next, or none if either is missing."""
    return (0.5, 0.5) if offsets == (0, 1) else ()


@lru_cache(maxsize=256)
def symmetric_weights(offsets: tuple[int, ...]) -> tuple[float, ...]:
    """Return equal weights for the offsets whose opposite is present, or none if the centre is missing."""
    if 0 not in offsets:
        return ()
    paired = [-offset in offsets for offset in offsets]
    return tuple(is_paired / sum(paired) for is_paired in paired)


@lru_cache(maxsize=256)
def polynomial_weights(offsets: tuple[int, ...], polyorder: int) -> tuple[float, ...]:
    """Return the weights of a least-squares polynomial fit evaluated at offset 0, or none if the centre is missing.

    The order is limited to the number of offsets minus one.
    """
    if 0 not in offsets:
        return ()
    order = min(polyorder, len(offsets) - 1)
    times = np.array(offsets) / max(1, *np.abs(offsets))
    powers = np.vander(times, order + 1, increasing=True)
    return tuple(np.linalg.pinv(powers)[0].tolist())


# Number of multiplications per matrix product. Above about this size BLAS libraries start threads, which would compete
# with the network for the CPU.
_PRODUCT_SIZE = 2**18
_PRODUCTS_PER_BLOCK = 8


def weighted_sums(weights: NDArray[np.float32], images: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Compute several weighted sums of the same images, in blocks that fit the CPU cache.

    Parameters
    ----------
    weights
        Weights of shape (K, N), float32.
    images
        N images of equal shape, float32.

    Returns
    -------
    list[NDArray[np.float32]]
        K images of the same shape, float32.
    """
    if not weights.size:
        return []
    n_sums, n_images = weights.shape
    sums = [np.empty(images[0].shape, dtype=np.float32) for _ in range(n_sums)]
    columns = max(1, _PRODUCT_SIZE // weights.size)
    inputs = np.empty((_PRODUCTS_PER_BLOCK, n_images, columns), dtype=np.float32)
    outputs = np.empty((_PRODUCTS_PER_BLOCK, n_sums, columns), dtype=np.float32)
    aligned = images[0].size - images[0].size % columns
    sources = [image.reshape(-1) for image in images]
    targets = [image.reshape(-1) for image in sums]
    source_rows = [source[:aligned].reshape(-1, columns) for source in sources]
    target_rows = [target[:aligned].reshape(-1, columns) for target in targets]
    for start in range(0, aligned // columns, _PRODUCTS_PER_BLOCK):
        rows = slice(start, start + _PRODUCTS_PER_BLOCK)
        n_rows = len(source_rows[0][rows])
        for k, source_row in enumerate(source_rows):
            inputs[:n_rows, k] = source_row[rows]
        np.matmul(weights, inputs[:n_rows], out=outputs[:n_rows])
        for k, target_row in enumerate(target_rows):
            target_row[rows] = outputs[:n_rows, k]
    rest = weights @ np.stack([source[aligned:] for source in sources])
    for k, target in enumerate(targets):
        target[aligned:] = rest[k]
    return sums
