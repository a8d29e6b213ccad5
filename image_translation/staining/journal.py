"""What makes a run safe to kill: unfinished work kept apart, counted frame by frame, and published at the end.

All work of a run lies in ``OUTPUT/.partial`` until it is complete. ``request.json`` there says what was asked for, the
folder of each position in ``positions`` how many frames of each store are on disk. When everything is written the
stores are renamed to their final names, so that a store under its final name is always finished.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from image_translation.errors import DataError, UsageError
from image_translation.files import remove
from image_translation.omezarr.store import STORE_SUFFIX
from image_translation.staining.request import _positions, differences, same_request

PARTIAL = ".partial"
REQUEST = "request.json"
COMPLETE = "complete"
FINISHED = "finished"


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

    def open(self, request: Mapping[str, Any], *, overwrite: bool, leave_out: Collection[str] = ()) -> set[str]:
        """Take over the unfinished work of an equal request, or begin anew.

        Positions may be added to a request, and a position that could not be read may become another one.

        Parameters
        ----------
        request
            What decides the pixels of the results, as plain JSON values.
        overwrite
            Discard unfinished work that is of another request, or damaged, instead of refusing.
        leave_out
            Positions whose unfinished work may be given up, because they are to be left out.

        Returns
        -------
        set of str
            Positions whose unfinished work was given up.

        Raises
        ------
        UsageError
            If there is unfinished work of another request.
        DataError
            If its notes are damaged.
        """
        wanted = json.loads(json.dumps(request))
        try:
            earlier = _read_notes(self.directory / REQUEST)
        except DataError:
            if not overwrite:
                raise
            earlier = {}
        known, asked = _positions(earlier or {}), _positions(wanted)
        given_up = set(known) - set(asked)
        if earlier and (self.complete or given_up <= set(leave_out)) and same_request(earlier, wanted, given_up):
            for name in given_up:
                remove(self.position(name).folder)
            write_json(self.directory / REQUEST, wanted)
            return given_up
        if earlier is not None and not overwrite:
            raise UsageError(
                f"{self._output} holds an unfinished run with other options ({differences(earlier, wanted)}); "
                "repeat its command to finish it, choose another -o, or discard it with --overwrite"
            )
        for path in self.directory.iterdir():
            if path.name != "lock":
                remove(path)
        write_json(self.directory / REQUEST, wanted)
        return set()

    def position(self, name: str) -> "Progress":
        """How far a position is."""
        return Progress(self.directory / "positions" / name)

    @property
    def complete(self) -> bool:
        """Whether every store is written, so that only publishing is left."""
        return (self.directory / COMPLETE).exists()

    def store(self, method: str) -> Path:
        """Directory in which the store of a method grows."""
        return self.directory / f"{method}{STORE_SUFFIX}"

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
        (self.directory / COMPLETE).touch()
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
        last = [REQUEST, COMPLETE]
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


class Progress:
    """How far the work on one position is: in files of its own, so that several processes work on a plate at once.

    Parameters
    ----------
    folder
        For its files; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "progress.json"
        self._counts: dict[str, int] | None = None

    def done(self, series: str, method: str) -> int:
        """Count the frames of a method that are on disk, of one series; none where the notes are damaged."""
        return self._known().get(f"{method} {series}", 0)

    def mark(self, series: str, done: Mapping[str, int]) -> None:
        """Note how many frames of each method are on disk, of one series."""
        self._write(self._known() | {f"{method} {series}": count for method, count in done.items()})

    def forget(self, method: str) -> None:
        """Count the frames of a method from the beginning, because its image is new: no series is finished then."""
        kept = {key: done for key, done in self._known().items() if not key.startswith(f"{method} ")}
        self._write({key: done for key, done in kept.items() if key != FINISHED})
        for note in self.folder.glob("result-*.json"):
            note.unlink()

    def agrees(self, name: str, value: Any) -> bool:
        """Tell whether a value is what it was when the work began, and note it."""
        path = self.folder / f"{name}.json"
        try:
            earlier = _read_notes(path)
        except DataError:
            earlier = {}
        if earlier == value:
            return True
        write_json(path, value)
        return earlier is None

    def finish(self) -> None:
        """Note that all images of the position are complete."""
        self._write(self._known() | {FINISHED: 1})

    @property
    def finished(self) -> bool:
        """Whether all images of the position are complete."""
        return bool(self._known().get(FINISHED))

    def result(self, z: int) -> Path:
        """File for what is known of the series of a plane when all its frames are written."""
        return self.folder / f"result-{z}.json"

    def _known(self) -> dict[str, int]:
        if self._counts is None:
            try:
                self._counts = _read_notes(self._path) or {}
            except DataError:
                self._counts = {}
        return self._counts

    def _write(self, counts: dict[str, int]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self._path, counts)
        self._counts = counts


def is_being_published(output: Path) -> bool:
    """Tell whether a run was stopped while it moved its results to their final names."""
    return (output / PARTIAL / COMPLETE).exists()


def unfinished_request(output: Path) -> dict[str, Any] | None:
    """Read what the unfinished run in an output directory was asked for; None if there is none."""
    return _read_notes(output / PARTIAL / REQUEST)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file such that a kill leaves either the old or the new one."""
    scratch = path.with_name(f"{path.name}.new")
    with scratch.open("w") as file:
        json.dump(value, file)  # piece by piece: the metrics of a long movie are long, too
    os.replace(scratch, path)  # noqa: PTH105 - the atomic one


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
