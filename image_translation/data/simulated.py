"""Simulated movies written as OME-Zarr stores with the channels phase, true nuclei and true membrane.

The label images ``nuclei`` and ``cells`` of each image are its true segmentation, whose labels follow the cells; their
tracks are ``labels/man_track.txt``, in the format of the Cell Tracking Challenge.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from filelock import FileLock

from image_translation.errors import DataError, UsageError
from image_translation.files import remove
from image_translation.frame import Frame
from image_translation.omezarr.labels import GROUP, LabelWriter
from image_translation.omezarr.metadata import AXES, Level
from image_translation.omezarr.output import ImageSpec, create_store, finish_image
from image_translation.omezarr.plane_stack import PlaneStack
from image_translation.omezarr.plate import create_plate
from image_translation.omezarr.statistics import DisplayWindows
from image_translation.omezarr.store import FOV_NAME, PROVENANCE_KEY, Position, Store, open_store
from image_translation.progress_bar import ProgressBar
from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import CHANNELS, MovieSpec

DEMO = MovieSpec(shape=(320, 320), frames=32, seed=2026, flicker=1.0, focus_jitter=0.2)
DEMO_FIELD = MovieSpec(
    frames=2, seed=9000, density=1.0, focus_jitter=0.15, gain_jitter=0.03, halo_jitter=0.15, lateral_jitter=0.5
)
DEMO_FIELDS = 16
PIXEL_SIZE = 0.5  # micrometres
PLANE_SPACING = 2.0  # pixels; nominal, of movies of single planes
FRAME_INTERVAL = 300.0  # seconds
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
LABELS = ("nuclei", "cells")  # names of the label images
LINEAGE_NAME = "man_track.txt"  # in the group of the label images

_COLUMNS = 8  # wells per row of a plate


def write_simulated_movie(spec: MovieSpec, path: Path) -> None:
    """Simulate a movie and write it to a new store, (T, 3, Z, Y, X) float32, with its labels, (T, 1, Z, Y, X) int32.

    Parameters
    ----------
    spec
        Specification of the movie.
    path
        Store to create; it exists under this name when it is complete.

    Raises
    ------
    UsageError
        If the path exists, or if there is not enough space on the disk.
    """
    with _write_atomically(path, [spec]) as scratch, ProgressBar(spec.frames, "simulating") as bar:
        _write_movie(spec, scratch, bar)


def write_simulated_plate(specs: Mapping[str, MovieSpec], path: Path) -> None:
    """Simulate several movies and write them to a new plate.

    Parameters
    ----------
    specs
        Specification of each movie by position name, such as ``A/1/0``.
    path
        Store to create; it exists under this name when it is complete.

    Raises
    ------
    UsageError
        If the path exists, or if there is not enough space on the disk.
    """
    with (
        _write_atomically(path, specs.values()) as scratch,
        ProgressBar(sum(spec.frames for spec in specs.values()), "simulating") as bar,
    ):
        create_plate(scratch, list(specs))
        for name, spec in specs.items():
            _write_movie(spec, scratch / name, bar)


def simulated_positions(spec: MovieSpec, count: int) -> dict[str, MovieSpec]:
    """Vary a specification for each position of a plate with `count` positions, eight wells per row.

    Seeds are consecutive. Cell densities increase evenly from a fifth of the specified density to all of it.
    """
    densities = np.linspace(0.2, 1.0, count) * spec.density if count > 1 else [spec.density]
    return {
        f"{chr(ord('A') + number // _COLUMNS)}/{number % _COLUMNS + 1}/0": replace(
            spec, seed=spec.seed + number, density=float(density)
        )
        for number, density in enumerate(densities)
    }


def ensure_demo_movie(path: Path) -> None:
    """Generate the embedded movie, unless this version of the package already has; under a lock."""
    _ensure(path, FOV_NAME, DEMO, lambda: write_simulated_movie(DEMO, path))


def ensure_demo_plate(path: Path) -> None:
    """Generate the embedded plate for training, unless this version of the package already has; under a lock."""
    specs = simulated_positions(DEMO_FIELD, DEMO_FIELDS)
    last = next(reversed(specs))
    _ensure(path, last, specs[last], lambda: write_simulated_plate(specs, path))


def _ensure(path: Path, position: str, spec: MovieSpec, write: Callable[[], None]) -> None:
    if _is_current(path, position, spec):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if not _is_current(path, position, spec):  # another process may have written it meanwhile
            remove(path)
            write()


@contextmanager
def _write_atomically(path: Path, specs: Iterable[MovieSpec]) -> Iterator[Path]:
    """Yield a temporary path to write a store to, which is renamed if no error occurs."""
    if path.exists():
        raise UsageError(f"-o {path}: exists; choose another name")
    scratch = path.with_name(f".{path.name}.partial")
    remove(scratch)
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = sum(_stored_bytes(spec) for spec in specs), shutil.disk_usage(path.parent).free
    if needed > free:
        raise UsageError(
            f"-o {path}: needs at least {needed / 2**30:.3g} GiB on disk, of which {free / 2**30:.3g} GiB are free; "
            "simulate fewer or smaller frames"
        )
    yield scratch
    scratch.rename(path)


def _stored_bytes(spec: MovieSpec) -> int:
    """Return the least size of a movie on disk; its channels compress to about three quarters, never to a half.

    In most planes of a stack, the stains are nearly empty; only its phase is counted.
    """
    channels = len(CHANNELS) if spec.planes == 1 else spec.planes
    return spec.frames * math.prod(spec.shape) * channels * np.dtype(np.float32).itemsize // 2


def _write_movie(spec: MovieSpec, path: Path, bar: ProgressBar) -> None:
    shape = (spec.frames, len(CHANNELS), spec.planes, *spec.shape)
    spacing = spec.plane_spacing if spec.planes > 1 else PLANE_SPACING
    scale = (FRAME_INTERVAL, 1.0, spacing * PIXEL_SIZE, PIXEL_SIZE, PIXEL_SIZE)
    level = Level("0", scale, (0.0,) * len(AXES), shape)
    like = Position(FOV_NAME, path, AXES, UNITS, (level,), CHANNELS, {}, np.dtype(np.float32), zarr_format=2)
    image = ImageSpec(
        like,
        CHANNELS,
        range(spec.frames),
        spec.frames,
        planes=tuple(range(spec.planes)),
        volumes=True,
        name="simulated",
    )
    create_store(path, Store(path, "fov", "0.4", (FOV_NAME,)), [image])
    stacks = [PlaneStack(path, image, plane, write=True) for plane in range(spec.planes)]
    labels = LabelWriter(path, image, LABELS)
    movie, windows = Movie(spec), DisplayWindows(spec.frames)
    for t in range(spec.frames):
        data = movie.frame(t).reshape(len(CHANNELS), spec.planes, *spec.shape)
        for plane, stack in enumerate(stacks):
            stack.write(t, data[:, plane])
        labels.write(t, dict(zip(LABELS, movie.labels(t), strict=True)))
        for stack in stacks:
            stack.wait()
        # One image of all planes has the extremes and the percentiles of the stack.
        windows.add(Frame(t, data.reshape(len(CHANNELS), -1, spec.shape[1])))
        bar.update(1)
    rows = "".join(f"{' '.join(map(str, track))}\n" for track in movie.lineage())
    (path / GROUP / LINEAGE_NAME).write_text(rows)
    finish_image(path, image, windows.windows(len(CHANNELS)), _provenance(spec))


def _is_current(path: Path, position: str, spec: MovieSpec) -> bool:
    """Return whether a position was written from this specification by this version of the package."""
    if not path.exists():
        return False
    try:
        attributes = open_store(path).position(position).attributes
    except (DataError, UsageError):
        return False
    return attributes.get(PROVENANCE_KEY) == _provenance(spec)


def _provenance(spec: MovieSpec) -> dict[str, object]:
    parameters = asdict(spec)
    if spec.planes == 1:  # as before there were stacks
        del parameters["planes"], parameters["plane_spacing"]
    return json.loads(json.dumps({"version": version("image-translation"), "simulation": parameters}))
