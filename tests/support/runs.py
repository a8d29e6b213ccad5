"""Helpers for tests of complete runs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from image_translation.network.predictor import Predictor
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


@contextmanager
def killed_at_batch(number: int) -> Iterator[None]:
    """Kill the run in this context when it starts to predict a batch, counted from 0."""
    start, started = Predictor.start, count()

    def dying(self: Predictor, images: Any) -> Any:
        if next(started) == number:
            raise Killed
        return start(self, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "start", dying)
        with pytest.raises(Killed):
            yield


def require_recorded_frames(cut: Path, whole: Path) -> dict[str, int]:
    """Check that the frames recorded by a killed run are on disk; return their number by method and series."""
    recorded: dict[str, int] = {}
    for path in (cut / PARTIAL / "positions").rglob("progress.json"):
        recorded |= json.loads(path.read_text())
    recorded.pop("finished", None)
    for key, done in recorded.items():
        method, name, z = key.split(" ")
        plane = int(z.removeprefix("z"))
        position = open_store(whole / f"{method}.ome.zarr").position(name)
        partial = open_store(cut / PARTIAL / f"{method}.ome.zarr").position(name)
        for t in range(done):
            for c in range(position.shape[1]):
                np.testing.assert_array_equal(partial.read(t, c, plane), position.read(t, c, plane))
    return recorded


def truncate(chunk: Path) -> bytes:
    """Truncate a chunk file; return its content."""
    content = chunk.read_bytes()
    chunk.write_bytes(content[: len(content) // 2])
    return content
