"""Random damage to JSON documents, bytes and files."""

import json
import os
from pathlib import Path
from typing import Any

from fuzz.attempt import Rng

NAMES = (
    "", " ", ".", "..", "../x", "/etc", "./A/1", "0/", "a\nb", "a\0b", "\ud800", "\x1b[31m", "é", "名", "%d", "~", "*",
    "[", "x" * 5000, "<img src=x>", "NaN", "-1", "1e400", "null",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2, 7, 0.5, -0.0, 1e-320, 1e30, 1e308, float("inf"), float("nan"), 2**31, 2**63, 10**30)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": None}, {"a": 1}, [1] * 6, ["t", "c"])


def junk(rng: Rng) -> Any:
    """Return a random value of any type."""
    pool = (NAMES, NUMBERS, OTHERS)[rng.integers(3)]
    return pool[rng.integers(len(pool))]


def damage_json(rng: Rng, document: Any) -> tuple[Any, str]:
    """Replace, remove, repeat, rename or copy an element of a JSON document; return it, and where and how."""
    root = {"": document}
    places = list(_places(root))
    holder, key, path = places[rng.integers(len(places))]
    source, source_key, source_path = places[rng.integers(len(places))]
    what = int(rng.integers(5))
    if what == 0 and holder is not root:
        del holder[key]
        how = "removed"
    elif what == 1 and isinstance(holder, list):
        holder.append(holder[key])
        how = "repeated"
    elif what == 2 and isinstance(holder, dict) and holder is not root:
        name = NAMES[rng.integers(len(NAMES))]
        holder[name] = holder.pop(key)
        how = f"renamed {name!r:.20}"
    elif what == 3:
        holder[key] = json.loads(json.dumps(source[source_key]))
        how = f"= what is at {source_path}"
    else:
        holder[key] = junk(rng)
        how = f"= {holder[key]!r:.30}"
    return root[""], f"{path} {how}"


def damage_bytes(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """Cut, flip, insert, remove or repeat bytes."""
    at = int(rng.integers(len(content) + 1))
    length = int(rng.integers(1, 40))
    match rng.integers(6):
        case 0:
            return content[:at], f"cut at {at}"
        case 1:
            flipped = bytes([content[at - 1] ^ (1 << int(rng.integers(8)))]) if content and at else b""
            return content[: at - 1] + flipped + content[at:] if flipped else content, f"bit flipped at {at - 1}"
        case 2:
            return content[:at] + rng.bytes(length) + content[at:], f"{length} bytes inserted at {at}"
        case 3:
            return content[:at] + content[at + length :], f"{length} bytes removed at {at}"
        case 4:
            return content + content[at:], f"repeated from {at}"
        case _:
            return rng.bytes(length), f"{length} random bytes"


def damage_file(rng: Rng, path: Path) -> str:
    """Damage the content of a file, or put something else in its place."""
    what = ("removed", "a named pipe", "a directory", "a link to itself", "a link to /dev/zero", "another length", "")[
        min(rng.integers(9), 6)
    ]
    if not what:
        content, what = damage_bytes(rng, path.read_bytes())
        path.write_bytes(content)
    elif what == "another length":
        os.truncate(path, 2 ** int(rng.integers(10, 45)))
        what = f"truncated to {path.stat().st_size}"
    else:
        path.unlink()
        match what:
            case "a named pipe":
                os.mkfifo(path)
            case "a directory":
                path.mkdir()
            case "a link to itself":
                path.symlink_to(path)
            case "a link to /dev/zero":
                path.symlink_to("/dev/zero")
    return what


def _places(document: Any, path: str = "") -> Any:
    """Yield each element of a document: what holds it, its key, and its path."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        yield document, key, f"{path}/{key}".removeprefix("/")
        if isinstance(value, dict | list):
            yield from _places(value, f"{path}/{key}")
