"""A small movie, as an array, as a store, and stained by the command."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.figure_helpers import draw_no_figures
from support.stores import phase, write_image

from image_translation.api.networks import Network, load_network
from image_translation.cli.commands import main

SECONDS, MICROMETRES = 300.0, 0.5
METHODS = ("raw", "motion", "window")


def blanked(movie: np.ndarray, *frames: int) -> np.ndarray:
    movie = movie.copy()
    movie[list(frames)] = 0
    return movie


@pytest.fixture(scope="session")
def movie() -> np.ndarray:
    """Phase (T, C, Z, Y, X) with two channels, of which the second is the true nuclei, and an invalid frame."""
    data = phase(frames=9, size=(40, 36))
    return blanked(np.concatenate([data, np.exp(data)], axis=1), 4)


@pytest.fixture(scope="session")
def store(movie: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The movie as an OME-Zarr store."""
    return write_image(
        tmp_path_factory.mktemp("api") / "movie.ome.zarr",
        movie,
        channels=("Phase3D", "DNA"),
        scale=(SECONDS, 1, 1, MICROMETRES, MICROMETRES),
        units={"t": "second", "y": "micrometer", "x": "micrometer"},
    )


@pytest.fixture(scope="session")
def by_command(store: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of it."""
    output = tmp_path_factory.mktemp("api") / "out"
    command = ["smooth", "-c", tiny_checkpoint, "-m", store, "-o", output, "--methods", *METHODS, "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        draw_no_figures(patch)
        assert main([str(argument) for argument in command]) == 0
    return output


@pytest.fixture(scope="session")
def network(tiny_checkpoint: Path) -> Network:
    """The network, loaded once."""
    return load_network(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="session")
def described() -> dict[str, Any]:
    """What the array of the movie does not say."""
    return {"channels": ("Phase3D", "DNA"), "pixel_size": MICROMETRES, "interval": SECONDS}
