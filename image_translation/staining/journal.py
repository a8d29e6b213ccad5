"""The journal of a run, which makes it safe to kill: unfinished work is kept apart and published at the end.

All work of a run lies in ``OUTPUT/.partial`` until it is complete. ``request.json`` there is the request, and
``positions`` holds the `Progress` of each position. When everything is written the stores are renamed to their final
names, so that a store under its final name is always complete.
"""

import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from image_translation.errors import DataError, UsageError
from image_translation.files import remove, write_json
from image_translation.omezarr.store import STORE_SUFFIX
from image_translation.staining.progress import Progress, read_json
from image_translation.staining.request import differences, positions_of, same_but_for_frames, same_request

PARTIAL = ".partial"
REQUEST = "request.json"
COMPLETE = "complete"

_log = logging.getLogger(__name__)


class Journal:
    """The unfinished work in one output directory; a context manager that locks the directory for other runs.

    Parameters
    ----------
    output
        Output directory.

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
        self._cleared = False

    def __enter__(self) -> Self:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._locked = Path(self._lock.lock_file).stat()
        except Timeout:
            raise UsageError(f"another run is writing to {self._output}; wait for it, or choose another -o") from None
        except OSError as error:
            raise DataError(f"cannot write to the output directory {self._output}: {error.strerror}") from error
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            if isinstance(error, Exception) and not self._cleared:  # the error may be a consequence
                self._require_directory(error)
        finally:
            self._lock.release()

    def _require_directory(self, cause: Exception | None = None) -> None:
        """Raise a ``DataError`` if the lock file is no longer the one that was locked."""
        with suppress(OSError):
            if os.path.samestat(Path(self._lock.lock_file).stat(), self._locked):
                return
        raise DataError(
            f"the output directory {self._output} was removed or renamed during the run, which is lost; "
            "repeat the command, and leave the directory alone until it is done"
        ) from cause

    def open(
        self, request: Mapping[str, Any], movie: Path, *, overwrite: bool, may_drop: Collection[str] = ()
    ) -> set[str]:
        """Resume the unfinished work of an equal request, or start anew.

        Positions may be added to a request, and a position that could not be read may become readable.

        Parameters
        ----------
        request
            Everything that decides the pixels of the results, as JSON values.
        movie
            Path of the movie, which is kept as long as the work is unfinished: in a movie of the same name elsewhere,
            frames that differ are no changes.
        overwrite
            Discard unfinished work of another request, or with damaged files, instead of refusing.
        may_drop
            Positions whose unfinished work may be dropped, because the user skips them.

        Returns
        -------
        set of str
            Positions whose unfinished work was dropped.

        Raises
        ------
        UsageError
            If there is unfinished work of another request.
        DataError
            If its files are damaged.
        """
        wanted = json.loads(json.dumps(request))
        wanted["input"]["movie"] = str(movie.resolve())
        try:
            earlier = read_json(self.directory / REQUEST)
        except DataError:
            if not overwrite:
                raise
            earlier = {}
        dropped = set(positions_of(earlier or {})) - set(positions_of(wanted))
        if earlier and (self.complete or dropped <= set(may_drop)) and same_request(earlier, wanted, dropped):
            for name in dropped:
                remove(self.position(name).directory)
            write_json(self.directory / REQUEST, wanted)
            return dropped
        same_place = earlier is not None and earlier.get("input", {}).get("movie") == wanted["input"]["movie"]
        if earlier and same_place and same_but_for_frames(earlier, wanted):
            _log.warning("the movie has changed since the run was interrupted: it starts anew")
        elif earlier is not None and not overwrite:
            raise UsageError(
                f"{self._output} holds an unfinished run with other options ({differences(earlier, wanted)}); "
                "repeat its command to finish it, choose another -o, or discard it with --overwrite"
            )
        for path in self.directory.iterdir():
            if path.name != "lock":
                remove(path)
        write_json(self.directory / REQUEST, wanted)
        return set()

    def position(self, name: str) -> Progress:
        """Return the progress of a position."""
        return Progress(self.directory / "positions" / name)

    @property
    def complete(self) -> bool:
        """Whether every store is written, so that only publishing is left."""
        return (self.directory / COMPLETE).exists()

    @property
    def begun(self) -> bool:
        """Whether the image of any position has been created."""
        return any(self.directory.glob("positions/**/progress.json"))

    def store(self, method: str) -> Path:
        """Directory of the unfinished store of a method."""
        return self.directory / f"{method}{STORE_SUFFIX}"

    def publish(self, names: Iterable[str], retired: Iterable[str]) -> None:
        """Move the finished results to their final names, replacing what is there, and remove the journal.

        Parameters
        ----------
        names
            What to move out of the journal's directory. Directories other than stores are moved file by file, so that
            files which users have put there are kept.
        retired
            What to remove from the output directory, because it is no longer part of the results.
        """
        self._require_directory()
        # From here on, a name that is missing in the journal's directory has already been moved. If this is
        # interrupted, the next run sees new results beside old ones, and publishes what is recorded here.
        recorded = {"names": list(names), "retired": list(retired)}
        with suppress(DataError):  # version 0.1 recorded nothing
            recorded = read_json(self.directory / COMPLETE) or recorded
        write_json(self.directory / COMPLETE, recorded)
        for name in recorded["retired"]:
            remove(self._output / name)
        for name in recorded["names"]:
            source = self.directory / name
            if source.is_dir() and not name.endswith(STORE_SUFFIX):
                files = [path.relative_to(self.directory) for path in source.rglob("*") if path.is_file()]
            else:
                files = [Path(name)]
            for file in files:
                self._replace(file)
        self.clear()

    def clear(self) -> None:
        """Remove the journal's directory; the file that marks it as complete goes last."""
        self._cleared = True
        last = [REQUEST, COMPLETE]
        for path in self.directory.iterdir():
            if path.name not in (*last, "lock"):
                remove(path)
        for name in last:
            remove(self.directory / name)
        remove(self.directory)

    def _replace(self, name: Path) -> None:
        source, final = self.directory / name, self._output / name
        if not source.exists():
            return
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.is_dir():
            old = self.directory / f"replaced-{name.name}"
            remove(old)
            final.rename(old)
        source.replace(final)


def is_being_published(output: Path) -> bool:
    """Return whether a run was interrupted while it moved its results to their final names."""
    return (output / PARTIAL / COMPLETE).exists()


def unfinished_request(output: Path) -> dict[str, Any] | None:
    """Read the request of the unfinished run in an output directory; None if there is none."""
    return read_json(output / PARTIAL / REQUEST)
