"""Progress of each position of an unfinished run, in separate files so that several processes can share a plate."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from image_translation.errors import DataError
from image_translation.files import read_text, write_json

FINISHED = "finished"


class Progress:
    """Progress of one position: frames on disk by series and method, and the results of finished series.

    Parameters
    ----------
    directory
        Directory of its files; it must exist before anything is recorded.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / "progress.json"
        self._counts: dict[str, int] | None = None

    def done(self, series: str, method: str) -> int:
        """Return the number of frames on disk of a method, for one series; 0 if the file is damaged."""
        return self._load().get(f"{method} {series}", 0)

    def mark(self, done: Mapping[str, Mapping[str, int]]) -> None:
        """Record the number of frames on disk of each method, for some series by their names."""
        counts = {f"{method} {name}": count for name, own in done.items() for method, count in own.items()}
        self._save(self._load() | counts)

    def forget(self, method: str) -> None:
        """Discard the progress of a method because its image is new; no series is finished then."""
        kept = {key: done for key, done in self._load().items() if not key.startswith(f"{method} ")}
        self._save({key: done for key, done in kept.items() if key != FINISHED})
        for result in self.directory.glob("result-*.json"):
            result.unlink()

    def agrees(self, name: str, value: Any) -> bool:
        """Return whether a value is the one recorded when the work began, and record it."""
        path = self.directory / f"{name}.json"
        try:
            earlier = read_json(path)
        except DataError:
            earlier = {}
        if earlier == value:
            return True
        write_json(path, value)
        return earlier is None

    def recorded(self, name: str) -> Any:
        """Return the value that was recorded when the work began; None if there is no usable one."""
        try:
            return read_json(self.directory / f"{name}.json")
        except DataError:
            return None

    def finish(self) -> None:
        """Record that all images of the position are complete."""
        self._save(self._load() | {FINISHED: 1})

    @property
    def finished(self) -> bool:
        """Whether all images of the position are complete."""
        return bool(self._load().get(FINISHED))

    @property
    def registration(self) -> Path:
        """File for the shifts that register the frames of the position."""
        return self.directory / "registration.json"

    def result(self, z: int) -> Path:
        """File for the result of the series of a plane, written when all its frames are."""
        return self.directory / f"result-{z}.json"

    def _load(self) -> dict[str, int]:
        if self._counts is None:
            try:
                self._counts = read_json(self._path) or {}
            except DataError:
                self._counts = {}
        return self._counts

    def _save(self, counts: dict[str, int]) -> None:
        write_json(self._path, counts)
        self._counts = counts


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object of an unfinished run; None if there is no such file, ``DataError`` if it is damaged."""
    try:
        content = json.loads(read_text(path))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}); discard the unfinished run with --overwrite") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged (no mapping); discard the unfinished run with --overwrite")
    return content
