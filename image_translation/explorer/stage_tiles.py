"""Activations as tiles: input, prediction, truth, and every stage with its principal components as colours."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from image_translation.explorer.colours import composite, contrast_limits, to_rgb
from image_translation.explorer.inspector import Activations
from image_translation.explorer.principal_components import Basis, fit_basis, project
from image_translation.figures.stages import SIGNED_CMAP
from image_translation.figures.tiles import Tile


class StageColours(NamedTuple):
    """Mapping of the features of a stage to colours: a basis, and the contrast limits of its components, (n, 2)."""

    basis: Basis
    contrast: NDArray[np.float64]


def stage_colours(activations: Iterable[Activations]) -> dict[str, StageColours]:
    """Fit one basis and one contrast to each stage, so that equal colours mean equal features in all images.

    Parameters
    ----------
    activations
        Of one network.
    """
    images = list(activations)
    colours = {}
    for stage in images[0].features:
        maps = [image.features[stage] for image in images]
        basis = fit_basis(maps)
        colours[stage] = StageColours(basis, contrast_limits([project(one, basis) for one in maps]))
    return colours


def image_tiles(activations: Activations, pixel_size: float | None = None) -> list[Tile]:
    """Return input, prediction and, where it is known, the truth as tiles.

    Parameters
    ----------
    activations
        Images to show.
    pixel_size
        Pixel size of the image in micrometres.
    """
    tiles = [
        Tile(f"input {name}", image, pixel_size=pixel_size)
        for name, image in zip(activations.image_channels, activations.image, strict=True)
    ]
    for name, images in (("prediction", activations.prediction), ("truth", activations.truth)):
        if images is not None:
            tiles.append(Tile(name, composite(list(images)) if len(images) == 2 else images[0], pixel_size=pixel_size))
    return tiles


def tile_rows(
    activations: Activations, colours: Mapping[str, StageColours], pixel_size: float | None = None
) -> list[tuple[str, list[Tile]]]:
    """Return named rows of tiles: the images, the stages of the encoder, and those of the decoder.

    Parameters
    ----------
    activations
        Images and features to show.
    colours
        Of every stage.
    pixel_size
        Pixel size of the image in micrometres.
    """
    rows: dict[str, list[Tile]] = {"pictures": image_tiles(activations, pixel_size), "encoder": [], "decoder": []}
    for stage, (basis, contrast) in colours.items():
        features = activations.features[stage]
        explained = tuple(float(share) for share in basis.explained)
        size = stage_pixel_size(activations, stage, pixel_size)
        tile = Tile(stage, to_rgb(project(features, basis), contrast), features.shape, explained, size)
        rows["decoder" if stage.startswith(("decoder", "head")) else "encoder"].append(tile)
    return list(rows.items())


def all_tiles(
    activations: Activations, colours: Mapping[str, StageColours], pixel_size: float | None = None
) -> list[Tile]:
    """Return the tiles of all rows of `tile_rows`."""
    return [tile for _, tiles in tile_rows(activations, colours, pixel_size) for tile in tiles]


def channel_tiles(
    activations: Activations, stage: str, channels: Sequence[int], pixel_size: float | None = None
) -> list[Tile]:
    """Return single channels of a stage in grey, each with its own contrast."""
    size = stage_pixel_size(activations, stage, pixel_size)
    return [Tile(f"channel {number}", activations.features[stage][number], pixel_size=size) for number in channels]


def stage_pixel_size(activations: Activations, stage: str, pixel_size: float | None) -> float | None:
    """Return the pixel size of a stage in micrometres, from that of the image; None if that is unknown."""
    return None if pixel_size is None else pixel_size * activations.placements[stage].step


def diverging_rgb(plane: NDArray[np.float32], limit: float) -> NDArray[np.uint8]:
    """Map values (H, W) to colours (H, W, 3) uint8: blue at `-limit`, white at 0, red at `limit`."""
    levels = np.clip((np.nan_to_num(plane) / limit + 1) / 2, 0, 1)
    return np.ascontiguousarray(colormaps[SIGNED_CMAP](levels, bytes=True)[..., :3])
