"""Where the movies of this user's runs lie, so that results need not say it: they are published, and paths name users.

A record is a file in the user's cache directory, which is never published. It is a hint: whoever follows it must
compare the movie.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from image_translation.data.lookup import cache_directory

DIRECTORY = "movies"


def remember_movie(path: Path, digest: str) -> None:
    """Record where a movie lies; nothing happens if the cache directory cannot be written to.

    Parameters
    ----------
    path
        The movie.
    digest
        Hash of some of its pixels.
    """
    record = _record(path.resolve().name, digest)
    with suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_bytes(os.fsencode(path.resolve()))


def recall_movie(name: str, digest: str) -> Path | None:
    """Return where a movie of this file name and digest was last seen, there or not; None if it is not known."""
    with suppress(OSError, ValueError):
        path = Path(os.fsdecode(_record(name, digest).read_bytes()))
        return path if path.name == name else None
    return None


def _record(name: str, digest: str) -> Path:
    key = hashlib.blake2b(os.fsencode(f"{name}/{digest}"), digest_size=16).hexdigest()
    return cache_directory() / DIRECTORY / key
