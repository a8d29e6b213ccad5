"""Helpers for tests of complete runs."""

import json
from pathlib import Path

import numpy as np
import zarr

from image_translation.omezarr.store import open_store
from image_translation.staining.journal import PARTIAL

SHARD = 5  # frames: its end lies within a batch of two


def pixels(output: Path, method: str, name: str = "fov") -> np.ndarray:
    position = open_store(output / f"{method}.ome.zarr").position(name)
    return np.asarray(zarr.open_array(position.path / "0", mode="r"))


def snapshot(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


class Killed(BaseException):
    """Simulates a kill: nothing catches it."""


def require_noted_frames(cut: Path, whole: Path) -> dict[str, int]:
    """Check that the frames recorded by a killed run are on disk; return their number by method and series."""
    noted: dict[str, int] = {}
    for path in (cut / PARTIAL / "positions").rglob("progress.json"):
        noted |= json.loads(path.read_text())
    noted.pop("finished", None)
    for key, count in noted.items():
        method, name, z = key.split(" ")
        plane = int(z.removeprefix("z"))
        position = open_store(whole / f"{method}.ome.zarr").position(name)
        partial = open_store(cut / PARTIAL / f"{method}.ome.zarr").position(name)
        for t in range(count):
            for c in range(position.shape[1]):
                np.testing.assert_array_equal(partial.read(t, c, plane), position.read(t, c, plane))
    return noted


def truncate(chunk: Path) -> bytes:
    """Truncate a chunk file; return its content."""
    content = chunk.read_bytes()
    chunk.write_bytes(content[: len(content) // 2])
    return content
