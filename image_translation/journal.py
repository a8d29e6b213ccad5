"""What makes a run safe to kill: unfinished work kept apart, counted frame by frame, and published at the end.

All work of a run lies in ``OUTPUT/.partial`` until it is complete. ``request.json`` there says what was asked for,
``progress.json`` how many frames of each store are on disk. When everything is written the stores are renamed to
their final names, so that a store under its final name is always finished.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from image_translation.errors import DataError, UsageError

PARTIAL = ".partial"
STORE_SUFFIX = ".ome.zarr"


class Journal:
    """The unfinished work of one output directory; a context manager that keeps other runs out of it.

    Parameters
    ----------
    output
        Directory of the results.
    request
        What decides the pixels of the results, as plain JSON values. A run is resumed only by an equal request.
    overwrite
        Discard the unfinished work of another request instead of refusing.

    Raises
    ------
    UsageError
        If there is unfinished work of another request, or another run is writing there.
    DataError
        If the directory cannot be written.
    """

    def __init__(self, output: Path, request: Mapping[str, Any], *, overwrite: bool) -> None:
        self._output = output
        self.directory = output / PARTIAL
        self._request = json.loads(json.dumps(request))
        self._overwrite = overwrite
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
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _open(self) -> None:
        earlier = self._read("request.json")
        if earlier == self._request:
            self._progress = self._read("progress.json") or {}
            return
        if earlier is not None and not self._overwrite:
            raise UsageError(
                f"{self._output} holds an unfinished run with other options ({differences(earlier, self._request)}); "
                "repeat its command to finish it, choose another -o, or discard it with --overwrite"
            )
        for path in self.directory.iterdir():
            if path.name != "lock":
                remove(path)
        write_json(self.directory / "request.json", self._request)

    def _read(self, name: str) -> Any:
        path = self.directory / name
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            if self._overwrite:
                return None
            raise DataError(f"{path} is damaged ({error}); discard the unfinished run with --overwrite") from error

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

    def publish(self, methods: Iterable[str], others: Iterable[str]) -> None:
        """Move the finished results to their final names, replacing what is there, and remove the rest.

        Parameters
        ----------
        methods
            The stores to publish.
        others
            Names of files and folders beside the stores, to be published with them.
        """
        # From here on, a name that is missing in the journal's directory has been moved already.
        self._progress["complete"] = 1
        write_json(self.directory / "progress.json", self._progress)
        for name in (*others, *(f"{method}{STORE_SUFFIX}" for method in methods)):
            fresh, final = self.directory / name, self._output / name
            if not fresh.exists():
                continue
            if final.exists():
                old = self.directory / f"replaced-{name}"
                remove(old)
                final.rename(old)
            fresh.rename(final)
        remove(self.directory)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file such that a kill leaves either the old or the new one."""
    scratch = path.with_name(f"{path.name}.new")
    scratch.write_text(json.dumps(value, indent=1))
    os.replace(scratch, path)  # noqa: PTH105 - the atomic one


def remove(path: Path) -> None:
    """Remove a file or a whole directory, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
