"""The feature maps of every stage of a network, and their principal components."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from image_translation.api.movies import ArrayDescription, open_movie, select_position
from image_translation.api.networks import Network
from image_translation.api.parameter_names import parameter_names
from image_translation.errors import UsageError
from image_translation.explorer.colours import to_rgb
from image_translation.explorer.inspector import Activations, Inspector
from image_translation.explorer.principal_components import fit_basis, project
from image_translation.explorer.stage_tiles import StageColours, stage_colours, tile_rows
from image_translation.frame import Crop
from image_translation.normalize import Method
from image_translation.omezarr.selection import MIDDLE, select_planes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Inspection:
    """What a network computes from one image, stage by stage.

    Attributes
    ----------
    image
        Normalised input, (C, Y, X) float32.
    prediction
        Prediction, (C, Y, X) float32.
    features
        Feature map of each stage by its name, from the input to the output of the network, (C, Y, X) float32 in the
        pixels of the stage.
    """

    def __init__(self, activations: Activations, *, pixel_size: float | None, title: str) -> None:
        self.image = activations.image
        self.prediction = activations.prediction
        self.features = activations.features
        self._activations = activations
        self._pixel_size = pixel_size
        self._title = title

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages."""
        return tuple(self.features)

    def components(self, stage: str, n: int = 3) -> NDArray[np.float32]:
        """Return the first principal components of a stage.

        Parameters
        ----------
        stage
            Name of the stage.
        n
            Number of components.

        Returns
        -------
        ndarray
            Shape (N, Y, X), float32.
        """
        features = self._require(stage)
        if not 1 <= n <= len(features):
            raise UsageError(f"{n} components of {stage}: it has {len(features)} channels; choose 1 to {len(features)}")
        return project(features, fit_basis([features], n))

    def rgb(self, stage: str) -> NDArray[np.uint8]:
        """Return the first three principal components of a stage as colours, (Y, X, 3) uint8."""
        features = self._require(stage)
        basis, contrast = self._colours[stage]
        return to_rgb(project(features, basis), contrast)

    def figure(self) -> "Figure":
        """Draw an overview of all stages."""
        from image_translation.figures.tiles import overview_figure

        return overview_figure(tile_rows(self._activations, self._colours, self._pixel_size), self._title)

    @cached_property
    def _colours(self) -> dict[str, StageColours]:
        return stage_colours([self._activations])

    def _require(self, stage: str) -> NDArray[np.float32]:
        if stage not in self.features:
            raise UsageError(f"there is no stage {stage!r}; there are {', '.join(self.stages)}")
        return self.features[stage]


@parameter_names()
def inspect(
    movie: Any,
    checkpoint: str | os.PathLike[str] | Network,
    *,
    time: int = 0,
    z: int | None = None,
    channel: str | Sequence[str] | None = None,
    position: str | None = None,
    crop: tuple[int, int, int, int] | None = None,
    normalization: Method | None = None,
    device: str = "auto",
    axes: str | None = None,
    channels: Sequence[str] = (),
    pixel_size: float | Sequence[float] | None = None,
) -> Inspection:
    """Run a network on one image, and keep what every stage returns.

    Parameters
    ----------
    movie, checkpoint
        As of `stain`.
    time, z
        Frame and plane; the middle plane if not given.
    channel
        Name of the input channel, or names; None chooses as `stain` does.
    position
        Name of the position of a plate.
    crop
        Part of the field to pass to the network: first row, first column, height and width in pixels.
    normalization
        As of `stain`.
    device
        As of `load_network`.
    axes, channels, pixel_size
        What an array does not say, see `ArrayDescription`.

    Returns
    -------
    Inspection
        Input, prediction, and feature maps.

    Raises
    ------
    UsageError
        If an option does not fit the movie or the checkpoint.
    DataError
        If the movie or the checkpoint cannot be read, or the frame is blank.
    """
    name, store = open_movie(movie, ArrayDescription(axes=axes, channels=channels, pixel_size=pixel_size))
    chosen = select_position(store, position)
    path = str(checkpoint.spec.path) if isinstance(checkpoint, Network) else os.fspath(checkpoint)
    inspector = Inspector(path, normalization=normalization, device=device)
    (plane,) = select_planes(chosen, MIDDLE if z is None else str(z))
    names = [channel] if isinstance(channel, str) else list(channel or ())
    activations = inspector.inspect(chosen, time, plane, channels=names, crop=Crop(*crop) if crop else None)
    title = f"{inspector.spec.path.name} on {name}, {chosen.name} z{plane}, frame {time}"
    return Inspection(activations, pixel_size=chosen.pixel_size, title=title)
