"""One stage of the network in detail: its maps one by one, and how values and variance are distributed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from image_translation.explorer.inspector import View
from image_translation.explorer.principal_components import fit_basis, project, spectrum
from image_translation.explorer.stage_statistics import table
from image_translation.explorer.stage_tiles import channel_tiles, signed, stage_pixel_size
from image_translation.figures.stages import component_figure, distribution_figure
from image_translation.figures.style import display_window
from image_translation.figures.tiles import Tile

Kind = Literal["components", "channels"]
SHOWN_COMPONENTS, SHOWN_CHANNELS = 6, 12


@dataclass(frozen=True, eq=False)
class StageDetail:
    """Maps of a stage, and one that is looked at.

    Attributes
    ----------
    name
        What the map is called, such as "PC 1" or "channel 17".
    values
        The map itself, (H, W) float32.
    picture
        The same as colours: red is much, blue is little.
    tiles
        The first components, or the channels that vary most.
    legend
        What the tiles are.
    shares
        Share of the variance of each component that is a tile; empty for channels.
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

    def distribution(self) -> Figure:
        """Draw how the values of the map are distributed, and how the variance of the stage is."""
        return distribution_figure(f"{self.stage}, {self.name}", self.values, self.spectrum, len(self.shares))

    def figure(self) -> Figure:
        """Draw the first components of the stage, for paper."""
        return component_figure(
            self.stage, self._components, self.shares, self.spectrum, pixel_size=self.picture.pixel_size
        )

    def table(self) -> str:
        """Return the variance of all components as CSV."""
        rows = zip(range(1, len(self.spectrum) + 1), self.spectrum.tolist(), strict=True)
        return table(["component", "share of variance"], rows)


def look_at(view: View, stage: str, kind: Kind, number: int, pixel_size: float | None = None) -> StageDetail:
    """Look at one stage, and at one of its maps.

    Parameters
    ----------
    view, stage
        What is shown, and the name of a stage.
    kind
        "components" or "channels".
    number
        Of the component, from 1, or of the channel, from 0.
    pixel_size
        Side of a pixel of the image in micrometres.
    """
    features = view.features[stage]
    basis = fit_basis([features], SHOWN_COMPONENTS)
    shares = tuple(float(share) for share in basis.explained)
    scores = project(features, basis)
    size = stage_pixel_size(view, stage, pixel_size)
    most = max(1e-12, *(abs(end) for end in display_window([scores])))
    if kind == "components":
        name, values, reach = f"PC {number}", scores[number - 1], most
        tiles = [
            Tile(f"PC {one}", signed(plane, most), explained=(share,), pixel_size=size)
            for one, (plane, share) in enumerate(zip(scores, shares, strict=True), 1)
        ]
        legend = "principal components, in one range: red is much, blue is little"
    else:
        name, values = f"channel {number}", features[number]
        reach = max(1e-12, *(abs(end) for end in display_window([values])))
        tiles = channel_tiles(view, stage, _liveliest(features), pixel_size)
        legend = f"{len(tiles)} of {len(features)} channels, those that vary most, each in its own range"
    picture = Tile(f"{stage}, {name}", signed(values, reach), pixel_size=size)
    return StageDetail(stage, name, values, picture, tiles, legend, shares, spectrum(features), scores)


def _liveliest(features: NDArray[np.float32]) -> list[int]:
    deviations = features.std(axis=(1, 2))
    numbers: list[int] = np.argsort(-deviations, kind="stable")[:SHOWN_CHANNELS].tolist()
    return numbers
