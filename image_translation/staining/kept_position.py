"""Positions that an update of a changed movie need not touch: their images and metrics are those of the earlier run."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from image_translation import normalize
from image_translation.files import remove, write_json
from image_translation.metrics.rows import RAW, Row
from image_translation.omezarr.output import image_path
from image_translation.omezarr.store import PROVENANCE_KEY, STORE_SUFFIX, open_store
from image_translation.staining.fingerprints import stored_fingerprints
from image_translation.staining.phase_statistics import NORMALIZATION, stored_statistics
from image_translation.staining.progress import Progress
from image_translation.staining.task import FAILED, INVALID, Task
from image_translation.staining.writer import SeriesResult


def keep_position(task: Task, output: Path, rows: Sequence[Row]) -> None:
    """Take the finished images of a position into the unfinished stores, and record it as finished.

    Parameters
    ----------
    task
        The position, of one plane; none of its frames has changed, and all of its methods have been published.
    output
        Output directory with the stores of the earlier run.
    rows
        Metrics of the position.
    """
    (series,), progress = task.plan.series, Progress(task.directory)
    for method in task.unfinished:
        source, target = (
            image_path(store, task.name) for store in (output / f"{method}{STORE_SUFFIX}", task.stores[method])
        )
        scratch = target.with_name(f".new-{target.name}")
        for path in (scratch, target):
            remove(path)
        shutil.copytree(source, scratch, copy_function=_link_or_copy)
        scratch.rename(target)  # an image under its name is complete
    raw = open_store(output / f"{RAW}{STORE_SUFFIX}").position(task.name)
    known, fingerprints = raw.attributes[PROVENANCE_KEY], stored_fingerprints(raw)
    invalid, failed = known[INVALID], known.get(FAILED, [])
    result = SeriesResult(
        series.name,
        task.name,
        list(rows),
        invalid,
        normalize.Statistics(**known[NORMALIZATION]),
        windows=[],  # only needed while an image is written
        blank=[t for t in invalid if t not in failed],
        pixels=list(fingerprints.pixels[series.z]) if fingerprints else [],
    )
    task.directory.mkdir(parents=True, exist_ok=True)
    progress.agrees("files", task.files)
    statistics = stored_statistics(raw)
    if statistics:
        progress.agrees("statistics", statistics.to_json())
    write_json(progress.result(series.z), result.to_json())
    progress.finish()


def _link_or_copy(source: str, target: str) -> None:
    """Link a file, which is never written to again but replaced; copy it where the file system has no hard links."""
    with suppress(OSError):
        os.link(source, target)
        return
    shutil.copy2(source, target)
