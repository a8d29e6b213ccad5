"""Test movies of any size at low cost: a small simulated movie, tiled by reflection and played back and forth."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.fresh_process import FreshProcess

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHANNEL = "Phase3D"
MIN_SIDE = 16  # pixels, of a simulated movie
_TILE = 256  # pixels
_FRAMES = 24


def write_movie_in_fresh_process(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """Write a movie as `write_movie` does, without the memory and imports that this takes."""
    with FreshProcess() as process:
        return process.call(write_movie, path, frames, size)


def write_movie(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """Write a phase movie of shape (frames, 1, 1, *size), float32, with its statistics as VisCy stores them."""
    import numpy as np
    from iohub.ngff import open_ome_zarr

    tiles = phase_tiles(min(_FRAMES, frames), size)
    back_and_forth = [*range(len(tiles)), *range(len(tiles) - 2, 0, -1)]
    with open_ome_zarr(path, layout="fov", mode="w-", channel_names=[CHANNEL]) as position:
        array = position.create_zeros("0", (frames, 1, 1, *size), np.float32, chunks=(1, 1, 1, *size))
        for t in range(frames):
            array[t, 0, 0] = tile(tiles[back_and_forth[t % len(back_and_forth)]], size)
        position.zattrs["normalization"] = {CHANNEL: {"fov_statistics": _statistics(np.stack(tiles))}}
    return path


def phase_tiles(frames: int, size: tuple[int, int]) -> "list[NDArray[np.float32]]":
    """Simulate small phase images, no larger than the given size, (Y, X) float32."""
    from image_translation.simulation.movie import Movie
    from image_translation.simulation.spec import MovieSpec

    movie = Movie(MovieSpec(shape=(min(_TILE, size[0]), min(_TILE, size[1])), frames=frames, flicker=2.0))
    return [movie.frame(t)[0] for t in range(frames)]


def tile(image: "NDArray[np.float32]", size: tuple[int, int]) -> "NDArray[np.float32]":
    """Tile an image by reflection to the given size."""
    import numpy as np

    margins = [(0, target - side) for target, side in zip(size, image.shape, strict=True)]
    return np.pad(image, margins, mode="symmetric")


def _statistics(values: "NDArray[np.float32]") -> dict[str, float]:
    import numpy as np

    lower, median, upper = (float(value) for value in np.percentile(values, (25, 50, 75)))
    return {"mean": float(values.mean()), "std": float(values.std()), "median": median, "iqr": upper - lower}
