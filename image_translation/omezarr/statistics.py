"""Intensity statistics from a sample of the frames of a movie: normalisation statistics, and display windows."""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.errors import DataError, UsageError
from image_translation.frame import Frame
from image_translation.normalize import grid_sample
from image_translation.omezarr.store import Position, Store

SAMPLED_FRAMES = 32
_FRAMES_OF_STORE, _LEAST_FRAMES = 256, 4  # sampled of all positions together, and of each at least
_READERS = 8  # positions read in parallel: most of the time is spent waiting for the storage
DISPLAY_PERCENTILES = (0.5, 99.8)  # displayed as black and white

_log = logging.getLogger(__name__)


def field_statistics(
    position: Position, channel: int, method: normalize.Method, source: normalize.Source = "auto"
) -> normalize.Statistics:
    """Return the normalisation statistics of a field of view, from the metadata of the store or estimated.

    They are estimated from a few valid frames of the complete movie and from all planes, independent of the selected
    ones, so that a frame is normalised identically in every run. Frames that cannot be read are skipped: they may not
    be selected. Stored statistics may be wrong: VisCy computes them from all frames, dropped ones included.

    Parameters
    ----------
    position, channel
        Image, and index of the channel.
    method
        Normalisation method.
    source
        "stored", "estimated", or "auto": the stored ones if there are any and they agree with the estimated ones, which
        are taken otherwise, with a warning.

    Raises
    ------
    UsageError
        If stored ones are asked for, and there are none.
    DataError
        If no frame can be read.
    """
    name = position.channels[channel]
    stored = normalize.from_metadata(position.attributes, name, method)
    if source == "stored" and stored is None:
        raise UsageError(
            f"--statistics stored: {position.path} holds no usable statistics for {method} of the channel {name}; "
            "choose auto or estimated"
        )
    if stored is not None and (source == "stored" or method == "none"):
        return stored
    return _choose(stored, _sample(position, channel), method, source, place=str(position.path), channel=name)


