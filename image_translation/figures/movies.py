"""Figures of movies: arrays in, matplotlib figures out; nothing is measured or saved. Their look is in `plot_style`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from image_translation.figures.style import (
    PHASE_COLOURS,
    PLAIN,
    RECOMMENDED,
    STAIN_COLOURS,
    TEXT,
    WIDTH,
    Grid,
    add_scale_bar,
    display_window,
    frame_ticks,
    show,
    style,
    write,
)
from image_translation.metrics.rows import RAW

GAP, MARGIN, BAR, LABEL = 0.03, 0.24, 0.84, 0.2  # inches: between panels, for names, for colour bars, for titles
MAP_COLOURS, BETTER_COLOURS, CHANGE_COLOURS = "viridis", "PuOr", "RdBu_r"
BOX_COLOUR = "#56B4E9"


def combined_figure(
    images: Mapping[str, NDArray[np.float32]],
    labels: Sequence[str],
    channel: str,
    phase: NDArray[np.float32] | None = None,
    *,
    change: Mapping[str, NDArray[np.float32]],
    corners: Sequence[tuple[int, int]],
    side: int,
    pixel_size: float | None = None,
) -> Figure:
    """Show movies below each other: an overview of the middle frame, and a close-up of every frame that follows a cell.

    All but the phase share one display window.

    Parameters
    ----------
    images
        K consecutive frames of each movie, (K, Y, X) float32, in the order in which they are shown. Pixels that are not
        finite are hatched, and a frame of nothing else is marked.
    labels
        Titles of the K frames.
    channel
        Name of the channel.
    phase
        The K input frames, (K, Y, X) float32.
    change
        How much each movie changes from frame to frame where the close-up is in the middle frame, (y, x) float32;
        nothing for a single frame.
    corners
        Upper left corner (y, x) of the close-up in each frame; it lies within the frame.
    side
        Height and width of the close-up in pixels, less where the frames are smaller.
    pixel_size
        Side of a pixel in micrometres, for scale bars.
    """
    height, width = next(iter(images.values())).shape[1:]
    sides = (min(side, height), min(side, width))
    names = [*(["phase"] if phase is not None else []), *images]
    grid = _overview_grid(len(names), len(labels) + bool(change), height / width, sides[0] / sides[1])
    window, middle = display_window(images.values()), len(labels) // 2
    change_window = (0.0, display_window(change.values())[1]) if change else (0.0, 1.0)
    for row, name in enumerate(names):
        is_phase = phase is not None and row == 0
        stack = phase if phase is not None and row == 0 else images[name]
        look = (display_window([stack]), PHASE_COLOURS) if is_phase else (window, STAIN_COLOURS)
        panels = [grid.panel(row, column) for column in range(len(labels) + 1)]
        shown = show(panels[0], stack[middle], *look)
        for axes, image, (y, x) in zip(panels[1:], stack, corners, strict=True):
            show(axes, image[y : y + sides[0], x : x + sides[1]], *look)
        if name in change:
            changes = show(grid.panel(row, len(labels) + 1), change[name], change_window, MAP_COLOURS)
        _draw_box(panels[0], corners, middle, sides)
        _name(panels[0], name)
        if row == 0:
            panels[0].set_title(f"field, {labels[middle]}", **PLAIN)
            for axes, label in zip(panels[1:], labels, strict=True):
                axes.set_title(label, **PLAIN)
        if row == len(names) - len(images) and change:
            grid.title(row, len(labels) + 1, "mean change")
        if is_phase:
            grid.bar(shown, 0, 0, "phase (a.u.)")
    if pixel_size is not None:
        add_scale_bar(panels[0], width, pixel_size)
        add_scale_bar(panels[1], sides[1], pixel_size)
    first = len(names) - len(images)
    half = first + (len(images) + 1) // 2
    grid.bar(shown, first, max(first, half - 1) if change else len(names) - 1, f"{channel} (a.u.)")
    if change and half < len(names):
        grid.bar(changes, half, len(names) - 1, "change (a.u.)")
    return grid.figure


def kymograph_figure(
    images: Mapping[str, NDArray[np.float32]], channel: str, *, first_frame: int = 0, pixel_size: float | None = None
) -> Figure:
    """Show one line of pixels over time, one panel per movie: flicker is seen as stripes across.

    Parameters
    ----------
    images
        The line in each movie, (T, X) float32; T may differ. Frames that are not there or not finite are hatched.
    channel
        Name of the channel.
    first_frame
        Index of the first frame.
    pixel_size
        Width of a pixel in micrometres.
    """
    figure = Figure((WIDTH, 2.8), layout="constrained")
    panels = figure.subplots(1, len(images), squeeze=False, sharex=True, sharey=True)[0]
    window = display_window(images.values())
    longest = max(len(image) for image in images.values())
    scale = pixel_size or 1.0
    for axes, (method, image) in zip(panels, images.items(), strict=True):
        padded = np.pad(image, ((0, longest - len(image)), (0, 0)), constant_values=np.nan)
        extent = (-0.5 * scale, (image.shape[1] - 0.5) * scale, first_frame + longest - 0.5, first_frame - 0.5)
        shown = show(axes, padded, window, STAIN_COLOURS, aspect="auto", extent=extent)
        axes.set_title(method, **PLAIN, fontweight=_weight(method))
        style(axes)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    figure.supxlabel(f"position along a line ({'µm' if pixel_size else 'pixels'})", fontsize=TEXT)
    panels[0].yaxis.set_major_locator(frame_ticks())
    panels[0].set_ylabel("frame", fontsize=TEXT)
    bar = figure.colorbar(shown, ax=list(panels), fraction=0.05, aspect=30, pad=0.01)
    bar.set_label(f"{channel} (a.u.)", **PLAIN)
    style(bar.ax)
    bar.outline.set_linewidth(0.6)
    return figure


def difference_figure(
    change: Mapping[str, NDArray[np.float32]],
    gain: Mapping[str, NDArray[np.float32]],
    channel: str,
    *,
    against_truth: bool,
    pixel_size: float | None = None,
) -> Figure:
    """Show where movies change from frame to frame, and where methods mend or spoil the raw prediction.

    Parameters
    ----------
    change
        Mean size of the change of each pixel from one frame to the next, (Y, X) float32, of each movie.
    gain
        With truth, by how much each method is nearer to it than raw, (Y, X) float32, positive where it is nearer; else
        the method less raw in one frame.
    channel
        Name of the channel.
    against_truth
        Which of the two the second one is.
    pixel_size
        Side of a pixel in micrometres, for a scale bar.
    """
    names = list(change)
    height, width = next(iter(change.values())).shape
    grid = _even_grid(2 if gain else 1, len(names), height / width)
    window = (0.0, display_window(change.values())[1])
    for column, name in enumerate(names):
        axes = grid.panel(0, column)
        shown = show(axes, change[name], window, MAP_COLOURS)
        axes.set_title(name, **PLAIN, fontweight=_weight(name))
        if column == 0 and pixel_size is not None:
            add_scale_bar(axes, width, pixel_size)
    grid.bar(shown, 0, 0, "change (a.u.)")
    grid.side_title(channel)
    if gain:
        most = max(1e-12, *(abs(end) for end in display_window(gain.values())))
        colours = BETTER_COLOURS if against_truth else CHANGE_COLOURS
        for name, image in gain.items():
            shown = show(grid.panel(1, names.index(name)), image, (-most, most), colours)
        grid.bar(shown, 1, 1, "gain (a.u.)" if against_truth else "less raw (a.u.)")
        _explain(grid.panel(1, names.index(RAW)) if RAW in names and RAW not in gain else None, against_truth)
    return grid.figure


def _explain(axes: Axes | None, against_truth: bool) -> None:  # noqa: FBT001 - of this module alone
    """Say in the place of raw, which differs from itself nowhere, what the colours mean."""
    if axes is None:
        return
    if against_truth:
        write(axes, 0.5, 0.66, "nearer to the\ntruth than raw", va="center", color="#542788")
        write(axes, 0.5, 0.34, "farther from it", va="center", color="#B35806")
    else:
        write(axes, 0.5, 0.66, "brighter\nthan raw", va="center", color="#B2182B")
        write(axes, 0.5, 0.34, "darker\nthan raw", va="center", color="#2166AC")


def _weight(name: str) -> str:
    return "bold" if name == RECOMMENDED else "normal"


def _name(axes: Axes, name: str) -> None:
    axes.set_ylabel(name, **PLAIN, fontweight=_weight(name), labelpad=3)


def _draw_box(axes: Axes, corners: Sequence[tuple[int, int]], middle: int, sides: tuple[int, int]) -> None:
    """Draw where the close-up of the middle frame is, and the way of its centre."""
    y, x = corners[middle]
    box = Rectangle((x - 0.5, y - 0.5), sides[1], sides[0], fill=False, edgecolor=BOX_COLOUR, linewidth=0.9)
    axes.add_patch(box)
    ys, xs = zip(*corners, strict=True)
    way = (np.array(xs) + sides[1] / 2, np.array(ys) + sides[0] / 2)
    axes.plot(*way, color=BOX_COLOUR, linewidth=0.7)


def _overview_grid(n_rows: int, n_frames: int, overview: float, close_up: float) -> Grid:
    """Lay out rows of an overview and close-ups of these proportions, height by width."""
    overview, close_up = np.clip([overview, close_up], 0.25, 4)
    room = WIDTH - MARGIN - BAR - (n_frames + 1) * GAP - 0.05
    height = min(1.25, room / (1 / overview + n_frames / close_up))
    widths = [height / overview, *[height / close_up] * n_frames]
    lefts = MARGIN + np.cumsum([0, widths[0] + GAP + 0.05, *[widths[1] + GAP] * (n_frames - 1)])
    return _grid(n_rows, [float(left) for left in lefts], widths, height)


def _even_grid(n_rows: int, n_columns: int, proportion: float) -> Grid:
    """Lay out a grid of panels of one proportion, height by width."""
    proportion = float(np.clip(proportion, 0.25, 4))
    width = min(2.2, (WIDTH - MARGIN - BAR - n_columns * GAP) / n_columns)
    lefts = [MARGIN + column * (width + GAP) for column in range(n_columns)]
    return _grid(n_rows, lefts, [width] * n_columns, width * proportion)


def _grid(n_rows: int, lefts: list[float], widths: list[float], height: float) -> Grid:
    size = (lefts[-1] + widths[-1] + BAR, n_rows * (height + GAP) + LABEL + 0.04)
    bottoms = [size[1] - LABEL - (row + 1) * height - row * GAP for row in range(n_rows)]
    return Grid(Figure(size), lefts, bottoms, widths, height)
