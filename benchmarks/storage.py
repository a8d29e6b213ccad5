"""Reading and writing OME-Zarr: the package, by tensorstore, against zarr-python, on the same layouts."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, get_args

from benchmarks.isolated import FreshProcess
from benchmarks.table import Line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from image_translation.omezarr.output import ImageSpec
    from image_translation.omezarr.store import Position

Contestant = Literal["ours", "zarr"]

CHANNELS = ("Nuclei", "Membrane")
LONG = 1000  # frames, for which files are counted
FEWER_FILES = 0.1
_DISTINCT = 4  # frames; the others are the same again


@dataclass(frozen=True)
class Layout:
    """How pixels lie on disk.

    Attributes
    ----------
    what
        In a few words.
    version
        Of OME-Zarr.
    depth
        Number of planes, all in one chunk.
    sharded
        Whether frames share files, as the package writes them.
    written
        Whether the package writes such stores; all are read.
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


def measure(directory: Path, frames: int, size: tuple[int, int], repeats: int) -> Iterator[Line]:
    """Read and write each layout with both, in turn, each in its own process; count files; cut files short.

    All layouts hold about as many pixels: of those with several planes there are fewer frames.
    """
    sources = [directory / f"storage-{number}.ome.zarr" for number in range(len(LAYOUTS))]
    with ExitStack() as stack:
        processes = {name: stack.enter_context(FreshProcess()) for name in get_args(Contestant)}
        for layout, source in zip(LAYOUTS, sources, strict=True):
            job = (source, layout, -(-frames // layout.depth), size)
            processes["ours"].call(make, *job)
            for action in (write, read) if layout.written else (read,):
                rates: dict[str, list[float]] = {name: [] for name in processes}
                for _ in range(repeats):
                    for name, process in processes.items():
                        rates[name].append(process.call(action, name, *job))
                ours, zarrs = (median(rates[name]) for name in ("ours", "zarr"))
                yield Line(f"{action.__name__} {layout.what}", ours, zarrs, "MB/s", 1.0, "at least", more=True)
        plain, sharded = (_files(sources[number]) * LONG / frames for number in (1, 2))
        yield Line(f"files of {LONG} frames, by those of {frames}", sharded, plain, "files", FEWER_FILES, "at most")
        refused = sum(processes["ours"].call(refuses_cut_file, source) for source in sources)
        yield Line("files cut short that are an error", refused, None, "layouts", len(LAYOUTS), "at least")


def make(path: Path, layout: Layout, frames: int, size: tuple[int, int]) -> None:
    """Write a store of a layout, with all its pixels."""
    import numpy as np
    import zarr

    _create(path, layout, frames, size)
    array: Any = zarr.open_array(path / "0", mode="r+")
    for start in range(0, frames, _together(array)):
        stop = min(start + _together(array), frames)
        stains = np.stack([_stain(t, size) for t in range(start, stop)])
        array[start:stop] = np.repeat(stains[:, :, np.newaxis], layout.depth, axis=2)


def read(name: Contestant, path: Path, layout: Layout, frames: int, size: tuple[int, int]) -> float:
    """Read all planes of a store, frame by frame, and return the pixels' MB a second."""
    import zarr

    position, array = _position(path), zarr.open_array(path / "0", mode="r")
    read_one = position.read if name == "ours" else lambda t, c, z: array[t, c, z]
    start = time.perf_counter()
    for t in range(frames):
        for z in range(layout.depth):
            for c in range(len(CHANNELS)):
                read_one(t, c, z)
    return _rate(layout, frames, size, time.perf_counter() - start)


def write(name: Contestant, path: Path, layout: Layout, frames: int, size: tuple[int, int]) -> float:
    """Write a store like one, as the frames come, and return the pixels' MB a second."""
    fresh = path.with_name(f"{name}-{path.name}")
    _create(fresh, layout, frames, size)
    _stain(0, size)  # made beforehand
    seconds = (_write_ours if name == "ours" else _write_zarr)(fresh, frames, size)
    shutil.rmtree(fresh)
    return _rate(layout, frames, size, seconds)


def refuses_cut_file(path: Path) -> bool:
    """Cut a file of pixels short, and tell whether to read it is an error that says so."""
    from image_translation.errors import DataError

    victim = max((path / "0").rglob("*"), key=lambda file: file.stat().st_size if file.is_file() else 0)
    victim.write_bytes(victim.read_bytes()[:-1])
    position = _position(path)
    errors = []
    for t in range(position.shape[0]):
        for c in range(len(CHANNELS)):
            try:
                position.read(t, c, 0)
            except DataError as error:
                errors.append(str(error))
    assert errors, f"{victim} was cut short, and nobody noticed"
    return all("cannot read frame" in error and "\n" not in error for error in errors)


def _write_ours(path: Path, frames: int, size: tuple[int, int]) -> float:
    from image_translation.omezarr.plane_stack import PlaneStack

    stack = PlaneStack(path, _spec(_position(path), frames), 0, write=True)
    start = time.perf_counter()
    for t in range(frames):
        stack.write(t, _stain(t, size))
        stack.settle()
    return time.perf_counter() - start


def _write_zarr(path: Path, frames: int, size: tuple[int, int]) -> float:
    import numpy as np
    import zarr

    array: Any = zarr.open_array(path / "0", mode="r+")
    together = _together(array)
    start = time.perf_counter()
    for first in range(0, frames, together):
        last = min(first + together, frames)
        array[first:last, :, 0] = np.stack([_stain(t, size) for t in range(first, last)])
    return time.perf_counter() - start


def _create(path: Path, layout: Layout, frames: int, size: tuple[int, int]) -> None:
    """Create an empty store; one with shards as the package does."""
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
        shutil.rmtree(plain)


def _spec(position: "Position", frames: int) -> "ImageSpec":
    from image_translation.omezarr.output import ImageSpec

    return ImageSpec(position, CHANNELS, range(frames), frames, planes=(0,))


def _position(path: Path) -> "Position":
    from image_translation.omezarr.store import open_store

    return open_store(path).position("fov")


def _together(array: Any) -> int:
    return int((array.shards or array.chunks)[0])


def _stain(t: int, size: tuple[int, int]) -> "NDArray[np.float32]":
    """Return a frame of shape (2, Y, X), float32, with noise in it as in a prediction."""
    return _stains(size)[t % _DISTINCT]


@cache
def _stains(size: tuple[int, int]) -> "list[NDArray[np.float32]]":
    import numpy as np

    from benchmarks.movies import phase_tiles, tile

    planes = [tile(image, size) for image in phase_tiles(2 * _DISTINCT, size)]
    return [np.stack(pair) for pair in zip(planes[::2], planes[1::2], strict=True)]


def _rate(layout: Layout, frames: int, size: tuple[int, int], seconds: float) -> float:
    return 4 * frames * len(CHANNELS) * layout.depth * size[0] * size[1] / 1e6 / seconds


def _files(path: Path) -> int:
    return sum(file.is_file() and not file.name.startswith((".z", "zarr.json")) for file in path.rglob("*"))
