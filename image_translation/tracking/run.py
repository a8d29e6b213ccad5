"""The command ``track``: a plan in; label images, tracks, tables and figures out."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from image_translation.errors import DataError, UsageError, listing
from image_translation.files import remove
from image_translation.omezarr.output import create_root, image_path
from image_translation.progress_bar import ProgressBar
from image_translation.tracking.plan import TrackingPlan
from image_translation.tracking.position import track_position
from image_translation.tracking.record import TrackedPosition, find_finished, request

_PARTIAL = ".partial"

_log = logging.getLogger(__name__)


def track(plan: TrackingPlan) -> list[TrackedPosition]:
    """Track the nuclei of all positions, one after the other, with a progress bar.

    A position that cannot be read does not stop the others. Positions that an equal command has finished are kept.

    Raises
    ------
    UsageError
        If there are tracks of other options, or another run is writing.
    DataError
        If a position cannot be read.
    """
    finished = find_finished(plan)
    if finished:
        _log.info("%s: finished before, and kept as they are", listing(list(finished)))
    if len(finished) == len(plan.tasks):
        return [finished[task.name] for task in plan.tasks]
    todo = [task for task in plan.tasks if task.name not in finished]
    failed: dict[str, DataError] = {}
    frames = sum(task.stain.length for task in todo)
    with _locked(plan.output) as scratch, ProgressBar(2 * frames, "tracking nuclei", count=frames) as bar:
        if plan.label_store and plan.store.layout != "fov":
            _create_label_store(plan, plan.label_store)
        for task in todo:
            wanted = request(task, plan.options, plan.store.path)
            try:
                finished[task.name] = track_position(
                    task, plan.options, wanted, scratch=scratch / task.name, on_frames=bar.update
                )
            except DataError as error:
                if len(plan.tasks) == 1:
                    raise
                failed[task.name] = error
                _log.error("error: %s: %s", task.name, error)
    if failed:
        raise DataError(
            f"{len(failed)} of {len(plan.tasks)} positions could not be tracked: {listing(list(failed))}; repeat the "
            "command when they can be read, or choose others with --position"
        )
    return [finished[task.name] for task in plan.tasks]


@contextmanager
def _locked(output: Path) -> Iterator[Path]:
    """Lock a directory against other runs, and yield a directory for unfinished work, which is removed."""
    scratch = output / _PARTIAL
    lock = FileLock(scratch / "lock")
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"another run is writing to {output}; wait for it, or choose another -o") from None
    except OSError as error:
        raise DataError(f"cannot write to the output directory {output}: {error.strerror}") from error
    try:
        for path in scratch.iterdir():
            if path.name != "lock":
                remove(path)
        yield scratch
    finally:
        lock.release()
        remove(scratch)


def _create_label_store(plan: TrackingPlan, path: Path) -> None:
    """Create the root of a plate or a series of label images, or add positions to it."""
    names = {task.name for task in plan.tasks}
    listed = [name for name in plan.store.names if name in names or image_path(path, name).exists()]
    create_root(path, plan.store, listed, plan.tasks[0].stain.position.zarr_format)
