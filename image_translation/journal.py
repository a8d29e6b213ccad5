"""What makes a run safe to kill: unfinished work kept apart, counted frame by frame, and published at the end.

All work of a run lies in ``OUTPUT/.partial`` until it is complete. ``request.json`` there says what was asked for,
``progress.json`` how many frames of each store are on disk. When everything is written the stores are renamed to
their final names, so that a store under its final name is always finished.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from image_translation.errors import DataError, UsageError
from image_translation.placement import remove

PARTIAL = ".partial"
STORE_SUFFIX = ".ome.zarr"


class Journal:
    """The unfinished work of one output directory; a context manager that keeps other runs out of it.

    Parameters
    ----------
    output
        Directory of the results.

    Raises
    ------
    UsageError
        If another run is writing there.
    DataError
        If the directory cannot be written.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self.directory = output / PARTIAL
        self._progress: dict[str, int] = {}
        self._lock = FileLock(self.directory / "lock")

    def __enter__(self) -> Self:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"another run is writing to {self._output}; wait for it, or choose another -o") from None
        except OSError as error:
            raise DataError(f"cannot write to the output directory {self._output}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def open(self, request: Mapping[str, Any], *, overwrite: bool) -> None:
        """Take over the unfinished work of an equal request, or begin anew.

        Parameters
        ----------
        request
            What decides the pixels of the results, as plain JSON values.
        overwrite
            Discard unfinished work that is of another request, or damaged, instead of refusing.

        Raises
        ------
        UsageError
            If there is unfinished work of another request.
        DataError
            If its notes are damaged.
        """
        wanted = json.loads(json.dumps(request))
        try:
            earlier = _read_notes(self.directory / "request.json")
            self._progress = _read_notes(self.directory / "progress.json") or {}
        except DataError:
            if not overwrite:
                raise
            earlier = {}
        if earlier == wanted:
            return
        if earlier is not None and not overwrite:
            raise UsageError(
                f"{self._output} holds an unfinished run with other options ({differences(earlier, wanted)}); "
                "repeat its command to finish it, choose another -o, or discard it with --overwrite"
            )
        for path in self.directory.iterdir():
            if path.name != "lock":
                remove(path)
        self._progress = {}
        write_json(self.directory / "request.json", wanted)

    def note(self, number: int) -> Path:
        """File for what is known of a series, by its number, when all its frames are written."""
        return self.directory / f"series-{number}.json"

    @property
    def complete(self) -> bool:
        """Whether every store is written, so that only publishing is left."""
        return bool(self._progress.get("complete"))

    def store(self, method: str) -> Path:
        """Directory in which the store of a method grows."""
        return self.directory / f"{method}{STORE_SUFFIX}"

    def done(self, series: str, method: str) -> int:
        """Count the frames of a method that are on disk, of one position and plane."""
        return self._progress.get(f"{method} {series}", 0)

    def mark(self, series: str, done: Mapping[str, int]) -> None:
        """Note how many frames of each method are on disk, of one position and plane."""
        self._progress |= {f"{method} {series}": count for method, count in done.items()}
        write_json(self.directory / "progress.json", self._progress)

    def forget(self, method: str) -> None:
        """Count the frames of a method from the beginning, because its store is new: no series is finished then."""
        self._progress = {key: done for key, done in self._progress.items() if not key.startswith(f"{method} ")}
        write_json(self.directory / "progress.json", self._progress)
        for note in self.directory.glob("series-*.json"):
            note.unlink()

    def publish(self, names: Iterable[str], retired: Iterable[str]) -> None:
        """Move the finished results to their final names, replacing what is there, and remove the rest.

        Parameters
        ----------
        names
            What to publish out of the journal's directory. Folders that are no stores are published file by file, so
            that a file which somebody has put there stays.
        retired
            What to remove from the output directory, because it does not belong to the results any more.
        """
        # From here on, a name that is missing in the journal's directory has been moved already.
        self._progress["complete"] = 1
        write_json(self.directory / "progress.json", self._progress)
        for name in retired:
            remove(self._output / name)
        for name in names:
            fresh = self.directory / name
            if fresh.is_dir() and not name.endswith(STORE_SUFFIX):
                files = [path.relative_to(self.directory) for path in fresh.rglob("*") if path.is_file()]
            else:
                files = [Path(name)]
            for file in files:
                self._replace(file)
        self.clear()

    def clear(self) -> None:
        """Remove the journal's directory; what says that the work is complete goes last."""
        last = ["request.json", "progress.json"]
        for path in self.directory.iterdir():
            if path.name not in (*last, "lock"):
                remove(path)
        for name in last:
            remove(self.directory / name)
        remove(self.directory)

    def _replace(self, name: Path) -> None:
        fresh, final = self.directory / name, self._output / name
        if not fresh.exists():
            return
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.is_dir():
            old = self.directory / f"replaced-{name.name}"
            remove(old)
            final.rename(old)
        fresh.replace(final)


def is_being_published(output: Path) -> bool:
    """Tell whether a run was stopped while it moved its results to their final names."""
    try:
        return bool((_read_notes(output / PARTIAL / "progress.json") or {}).get("complete"))
    except (DataError, OSError):
        return True


def unfinished_request(output: Path) -> dict[str, Any] | None:
    """Read what the unfinished run in an output directory was asked for; None if there is none."""
    return _read_notes(output / PARTIAL / "request.json")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file such that a kill leaves either the old or the new one."""
    scratch = path.with_name(f"{path.name}.new")
    with scratch.open("w") as file:
        json.dump(value, file)  # piece by piece: the metrics of a long movie are long, too
    os.replace(scratch, path)  # noqa: PTH105 - the atomic one


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> str:
    """Describe in which values two requests differ, in a few words."""
    found = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found.append(differences(before, after, f"{prefix}{key}."))
        elif before != after:
            found.append(f"{prefix}{key}: {before} there, {after} now")
    return ", ".join(filter(None, found))


def _read_notes(path: Path) -> dict[str, Any] | None:
    try:
        notes = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}); discard the unfinished run with --overwrite") from error
    if not isinstance(notes, dict):
        raise DataError(f"{path} is damaged (no mapping); discard the unfinished run with --overwrite")
    return notes
