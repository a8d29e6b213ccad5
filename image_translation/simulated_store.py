"""A simulated movie as an OME-Zarr store: phase, and the true nuclei and membrane, as channels."""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from image_translation.display_window import DisplayWindows
from image_translation.errors import DataError, UsageError
from image_translation.frame import Frame
from image_translation.ome_metadata import AXES, Level
from image_translation.output import ATTRIBUTE, ImageSpec, PlaneStack, create_store, finish_image
from image_translation.placement import remove
from image_translation.simulate import CHANNELS, Movie, MovieSpec
from image_translation.store import FOV_NAME, Position, Store, open_store

DEMO = MovieSpec(shape=(320, 320), frames=32, seed=2026, flicker=2.0)
PIXEL_SIZE = 0.5  # micrometres
INTERVAL = 300.0  # seconds
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}


def write_simulated_movie(spec: MovieSpec, path: Path) -> None:
    """Simulate a movie into a new store of shape (T, 3, 1, Y, X), float32.

    Parameters
    ----------
    spec
        What to simulate.
    path
        Store to create; it appears there when it is complete.

    Raises
    ------
    UsageError
        If there is something at that path.
    """
    if path.exists():
        raise UsageError(f"-o {path}: exists; choose another name")
    scratch = path.with_name(f".{path.name}.partial")
    remove(scratch)
    shape = (spec.frames, len(CHANNELS), 1, *spec.shape)
    level = Level("0", (INTERVAL, 1.0, 1.0, PIXEL_SIZE, PIXEL_SIZE), (0.0,) * len(AXES), shape)
    like = Position(FOV_NAME, path, AXES, UNITS, (level,), CHANNELS, {}, np.dtype(np.float32), zarr_format=2)
    image = ImageSpec(like, CHANNELS, range(spec.frames), spec.frames, planes=(0,))
    path.parent.mkdir(parents=True, exist_ok=True)
    create_store(scratch, Store(path, "fov", "0.4", (FOV_NAME,)), [image])
    stack = PlaneStack(scratch, image, 0, write=True)
    movie, windows = Movie(spec), DisplayWindows(spec.frames)
    for t in tqdm(range(spec.frames), unit="frame", disable=None, desc="simulating"):
        frame = Frame(t, movie.frame(t))
        stack.write(t, frame.data)()
        windows.add(frame)
    finish_image(scratch, image, windows.windows(len(CHANNELS)), _provenance(spec))
    scratch.rename(path)


def require_demo_movie(path: Path) -> None:
    """Make the embedded movie, unless it lies there already as this version would make it; one process at a time."""
    if _is_demo_movie(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if not _is_demo_movie(path):  # another process may have made it meanwhile
            remove(path)
            write_simulated_movie(DEMO, path)


def _is_demo_movie(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        attributes = open_store(path).position(FOV_NAME).attributes
    except DataError:
        return False
    return attributes.get(ATTRIBUTE) == _provenance(DEMO)


def _provenance(spec: MovieSpec) -> dict[str, object]:
    return json.loads(json.dumps({"version": version("image-translation"), "simulation": asdict(spec)}))
