"""Damaged registries and lists of files."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz.attempt import Rng, Try
from fuzz.damage import damage_file, junk
from image_translation import data
from image_translation.data.file_list import read_file_list
from image_translation.data.registry import REGISTRY_VARIABLE

_ENTRIES: dict[str, dict[str, Any]] = {
    "mine": {
        "kind": "checkpoint",
        "title": "a network",
        "address": "https://example.org/net.ckpt",
        "sha256": "a" * 64,
        "licence": "CC0",
        "citation": "nobody",
        "size": 100,
        "normalization": "mean_std",
        "input_channels": ["Phase3D"],
    },
    "plate": {
        "kind": "ome-zarr",
        "title": "a plate",
        "address": "https://example.org/plate.ome.zarr",
        "list": "files.txt",
        "licence": "CC0",
        "citation": "nobody",
    },
}


def registry_tries(rng: Rng, _: Path, scratch: Path) -> Iterator[Try]:
    """Yield registries with damaged entries, and registries and lists of files with damaged bytes."""
    registry, listed = scratch / "registry.toml", scratch / "files.txt"
    while True:
        for path in (registry, listed):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        entries = json.loads(json.dumps(_ENTRIES))
        listed.write_text(f".zattrs {'b' * 64}\n0/0/0 {'c' * 64}\n")
        kind, what = rng.integers(3), ""
        if kind == 0:
            entry = entries[list(entries)[rng.integers(len(entries))]]
            key = list(entry)[rng.integers(len(entry))]
            entry[key] = junk(rng)
            what = f"{key} = {entry[key]!r:.30}"
        registry.write_text("\n".join(map(_table, entries.items())), encoding="utf-8", errors="replace")
        if kind:
            file = (registry, listed)[kind - 1]
            what = f"{file.name}: {damage_file(rng, file)}"
        yield Try(what, lambda: _use(registry, listed))


def _table(entry: tuple[str, dict[str, Any]]) -> str:
    name, keys = entry
    # JSON is TOML for texts, numbers and lists; what else is there makes the file invalid.
    return "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())])


def _use(registry: Path, listed: Path) -> None:
    os.environ[REGISTRY_VARIABLE] = str(registry)
    try:
        for name in data.names():
            data.locate(name)
            if name not in ("demo_ckpt", "demo_ckpt_fluor2phase", "demo_movie", "demo_plate"):
                data.cached_entry(name).is_ready()
    finally:
        del os.environ[REGISTRY_VARIABLE]
    files = read_file_list(listed)
    assert all(len(checksum) == 64 for checksum in files.values())
    assert not any(".." in Path(name).parts or Path(name).is_absolute() for name in files)
