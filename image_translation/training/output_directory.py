"""Output directory of a training: file names, lock, results of an earlier run, and what may be replaced."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from image_translation.errors import DataError, UsageError
from image_translation.files import read_text, remove, write_atomically
from image_translation.network.metadata import METADATA_KEY
from image_translation.training.fields import Fields
from image_translation.training.options import INITIAL_SHA256, TrainOptions

BEST, LAST = "best.ckpt", "last.ckpt"
HISTORY, CURVES, EXAMPLES, LOGS = "history.csv", "curves.png", "examples.png", "logs"

_REQUEST, _STATISTICS = "training.json", "statistics.json"


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Lock the output directory, so that other trainings do not write to it; the processes of one training share it."""
    if rank_zero_only.rank:
        yield
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file_lock = FileLock(directory / ".lock")
        file_lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"another training is writing to {directory}; wait for it, or choose another -o") from None
    except OSError as error:
        raise DataError(f"cannot write to the output directory {directory}: {error.strerror}") from error
    try:
        yield
    finally:
        file_lock.release()


def find_resumable(options: TrainOptions, fields: Fields | None) -> Path | None:
    """Check what an earlier training left in the output directory; write nothing.

    Parameters
    ----------
    options
        Options of the training, with the normalisation decided.
    fields
        Its images; None if they are simulated.

    Returns
    -------
    Path or None
        Checkpoint to resume from; None if a new training must start.

    Raises
    ------
    UsageError
        If there is a training with other options that must not be overwritten, or one with equal options that started
        with other images.
    """
    last = options.output / LAST
    request = options.request()
    earlier = _read_json(options.output / _REQUEST)
    if earlier is not None:
        earlier = _with_names(earlier, request)
    if rank_zero_only.rank or earlier == request:
        if not last.exists():
            return None
        statistics = _read_json(options.output / _STATISTICS) or {}
        if fields and statistics.get("sha256") != fields.sha256:
            raise UsageError(f"-o {options.output}: its training started with other images; choose another -o")
        return last
    exists = any((options.output / name).exists() for name in (BEST, LAST))
    if exists and not options.overwrite:
        stored = earlier or {}
        names = dict.fromkeys((*request, *stored))
        different = [f"{name} was {stored.get(name)!r}" for name in names if stored.get(name) != request.get(name)]
        raise UsageError(
            f"-o {options.output}: contains a training with other options ({', '.join(different)}); choose another -o, "
            "or replace it with --overwrite"
        )
    return None


def _with_names(earlier: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Return the request of an earlier training, files by name: earlier versions stored paths, and no checksum."""
    found = dict(earlier)
    for key in ("data", "initial"):
        if isinstance(found.get(key), str) and Path(found[key]).name == Path(request[key] or "").name:
            found[key] = request[key]
    if "initial" in found and INITIAL_SHA256 not in found and INITIAL_SHA256 in request:
        found[INITIAL_SHA256] = request[INITIAL_SHA256]
    return found


def prepare(options: TrainOptions, fields: Fields | None) -> Path | None:
    """Remove the results of an earlier training unless it is resumed, and write request and statistics.

    Parameters, return value and errors are those of `find_resumable`. The directory must be locked.
    """
    resumable = find_resumable(options, fields)
    if rank_zero_only.rank:
        return resumable
    if resumable is None:
        for name in (BEST, LAST, HISTORY, CURVES, EXAMPLES, _STATISTICS, LOGS):
            remove(options.output / name)
        (options.output / _REQUEST).write_text(json.dumps(options.request(), indent=1), encoding="utf-8")
    if fields:
        fields.write_statistics(options.output / _STATISTICS)
    return resumable


def convert_to_half(path: Path) -> None:
    """Convert the weights of a checkpoint to half precision, in place."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    kept = ("epoch", "global_step", "pytorch-lightning_version", "hyper_parameters", METADATA_KEY)
    weights = {name: weight.half() for name, weight in content["state_dict"].items()}
    with write_atomically(path) as unfinished:
        torch.save({name: content[name] for name in kept} | {"state_dict": weights}, unfinished)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
