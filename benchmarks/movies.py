"""Movies of any size at little cost: a small simulated movie, tiled by reflection and played to and fro."""

from pathlib import Path

import numpy as np
from iohub.ngff import open_ome_zarr

from image_translation.simulation.movie import Movie
from image_translation.simulation.spec import MovieSpec

CHANNEL = "Phase3D"
_TILE = 256  # pixels
_FRAMES = 24


def write_movie(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """Write a phase movie of shape (frames, 1, 1, *size), float32, with its statistics as VisCy stores them."""
    tiles = phase_tiles(min(_FRAMES, frames), size)
    to_and_fro = [*range(len(tiles)), *range(len(tiles) - 2, 0, -1)]
    with open_ome_zarr(path, layout="fov", mode="w-", channel_names=[CHANNEL]) as position:
        array = position.create_zeros("0", (frames, 1, 1, *size), np.float32, chunks=(1, 1, 1, *size))
        for t in range(frames):
            array[t, 0, 0] = tile(tiles[to_and_fro[t % len(to_and_fro)]], size)
        position.zattrs["normalization"] = {CHANNEL: {"fov_statistics": _statistics(np.stack(tiles))}}
    return path


def phase_tiles(frames: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Simulate small phase images, no larger than the given size, (Y, X) float32."""
    movie = Movie(MovieSpec(shape=(min(_TILE, size[0]), min(_TILE, size[1])), frames=frames, flicker=2.0))
    return [movie.frame(t)[0] for t in range(frames)]


def tile(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Tile an image by reflection, up to the given size."""
    margins = [(0, wanted - have) for wanted, have in zip(size, image.shape, strict=True)]
    return np.pad(image, margins, mode="symmetric")


def _statistics(values: np.ndarray) -> dict[str, float]:
    lower, median, upper = (float(value) for value in np.percentile(values, (25, 50, 75)))
    return {"mean": float(values.mean()), "std": float(values.std()), "median": median, "iqr": upper - lower}
