"""What a run was asked for, as plain JSON values: compared, and differences in words."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any


def same_request(old: Mapping[str, Any], new: Mapping[str, Any], without: Collection[str] = ()) -> bool:
    """Tell whether two requests ask for the same pixels of the positions that both know.

    A position that could not be read is None in a request, and fits any. Those of ``new`` that ``old`` lacks do, too.

    Parameters
    ----------
    old, new
        Requests, as plain JSON values.
    without
        Positions of ``old`` that ``new`` may lack.
    """
    before, after = _positions(old), _positions(new)
    if not set(before) - set(without) <= set(after):
        return False
    shared = [name for name in before if before[name] is not None and after.get(name) is not None]

    def comparable(request: Mapping[str, Any], positions: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: positions[name] for name in shared}
        return {**request, "input": {**request.get("input", {}), "positions": found}}

    return comparable(old, before) == comparable(new, after)


def _positions(request: Mapping[str, Any]) -> dict[str, Any]:
    found = request.get("input", {}).get("positions", {})
    return found if isinstance(found, dict) else {}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], most: int = 6) -> str:
    """Describe in which values two requests differ, in a few words; the first few of many."""
    found = list(_differences(old, new, ""))
    more = f", and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}: {before} there, {after} now"
