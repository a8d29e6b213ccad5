"""One position from phase to finished images, in whichever process: the unit in which a plate is worked on."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from image_translation.errors import DataError, ImageTranslationError, first_line
from image_translation.files import remove
from image_translation.network import loading
from image_translation.network.checkpoint import StateDict
from image_translation.network.predictor import Predictor
from image_translation.omezarr.output import create_image, finish_image, image_path
from image_translation.omezarr.statistics import field_statistics
from image_translation.staining.journal import Progress, write_json
from image_translation.staining.options import Inference
from image_translation.staining.plan import Plan
from image_translation.staining.plane_groups import plane_groups
from image_translation.staining.stream import stain
from image_translation.staining.writer import SeriesResult, Workspace

LIBRARIES = ("torch", "iohub", "numpy", "scipy")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What is to be done for one position; it can be sent to another process.

    Attributes
    ----------
    plan
        The part of the plan that concerns the position.
    stores
        Where the store of each method lies.
    growing
        Methods whose stores are being written; the others are complete.
    folder
        Where it is noted how far the work is.
    """

    plan: Plan
    stores: Mapping[str, Path]
    growing: tuple[str, ...]
    folder: Path

    @property
    def name(self) -> str:
        """Name of the position."""
        return self.plan.series[0].position.name

    @property
    def frames(self) -> int:
        """Number of frames, counted once a plane."""
        return sum(len(series.frames) for series in self.plan.series)

    @property
    def finished(self) -> bool:
        """Whether all images of the position are there and complete, and what is known of them."""
        images = [image_path(self.stores[method], self.name) for method in self.growing]
        noted = Progress(self.folder).finished and len(self.results()) == len(self.plan.series)
        return noted and all(path.exists() for path in images)

    def results(self) -> list[SeriesResult]:
        """Read what is known of the series that are finished."""
        notes = (_noted(Progress(self.folder).result(series.z)) for series in self.plan.series)
        return [result for result in notes if result is not None]


@dataclass(frozen=True)
class Failure:
    """A position that could not be finished.

    Attributes
    ----------
    position
        Its name.
    error
        What to say of it.
    """

    position: str
    error: ImageTranslationError


def make_predictor(spec: loading.ModelSpec, weights: StateDict, how: Inference) -> Predictor:
    """Build a network, ready to predict."""
    return Predictor(loading.build(spec, weights), spec.stride, **asdict(how))


def perform(task: Task, predictor: Callable[[], Predictor], progress: Callable[[int], object]) -> None:
    """Stain and smooth a position, or what is left of it, and finish its images.

    Parameters
    ----------
    task
        What to do.
    predictor
        Gives the network; called only if a frame is to be predicted.
    progress
        Told the number of frames that went through.

    Raises
    ------
    DataError
        If something cannot be read or written.
    """
    plan, notes = task.plan, Progress(task.folder)
    task.folder.mkdir(parents=True, exist_ok=True)
    images = {method: plan.images(method)[task.name] for method in task.growing}
    for method, image in images.items():
        path = image_path(task.stores[method], task.name)
        if not (path / image.levels[0].path).exists():
            # Named at last, so that an image which is there has all its metadata.
            scratch = path.with_name(f".new-{path.name}")
            remove(scratch)
            remove(path)
            create_image(scratch, image)
            notes.forget(method)
            scratch.rename(path)
    first = plan.series[0]
    statistics = field_statistics(first.position, first.channel, plan.normalization)
    if not notes.agrees("statistics", asdict(statistics)):  # a chunk that could not be read has been mended since
        for method in task.growing:
            notes.forget(method)
    workspace = Workspace(task.stores, frozenset(task.growing), notes)
    results = {series.z: _noted(notes.result(series.z)) for series in plan.series}
    for group in plane_groups(plan):
        left = [series for series in plan.series[group.start : group.stop] if results[series.z] is None]
        progress(sum(len(series.frames) for series in plan.series[group.start : group.stop] if series not in left))
        if left:
            stained = stain(plan, left, statistics, workspace, predictor=predictor, progress=progress)
            for series, result in zip(left, stained, strict=True):
                write_json(notes.result(series.z), result.to_json())
                results[series.z] = result
    known = [result for result in results.values() if result is not None]
    for method in task.growing:
        _finish_image(plan, method, image_path(task.stores[method], task.name), known)
    notes.finish()


def attempt(task: Task, predictor: Callable[[], Predictor], progress: Callable[[int], object]) -> Failure | None:
    """Do what `perform` does, and return what went wrong with it, so that it does not stop other positions."""
    try:
        perform(task, predictor, progress)
    except ImageTranslationError as error:
        return Failure(task.name, error)
    except Exception as error:  # noqa: BLE001 - whatever a library says of one position, the others go on
        _log.debug("%s failed", task.name, exc_info=True)
        return Failure(task.name, DataError(f"{type(error).__name__}: {first_line(error)}"))
    return None


def provenance(plan: Plan, method: str) -> dict[str, Any]:
    """Tell what a store was made from and by what."""
    return {
        "version": version("image-translation"),
        "request": plan.store_request(method),
        "checkpoint": {"name": plan.spec.path.name, "description": plan.spec.description},
        "libraries": {library: version(library) for library in LIBRARIES},
    }


def _noted(note: Path) -> SeriesResult | None:
    """Read the result of a series that an earlier run has finished; None if there is no usable one."""
    try:
        return SeriesResult.from_json(json.loads(note.read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _finish_image(plan: Plan, method: str, path: Path, results: Sequence[SeriesResult]) -> None:
    (image,) = plan.images(method).values()
    ends = {"min": min, "max": max, "start": min, "end": max}
    windows = [
        {key: end(result.windows[c][key] for result in results) for key, end in ends.items()}
        for c in range(len(image.channels))
    ]
    own = {
        "normalization": asdict(results[0].statistics),
        "invalid_frames": sorted({number for result in results for number in result.invalid}),
    }
    finish_image(path, image, windows, provenance(plan, method) | own)
