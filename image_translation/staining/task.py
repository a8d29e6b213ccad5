"""One position as a task: from its phase to its finished images, in whichever process."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from image_translation import normalize
from image_translation.errors import DataError, ImageTranslationError, first_line, listing
from image_translation.files import read_text, remove, write_json
from image_translation.metrics.rows import RAW
from image_translation.network import loading
from image_translation.network.checkpoint import StateDict
from image_translation.network.predictor import Predictor
from image_translation.omezarr.frame_statistics import FrameStatistics
from image_translation.omezarr.output import create_image, finish_image, image_path
from image_translation.omezarr.registered import KEY, Registration, stored_registration
from image_translation.omezarr.store import open_store
from image_translation.staining.fingerprints import KEY as FINGERPRINTS
from image_translation.staining.fingerprints import EarlierPrediction, Fingerprints
from image_translation.staining.options import Inference
from image_translation.staining.phase_statistics import (
    FRAMES,
    FURTHER,
    NORMALIZATION,
    find_statistics,
    further_statistics,
    reuse,
    statistics_frames,
)
from image_translation.staining.plan import Plan
from image_translation.staining.plane_groups import plane_groups
from image_translation.staining.progress import Progress
from image_translation.staining.registration import find_registration, registered, registration_frames
from image_translation.staining.stack_prediction import predict_stacks, stack_frames
from image_translation.staining.stream import stain
from image_translation.staining.writer import SeriesResult, Workspace

LIBRARIES = ("torch", "zarr", "numpy", "scipy")

INVALID, FAILED = "invalid_frames", "failed_frames"  # keys of the provenance

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """The work on one position; it can be sent to another process.

    Attributes
    ----------
    plan
        Part of the plan that concerns the position.
    stores
        Directory of the store of each method.
    unfinished
        Methods whose stores are being written; the others are complete.
    directory
        Directory of its `Progress`.
    earlier
        Prediction by an earlier run, of the frames that have not changed since.
    dataset
        Statistics of all positions together, if the phase is normalised by them.
    """

    plan: Plan
    stores: Mapping[str, Path]
    unfinished: tuple[str, ...]
    directory: Path
    earlier: EarlierPrediction | None = None
    dataset: normalize.Statistics | None = None

    @property
    def name(self) -> str:
        """Name of the position."""
        return self.plan.series[0].position.name

    @property
    def frames(self) -> int:
        """Number of frames to process, summed over registration, statistics, stacks and planes."""
        registered = registration_frames(self.plan.series) if self.plan.options.register else 0
        predicted = stack_frames(self.plan) if RAW in self.unfinished else 0
        return (
            registered
            + statistics_frames(self.plan)
            + predicted
            + sum(len(series.frames) for series in self.plan.series)
        )

    @property
    def finished(self) -> bool:
        """Whether all images of the position and their results are complete."""
        images = [image_path(self.stores[method], self.name) for method in self.unfinished]
        progress = Progress(self.directory)
        recorded = progress.finished and len(self.results()) == len(self.plan.series)
        same = progress.recorded("files") in (None, self.files)
        alike = self.dataset is None or progress.recorded("statistics") == asdict(self.dataset)
        return recorded and same and alike and all(path.exists() for path in images)

    @property
    def files(self) -> dict[str, str]:
        """Fingerprints of the files of all frames, as a JSON value."""
        return {"fingerprints": "".join(self.plan.files[self.name])}

    def results(self) -> list[SeriesResult]:
        """Read the results of the finished series."""
        results = (_read_result(Progress(self.directory).result(series.z)) for series in self.plan.series)
        return [result for result in results if result is not None]


@dataclass(frozen=True)
class Failure:
    """A position that could not be finished.

    Attributes
    ----------
    position
        Its name.
    error
        The error to report.
    """

    position: str
    error: ImageTranslationError


def make_predictor(spec: loading.ModelSpec, weights: StateDict, inference: Inference) -> Predictor:
    """Build a network, ready to predict."""
    return Predictor(loading.build_network(spec, weights), spec.stride, **asdict(inference))


def perform(task: Task, predictor: Callable[[], Predictor], on_frames: Callable[[int], object]) -> None:
    """Stain and smooth a position, or what is left of it, and finish its images.

    Parameters
    ----------
    task
        The task.
    predictor
        Returns the network; called only if a frame is to be predicted.
    on_frames
        Called with the number of frames that were processed.

    Raises
    ------
    DataError
        If something cannot be read or written.
    """
    plan, progress = task.plan, Progress(task.directory)
    task.directory.mkdir(parents=True, exist_ok=True)
    if not progress.agrees("files", task.files):  # the movie has changed since the work began
        progress.registration.unlink(missing_ok=True)
        for method in task.unfinished:
            progress.forget(method)
    registration = _registration(task, progress, on_frames) if plan.options.register else None  # may refuse: first
    for method in task.unfinished:
        _create_image(task, method, progress)
    statistics = find_statistics(plan, task.dataset, on_frames)
    further = further_statistics(plan)  # with them, an earlier prediction is not used again
    statistics, earlier = reuse(statistics, None if registration or further else task.earlier, task.name)
    used = statistics.to_json() | ({FURTHER: [one.to_json() for one in further]} if further else {})
    if not progress.agrees("statistics", used):  # an unreadable chunk has been fixed in the meantime
        for method in task.unfinished:
            progress.forget(method)
    if registration:
        plan = registered(plan, {task.name: registration})
    inputs = (statistics, *further)
    workspace = Workspace(task.stores, frozenset(task.unfinished), progress)
    if plan.window and RAW in task.unfinished:
        predict_stacks(plan, inputs, workspace, earlier=earlier, predictor=predictor, on_frames=on_frames)
    results = {series.z: _read_result(progress.result(series.z)) for series in plan.series}
    for group in plane_groups(plan):
        planes = plan.series[group.start : group.stop]
        left = [series for series in planes if results[series.z] is None]
        on_frames(sum(len(series.frames) for series in planes if series not in left))
        if left:
            stained = stain(plan, left, inputs, workspace, earlier=earlier, predictor=predictor, on_frames=on_frames)
            for series, result in zip(left, stained, strict=True):
                write_json(progress.result(series.z), result.to_json())
                results[series.z] = result
    finished = [result for result in results.values() if result is not None]
    _check_blank_frames(task, plan, finished, progress)
    for method in task.unfinished:
        path = image_path(task.stores[method], task.name)
        finish_method(plan, method, path, finished, statistics=inputs, registration=registration)
    progress.finish()


def attempt(task: Task, predictor: Callable[[], Predictor], on_frames: Callable[[int], object]) -> Failure | None:
    """Call `perform`, and return its error, if any, so that it does not stop the other positions."""
    try:
        perform(task, predictor, on_frames)
    except ImageTranslationError as error:
        return Failure(task.name, error)
    except Exception as error:  # noqa: BLE001 - whatever a library raises for one position, the others continue
        _log.debug("%s failed", task.name, exc_info=True)
        return Failure(task.name, DataError(f"{type(error).__name__}: {first_line(error)}"))
    return None


def provenance(plan: Plan, method: str) -> dict[str, Any]:
    """Return the provenance of a store, as JSON values."""
    return {
        "version": version("image-translation"),
        "request": plan.store_request(method),
        "checkpoint": {"name": plan.spec.path.name, "description": plan.spec.description},
        "libraries": {library: version(library) for library in LIBRARIES},
    }


def _create_image(task: Task, method: str, progress: Progress) -> None:
    """Create the empty image of a method, unless an earlier run has."""
    image, path = task.plan.images(method)[task.name], image_path(task.stores[method], task.name)
    if (path / image.levels[0].path).exists():
        return
    # Renamed last, so that an image under its name has all its metadata.
    scratch = path.with_name(f".new-{path.name}")
    remove(scratch)
    remove(path)
    create_image(scratch, image)
    progress.forget(method)
    scratch.rename(path)


def stored_registrations(plan: Plan, raw: Path) -> dict[str, Registration]:
    """Read how each position was registered from the store of the raw prediction; empty if they were not."""
    if not plan.options.register:
        return {}
    root = open_store(raw)
    found = {name: stored_registration(root.position(name)) for name in plan.groups}
    missing = [name for name, registration in found.items() if registration is None]
    if missing:
        raise DataError(f"{raw} does not say how {listing(missing)} was registered; replace it with --overwrite")
    return {name: registration for name, registration in found.items() if registration is not None}


def _registration(task: Task, progress: Progress, on_frames: Callable[[int], object]) -> Registration:
    if RAW in task.unfinished:
        return find_registration(task.plan, progress, on_frames)
    on_frames(registration_frames(task.plan.series))
    return stored_registrations(task.plan, task.stores[RAW])[task.name]


def _check_blank_frames(task: Task, plan: Plan, results: Sequence[SeriesResult], progress: Progress) -> None:
    """Read the frames again that were blank; a ``DataError`` if one is not, as after a disk was gone for a while."""
    for series, result in zip(plan.series, results, strict=True):
        for number in result.blank:
            if normalize.is_valid(series.read_inputs(number, series.z)):
                for method in task.unfinished:
                    progress.forget(method)
                raise DataError(
                    f"frame {number} of {series.position.path} was blank when it was read, and has pixels now; is its "
                    "disk or network share connected all the time? Repeat the command to stain this position anew"
                )


def finish_method(
    plan: Plan,
    method: str,
    path: Path,
    results: Sequence[SeriesResult],
    *,
    statistics: Sequence[FrameStatistics],
    registration: Registration | None = None,
) -> None:
    """Add display windows and provenance to the image of a method.

    Parameters
    ----------
    plan
        The part of the plan that concerns the position.
    method
        Name of the method.
    path
        Directory of the image.
    results
        Results of all series.
    statistics
        Statistics that each input channel was normalised by.
    registration
        How the position was registered, if it was.
    """
    (image,) = plan.images(method).values()
    ends = {"min": min, "max": max, "start": min, "end": max}
    windows = [
        {key: end(result.windows[c][key] for result in results) for key, end in ends.items()}
        for c in range(len(image.channels))
    ]
    own: dict[str, Any] = {
        NORMALIZATION: asdict(results[0].statistics),
        INVALID: sorted({number for result in results for number in result.invalid}),
    }
    if statistics[0].frames:
        own[FRAMES] = statistics[0].to_json()["frames"]
    if statistics[1:]:
        own[FURTHER] = [one.to_json() for one in statistics[1:]]
    failed = sorted({number for result in results for number in result.failed})
    if failed:
        own[FAILED] = failed
    if registration:
        own[KEY] = registration.to_json()
    if all(result.pixels for result in results):  # not in the results of an unfinished run of an earlier version
        pixels = {series.z: tuple(result.pixels) for series, result in zip(plan.series, results, strict=True)}
        first = plan.series[0]
        own[FINGERPRINTS] = Fingerprints(first.frames.start, plan.files[first.position.name], pixels).to_json()
    finish_image(path, image, windows, provenance(plan, method) | own)


def _read_result(path: Path) -> SeriesResult | None:
    """Read the result of a finished series; None if there is no usable one."""
    try:
        return SeriesResult.from_json(json.loads(read_text(path)))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
