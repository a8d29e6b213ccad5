"""Views of a network as tiles: which colours its stages have, and what each picture is called."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from image_translation.explorer.colours import composite, limits, to_rgb
from image_translation.explorer.inspector import View
from image_translation.explorer.principal_components import Basis, fit_basis, project
from image_translation.figures.stages import SIGNED_COLOURS
from image_translation.figures.tiles import Tile


class StageColours(NamedTuple):
    """How a stage is coloured: its basis, and the range of each component."""

    basis: Basis
    contrast: NDArray[np.float64]


def stage_colours(views: Iterable[View]) -> dict[str, StageColours]:
    """Find colours for every stage that mean the same in all views: one basis, and one range for each component.

    Parameters
    ----------
    views
        Of one network.
    """
    shown = list(views)
    colours = {}
    for stage in shown[0].features:
        maps = [view.features[stage] for view in shown]
        basis = fit_basis(maps)
        colours[stage] = StageColours(basis, limits([project(one, basis) for one in maps]))
    return colours


def picture_tiles(view: View, pixel_size: float | None = None) -> list[Tile]:
    """Return what goes in, what comes out, and the truth where it is known, as tiles.

    Parameters
    ----------
    view
        What is shown.
    pixel_size
        Side of a pixel of the image in micrometres.
    """
    tiles = [
        Tile(f"input {name}", image, pixel_size=pixel_size)
        for name, image in zip(view.image_channels, view.image, strict=True)
    ]
    for name, images in (("prediction", view.prediction), ("truth", view.truth)):
        if images is not None:
            tiles.append(Tile(name, composite(list(images)) if len(images) == 2 else images[0], pixel_size=pixel_size))
    return tiles


def tile_rows(
    view: View, colours: Mapping[str, StageColours], pixel_size: float | None = None
) -> list[tuple[str, list[Tile]]]:
    """Arrange a view as tiles: the pictures, and the stages of the encoder and of the decoder.

    Parameters
    ----------
    view
        What is shown.
    colours
        Of every stage.
    pixel_size
        Side of a pixel of the image in micrometres.
    """
    rows: dict[str, list[Tile]] = {"pictures": picture_tiles(view, pixel_size), "encoder": [], "decoder": []}
    for stage, (basis, contrast) in colours.items():
        features = view.features[stage]
        explained = tuple(float(share) for share in basis.explained)
        size = stage_pixel_size(view, stage, pixel_size)
        tile = Tile(stage, to_rgb(project(features, basis), contrast), features.shape, explained, size)
        rows["decoder" if stage.startswith(("decoder", "head")) else "encoder"].append(tile)
    return list(rows.items())


def stage_pixel_size(view: View, stage: str, pixel_size: float | None) -> float | None:
    """Return the side of a pixel of a stage in micrometres, from that of a pixel of the image; None where unknown."""
    return None if pixel_size is None else pixel_size * view.placements[stage].step


def channel_tiles(view: View, stage: str, channels: Sequence[int], pixel_size: float | None = None) -> list[Tile]:
    """Return single channels of a stage, each in its own range of greys."""
    size = stage_pixel_size(view, stage, pixel_size)
    return [Tile(f"channel {number}", view.features[stage][number], pixel_size=size) for number in channels]


def signed(plane: NDArray[np.float32], most: float) -> NDArray[np.uint8]:
    """Return values, (H, W), as colours, (H, W, 3) uint8: blue at `-most`, white at 0, red at `most`."""
    levels = np.clip((np.nan_to_num(plane) / most + 1) / 2, 0, 1)
    return np.ascontiguousarray(colormaps[SIGNED_COLOURS](levels, bytes=True)[..., :3])
