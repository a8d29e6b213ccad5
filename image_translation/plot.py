"""Figures of movies and of their metrics: arrays and rows in, matplotlib figures out; nothing measured or saved.

Figures are at most 180 mm wide with type of 7 to 8 points, and the colours of the methods can be told apart with any
colour vision (Okabe and Ito 2008, Color Universal Design).
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from image_translation.rows import Row, summarize

WIDTH = 180 / 25.4  # inches
TEXT, SMALL = 8, 7  # points
PHASE_COLOURS, STAIN_COLOURS = "gray", "magma"
DISPLAY_PERCENTILES = (0.5, 99.8)

_PLAIN: dict[str, Any] = {"fontsize": TEXT, "parse_math": False}  # names may hold dollar signs

_LOOKS = {"raw": ("#000000", "o"), "truth": ("#009E73", "D"), "window": ("#E69F00", "s"), "savgol": ("#0072B2", "^")}
_OTHER_LOOKS = (("#CC79A7", "v"), ("#D55E00", "P"), ("#56B4E9", "X"))


def frames_figure(
    images: Mapping[str, NDArray[np.float32]],
    labels: Sequence[str],
    channel: str,
    phase: NDArray[np.float32] | None = None,
    *,
    pixel_size: float | None = None,
) -> Figure:
    """Show the same frames of several movies below each other, with one display window for all but the phase.

    Parameters
    ----------
    images
        K frames of each method, (K, Y, X) float32, in the order in which they are shown. Pixels that are not finite are
        hatched, and a frame of nothing else is marked.
    labels
        Titles of the K frames.
    channel
        Name of the channel.
    phase
        The K input frames, (K, Y, X) float32.
    pixel_size
        Side of a pixel in micrometres, for a scale bar.
    """
    height, width = next(iter(images.values())).shape[1:]
    tile = min(1.8, (WIDTH - 1.0) / len(labels))
    tile_height = tile * min(2.0, max(0.5, height / width))
    n_rows = len(images) + (phase is not None)
    figure = Figure((len(labels) * tile + 1.0, n_rows * (tile_height + 0.05) + 0.35), layout="constrained")
    grid = figure.subplots(n_rows, len(labels), squeeze=False)
    for axes, label in zip(grid[0], labels, strict=True):
        axes.set_title(label, **_PLAIN)
    panels = list(grid)
    if phase is not None:
        _show_row(panels.pop(0), phase, "phase", _display_window([phase]), PHASE_COLOURS)
    window = _display_window(images.values())
    for row, (method, stack) in zip(panels, images.items(), strict=True):
        shown = _show_row(row, stack, method, window, STAIN_COLOURS)
    _add_colour_bar(figure, shown, np.concatenate(panels), channel)
    if pixel_size is not None:
        _add_scale_bar(grid[-1, 0], width, pixel_size)
    return figure


def kymograph_figure(images: Mapping[str, NDArray[np.float32]], channel: str, *, first_frame: int = 0) -> Figure:
    """Show one line of pixels over time, one panel per movie: flicker is seen as stripes across.

    Parameters
    ----------
    images
        The line in each movie, (T, X) float32; T may differ. Frames that are not there or not finite are hatched.
    channel
        Name of the channel.
    first_frame
        Index of the first frame.
    """
    figure = Figure((WIDTH, 2.8), layout="constrained")
    panels = figure.subplots(1, len(images), squeeze=False, sharex=True, sharey=True)[0]
    window = _display_window(images.values())
    longest = max(len(image) for image in images.values())
    for axes, (method, image) in zip(panels, images.items(), strict=True):
        padded = np.pad(image, ((0, longest - len(image)), (0, 0)), constant_values=np.nan)
        extent = (-0.5, image.shape[1] - 0.5, first_frame + longest - 0.5, first_frame - 0.5)
        shown = _show(axes, padded, window, STAIN_COLOURS, aspect="auto", extent=extent)
        axes.set_title(method, **_PLAIN)
        axes.set_xlabel("position (pixels)", fontsize=TEXT)
        _style(axes)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    panels[0].yaxis.set_major_locator(_frame_ticks())
    panels[0].set_ylabel("frame", fontsize=TEXT)
    _add_colour_bar(figure, shown, panels, channel)
    return figure


def adjacent_pearson_figure(rows: Sequence[Row]) -> Figure:
    """Plot the correlation of each frame with the next over time, one panel per channel, one line per movie.

    Lines are broken where there is no number, at invalid frames.
    """
    rows = [row for row in rows if row.metric == "adjacent_pearson"]
    figure, panels = _metric_panels(rows)
    looks = _looks(rows)
    for channel, axes in panels.items():
        for position, method in dict.fromkeys((row.position, row.method) for row in rows if row.channel == channel):
            values = {
                row.frame: row.value
                for row in rows
                if (row.position, row.method, row.channel) == (position, method, channel) and row.frame is not None
            }
            frames = np.arange(min(values), max(values) + 1)
            colour, _ = looks[method]
            line = [values.get(int(frame), np.nan) for frame in frames]
            axes.plot(frames, line, color=colour, label=method, linewidth=1, marker=".", markersize=3)
        axes.xaxis.set_major_locator(_frame_ticks())
        axes.set_xlabel("frame", fontsize=TEXT)
    _finish_metric_panels(figure, list(panels.values()), "Pearson correlation\nwith the next frame")
    return figure


def tradeoff_figure(rows: Sequence[Row]) -> Figure:
    """Plot sharpness against the correlation of adjacent frames, one panel per channel, one point per movie.

    A movie that is steadier only because it is blurred lies to the right and below.
    """
    rows = [row for row in summarize(rows) if row.metric in {"adjacent_pearson", "sharpness"}]
    figure, panels = _metric_panels(rows)
    looks = _looks(rows)
    for channel, axes in panels.items():
        axes.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
        for position, method in dict.fromkeys((row.position, row.method) for row in rows if row.channel == channel):
            values = {
                row.metric: row.value
                for row in rows
                if (row.position, row.method, row.channel) == (position, method, channel)
            }
            if len(values) == 2:
                colour, marker = looks[method]
                point = (values["adjacent_pearson"], values["sharpness"])
                axes.plot(*point, color=colour, marker=marker, markersize=6, linestyle="", label=method)
        axes.margins(0.15)
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel("Pearson correlation of adjacent frames", fontsize=TEXT)
    _finish_metric_panels(figure, list(panels.values()), "sharpness (raw = 1)")
    return figure


def _looks(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Return the colour and the marker of each method."""
    others = cycle(_OTHER_LOOKS)
    return {method: _LOOKS.get(method) or next(others) for method in dict.fromkeys(row.method for row in rows)}


