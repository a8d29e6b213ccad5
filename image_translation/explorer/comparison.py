"""Two views side by side: of one network in one common basis, or of two networks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from image_translation.explorer.colours import to_rgb
from image_translation.explorer.feature_regression import FOLDS, agreement, translate
from image_translation.explorer.inspector import View
from image_translation.explorer.principal_components import project
from image_translation.explorer.stage_statistics import differences, table
from image_translation.explorer.stage_tiles import (
    StageColours,
    picture_tiles,
    stage_colours,
    stage_pixel_size,
    tile_rows,
)
from image_translation.figures.tiles import ONE_BASIS, Tile

SAME_CHANNELS = 0.5  # median correlation above which channels of two networks mean the same
TRANSLATED = (
    "The channels of the two networks have nothing in common, so the second one's picture is what its features tell of "
    "the first one's components (ridge regression, judged where it was not fitted): R² 1 is all of it, 0 is nothing."
)
_ALIKE = "The channels of the two networks agree, as those of one network in training do. "


@dataclass(frozen=True)
class Comparison:
    """Two variants, ready to be drawn.

    Attributes
    ----------
    columns
        Name and tiles of each, as `tiles.comparison_figure` takes them.
    legend
        What the colours mean.
    numbers
        Name of the number that is given for each stage, and its values.
    """

    columns: tuple[tuple[str, list[Tile]], ...]
    legend: str
    numbers: tuple[str, dict[str, float]]

    def table(self) -> str:
        """Return the numbers as CSV."""
        name, values = self.numbers
        return table(["stage", name], values.items())


def compare_images(labels: tuple[str, str], views: tuple[View, View], pixel_size: float | None = None) -> Comparison:
    """Hold two images against each other, as one network sees them.

    Parameters
    ----------
    labels
        What the images are called.
    views
        Of one network.
    pixel_size
        Side of a pixel of the images in micrometres.
    """
    colours = stage_colours(views)
    differ = differences(*views) if views[0].image.shape == views[1].image.shape else {}
    one, other = (_tiles(view, colours, pixel_size) for view in views)
    noted = [
        replace(tile, note=f"differs by {differ[tile.name]:.2f}") if tile.name in differ else tile for tile in other
    ]
    return Comparison(((labels[0], one), (labels[1], noted)), ONE_BASIS, ("difference", differ))


def compare_networks(labels: tuple[str, str], views: tuple[View, View], pixel_size: float | None = None) -> Comparison:
    """Hold two networks against each other that look at the same field.

    Where their channels mean the same (two states of one network in training), they share one basis. Elsewhere the
    second one is shown by what its features tell of the first one's components, see `feature_regression.translate`.

    Parameters
    ----------
    labels
        What the networks are called.
    views
        Of one field.
    pixel_size
        Side of a pixel of the field in micrometres.
    """
    first, second = views
    agreements = {stage: agreement(first.features[stage], second.features[stage]) for stage in _common(first, second)}
    stages = [stage for stage in agreements if stage != "head"]  # whose channels have names, and agree in any case
    alike = bool(stages) and float(np.median([agreements[stage] for stage in stages])) >= SAME_CHANNELS
    if alike and set(first.features) == set(second.features):
        colours = stage_colours(views)
        one, other = (_tiles(view, colours, pixel_size) for view in views)
        noted = [
            replace(tile, note=f"channels agree: {agreements[tile.name]:.2f}") if tile.name in agreements else tile
            for tile in other
        ]
        return Comparison(((labels[0], one), (labels[1], noted)), _ALIKE + ONE_BASIS, ("agreement", agreements))
    colours = stage_colours([first])
    one, other = _tiles(first, colours, pixel_size), picture_tiles(second, pixel_size)
    known = {}
    for stage in _common(first, second):
        tile, known[stage] = _translated(second, stage, project(first.features[stage], colours[stage].basis), colours)
        other.append(replace(tile, pixel_size=stage_pixel_size(second, stage, pixel_size)))
    return Comparison(((labels[0], one), (labels[1], other)), TRANSLATED, ("R2", known))


def _translated(view: View, stage: str, scores: np.ndarray, colours: dict[str, StageColours]) -> tuple[Tile, float]:
    features = view.features[stage]
    found, known = translate(features, scores)
    image = to_rgb(found, colours[stage].contrast)
    return Tile(stage, image, features.shape, note=f"R² {max(known, 0):.2f}"), known


def _tiles(view: View, colours: dict[str, StageColours], pixel_size: float | None) -> list[Tile]:
    return [tile for _, tiles in tile_rows(view, colours, pixel_size) for tile in tiles]


def _common(first: View, second: View) -> Sequence[str]:
    """Return the stages that both networks have, and that are large enough for a regression."""
    return [
        stage for stage in first.features if stage in second.features and second.features[stage].shape[1] >= 2 * FOLDS
    ]
