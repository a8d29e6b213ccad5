"""Frames that arrive one after the other, as from a running acquisition, stained and smoothed at once."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation import normalize
from image_translation.api.networks import Network
from image_translation.api.parameter_names import parameter_names
from image_translation.api.staining import StainedFrame
from image_translation.errors import DataError, UsageError
from image_translation.frame import Frame
from image_translation.metrics.rows import RAW
from image_translation.normalize import Method, Statistics
from image_translation.staining.options import make_filter
from image_translation.staining.writer import prediction

FIRST_FRAMES = 8


@parameter_names()
def stain_live(
    frames: Iterable[NDArray[Any]],
    network: Network,
    *,
    smooth: str | Sequence[str] | None = "causal",
    statistics: tuple[float, float] | None = None,
    first_frames: int = FIRST_FRAMES,
    normalization: Method | None = None,
) -> Iterator[StainedFrame]:
    """Stain frames as they arrive, however many there will be.

    A frame is read when the result of the one before has been taken: to cancel, stop iterating.

    Parameters
    ----------
    frames
        Phase images (Y, X) or (1, Y, X), of any real dtype, all of one size; (C, Y, X) for a network of several input
        channels.
    network
        Network that takes single planes, from `load_network`.
    smooth
        Temporal filter, or several: ``causal`` (its result is one frame late), ``motion`` (four frames late) and
        others; None for the raw prediction only.
    statistics
        Centre and scale that the phase is normalised by, in its unit, as from an earlier movie of the same kind. If not
        given, they are estimated from the first frames, which are then held back until so many have come; an
        acquisition whose intensity drifts needs better ones.
    first_frames
        Number of valid frames from which they are estimated.
    normalization
        ``median_iqr``, ``mean_std``, ``percentiles`` or ``none``; None is what the checkpoint says.

    Yields
    ------
    StainedFrame
        Raw and smoothed frames.

    Raises
    ------
    UsageError
        If the network takes stacks, a method is unknown, or frames differ in size.
    DataError
        If no frame is valid.
    """
    spec = network.spec
    if spec.architecture.in_stack_depth > 1:
        depth = spec.architecture.in_stack_depth
        raise UsageError(f"{spec.path.name} takes stacks of {depth} planes; live, only single planes can be stained")
    methods = (smooth,) if isinstance(smooth, str) else tuple(smooth or ())
    filters = {name: make_filter(name) for name in methods}
    if first_frames < 1:
        raise UsageError(f"first_frames {first_frames}: must be 1 or more")
    images = _checked(iter(frames), spec.architecture.in_channels)
    method = normalization or spec.normalization or normalize.DEFAULT_METHOD
    given = None if statistics is None else Statistics(float(statistics[0]), float(statistics[1]), "metadata")

    def run() -> Iterator[StainedFrame]:
        if given is None:
            by_channel, following = _estimate(images, method, first_frames)
        else:
            by_channel, following = [given] * spec.architecture.in_channels, images
        for index, image in enumerate(following):
            raw = _predict(index, image, by_channel, network)
            yield StainedFrame(RAW, index, 0, raw.data, raw.valid)
            for name, temporal_filter in filters.items():
                yield from (_smoothed(name, frame) for frame in temporal_filter.push(raw))
        for name, temporal_filter in filters.items():
            yield from (_smoothed(name, frame) for frame in temporal_filter.flush())

    return run()


def _checked(frames: Iterator[NDArray[Any]], n_channels: int) -> Iterator[NDArray[Any]]:
    """Yield the frames as (C, Y, X); ``UsageError`` for one that does not fit the network or the first one."""
    shape: tuple[int, ...] | None = None
    for index, given in enumerate(frames):
        image = np.asarray(given)
        image = image[np.newaxis] if image.ndim == 2 else image
        wanted = shape or (n_channels, *image.shape[1:])
        if image.ndim != 3 or image.shape != wanted or image.dtype.kind not in "buif" or not image.size:
            raise UsageError(
                f"frame {index} has shape {np.shape(given)} and type {image.dtype}; expected real numbers (C, Y, X): "
                f"{wanted}"
            )
        shape = image.shape
        yield image


def _estimate(
    images: Iterator[NDArray[Any]], method: Method, count: int
) -> tuple[list[Statistics], Iterator[NDArray[Any]]]:
    """Estimate the statistics of each channel from the first valid images; return them, and all images."""
    held: list[NDArray[Any]] = []
    valid: list[NDArray[Any]] = []
    while len(valid) < count and (following := next(images, None)) is not None:
        held.append(following)
        if normalize.is_valid(following):
            valid.append(following)
    if held and not valid:
        raise DataError(f"none of {len(held)} frames is valid: all are zero, constant or not finite")
    channels = zip(*valid, strict=True)
    samples = [[normalize.grid_sample(plane) for plane in channel] for channel in channels]
    return [normalize.estimate(own, method) for own in samples], chain(held, images)


def _predict(index: int, image: NDArray[Any], statistics: Sequence[Statistics], network: Network) -> Frame:
    """Return the raw prediction of a frame, with its phase; NaN if it is invalid."""
    if not normalize.is_valid(image):
        shape = (network.spec.architecture.out_channels, *image.shape[1:])
        return Frame(index, np.full(shape, np.nan, np.float32), valid=False)
    seen = np.stack([normalize.apply(plane, own) for plane, own in zip(image, statistics, strict=True)])
    (predicted,) = network.predictor().predict([seen])
    raw = prediction(index, predicted)
    return Frame(index, raw.data, raw.valid, seen[0])


def _smoothed(method: str, frame: Frame) -> StainedFrame:
    return StainedFrame(method, frame.index, 0, frame.data, frame.valid)
