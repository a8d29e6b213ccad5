"""The tracking of one position: nuclei segmented and measured, linked, and written in all formats.

Labels of a frame are only known when all frames are linked, so the segmentation of each is kept on disk meanwhile.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_translation.files import remove
from image_translation.metrics.objects import Labels
from image_translation.metrics.segmentation import Segmentation
from image_translation.omezarr.labels import LabelImage, list_labels
from image_translation.omezarr.output import ImageSpec
from image_translation.tracking.ctc import split_at_gaps, write_mask, write_tracks
from image_translation.tracking.geff_file import write_geff
from image_translation.tracking.lineage import Lineage, follow_nuclei
from image_translation.tracking.nuclei import Ids, Nuclei, NucleiTable
from image_translation.tracking.options import TrackingOptions
from image_translation.tracking.plan import TrackingTask
from image_translation.tracking.record import RECORD, TrackedPosition, write_record
from image_translation.tracking.tables import NUCLEI, write_napari_tracks, write_nuclei

CTC, GEFF, FIGURE = "ctc", "tracks.geff", "tracks.png"

_FINEST = "0"  # level of a label image
_DPI = 200

_log = logging.getLogger(__name__)


def track_position(
    task: TrackingTask,
    options: TrackingOptions,
    wanted: dict[str, Any],
    *,
    scratch: Path,
    on_frames: Callable[[int], object],
) -> TrackedPosition:
    """Track the nuclei of a position.

    Parameters
    ----------
    task
        The position.
    options
        The options.
    wanted
        Its request, to be recorded.
    scratch
        Directory for what is not finished; it must not exist.
    on_frames
        Called with the number of frames that were processed; twice that of the movie in all.

    Raises
    ------
    DataError
        If a frame cannot be read, or there are too many tracks.
    """
    scratch.mkdir(parents=True)
    stain = task.stain
    segmentation = stain.find_segmentation(options.diameter)
    if segmentation is None:
        _log.warning("%s: no nuclei are found in %s; its labels and tracks are empty", task.name, task.channel)
    segments = _Segments(scratch / "segments")
    nuclei, last = _segment(task, segmentation, segments, on_frames)
    reach = options.reach or (segmentation.diameter if segmentation else 1.0)
    lineage = follow_nuclei(nuclei, reach)
    labels = _write_labels(
        task, wanted, nuclei, lineage, segments=segments, directory=scratch / CTC, on_frames=on_frames
    )
    remove(segments.directory)
    position, relative = stain.position, os.path.relpath(task.labels / _FINEST, task.directory / GEFF)
    write_geff(scratch / GEFF, nuclei, lineage, position=position, z=stain.z, labels=Path(relative).as_posix())
    write_nuclei(scratch / NUCLEI, nuclei, lineage, position)
    write_napari_tracks(scratch, nuclei, lineage, position, stain.z)
    invalid = tuple(t for t in range(stain.length) if t not in set(nuclei.frames))
    found = TrackedPosition(task.name, stain.length, len(nuclei), lineage.count, lineage.divisions, invalid)
    _draw(scratch / FIGURE, task, last, nuclei=nuclei, lineage=lineage, invalid=invalid)
    write_record(scratch, wanted, found, segmentation)
    _publish(task, scratch, labels)
    return found


class _Segments:
    """Segmentations of frames, on disk."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory

    def write(self, t: int, labels: Labels) -> None:
        np.savez_compressed(self.directory / f"{t}.npz", labels=labels)

    def read(self, t: int) -> Labels:
        with np.load(self.directory / f"{t}.npz") as file:
            return file["labels"]


def _segment(
    task: TrackingTask, segmentation: Segmentation | None, segments: _Segments, on_frames: Callable[[int], object]
) -> tuple[Nuclei, tuple[int, NDArray[np.float32]] | None]:
    """Segment and measure all frames; return the nuclei, and the last valid frame with its index."""
    table, last = NucleiTable(), None
    for t, image in task.stain.frames():
        if image is not None:
            labels = segmentation.apply(image) if segmentation else np.zeros(image.shape, np.int32)
            table.add(t, labels, image)
            segments.write(t, labels)
            last = t, image
        on_frames(1)
    return table.finish(), last


def _write_labels(
    task: TrackingTask,
    wanted: dict[str, Any],
    nuclei: Nuclei,
    lineage: Lineage,
    *,
    segments: _Segments,
    directory: Path,
    on_frames: Callable[[int], object],
) -> Path:
    """Write the label image, whose labels are the tracks, and the files of the CTC; return the unfinished image."""
    stain = task.stain
    position, length = stain.position, stain.length
    ctc_labels, rows = split_at_gaps(nuclei, lineage)
    directory.mkdir()
    write_tracks(rows, directory)
    planes = tuple(range(position.shape[2]))
    image = ImageSpec(position, (task.channel,), range(length), length, planes, volumes=True)
    unfinished = task.labels.with_name(f".{task.labels.name}.partial")
    remove(unfinished)
    writer = LabelImage(
        unfinished,
        image,
        name=task.labels.name,
        source="../../" if task.image else None,
        attributes={"request": wanted},
    )
    size, valid = position.shape[3:], set(nuclei.frames)
    for start in range(0, length, writer.frames_per_file):
        block = np.zeros((min(writer.frames_per_file, length - start), len(planes), *size), np.int32)
        for t in range(start, start + len(block)):
            mask = np.zeros(size, np.int32)
            if t in valid:
                segmented, rows_of = segments.read(t), slice(*np.searchsorted(nuclei.frame, (t, t + 1)))
                block[t - start, stain.z] = _renumber(segmented, nuclei.label[rows_of], lineage.tracks[rows_of])
                mask = _renumber(segmented, nuclei.label[rows_of], ctc_labels[rows_of])
            write_mask(mask, directory, t, length)
            on_frames(1)
        writer.write(start, block)
    return unfinished


def _renumber(labels: Labels, old: Ids, new: Ids) -> Labels:
    numbers = np.zeros(int(old.max(initial=0)) + 1, np.int32)
    numbers[old] = new
    return numbers[labels]


def _draw(
    path: Path,
    task: TrackingTask,
    last: tuple[int, NDArray[np.float32]] | None,
    *,
    nuclei: Nuclei,
    lineage: Lineage,
    invalid: tuple[int, ...],
) -> None:
    from image_translation.figures.tracks import TrackRows, tracks_figure

    if last is None:
        return
    rows = TrackRows(nuclei.frame, nuclei.y, nuclei.x, lineage.tracks, lineage.roots(), lineage.parents)
    figure = tracks_figure(
        last[1], last[0], rows, length=task.stain.length, invalid=invalid, channel=task.channel,
        pixel_size=task.stain.position.pixel_size,
    )  # fmt: skip
    figure.savefig(path, dpi=_DPI)


def _publish(task: TrackingTask, scratch: Path, labels: Path) -> None:
    """Move what is finished to its place; the record goes last, so that a position with a record is complete."""
    task.directory.mkdir(parents=True, exist_ok=True)
    remove(task.directory / RECORD)
    remove(task.labels)
    labels.rename(task.labels)
    if task.image:
        list_labels(task.image, task.labels.name)
    for path in sorted(scratch.iterdir(), key=lambda path: path.name == RECORD):
        remove(task.directory / path.name)
        path.rename(task.directory / path.name)
    remove(scratch)