def dataset_statistics(
    store: Store, channel: str, method: normalize.Method, source: normalize.Source = "auto"
) -> normalize.Statistics:
    """Return the normalisation statistics of all positions of a store together, from its metadata or estimated.

    They are estimated from a few valid frames of every position, whichever are selected; positions that cannot be read,
    or lack the channel, are skipped. The other parameters are those of `field_statistics`.

    Parameters
    ----------
    store
        The complete store.
    channel
        Name of the channel.

    Raises
    ------
    UsageError
        If stored ones are asked for, and there are none.
    DataError
        If no position can be read.
    """
    stored = stored_dataset_statistics(store, channel, method)
    if source == "stored" and stored is None:
        raise UsageError(
            f"--statistics stored: {store.path} holds no usable dataset_statistics for {method} of the channel "
            f"{channel} that all its positions share; choose auto or estimated"
        )
    if stored is not None and (source == "stored" or method == "none"):
        return stored
    most = min(SAMPLED_FRAMES, max(_FRAMES_OF_STORE // len(store.names), _LEAST_FRAMES))

    def sample(name: str) -> list[NDArray[np.float64]] | DataError:
        try:
            position = store.position(name)
            return _sample(position, position.channels.index(channel), most) if channel in position.channels else []
        except DataError as error:
            return error

    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(sample, store.names))
    errors = [each for each in found if isinstance(each, DataError)]
    if len(errors) == len(found):
        raise errors[0]
    # One sample of every position together: how much they differ does not show the differences between positions, which
    # are no errors, because all are sampled.
    of_positions = [each for each in found if not isinstance(each, DataError)]
    samples = [np.concatenate([s for s in each if s is not None]) for each in zip_longest(*of_positions)]
    return _choose(stored, samples, method, source, place=f"{store.path}, all positions", channel=channel)


def stored_dataset_statistics(store: Store, channel: str, method: normalize.Method) -> normalize.Statistics | None:
    """Return the statistics of all positions that the root of a store holds, or all its positions alike; else None."""
    found = normalize.from_metadata(store.attributes, channel, method, "dataset")
    if found is not None:
        return found

    def read(name: str) -> normalize.Statistics | None:
        try:
            return normalize.from_metadata(store.position(name).attributes, channel, method, "dataset")
        except DataError:
            return None

    with ThreadPoolExecutor(_READERS) as pool:
        of_positions = {each for each in pool.map(read, store.names) if each}
    return of_positions.pop() if len(of_positions) == 1 else None


def _choose(
    stored: normalize.Statistics | None,
    samples: list[NDArray[np.float64]],
    method: normalize.Method,
    source: normalize.Source,
    *,
    place: str,
    channel: str,
) -> normalize.Statistics:
    """Return the stored statistics if they agree with the pixels, or estimated ones."""
    if not samples:
        return stored or normalize.Statistics(0.0, 1.0, "none")
    estimated = normalize.estimate(samples, method)
    if stored is None or source == "estimated":
        return estimated
    if estimated.degenerate or normalize.explains(stored, samples, method):
        return stored
    _log.warning(
        "%s: the statistics that the store holds for %s (centre %.4g, scale %.4g) disagree with its valid frames (%.4g "
        "and %.4g, which are used); blank frames often spoil stored ones. smooth --statistics stored takes them anyway",
        place, channel, stored.center, stored.scale, estimated.center, estimated.scale,
    )  # fmt: skip
    return estimated


def _sample(position: Position, channel: int, most: int = SAMPLED_FRAMES) -> list[NDArray[np.float64]]:
    """Return samples of valid frames; none if none is valid, ``DataError`` if none can be read."""
    times, _, depth = position.shape[:3]
    count = times * depth
    sampled = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()

    unreadable: list[DataError] = []

    def samples(numbers: Iterable[int]) -> Iterator[NDArray[np.float64]]:
        for number in numbers:
            try:
                image = position.read(number // depth, channel, number % depth)
            except DataError as error:
                unreadable.append(error)
                continue
            if normalize.is_valid(image):
                yield normalize.grid_sample(image)

    # If all sampled frames are invalid, take the first valid ones.
    found = list(samples(sampled)) or list(islice(samples(range(count)), most))
    if not found and unreadable:
        raise unreadable[0]
    return found


class DisplayWindows:
    """Display windows of the channels of a movie, computed while its frames are written.

    Parameters
    ----------
    n_frames
        Number of frames of the movie; only some are sampled, so that the required memory is bounded.
    """

    def __init__(self, n_frames: int) -> None:
        self._step = -(-n_frames // SAMPLED_FRAMES)
        self._count = 0
        self._samples: list[NDArray[np.float64]] = []
        self._lows: list[NDArray[np.float32]] = []
        self._highs: list[NDArray[np.float32]] = []

    def add(self, frame: Frame) -> None:
        """Add the next frame, (C, Y, X) float32."""
        self._count += 1
        if frame.valid and (not self._samples or self._count % self._step == 0):
            self._samples.append(np.stack([grid_sample(plane) for plane in frame.data]))
            self._lows.append(frame.data.min(axis=(1, 2)))
            self._highs.append(frame.data.max(axis=(1, 2)))

    def windows(self, n_channels: int) -> list[dict[str, float]]:
        """Return ``min``, ``max``, ``start`` and ``end`` of each channel; 0 and 1 if no frame was valid."""
        if not self._samples:
            return [{"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0} for _ in range(n_channels)]
        low, high = np.min(self._lows, axis=0), np.max(self._highs, axis=0)
        start, end = np.percentile(np.concatenate(self._samples, axis=1), DISPLAY_PERCENTILES, axis=1)
        return [
            {"min": float(low[c]), "max": float(high[c]), "start": float(start[c]), "end": float(end[c])}
            for c in range(n_channels)
        ]
