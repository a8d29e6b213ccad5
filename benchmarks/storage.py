"""Throughput of reading and writing OME-Zarr: the package, with tensorstore, against zarr-python."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, get_args

from benchmarks.fresh_process import FreshProcess
from benchmarks.table import Measurement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from image_translation.omezarr.output import ImageSpec
    from image_translation.omezarr.store import Position

Library = Literal["ours", "zarr"]

CHANNELS = ("Nuclei", "Membrane")
LONG = 1000  # frames, to which the number of files is extrapolated
MAX_FILE_RATIO = 0.5
_DISTINCT = 4  # frames, which are repeated


@dataclass(frozen=True)
class Layout:
    """Layout of the pixels on disk.

    Attributes
    ----------
    what
        Short description.
    version
        Version of OME-Zarr.
    depth
        Number of planes, all in one chunk.
    sharded
        Whether frames share files (shards), as the package writes them.
    written
        Whether the package writes this layout; it reads all of them.
    """

    what: str
    version: Literal["0.4", "0.5"]
    depth: int = 1
    sharded: bool = False
    written: bool = True


LAYOUTS = (
    Layout("0.4, chunks of a plane", "0.4"),
    Layout("0.5, chunks of a plane", "0.5"),
    Layout("0.5, shards over time", "0.5", sharded=True),
    Layout("0.4, chunks of 8 planes, by plane", "0.4", depth=8, written=False),
)


def measure(directory: Path, frames: int, size: tuple[int, int], repeats: int) -> Iterator[Measurement]:
    """Read and write each layout with both, in turn, each in its own process; count files; truncate files.

    All layouts have about the same number of pixels: those with several planes have fewer frames.
    """
    sources = [directory / f"storage-{number}.ome.zarr" for number in range(len(LAYOUTS))]
    with ExitStack() as stack:
        processes = {library: stack.enter_context(FreshProcess()) for library in get_args(Library)}
        for layout, source in zip(LAYOUTS, sources, strict=True):
            job = (source, layout, -(-frames // layout.depth), size)
            processes["ours"].call(create_store_with_pixels, *job)
            for action in (write, read) if layout.written else (read,):
                rates: dict[Library, list[float]] = {library: [] for library in processes}
                for _ in range(repeats):
                    for library, process in processes.items():
                        rates[library].append(process.call(action, library, *job))
                ours, zarrs = (median(rates[library]) for library in ("ours", "zarr"))
                yield Measurement(
                    f"{action.__name__} {layout.what}", ours, zarrs, "MB/s", 1.0, "at least", higher_is_better=True
                )
        plain, sharded = (_count_files(sources[number]) * LONG / frames for number in (1, 2))
        yield Measurement(
            f"files of {LONG} frames, extrapolated from {frames}", sharded, plain, "files", MAX_FILE_RATIO, "at most"
        )
        detected = sum(processes["ours"].call(detects_truncation, source) for source in sources)
        yield Measurement("truncated files that are detected", detected, None, "layouts", len(LAYOUTS), "at least")


def create_store_with_pixels(path: Path, layout: Layout, frames: int, size: tuple[int, int]) -> None:
    """Write a store of a layout, with pixels, by zarr-python."""
    import numpy as np
    import zarr

    _create(path, layout, frames, size)
    array: Any = zarr.open_array(path / "0", mode="r+")
    for start in range(0, frames, _frames_per_write(array)):
        stop = min(start + _frames_per_write(array), frames)
        stains = np.stack([_stain(t, size) for t in range(start, stop)])
        array[start:stop] = np.repeat(stains[:, :, np.newaxis], layout.depth, axis=2)


def read(library: Library, path: Path, layout: Layout, frames: int, size: tuple[int, int]) -> float:
    """Read all planes of a store, frame by frame; return the throughput in MB/s."""
    import zarr

    position, array = _position(path), zarr.open_array(path / "0", mode="r")
    read_one = position.read if library == "ours" else lambda t, c, z: array[t, c, z]
    start = time.perf_counter()
    for t in range(frames):
        for z in range(layout.depth):
            for c in range(len(CHANNELS)):
                read_one(t, c, z)
    return _throughput(layout, frames, size, time.perf_counter() - start)


def write(library: Library, path: Path, layout: Layout, frames: int, size: tuple[int, int]) -> float:
    """Write a store of the same layout, frame by frame; return the throughput in MB/s."""
    copy = path.with_name(f"{library}-{path.name}")
    _create(copy, layout, frames, size)
    _stain(0, size)  # simulated before the timing
    seconds = (_write_ours if library == "ours" else _write_zarr)(copy, frames, size)
    shutil.rmtree(copy)
    return _throughput(layout, frames, size, seconds)


def detects_truncation(path: Path) -> bool:
    """Truncate a file of pixels; return whether reading it raises a `DataError` with a one-line message."""
    from image_translation.errors import DataError

    file = max((path / "0").rglob("*"), key=lambda one: one.stat().st_size if one.is_file() else 0)
    file.write_bytes(file.read_bytes()[:-1])
    position = _position(path)
    errors = []
    for t in range(position.shape[0]):
        for c in range(len(CHANNELS)):
            try:
                position.read(t, c, 0)
            except DataError as error:
                errors.append(str(error))
    assert errors, f"{file} is truncated, and was read without an error"
    return all("cannot read frame" in error and "\n" not in error for error in errors)


def _write_ours(path: Path, frames: int, size: tuple[int, int]) -> float:
    from image_translation.omezarr.plane_stack import PlaneStack

    stack = PlaneStack(path, _spec(_position(path), frames), 0, write=True)
    start = time.perf_counter()
    for t in range(frames):
        stack.write(t, _stain(t, size))
        stack.wait()
    return time.perf_counter() - start


def _write_zarr(path: Path, frames: int, size: tuple[int, int]) -> float:
    import numpy as np
    import zarr

    array: Any = zarr.open_array(path / "0", mode="r+")
    step = _frames_per_write(array)
    start = time.perf_counter()
    for first in range(0, frames, step):
        last = min(first + step, frames)
        array[first:last, :, 0] = np.stack([_stain(t, size) for t in range(first, last)])
    return time.perf_counter() - start


def _create(path: Path, layout: Layout, frames: int, size: tuple[int, int]) -> None:
    """Create an empty store; with shards, by the package."""
    import numpy as np
    from iohub.ngff import open_ome_zarr

    from image_translation.omezarr.output import create_store
    from image_translation.omezarr.store import open_store

    plain = path.with_name(f"like-{path.name}") if layout.sharded else path
    with open_ome_zarr(plain, layout="fov", mode="w-", channel_names=list(CHANNELS), version=layout.version) as image:
        chunks = (1, 1, layout.depth, *size)
        image.create_zeros("0", (frames, len(CHANNELS), layout.depth, *size), np.float32, chunks=chunks)
    if layout.sharded:
        create_store(path, open_store(plain), [_spec(_position(plain), frames)])
        shutil.rmtree(path / "1", ignore_errors=True)  # the finest level alone is compared
        shutil.rmtree(plain)


def _spec(position: "Position", frames: int) -> "ImageSpec":
    from image_translation.omezarr.output import ImageSpec

    return ImageSpec(position, CHANNELS, range(frames), frames, planes=(0,))


def _position(path: Path) -> "Position":
    from image_translation.omezarr.store import open_store

    return open_store(path).position("fov")


def _frames_per_write(array: Any) -> int:
    return int((array.shards or array.chunks)[0])


def _stain(t: int, size: tuple[int, int]) -> "NDArray[np.float32]":
    """Return a simulated frame of shape (2, Y, X), float32, with noise."""
    return _stains(size)[t % _DISTINCT]


@cache
def _stains(size: tuple[int, int]) -> "list[NDArray[np.float32]]":
    import numpy as np

    from benchmarks.movies import phase_tiles, tile

    planes = [tile(image, size) for image in phase_tiles(2 * _DISTINCT, size)]
    return [np.stack(pair) for pair in zip(planes[::2], planes[1::2], strict=True)]


def _throughput(layout: Layout, frames: int, size: tuple[int, int], seconds: float) -> float:
    return 4 * frames * len(CHANNELS) * layout.depth * size[0] * size[1] / 1e6 / seconds


def _count_files(path: Path) -> int:
    return sum(file.is_file() and not file.name.startswith((".z", "zarr.json")) for file in path.rglob("*"))
