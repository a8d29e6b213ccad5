"""One stage of a network in detail: its components or channels one by one, their histogram and the spectrum."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from image_translation.explorer.inspector import Activations
from image_translation.explorer.principal_components import fit_basis, project, spectrum
from image_translation.explorer.stage_statistics import format_csv
from image_translation.explorer.stage_tiles import channel_tiles, diverging_rgb, stage_pixel_size
from image_translation.figures import stages
from image_translation.figures.style import display_window
from image_translation.figures.tiles import Tile

Kind = Literal["components", "channels"]
SHOWN_COMPONENTS, SHOWN_CHANNELS = 6, 12


@dataclass(frozen=True, eq=False)
class StageDetail:
    """Components or channels of a stage, and a selected one.

    Attributes
    ----------
    stage
        Name of the stage.
    name
        Name of the selected map, such as "PC 1" or "channel 17".
    values
        The selected map, (H, W) float32.
    picture
        The selected map in colours: positive is red, negative is blue.
    tiles
        The first components, or the channels of the largest variance.
    legend
        Caption of the tiles.
    shares
        Share of the variance of each component that is computed.
    spectrum
        Share of the variance of all components, (C,) float64.
    """

    stage: str
    name: str
    values: NDArray[np.float32]
    picture: Tile
    tiles: list[Tile]
    legend: str
    shares: tuple[float, ...]
    spectrum: NDArray[np.float64]
    _components: NDArray[np.float32]

    def distribution_figure(self) -> Figure:
        """Draw the histogram of the selected map, and the cumulative variance of the components."""
        return stages.distribution_figure(f"{self.stage}, {self.name}", self.values, self.spectrum, len(self.shares))

    def component_figure(self) -> Figure:
        """Draw the first components of the stage, for print."""
        return stages.component_figure(
            self.stage, self._components, self.shares, self.spectrum, pixel_size=self.picture.pixel_size
        )

    def table(self) -> str:
        """Return the variance of all components as CSV."""
        rows = zip(range(1, len(self.spectrum) + 1), self.spectrum.tolist(), strict=True)
        return format_csv(["component", "share of variance"], rows)


def stage_detail(
    activations: Activations, stage: str, kind: Kind, number: int, pixel_size: float | None = None
) -> StageDetail:
    """Compute the components of a stage, and select one of its maps.

    Parameters
    ----------
    activations, stage
        Activations and the name of a stage.
    kind
        "components" or "channels".
    number
        Number of the component, from 1, or of the channel, from 0.
    pixel_size
        Pixel size of the image in micrometres.
    """
    features = activations.features[stage]
    basis = fit_basis([features], SHOWN_COMPONENTS)
    shares = tuple(float(share) for share in basis.explained)
    scores = project(features, basis)
    size = stage_pixel_size(activations, stage, pixel_size)
    if kind == "components":
        name, values, limit = f"PC {number}", scores[number - 1], _limit(scores)
        tiles = [
            Tile(f"PC {one}", diverging_rgb(plane, limit), explained=(share,), pixel_size=size)
            for one, (plane, share) in enumerate(zip(scores, shares, strict=True), 1)
        ]
        legend = "principal components, all with the same contrast: positive is red, negative is blue"
    else:
        name, values = f"channel {number}", features[number]
        limit = _limit(values)
        tiles = channel_tiles(activations, stage, _most_variable_channels(features), pixel_size)
        legend = f"{len(tiles)} of {len(features)} channels, those of the largest variance, each with its own contrast"
    picture = Tile(f"{stage}, {name}", diverging_rgb(values, limit), pixel_size=size)
    return StageDetail(stage, name, values, picture, tiles, legend, shares, spectrum(features), scores)


def _limit(values: NDArray[np.float32]) -> float:
    """Return the largest absolute value to be shown, and never 0."""
    return max(1e-12, *(abs(end) for end in display_window([values])))


def _most_variable_channels(features: NDArray[np.float32]) -> list[int]:
    deviations = features.std(axis=(1, 2))
    numbers: list[int] = np.argsort(-deviations, kind="stable")[:SHOWN_CHANNELS].tolist()
    return numbers