def _metric_panels(rows: Sequence[Row]) -> tuple[Figure, dict[str, Axes]]:
    channels = list(dict.fromkeys(row.channel for row in rows))
    figure = Figure((WIDTH, 2.6), layout="constrained")
    panels = figure.subplots(1, max(1, len(channels)), squeeze=False)[0]
    for axes in panels:
        _style(axes)
        axes.spines[["top", "right"]].set_visible(False)
    for axes, channel in zip(panels, channels, strict=False):
        axes.set_title(channel, **_PLAIN)
    if not channels:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "no adjacent frames", ha="center", va="center", fontsize=TEXT)
    return figure, dict(zip(channels, panels, strict=False))


def _finish_metric_panels(figure: Figure, panels: Sequence[Axes], label: str) -> None:
    if not panels:
        return
    panels[0].set_ylabel(label, fontsize=TEXT)
    entries = {name: line for axes in panels for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    if entries:
        handles, names = entries.values(), entries.keys()
        legend = figure.legend(
            handles, names, loc="outside upper center", ncols=len(entries), frameon=False, fontsize=TEXT
        )
        for text in legend.get_texts():
            text.set_parse_math(False)


def _frame_ticks() -> MaxNLocator:
    return MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10])


def _style(axes: Axes) -> None:
    axes.tick_params(labelsize=SMALL, width=0.6, length=2.5)
    axes.spines[:].set_linewidth(0.6)


def _display_window(stacks: Any) -> tuple[float, float]:
    """Return the darkest and the brightest value that are shown of all images together."""
    values = np.concatenate([stack[np.isfinite(stack)] for stack in stacks])
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, DISPLAY_PERCENTILES)
    return float(low), float(high) if high > low else float(low) + 1.0


def _show_row(
    row: Sequence[Axes], stack: NDArray[np.float32], name: str, window: tuple[float, float], colours: str
) -> AxesImage:
    for axes, image in zip(row, stack, strict=True):
        shown = _show(axes, image, window, colours)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    row[0].set_ylabel(name, **_PLAIN)
    return shown


def _show(
    axes: Axes, image: NDArray[np.float32], window: tuple[float, float], colours: str, **options: Any
) -> AxesImage:
    """Draw an image, (Y, X) float32, over a hatched ground that shows through where pixels are not finite."""
    finite = np.isfinite(image)
    if not finite.all():
        axes.add_patch(
            Rectangle(
                (0, 0),
                1,
                1,
                transform=axes.transAxes,
                facecolor="0.93",
                edgecolor="0.7",
                hatch="////",
                linewidth=0,
                zorder=-1,
            )
        )
    if not finite.any():
        _write(axes, 0.5, 0.5, "no frame", va="center", bbox={"facecolor": "0.93", "edgecolor": "none", "pad": 1.5})
    masked = np.ma.masked_where(~finite, image)
    return axes.imshow(masked, cmap=colours, vmin=window[0], vmax=window[1], interpolation="nearest", **options)


def _add_colour_bar(figure: Figure, shown: AxesImage, panels: Any, channel: str) -> None:
    bar = figure.colorbar(shown, ax=list(panels), fraction=0.05, aspect=30, pad=0.01)
    bar.set_label(f"{channel} (a.u.)", **_PLAIN)
    bar.ax.tick_params(labelsize=SMALL, width=0.6, length=2.5)
    bar.outline.set_linewidth(0.6)


def _add_scale_bar(axes: Axes, width: int, pixel_size: float) -> None:
    """Draw a bar of a round length, about a quarter of an image that is `width` pixels wide."""
    wanted = width * pixel_size / 4
    power = 10.0 ** np.floor(np.log10(wanted))
    length = power * max((step for step in (1, 2, 5) if step * power <= wanted), default=1)
    start, stop = 0.92 - length / pixel_size / width, 0.92
    axes.plot([start, stop], [0.07, 0.07], transform=axes.transAxes, color="white", linewidth=2, solid_capstyle="butt")
    _write(axes, (start + stop) / 2, 0.1, f"{length:g} µm", va="bottom", color="white")


def _write(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Write small text centred at a place in units of the panel."""
    axes.text(x, y, text, ha="center", fontsize=SMALL, transform=axes.transAxes, **options)
