"""A small movie, and a small random network to inspect."""

from pathlib import Path

import pytest
from support.stores import phase, write_image

from image_translation.explorer.inspector import Inspector


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One position of 6 frames of 40 x 52 pixels."""
    return write_image(tmp_path_factory.mktemp("movie") / "cells.ome.zarr", phase(6, (40, 52)))


@pytest.fixture(scope="session")
def inspector(tiny_checkpoint: Path) -> Inspector:
    """The network of the tiny checkpoint, on the CPU."""
    return Inspector(str(tiny_checkpoint), device="cpu")
