"""The movie that a prediction was made from: found by its name, and recognised by its pixels."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from image_translation.data.movie_paths import recall_movie
from image_translation.errors import DataError, UsageError
from image_translation.omezarr.digest import digest_of_movie
from image_translation.omezarr.store import Store
from image_translation.sources.movie import is_there, open_movie
from image_translation.sources.movie_metadata import MovieMetadata

_log = logging.getLogger(__name__)


def find_source(request: Mapping[str, Any], results: Path) -> Store | None:
    """Find the movie of a request.

    Results hold its name and a digest of its pixels, and no path, because they are published. It is looked for where
    it lay in the run, if that was this user's, and in the directories that hold the results. Earlier versions stored
    its path, which is believed.

    Parameters
    ----------
    request
        The request that a prediction was made by; it may be empty.
    results
        Store of the prediction.

    Returns
    -------
    Store or None
        The movie; None if it is not found, or has other pixels.
    """
    source = request.get("input")
    if not isinstance(source, Mapping):
        return None
    movie = source.get("movie")
    if not isinstance(movie, str) or not movie:
        return None
    path, given = Path(movie), MovieMetadata.from_json(source)
    if path.is_absolute():
        return open_movie(path, given) if is_there(path) else None
    for place in _places(path.name, source, results):
        try:
            store = open_movie(place, given)
            if _has_pixels(store, source):
                return store
        except (DataError, UsageError) as error:
            _log.debug("%s is not the movie: %s", place, error)
    return None


def _places(name: str, source: Mapping[str, Any], results: Path) -> Iterator[Path]:
    known = recall_movie(name, _digest(source)[1])
    candidates = [*([known] if known else []), *(directory / name for directory in results.resolve().parents)]
    return (place for place in dict.fromkeys(candidates) if is_there(place))


def _digest(source: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and the digest of the first position whose digest is known; empty if there is none."""
    positions = source.get("positions")
    for name, stated in positions.items() if isinstance(positions, Mapping) else ():
        if isinstance(stated, Mapping) and isinstance(stated.get("pixels"), str):
            return name, stated["pixels"]
    return "", ""


def _has_pixels(store: Store, source: Mapping[str, Any]) -> bool:
    name, digest = _digest(source)
    if name not in store.names:
        return False
    position = store.position(name)
    try:
        names = [source["channel"], *source.get("more_channels", ())]
        channels = [position.channels.index(channel) for channel in names]
        frames = range(*source["positions"][name]["frames"])
        planes = [int(z) for z in source["z"]]
    except (KeyError, TypeError, ValueError):
        return False
    length, _, depth = position.shape[:3]
    inside = len(frames) > 0 and frames.stop <= length and all(0 <= z < depth for z in planes)
    return inside and digest_of_movie(position, channels, frames, planes) == digest
