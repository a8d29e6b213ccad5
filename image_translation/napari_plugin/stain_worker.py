"""A staining in another thread: frames are collected in arrays that layers show while they fill."""

import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from image_translation.errors import ImageTranslationError, UsageError, first_line
from image_translation.memory import require_memory
from image_translation.napari_plugin.stain_request import StainRequest

if TYPE_CHECKING:
    from image_translation.api.stained_movie import StainedMovie

_News = TypeVar("_News")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Started:
    """The first frame has come.

    Attributes
    ----------
    channels
        Names of the predicted channels.
    results
        Stain by method, (T, C, Z, Y, X) float32, which is filled from now on; NaN where no frame has come yet.
    windows
        Intensities of the first frame to display as black and white, by channel.
    plane
        Index in the layer of the first plane.
    """

    channels: tuple[str, ...]
    results: dict[str, NDArray[np.float32]]
    windows: dict[str, tuple[float, float]]
    plane: int


@dataclass(frozen=True)
class Progress:
    """Some planes are stained, of a total number."""

    done: int
    total: int


@dataclass(frozen=True)
class Finished:
    """The movie is stained and smoothed, with some warnings, of one line each."""

    stained: "StainedMovie"
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Saved:
    """The stores are in this directory."""

    directory: str


@dataclass(frozen=True)
class Failed:
    """It cannot be done, for a reason that is one line."""

    reason: str


def stain_layer(
    request: StainRequest, cancelled: Event
) -> Generator[Started | Progress | Finished | Failed, None, None]:
    """Stain a layer frame by frame.

    Parameters
    ----------
    request
        What to stain, and how.
    cancelled
        Set to stop before the next frame; then nothing more comes.

    Yields
    ------
    Started, Progress, Finished or Failed
        `Started` with the first frame, `Progress` after each raw one, and `Finished` or `Failed` as the last.
    """
    yield from guarded(_stain(request, cancelled))


def save_stores(stained: "StainedMovie", directory: str) -> Generator[Saved | Failed, None, None]:
    """Save results as ``raw.ome.zarr`` and so on.

    Parameters
    ----------
    stained
        What to save.
    directory
        Where.

    Yields
    ------
    Saved or Failed
        One of them.
    """

    def saved() -> Generator[Saved, None, None]:
        stained.save(directory)
        yield Saved(directory)

    yield from guarded(saved())


def guarded(work: Generator[_News, None, None]) -> Generator[_News | Failed, None, None]:
    """Yield what a generator yields, and its error, if there is one, as `Failed`.

    Napari's workers take every ``RuntimeError``, such as one of PyTorch, for a worker that was deleted, so that none
    may be raised in them.
    """
    try:
        yield from work
    except ImageTranslationError as error:
        yield Failed(str(error))
    except Exception as error:  # noqa: BLE001 - a thread has no caller: whatever happens must be seen in the widget
        _log.exception("work in a thread failed")
        yield Failed(f"{type(error).__name__}: {first_line(error)}")


def _stain(request: StainRequest, cancelled: Event) -> Generator[Started | Progress | Finished, None, None]:
    from image_translation.api.staining import Collection, stain_frames

    with _warnings() as warnings, stain_frames(**request.arguments()) as frames:
        if cancelled.is_set():
            return
        size = 4 * (len(frames.methods) + 1) * np.prod(frames.shape, dtype=float)
        require_memory(size, "results in layers (image-translation smooth writes them to disk)", UsageError)
        collection = Collection(frames)
        for frame in frames:
            is_raw = collection.add(frame)
            if cancelled.is_set():
                return
            if is_raw and collection.done == 1:
                windows = collection.movie().display_windows
                yield Started(frames.channels, collection.results, windows, frames.plan.series[0].z)
            if is_raw:
                yield Progress(collection.done, collection.total)
        stained = collection.movie()
        yield Finished(stained, tuple(warnings))


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect the warnings that the package logs, which nobody sees in napari."""
    found: list[str] = []
    logger = logging.getLogger("image_translation")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)
