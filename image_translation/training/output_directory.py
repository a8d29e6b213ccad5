"""The directory of a training: one process at a time, what an earlier run left there, and what may be replaced."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from image_translation.errors import DataError, UsageError
from image_translation.files import remove
from image_translation.network.loading import METADATA_KEY
from image_translation.training.fields import Fields
from image_translation.training.options import TrainOptions

BEST, LAST = "best.ckpt", "last.ckpt"
HISTORY, CURVES, EXAMPLES, LOGS = "history.csv", "curves.png", "examples.png", "logs"

_REQUEST, _STATISTICS = "training.json", "statistics.json"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a directory; the processes of one training share it."""
    if rank_zero_only.rank:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"another training is writing to {folder}; wait for it, or choose another -o") from None
    except OSError as error:
        raise DataError(f"cannot write to the output directory {folder}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def take_over(options: TrainOptions) -> Path | None:
    """Make room for a training, unless it goes on.

    Returns
    -------
    Path or None
        The checkpoint to go on from, if an equal request left one.

    Raises
    ------
    UsageError
        The directory holds a training of other options, which is not to be overwritten.
    """
    note, last = options.output / _REQUEST, options.output / LAST
    request = options.request()
    earlier = _read(note)
    if rank_zero_only.rank or (earlier == request and last.exists()):
        return last if last.exists() else None
    made = [options.output / name for name in (BEST, LAST)]
    there = next((path for path in made if path.exists()), None)
    if there and earlier != request and not options.overwrite:
        was = earlier or {}
        differing = [f"{name} was {was.get(name)!r}" for name in request if was.get(name) != request[name]]
        raise UsageError(
            f"-o {options.output}: holds a training of other options ({', '.join(differing)}); choose another -o, or "
            "replace it with --overwrite"
        )
    for path in (*made, *(options.output / name for name in (HISTORY, CURVES, EXAMPLES, _STATISTICS, LOGS))):
        remove(path)
    note.write_text(json.dumps(request, indent=1), encoding="utf-8")
    return None


def note_fields(folder: Path, fields: Fields, *, resumed: bool) -> None:
    """Write the statistics of the images beside the checkpoints.

    Raises
    ------
    UsageError
        The training goes on, but began with other images.
    """
    path = folder / _STATISTICS
    if resumed and (_read(path) or {}).get("sha256") != fields.sha256:
        raise UsageError(f"-o {folder}: its training began with other images than there are now; choose another -o")
    if rank_zero_only.rank == 0:
        fields.write_statistics(path)


def halve(path: Path) -> None:
    """Store the weights of a checkpoint in half precision."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    kept = ("epoch", "global_step", "pytorch-lightning_version", "hyper_parameters", METADATA_KEY)
    weights = {name: weight.half() for name, weight in content["state_dict"].items()}
    unfinished = path.with_name(f".{path.name}")
    torch.save({name: content[name] for name in kept} | {"state_dict": weights}, unfinished)
    unfinished.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
