"""Two images side by side: of one network in a common basis, or of two networks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from image_translation.explorer.colours import to_rgb
from image_translation.explorer.feature_regression import FOLDS, channel_correlation, predict_scores
from image_translation.explorer.inspector import Activations
from image_translation.explorer.principal_components import project
from image_translation.explorer.stage_statistics import format_csv, stage_differences
from image_translation.explorer.stage_tiles import (
    StageColours,
    all_tiles,
    image_tiles,
    stage_colours,
    stage_pixel_size,
)
from image_translation.figures.tiles import COMMON_BASIS_LEGEND, Tile

SAME_CHANNELS = 0.5  # median correlation from which on two networks are taken to have the same channels
REGRESSION_LEGEND = (
    "The channels of the two networks are unrelated, so the second column shows the first network's components as "
    "predicted from the second network's features (cross-validated ridge regression): R² 1 is fully predicted, 0 not "
    "at all."
)
_SAME_CHANNELS_LEGEND = "The channels of the two networks correspond, as those of two states of one training do. "


@dataclass(frozen=True)
class Comparison:
    """Two columns of tiles with a number for each stage.

    Attributes
    ----------
    columns
        Name and tiles of each column, as `tiles.comparison_figure` takes them.
    legend
        Meaning of the colours.
    numbers
        Name of the number, and its value for each stage.
    """

    columns: tuple[tuple[str, list[Tile]], ...]
    legend: str
    numbers: tuple[str, dict[str, float]]

    def table(self) -> str:
        """Return the numbers as CSV."""
        name, values = self.numbers
        return format_csv(["stage", name], values.items())


def compare_images(
    labels: tuple[str, str], activations: tuple[Activations, Activations], pixel_size: float | None = None
) -> Comparison:
    """Compare two images of one network in a common basis.

    Parameters
    ----------
    labels
        Names of the images.
    activations
        Of one network.
    pixel_size
        Pixel size of the images in micrometres.
    """
    colours = stage_colours(activations)
    first, second = activations
    differences = stage_differences(first, second) if first.image.shape == second.image.shape else {}
    tiles = _with_notes(all_tiles(second, colours, pixel_size), "differs by", differences)
    columns = ((labels[0], all_tiles(first, colours, pixel_size)), (labels[1], tiles))
    return Comparison(columns, COMMON_BASIS_LEGEND, ("difference", differences))


def compare_networks(
    labels: tuple[str, str], activations: tuple[Activations, Activations], pixel_size: float | None = None
) -> Comparison:
    """Compare two networks on the same field.

    If their channels correspond (two states of one network in training), they share one basis. Otherwise the second
    column shows the first network's components as predicted from the second network's features, see
    `feature_regression.predict_scores`.

    Parameters
    ----------
    labels
        Names of the networks.
    activations
        Of one field.
    pixel_size
        Pixel size of the field in micrometres.
    """
    first, second = activations
    common = _common_stages(first, second)
    agreements = {stage: channel_correlation(first.features[stage], second.features[stage]) for stage in common}
    stages = [stage for stage in agreements if stage != "head"]  # whose channels correspond in any case, by their names
    same = bool(stages) and float(np.median([agreements[stage] for stage in stages])) >= SAME_CHANNELS
    if same and set(first.features) == set(second.features):
        colours = stage_colours(activations)
        tiles = _with_notes(all_tiles(second, colours, pixel_size), "channels agree:", agreements)
        columns = ((labels[0], all_tiles(first, colours, pixel_size)), (labels[1], tiles))
        return Comparison(columns, _SAME_CHANNELS_LEGEND + COMMON_BASIS_LEGEND, ("agreement", agreements))
    colours = stage_colours([first])
    tiles, r2 = image_tiles(second, pixel_size), {}
    for stage in common:
        scores = project(first.features[stage], colours[stage].basis)
        tile, r2[stage] = _predicted_tile(second, stage, scores, colours[stage])
        tiles.append(replace(tile, pixel_size=stage_pixel_size(second, stage, pixel_size)))
    columns = ((labels[0], all_tiles(first, colours, pixel_size)), (labels[1], tiles))
    return Comparison(columns, REGRESSION_LEGEND, ("R2", r2))


def _with_notes(tiles: Sequence[Tile], what: str, values: dict[str, float]) -> list[Tile]:
    """Note the value of each stage that has one below its tile."""
    return [replace(tile, note=f"{what} {values[tile.name]:.2f}") if tile.name in values else tile for tile in tiles]


def _predicted_tile(
    activations: Activations, stage: str, scores: np.ndarray, colours: StageColours
) -> tuple[Tile, float]:
    """Return the scores of another network as predicted from a stage, as a tile, and their R²."""
    features = activations.features[stage]
    predicted, r2 = predict_scores(features, scores)
    return Tile(stage, to_rgb(predicted, colours.contrast), features.shape, note=f"R² {max(r2, 0):.2f}"), r2


def _common_stages(first: Activations, second: Activations) -> Sequence[str]:
    """Return the stages of both networks that are large enough for a regression."""
    return [
        stage for stage in first.features if stage in second.features and second.features[stage].shape[1] >= 2 * FOLDS
    ]
