"""The record of a tracked position, beside its tracks: what was tracked, and how; a repeated command compares it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from image_translation.errors import UsageError
from image_translation.files import read_text, write_json
from image_translation.metrics.segmentation import Segmentation
from image_translation.omezarr.arrays import read_attributes
from image_translation.omezarr.store import PROVENANCE_KEY
from image_translation.tracking.options import TrackingOptions
from image_translation.tracking.plan import TrackingPlan, TrackingTask

RECORD = "tracks.json"


@dataclass(frozen=True)
class TrackedPosition:
    """What was found in a position.

    Attributes
    ----------
    name
        Name of the position.
    frames, nuclei, tracks, divisions
        Their numbers; a nucleus counts in each frame.
    invalid_frames
        Indices of the frames that are invalid.
    """

    name: str
    frames: int
    nuclei: int
    tracks: int
    divisions: int
    invalid_frames: tuple[int, ...]


def request(task: TrackingTask, options: TrackingOptions, store: Path) -> dict[str, Any]:
    """Return what decides the tracks of a position, as JSON values.

    The pixels are represented by the attributes of their image, among which ``smooth`` writes a checksum of each frame
    that it stained.
    """
    position = task.stain.position
    described = json.dumps([position.shape, position.attributes], sort_keys=True, default=str)
    return {
        "store": store.name,
        "position": task.name,
        "channel": task.channel,
        "z": task.stain.z,
        "diameter": options.diameter,
        "reach": options.reach,
        "image": hashlib.sha256(described.encode()).hexdigest(),
    }


def write_record(
    directory: Path, wanted: dict[str, Any], found: TrackedPosition, segmentation: Segmentation | None
) -> None:
    """Write the record of a position."""
    record = {
        "version": version("image-translation"),
        "request": wanted,
        "segmentation": asdict(segmentation) if segmentation else None,
        "found": asdict(found),
    }
    write_json(directory / RECORD, record)


def find_finished(plan: TrackingPlan) -> dict[str, TrackedPosition]:
    """Return the positions that an equal command has finished.

    Raises
    ------
    UsageError
        If other options, or another program, have written what is to be written, and it must not be overwritten.
    """
    if plan.options.overwrite:
        return {}
    finished = {}
    for task in plan.tasks:
        record = _read_record(task.directory / RECORD)
        wanted = request(task, plan.options, plan.store.path)
        if record and record.get("request") == wanted and task.labels.exists():
            found = record["found"]
            finished[task.name] = TrackedPosition(**found | {"invalid_frames": tuple(found["invalid_frames"])})
        elif record and record.get("request") != wanted:
            how = _differences(record.get("request", {}), wanted)
            raise UsageError(
                f"{task.directory} has tracks of other options or images ({', '.join(how)}); choose another -o, or "
                "replace them with --overwrite"
            )
        elif task.labels.exists() and PROVENANCE_KEY not in read_attributes(task.labels):
            raise UsageError(
                f"{task.labels} are labels of another program; choose -o, or replace them with --overwrite"
            )
    return finished


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(read_text(path))
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Sequence[str]:
    names = [name for name in new if old.get(name) != new[name]]
    return [
        "the image has changed" if name == "image" else f"{name}: {old.get(name)} there, {new[name]} now"
        for name in names
        if name != "image" or len(names) == 1
    ]
