"""The request of a run, as stored JSON values: compare two of them, and describe how they differ.

`plan.Plan.request` builds it. It is kept in the journal of an unfinished run and in the provenance of finished stores.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any


def same_request(old: Mapping[str, Any], new: Mapping[str, Any], without: Collection[str] = ()) -> bool:
    """Return whether two requests ask for the same pixels of the positions that both contain.

    A position that could not be read is None in a request, and matches any. Positions that only ``new`` contains match,
    too.

    Parameters
    ----------
    old, new
        Requests.
    without
        Positions of ``old`` that ``new`` may lack.
    """
    before, after = positions_of(old), positions_of(new)
    if not set(before) - set(without) <= set(after):
        return False
    shared = [name for name in before if before[name] is not None and after.get(name) is not None]

    def comparable(request: Mapping[str, Any], positions: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: positions[name] for name in shared}
        return _with_input(request, positions=kept)

    return comparable(old, before) == comparable(new, after)


def same_but_for_frames(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether two requests differ at most in the frames of the movie, and in positions that have been added.

    The movie may have grown, or some of its pixels may have been replaced; the selection of frames must be the same.
    """
    before, after = positions_of(old), positions_of(new)
    if not set(before) <= set(after):
        return False
    names = [name for name in before if before[name] is not None and after[name] is not None]
    try:
        return _without_positions(old) == _without_positions(new) and all(
            _has_grown(before[name], after[name]) for name in names
        )
    except (KeyError, TypeError, ValueError):
        return False


def _has_grown(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    (old_length, *old_shape), (length, *shape) = before["shape"], after["shape"]
    same = before["frames"] == after["frames"]
    same_size = before.get("pixel_size") == after.get("pixel_size")
    whole = before["frames"] == [0, old_length] and after["frames"] == [0, length] and old_length <= length
    return old_shape == shape and same_size and (same or whole)


def _without_positions(request: Mapping[str, Any]) -> dict[str, Any]:
    return _with_input(request, positions=None)


def _with_input(request: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a request with changes to its input, and the movie by its name: earlier versions stored its path."""
    known = request.get("input", {})
    return {**request, "input": {**known, "movie": movie_name(request), **changes}}


def movie_name(request: Mapping[str, Any]) -> str:
    """Return the file name of the movie of a request; empty where it is damaged."""
    movie = request.get("input", {}).get("movie", "")
    return Path(movie).name if isinstance(movie, str) else ""


def positions_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request says of each position, by name; nothing where it is damaged."""
    found = request.get("input", {}).get("positions", {})
    return found if isinstance(found, dict) else {}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], most: int = 6) -> str:
    """List the values in which two requests differ, at most the first few."""
    found = list(_differences(_with_input(old), _with_input(new), ""))
    more = f", and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}: {before} there, {after} now"
