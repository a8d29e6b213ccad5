"""Orthogonal views of volumes: XY, YZ and XZ sections through one voxel, drawn to scale."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from image_translation.figures.movies import BAR, BOX_COLOUR, GAP, TITLE
from image_translation.figures.style import (
    FIGURE_WIDTH,
    PHASE_CMAP,
    PLAIN_TEXT,
    RECOMMENDED,
    SMALL_SIZE,
    STAIN_CMAP,
    PanelGrid,
    add_scale_bar,
    display_window,
    display_windows,
    show_image,
)

MARGIN, SPACE = 0.3, 0.14  # inches: for the names of the sections, and between the views
VIEW_HEIGHT = 2.4  # inches, at most
DEPTHS = (0.01, 4.0)  # of a section, relative to the longer side of XY: beyond, it is not drawn to scale


@dataclass(frozen=True)
class Sections:
    """Sections of a volume through one voxel.

    Attributes
    ----------
    xy, xz, yz
        Shapes (Y, X), (Z, X) and (Z, Y), float32.
    """

    xy: NDArray[np.float32]
    xz: NDArray[np.float32]
    yz: NDArray[np.float32]

    @classmethod
    def through(cls, volume: NDArray[np.float32], voxel: tuple[int, int, int]) -> Self:
        """Cut a volume, (Z, Y, X) float32, through a voxel (z, y, x)."""
        z, y, x = voxel
        return cls(volume[z], volume[:, y], volume[:, :, x])

    @property
    def parts(self) -> tuple[NDArray[np.float32], ...]:
        """All three sections."""
        return self.xy, self.xz, self.yz


def orthogonal_figure(
    sections: Mapping[str, Sections],
    channel: str,
    phase: Sections | None = None,
    *,
    voxel: tuple[int, int, int],
    plane: str,
    z_spacing: float = 1.0,
    pixel_size: float | None = None,
) -> Figure:
    """Show movies side by side at one time: XY, YZ beside it and XZ below it, with lines where they cut each other.

    All movies but the phase share one display window, percentiles of all their sections; see
    `style.display_windows`. Planes are drawn as thick as
    their distance, so that all sections have the scale of XY. The first plane is at the left of YZ and the top of XZ.

    Parameters
    ----------
    sections
        Sections of each movie, in display order. Pixels that are not finite are hatched.
    channel
        Name of the channel.
    phase
        Sections of the input.
    voxel
        The voxel (z, y, x) that all go through.
    plane
        Name of the plane of XY.
    z_spacing
        Distance of two planes, in pixels.
    pixel_size
        Pixel size in micrometres, for a scale bar.
    """
    views = {**({"phase": phase} if phase is not None else {}), **sections}
    depth, height = next(iter(views.values())).yz.shape
    width = next(iter(views.values())).xy.shape[1]
    layout = _lay_out(len(views), (depth * z_spacing, height, width))
    window, windows = display_windows({name: list(one.parts) for name, one in sections.items()})
    for number, (name, one) in enumerate(views.items()):
        display = (display_window(one.parts), PHASE_CMAP) if one is phase else (windows[name], STAIN_CMAP)
        own_scale = one is not phase and windows[name] != window
        panels = layout.add_view(number)
        z, y, x = voxel
        section = _show(panels.xy, one.xy, (y, x), display)
        if not own_scale:
            shown = section  # what the colour bar is for
        _show(panels.yz, one.yz.T, (y, z), display, label=False)
        _show(panels.xz, one.xz, (z, x), display, label=False)
        title = f"{name}, own scale" if own_scale else name
        panels.xy.set_title(title, **PLAIN_TEXT, fontweight="bold" if name == RECOMMENDED else "normal")
        if number == 0:
            panels.xy.set_ylabel(f"XY, {plane}", **PLAIN_TEXT, labelpad=3)
            offset: dict[str, Any] = {
                "xycoords": "axes fraction",
                "textcoords": "offset points",
                "fontsize": SMALL_SIZE,
            }
            panels.xz.annotate("XZ", (0, 0.5), (-3, 0), ha="right", va="center", **offset)
            panels.yz.annotate("YZ", (0.5, 0), (0, -3), ha="center", va="top", **offset)
    if pixel_size is not None:
        add_scale_bar(panels.xy, width, pixel_size)
    layout.grid.add_colour_bar(shown, 0, len(layout.grid.bottoms) - 1, f"{channel} (a.u.)")
    return layout.grid.figure


def _show(
    axes: Axes,
    image: NDArray[np.float32],
    place: tuple[int, int],
    display: tuple[tuple[float, float], str],
    *,
    label: bool = True,
) -> AxesImage:
    """Draw a section that fills its panel, and lines through the pixel (row, column) at which the others cut it."""
    shown = show_image(axes, image, *display, label=label, aspect="auto")
    axes.axhline(place[0], color=BOX_COLOUR, linewidth=0.5)
    axes.axvline(place[1], color=BOX_COLOUR, linewidth=0.5)
    return shown


class _Panels(NamedTuple):
    """Panels of one view."""

    xy: Axes
    yz: Axes
    xz: Axes


@dataclass(frozen=True)
class _Layout:
    """Views in rows and columns; `sides` are the depth, height and width of the volume, in inches."""

    grid: PanelGrid
    sides: tuple[float, float, float]

    def add_view(self, number: int) -> _Panels:
        """Add the panels of a view, without ticks and spines."""
        grid, (depth, height, width) = self.grid, self.sides
        row, column = divmod(number, len(grid.lefts))
        left, bottom = grid.lefts[column], grid.bottoms[row]
        panels = _Panels(
            grid.add_axes(left, bottom + depth + GAP, width, height),
            grid.add_axes(left + width + GAP, bottom + depth + GAP, depth, height),
            grid.add_axes(left, bottom, width, depth),
        )
        for axes in panels:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        return panels


def _lay_out(n_views: int, extent: tuple[float, float, float]) -> _Layout:
    """Lay out views of volumes of an extent along (z, y, x), in pixels."""
    n_columns = math.ceil(n_views / math.ceil(n_views / 3))
    n_rows = math.ceil(n_views / n_columns)
    longest = max(extent[1:])
    limits = (DEPTHS, (0.25, 1.0), (0.25, 1.0))  # panels of very narrow images would have no room for their titles
    depth, height, width = (float(np.clip(side / longest, *limit)) for side, limit in zip(extent, limits, strict=True))
    available = (FIGURE_WIDTH - MARGIN - BAR - (n_columns - 1) * SPACE) / n_columns - GAP
    scale = min(VIEW_HEIGHT / (height + depth), available / (width + depth))
    depth, height, width = scale * depth, scale * height, scale * width
    view = (height + GAP + depth, width + GAP + depth)
    lefts = [MARGIN + column * (view[1] + SPACE) for column in range(n_columns)]
    size = (lefts[-1] + view[1] + BAR, n_rows * (view[0] + TITLE) + SPACE)
    bottoms = [size[1] - (row + 1) * (view[0] + TITLE) for row in range(n_rows)]
    return _Layout(PanelGrid(Figure(size), lefts, bottoms, [view[1]] * n_columns, view[0]), (depth, height, width))
