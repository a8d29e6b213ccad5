"""Sections of the explorer's page: activations in; HTML, a figure, a table and a file name out."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from image_translation.errors import ImageTranslationError
from image_translation.explorer.comparison import Comparison, compare_images, compare_networks
from image_translation.explorer.inspector import Activations, Inspector, NetworkInput
from image_translation.explorer.perturbation import Perturbation
from image_translation.explorer.stage_detail import Kind, stage_detail
from image_translation.explorer.stage_statistics import change_table, stage_table
from image_translation.explorer.stage_tiles import image_tiles, stage_colours, tile_rows
from image_translation.figures import tile_html
from image_translation.figures.stages import change_figure
from image_translation.figures.tiles import SEPARATE_BASES_LEGEND, comparison_figure, overview_figure
from image_translation.frame import Crop
from image_translation.normalize import Method
from image_translation.omezarr.store import Position

DPI = 200


class ComparisonMode(StrEnum):
    """What an image is compared with."""

    FRAME = "another frame"
    PLANE = "another plane"
    PERTURBATION = "a perturbed image"
    NETWORK = "another network"


@dataclass(frozen=True)
class ImageSelection:
    """Image that a network is run on, as selected by the controls; see `inspector.Inspector.read`."""

    t: int
    z: int
    channels: tuple[str, ...] = ()
    crop: Crop | None = None
    normalization: Method | None = None

    def read(self, inspector: Inspector, position: Position) -> NetworkInput:
        """Read and normalise the image for a network."""
        return inspector.read(position, **vars(self))

    def title(self, checkpoint: str, movie: str, position: Position) -> str:
        """Describe network and image, without the frame."""
        title = f"{Path(checkpoint).name} on {Path(movie).name}, {position.name} z{self.z}"
        if self.crop and self.crop[2:] != position.shape[3:]:
            y, x, height, width = self.crop
            title += f", rows {y}-{y + height}, columns {x}-{x + width}"
        return title


@dataclass(frozen=True)
class Counterpart:
    """What an image of a network is compared with, as selected by the controls.

    Attributes
    ----------
    mode
        Which of the other attributes are used.
    t, z
        Indices of the other frame and the other plane.
    perturbation, strength
        Perturbation of the image.
    checkpoint, channels
        The other network and its input channels.
    """

    mode: ComparisonMode
    t: int
    z: int
    perturbation: Perturbation
    strength: float
    checkpoint: str | None = None
    channels: tuple[str, ...] = ()

    def labels(self, first: ImageSelection, checkpoint: str) -> tuple[str, str]:
        """Name the image of a network and its counterpart."""
        if self.mode == ComparisonMode.FRAME:
            return f"frame {first.t}", f"frame {self.t}"
        if self.mode == ComparisonMode.PLANE:
            return f"plane {first.z}", f"plane {self.z}"
        if self.mode == ComparisonMode.PERTURBATION:
            return "unperturbed", f"{self.perturbation.name} {self.strength:g}"
        other = self.checkpoint or checkpoint
        names = Path(checkpoint).name, Path(other).name
        return names if names[0] != names[1] else (checkpoint, other)  # files of one name in two directories

    def read(self, first: ImageSelection, inspector: Inspector, position: Position) -> NetworkInput:
        """Read and normalise the counterpart of an image.

        Parameters
        ----------
        first
            The image.
        inspector
            The network that the counterpart is for: another one in the mode ``NETWORK``.
        position
            Position of both.
        """
        if self.mode == ComparisonMode.FRAME:
            return replace(first, t=self.t).read(inspector, position)
        if self.mode == ComparisonMode.PLANE:
            return replace(first, z=self.z).read(inspector, position)
        if self.mode == ComparisonMode.PERTURBATION:
            perturb = partial(self.perturbation.apply, strength=self.strength)
            return inspector.read(position, **vars(first), perturb=perturb)
        return replace(first, channels=self.channels, normalization=None).read(inspector, position)

    def compare(
        self, labels: tuple[str, str], activations: tuple[Activations, Activations], pixel_size: float | None
    ) -> Comparison:
        """Compare the activations of an image and its counterpart."""
        compare = compare_networks if self.mode == ComparisonMode.NETWORK else compare_images
        return compare(labels, activations, pixel_size)


def comparison_modes(position: Position) -> list[str]:
    """List the comparison modes that a position allows: those of frames and planes need several of them."""
    frames, _, depth, *_ = position.shape
    available = {ComparisonMode.FRAME: frames > 1, ComparisonMode.PLANE: depth > 1}
    return [mode.value for mode in ComparisonMode if available.get(mode, True)]


@dataclass(frozen=True, eq=False)
class Section:
    """A section of the page. Figure and table are made when they are saved.

    Attributes
    ----------
    title
        Title of the section when it is saved as a page.
    html
        HTML fragments, from top to bottom.
    figure, table
        Functions that return the figure for print and the CSV text.
    file_stem
        Name of the saved files, without the suffix.
    """

    title: str
    html: tuple[str, ...]
    figure: Callable[[], Figure]
    table: Callable[[], str]
    file_stem: str

    def image(self, kind: str) -> bytes:
        """Return the figure as an image file of a kind such as "png" or "svg"."""
        buffer = io.BytesIO()
        self.figure().savefig(buffer, format=kind, dpi=DPI)
        return buffer.getvalue()

    def document(self) -> bytes:
        """Return the section as an HTML page that needs no other file."""
        return tile_html.document(self.title, *self.html).encode()

    def csv(self) -> bytes:
        """Return the table as a CSV file."""
        return self.table().encode()


def overview_section(activations: Activations, title: str, pixel_size: float | None = None) -> Section:
    """Show input, prediction, truth and all stages."""
    colours = stage_colours([activations])
    rows = tile_rows(activations, colours, pixel_size)
    return Section(
        title,
        (tile_html.grid(rows, f"{title}. {SEPARATE_BASES_LEGEND}."),),
        partial(overview_figure, rows, title),
        partial(stage_table, activations, colours),
        "overview",
    )


def stage_section(
    activations: Activations,
    stage: str,
    selected: tuple[Kind, int],
    title: str,
    *,
    opacity: float,
    pixel_size: float | None = None,
) -> Section:
    """Show a stage in detail.

    Parameters
    ----------
    activations, stage
        Activations and the name of a stage.
    selected
        Kind and number of the selected map, see `stage_detail.stage_detail`.
    title
        Description of the image.
    opacity
        Opacity of the map over the input, from 0 to 1.
    pixel_size
        Pixel size of the image in micrometres.
    """
    detail = stage_detail(activations, stage, *selected, pixel_size)
    image = image_tiles(activations, pixel_size)[0]
    html = (
        tile_html.overlay(image, detail.picture, opacity, **activations.placements[stage]._asdict()),
        tile_html.grid([(detail.legend, detail.tiles)], title),
        tile_html.embed_figure(detail.distribution_figure(), "histogram of the values, and cumulative variance"),
    )
    return Section(f"{stage}: {title}", html, detail.component_figure, detail.table, stage.replace(" ", "_"))


def comparison_section(comparison: Comparison, title: str) -> Section:
    """Show two images side by side."""
    return Section(
        title,
        (tile_html.comparison(comparison.columns, f"{title}. {comparison.legend}"),),
        partial(comparison_figure, comparison.columns, title, comparison.legend),
        comparison.table,
        "comparison",
    )


def change_section(
    changes: Mapping[str, Mapping[str, NDArray[np.float64]]], frames: Sequence[int], title: str
) -> Section:
    """Show the change of every stage from frame to frame; `changes` and `frames` as for `stages.change_figure`."""
    figure = partial(change_figure, changes, frames)
    html = (tile_html.embed_figure(figure(), "change of every stage", figure(narrow=True)),)
    return Section(title, html, figure, partial(change_table, changes, frames), "change")


def overview_text(activations: Activations, title: str) -> str:
    """Return a title line and the table of the stages, for a run of the notebook as a script."""
    return f"{title}\n{stage_table(activations, stage_colours([activations]))}"


def field_html(position: Position, selection: ImageSelection) -> str:
    """Show the first input channel of the full field with a frame around the crop; a note if it cannot be read."""
    channel = selection.channels[0]
    crop = selection.crop or Crop(0, 0, *position.shape[3:])
    try:
        field = position.read(selection.t, position.channels.index(channel), selection.z)
        return tile_html.field(field, crop, position.pixel_size, channel)
    except ImageTranslationError:  # the section reports it
        return tile_html.note("This frame cannot be read.")


def network_html(network: Inspector) -> str:
    """Describe a network in small print."""
    return tile_html.note(
        f"The network is run on the framed part; its response norms are computed over this part alone. It has "
        f"{network.spec.n_parameters / 1e6:.1f} million weights, and runs on {network.device}. "
        f"{network.spec.description}"
    )
